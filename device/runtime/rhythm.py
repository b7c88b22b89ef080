"""Repetitions from the bands' own rhythm, for when no camera sees the joints.

Whatever is repeated, and however the straps are turned, force and rate of the bands swing along one direction more than along any
other: the principal one of the last seconds. One swing there and back is one repetition. What is repeated is for others to say.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.messages import NS_PER_S, Tick

WINDOW_S = 8.0
"""How far back the rhythm is looked for."""
FIRST_S = 2.0
"""How much of it has to be there."""
SWING = 0.15
"""Smallest swing that is one: force in g and rate in 3 rad/s, from the 5th to the 95th percentile."""

_UPDATE_TICKS = 5
_SMOOTHING_S = 0.7
_LOW, _HIGH = 0.35, 0.65
_SOONEST = 0.6
_UNITS = np.array([9.80665] * 3 + [3.0] * 3)


class Rhythm:
    """Follows four bands tick by tick and says when a swing is over."""

    def __init__(self, tick_hz: float) -> None:
        self._kernel = np.hanning(round(_SMOOTHING_S * tick_hz) + 2)[1:-1]
        self._kernel /= self._kernel.sum()
        self._late_ns = round((len(self._kernel) - 1) / 2 / tick_hz * NS_PER_S)
        self._raw: deque[NDArray[np.float64]] = deque(maxlen=len(self._kernel))
        self._smooth: deque[NDArray[np.float64]] = deque(maxlen=round(WINDOW_S * tick_hz))
        self._times: deque[int] = deque(maxlen=round(WINDOW_S * tick_hz))
        self._first = round(FIRST_S * tick_hz)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        for kept in (self._raw, self._smooth, self._times):
            kept.clear()
        self._direction: NDArray[np.float64] | None = None
        self._ended_ns: int | None = None
        self._until_update = _UPDATE_TICKS

    def step(self, tick: Tick) -> list[tuple[int, int]]:
        """Next tick. Returns (start, end) ns of the swings that are found to be over, oldest first."""
        values = np.where(tick.imu_present[:, None], tick.imu, 0.0) / _UNITS
        self._raw.append(np.nan_to_num(values).ravel())
        if len(self._raw) < len(self._kernel):
            return []
        self._smooth.append(self._kernel @ np.array(self._raw))
        self._times.append(tick.t_ns - self._late_ns)
        self._until_update -= 1
        if self._until_update > 0 or len(self._smooth) < self._first:
            return []
        self._until_update = _UPDATE_TICKS
        return self._new(self._ends())

    def _ends(self) -> list[int]:
        """When the swings in the window were over (ns)."""
        window = np.array(self._smooth)
        window -= window.mean(axis=0)
        direction: NDArray[Any] = np.linalg.eigh(window.T @ window)[1][:, -1]
        if self._direction is not None and direction @ self._direction < 0:
            direction = -direction
        self._direction = direction
        along = window @ direction
        low, high = np.percentile(along, (5, 95))
        if high - low < SWING:
            return []
        far, ends = False, []
        for t_ns, share in zip(self._times, ((along - low) / (high - low)).tolist(), strict=True):
            if not far and share > _HIGH:
                far = True
            elif far and share < _LOW:
                far = False
                ends.append(t_ns)
        return ends

    def _new(self, ends: list[int]) -> list[tuple[int, int]]:
        """Those that were not told before; a rhythm has at least two."""
        if len(ends) < 2:
            return []
        period_ns = int(np.median(np.diff(ends)))
        found = []
        for end_ns in ends:
            if self._ended_ns is not None and end_ns < self._ended_ns + _SOONEST * period_ns:
                continue
            start_ns = end_ns - period_ns if self._ended_ns is None else max(self._ended_ns, end_ns - 2 * period_ns)
            found.append((start_ns, end_ns))
            self._ended_ns = end_ns
        return found
