"""What the film knows of each moment, gathered from the session."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from device.exercises import Exercise
from device.messages import NS_PER_S, Cue, Pose, Vibration
from device.report.draw import FilmFrame
from device.runtime.core import Progress
from device.runtime.session import Heard

CAPTION_NS = 5 * NS_PER_S // 2
SEEN_VIBRATION_NS = NS_PER_S // 3
"""A vibration is shown this long at least; it may be shorter than two pictures."""


class Hud:
    """A sink that remembers what is seen, said and felt; `frame` is what the film shows of the newest picture."""

    name = "film"

    def __init__(self, exercises: Mapping[str, Exercise], threshold_rad: float) -> None:
        self._titles = {name: exercise.title for name, exercise in exercises.items()}
        self._threshold_rad = threshold_rad
        self._pose: Pose | None = None
        self._cue: Cue | None = None
        self._vibrations: list[Vibration] = []

    def receive(self, message: Heard) -> None:
        if isinstance(message, Pose):
            self._pose = message
        elif isinstance(message, Cue):
            self._cue = message
        elif isinstance(message, Vibration):
            self._vibrations.append(message)

    def close(self) -> None:
        self._vibrations.clear()

    def frame(self, progress: Progress, deviations: NDArray[np.float64], heard: tuple[Cue, ...] = ()) -> FilmFrame | None:
        """What is known of the newest picture, once; None until there is a newer one. `deviations`: (12,) rad,
        `Core.deviations`."""
        pose, self._pose = self._pose, None
        if pose is None:
            return None
        cue = self._cue if self._cue is not None and pose.t_ns - self._cue.t_ns < CAPTION_NS else None
        self._vibrations = [v for v in self._vibrations if pose.t_ns < v.t_ns + max(v.duration_ns, SEEN_VIBRATION_NS)]
        return FilmFrame(
            t_ns=pose.t_ns,
            image=pose.image if pose.present else None,
            deviations=np.asarray(deviations) / self._threshold_rad,
            title=self._titles.get(progress.exercise, ""),
            stage=progress.stage.name.lower(),
            repetitions=progress.repetitions,
            phase=progress.phase,
            caption=cue.text if cue is not None else "",
            caption_kind=cue.kind if cue is not None else "",
            vibrations=tuple((v.band, v.intensity) for v in self._vibrations),
            heard=heard,
        )
