"""The eye on the ladder: what the live runner watches with, slowed down while the pipeline is over its budget."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from device.config import CameraConfig
from device.messages import Degraded, Pose
from device.runtime.keepers import Watching
from device.runtime.ladder import RUNGS, Ladder, Rung

log = logging.getLogger(__name__)

_LEAST_PX, _LEAST_HZ = 64, 1.0


class AdjustableEye(Watching, Protocol):
    """What is asked of the eye; `device.runtime.eye.Eye` is the one."""

    def look_at(self, every: int) -> None: ...

    def use(self, camera: CameraConfig) -> None: ...


class Watched(Protocol):
    """Who would take what the ladder does to the eye for failures; `device.runtime.supervisor.Supervisor` is the one."""

    def expect(self, name: str, rate_hz: float, now_ns: int) -> None: ...

    def renewed(self, name: str, now_ns: int) -> None: ...


class LadderedEye:
    """An eye like any other to whoever reads its poses. `ladder` hears the timings elsewhere; each look moves its time.

    `on_change` is told of each change, and so is the log. While the ladder is at bands only the eye is stopped and has no poses.
    """

    name = "eye"

    def __init__(
        self,
        eye: AdjustableEye,
        ladder: Ladder,
        camera: CameraConfig,
        watched: Watched,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        on_change: Callable[[Degraded], None] = lambda _: None,
    ) -> None:
        self._eye, self._ladder, self._camera, self._watched = eye, ladder, camera, watched
        self._clock = clock
        self.on_change = on_change
        self._starting = False

    @property
    def resting(self) -> bool:
        """Whether the eye is stopped on purpose: the ladder is at bands only."""
        return not self._ladder.rung.rate

    def start(self) -> None:
        """Start the eye, unless it rests."""
        if not self.resting:
            self._eye.start()
            self._starting = True

    def dismiss(self) -> None:
        self._eye.dismiss()

    def stop(self) -> None:
        self._eye.stop()

    @property
    def ready(self) -> bool:
        """Whether camera and estimator are open, or not wanted."""
        return self.resting or self._eye.ready

    @property
    def dismissed(self) -> bool:
        return self._eye.dismissed

    def poses(self) -> list[Pose]:
        """What has come since the last call, after a step of the ladder. Raises like `Eye.poses`."""
        now_ns = self._clock()
        if self._starting:
            self._ladder.settle(now_ns)
        change = self._ladder.step(now_ns)
        if change is not None:
            self._apply(change, now_ns)
        if self.resting:
            return []
        poses = self._eye.poses()
        self._starting = self._starting and not poses
        return poses

    def _apply(self, change: Degraded, now_ns: int) -> None:
        before, rung = RUNGS[change.before], RUNGS[change.level]
        log.warning("%s to %s: %s.", "Slowed down" if change.level > change.before else "Back", rung.name, change.reason)
        self.on_change(change)
        if not rung.rate:
            self._watched.expect(self.name, 0.0, now_ns)
            self._eye.dismiss()
            return
        camera = _slowed(self._camera, rung)
        self._watched.expect(self.name, camera.rate_hz / rung.every, now_ns)
        self._eye.look_at(rung.every)
        if (before.rate, before.size) != (rung.rate, rung.size):
            self._eye.use(camera)
            self._watched.renewed(self.name, now_ns)
            self.start()


def _slowed(camera: CameraConfig, rung: Rung) -> CameraConfig:
    return replace(
        camera,
        rate_hz=max(camera.rate_hz * rung.rate, _LEAST_HZ),
        width=max(round(camera.width * rung.size), _LEAST_PX),
        height=max(round(camera.height * rung.size), _LEAST_PX),
    )
