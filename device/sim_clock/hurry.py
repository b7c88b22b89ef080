"""A virtual trainee who hurries some repetitions: the error that bands show by themselves, which no habit of the trainee has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from device.sim.trainee import TrueRepetition, VirtualTrainee

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


class Hurried:
    """The same movement with `hurried` repetitions done `factor` times as fast; everything after them comes so much earlier."""

    def __init__(self, trainee: VirtualTrainee, hurried: Sequence[TrueRepetition], factor: float) -> None:
        self._trainee = trainee
        own, spent = [trainee.start_ns], [trainee.start_ns]
        for rep in hurried:
            start_ns = spent[-1] + rep.start_ns - own[-1]
            own += [rep.start_ns, rep.end_ns]
            spent += [start_ns, start_ns + round((rep.end_ns - rep.start_ns) / factor)]
        end_ns = trainee.start_ns + trainee.duration_ns
        self._own = np.array([*own, end_ns], dtype=np.float64)
        self._spent = np.array([*spent, spent[-1] + end_ns - own[-1]], dtype=np.float64)

    @property
    def start_ns(self) -> int:
        return self._trainee.start_ns

    @property
    def duration_ns(self) -> int:
        return int(self._spent[-1]) - self.start_ns

    def segments(self, times_ns: Times) -> tuple[Floats, Floats]:
        """As the trainee's, at host times."""
        return self._trainee.segments(self._trainees(times_ns))

    def pose(self, times_ns: Times) -> Floats:
        """As the trainee's, at host times."""
        return np.asarray(self._trainee.pose(self._trainees(times_ns)))

    def host_ns(self, trainees_ns: int) -> int:
        """Host time of a time of the trainee's."""
        return round(float(np.interp(trainees_ns, self._own, self._spent)))

    def _trainees(self, times_ns: Times) -> Times:
        # Before and after the session time goes on at its own pace.
        before = np.minimum(times_ns - self._spent[0], 0)
        after = np.maximum(times_ns - self._spent[-1], 0)
        own: Times = np.round(np.interp(times_ns, self._spent, self._own) + before + after).astype(np.int64)
        return own
