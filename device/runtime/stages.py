"""Stages of a repetition: the boundary score proposes a boundary, the model's stage head confirms it."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.messages import NS_PER_S, Stage, StageBoundary
from device.runtime.energy import PeakFinder

_WINDOW_NS = NS_PER_S // 4
_SMOOTHING = 0.5
_MARGIN = 0.1
_SUSTAINED_TICKS = 3


class StageTracker:
    """Follows the stage head with hysteresis and finds the boundaries that both it and eq. 2 see.

    A change of stage lasts three ticks with a margin in probability before it is believed. It becomes a boundary when the
    score has a peak within 0.25 s of it; the boundary's time is the peak's. A change without a peak changes the stage only.
    """

    def __init__(self, tick_hz: float) -> None:
        self.stage = Stage.REST
        self._tick_ns = round(NS_PER_S / tick_hz)
        self._peaks: deque[tuple[int, float]] = deque(maxlen=16)
        self._finder = PeakFinder(tick_hz)
        self._probabilities: list[float] | None = None
        self._score = 0.0
        self._candidate = Stage.REST
        self._candidate_ns = 0
        self._candidate_ticks = 0
        self._change: tuple[int, Stage, Stage] | None = None

    def step(self, t_ns: int, score: float, probabilities: NDArray[np.floating[Any]]) -> StageBoundary | None:
        """Next tick: eq. 2's score and the stage head's (4,) probabilities. Returns a boundary once it is confirmed."""
        if self._finder.step(score):
            self._peaks.append((t_ns - self._tick_ns, self._score))
        self._score = score
        before = self.stage
        if self._follow(t_ns, probabilities):
            self._change = (self._candidate_ns, before, self.stage)
        return self._confirm(t_ns)

    def _follow(self, t_ns: int, probabilities: NDArray[np.floating[Any]]) -> bool:
        now: list[float] = probabilities.tolist()
        before = now if self._probabilities is None else self._probabilities
        smooth = self._probabilities = [old + _SMOOTHING * (new - old) for old, new in zip(before, now, strict=True)]
        best = Stage(smooth.index(max(smooth)))
        if best == self.stage or smooth[best] < smooth[self.stage] + _MARGIN:
            self._candidate_ticks = 0
            return False
        if best != self._candidate or self._candidate_ticks == 0:
            self._candidate, self._candidate_ns, self._candidate_ticks = best, t_ns, 0
        self._candidate_ticks += 1
        if self._candidate_ticks < _SUSTAINED_TICKS:
            return False
        self.stage = best
        self._candidate_ticks = 0
        return True

    def _confirm(self, t_ns: int) -> StageBoundary | None:
        if self._change is None:
            return None
        change_ns, before, after = self._change
        near = [peak for peak in self._peaks if abs(peak[0] - change_ns) <= _WINDOW_NS]
        if near:
            self._change = None
            peak_ns, score = max(near, key=lambda peak: peak[1])
            return StageBoundary(peak_ns, 0, before, after, score)
        if t_ns > change_ns + _WINDOW_NS + self._tick_ns:
            self._change = None
        return None
