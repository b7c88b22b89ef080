"""A camera in front of the virtual trainee."""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np
from numpy.typing import NDArray

from device.config import CameraConfig
from device.drivers.base import Camera
from device.errors import DriverError, EndOfStream, StaleFrame
from device.messages import NS_PER_S, Cue, Frame
from device.sim.render import Renderer
from device.sim.scene import Scene, SceneCamera
from device.sim.trainee import VirtualTrainee

_SHARP_PX = 1.5
_SMEARED_PX = 5.0
"""Movement during the exposure below which one instant stands for all of it, and above which two are too few."""


class VirtualCamera(Camera):
    """Frame k shows the trainee at k / rate; its time, mid-exposure, is `start_ns` plus that.

    Time is simulated: `read` advances it by one frame, as fast as frames are drawn. With `realtime`, `read` waits until
    the host's clock reaches the frame and skips the frames that are past, as a camera does.
    """

    def __init__(
        self, config: CameraConfig, trainee: VirtualTrainee, scene: Scene, *, start_ns: int = 0, realtime: bool = False
    ) -> None:
        self._config = config
        self._trainee = trainee
        self._scene = scene
        self._start_ns = start_ns
        self._realtime = realtime
        self._renderer: Renderer | None = None
        self._next = 0
        self._newest: Frame | None = None

    def open(self) -> None:
        self._renderer = Renderer(self._scene, self._trainee.body, self._config.width, self._config.height)
        self._next, self._newest = 0, None

    def close(self) -> None:
        self._renderer = None

    def read(self) -> Frame:
        renderer = self._renderer
        if renderer is None:
            raise DriverError("The virtual camera is not open. Open it before reading.")
        if self._realtime:
            self._wait()
        index = self._next
        elapsed_ns = self._elapsed_ns(index)
        if elapsed_ns >= self._trainee.duration_ns:
            raise EndOfStream(f"The virtual trainee's session is over after {self._trainee.duration_ns / NS_PER_S:.0f} s.")
        self._next = index + 1
        pixels = renderer.render(self._instants(renderer, elapsed_ns), index)
        self._newest = Frame(self._start_ns + elapsed_ns, 0, index, pixels)
        return self._newest

    def latest(self, max_age_ns: int) -> Frame:
        newest = self._newest
        if newest is None:
            raise StaleFrame("The virtual camera has read no frame yet.")
        age_ns = time.monotonic_ns() - newest.t_ns if self._realtime else 0
        if age_ns > max_age_ns:
            raise StaleFrame(f"The virtual camera's newest frame is {age_ns / 1e6:.0f} ms old.")
        return newest

    @property
    def view(self) -> SceneCamera:
        """The pinhole model of its pictures."""
        return self._scene.camera.resized(self._config.width, self._config.height)

    def skip_to(self, elapsed_ns: int) -> None:
        """Go on with the first frame at or after `elapsed_ns` of the session, without drawing those before."""
        self._next = math.ceil(elapsed_ns * self._config.rate_hz / NS_PER_S)

    def hear(self, cue: Cue) -> None:
        """Let the trainee in front of the camera hear `cue`, whose time is on this camera's clock."""
        self._trainee.hear(dataclasses.replace(cue, t_ns=cue.t_ns - self._start_ns))

    def _elapsed_ns(self, index: int) -> int:
        return round(index * NS_PER_S / self._config.rate_hz)

    def _wait(self) -> None:
        """Sleep until the next frame is due; go on to the newest due one where some are past."""
        due = self._start_ns + self._elapsed_ns(self._next) - time.monotonic_ns()
        if due > 0:
            time.sleep(due / NS_PER_S)
        else:
            self._next = max(self._next, int(-due * self._config.rate_hz / NS_PER_S) + self._next)

    def _instants(self, renderer: Renderer, elapsed_ns: int) -> NDArray[np.float64]:
        """Landmarks (k, 33, 3) over the exposure; a single instant where nothing moves visibly."""
        exposure_ns = self._config.exposure_ms * 1e6
        edges = self._trainee.pose((elapsed_ns + exposure_ns * np.array([-0.5, 0.0, 0.5])).astype(np.int64))
        pixels, _ = renderer.camera.project(edges)
        moved_px = float(np.abs(pixels[2] - pixels[0]).max())
        if moved_px < _SHARP_PX:
            return edges[1:2]
        count = 2 if moved_px < _SMEARED_PX else 3
        offsets = (np.arange(count) + 0.5) / count - 0.5
        return self._trainee.pose((elapsed_ns + exposure_ns * offsets).astype(np.int64))
