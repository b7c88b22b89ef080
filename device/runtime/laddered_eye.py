"""The eye on the ladder: what the live runner watches with, slowed down while the pipeline is over its budget."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from device.config import CameraConfig
from device.messages import Degraded, Pose
from device.runtime.ladder import RUNGS, Ladder, Rung

log = logging.getLogger(__name__)

_LEAST_PX, _LEAST_HZ = 64, 1.0


class AdjustableEye(Protocol):
    """What is asked of the eye; `device.runtime.eye.Eye` is the one."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def poses(self) -> list[Pose]: ...

    def look_at(self, every: int) -> None: ...

    def use(self, camera: CameraConfig) -> None: ...


class LadderedEye:
    """An eye like any other to whoever reads its poses. `ladder` hears the timings elsewhere; each look moves its time.

    `on_change` is told of each change, and so is the log. While the ladder is at bands only the eye is stopped and has no poses.
    """

    def __init__(
        self,
        eye: AdjustableEye,
        ladder: Ladder,
        camera: CameraConfig,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        on_change: Callable[[Degraded], None] = lambda _: None,
    ) -> None:
        self._eye, self._ladder, self._camera = eye, ladder, camera
        self._clock = clock
        self._on_change = on_change
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

    def stop(self) -> None:
        self._eye.stop()

    def poses(self) -> list[Pose]:
        """What has come since the last call, after a step of the ladder. Raises like `Eye.poses`."""
        now_ns = self._clock()
        if self._starting:
            self._ladder.settle(now_ns)
        change = self._ladder.step(now_ns)
        if change is not None:
            self._apply(change)
        if self.resting:
            return []
        poses = self._eye.poses()
        self._starting = self._starting and not poses
        return poses

    def _apply(self, change: Degraded) -> None:
        before, rung = RUNGS[change.before], RUNGS[change.level]
        log.warning("%s to %s: %s.", "Slowed down" if change.level > change.before else "Back", rung.name, change.reason)
        self._on_change(change)
        if not rung.rate:
            self._eye.stop()
            return
        self._eye.look_at(rung.every)
        if (before.rate, before.size) != (rung.rate, rung.size):
            self._eye.use(_slowed(self._camera, rung))
            self.start()


def _slowed(camera: CameraConfig, rung: Rung) -> CameraConfig:
    return replace(
        camera,
        rate_hz=max(camera.rate_hz * rung.rate, _LEAST_HZ),
        width=max(round(camera.width * rung.size), _LEAST_PX),
        height=max(round(camera.height * rung.size), _LEAST_PX),
    )
