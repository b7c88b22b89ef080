"""When the samples of a free-running sensor were taken, from asking it now and then how many there are."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from device.messages import NS_PER_S

WINDOW_NS = 20 * NS_PER_S
MOST_LOOKS = 512
RATE_TOLERANCE = 0.06
"""How far a chip's oscillator may be off its nominal rate; data sheets allow up to 5 %."""
FLOOR_NS = 50_000.0
"""Between a sample and its entry in the FIFO, and what the oscillator wanders within the window."""
_STEPS = 33
_PASSES = 5
_OFFSETS = np.concatenate([-np.geomspace(1e-7, 0.1, 40)[::-1], [0.0], np.geomspace(1e-7, 0.1, 40)])

Floats = NDArray[np.float64]


class RateFit:
    """A line through (index, host time) of samples `nominal_ns` apart, with its uncertainty.

    A look at the sensor says two things: its newest sample was taken before the answer, and the next one after the question.
    Over many looks these bounds leave little room for a line. Every line in it is as likely as another, so the middle is the
    estimate and the spread the uncertainty; nothing is assumed about when the looks were. Where no line fits any more, because
    the sensor's oscillator wandered, the older half of the looks is forgotten.
    """

    def __init__(self, nominal_ns: float) -> None:
        self.period_ns = nominal_ns
        self.sigma_ns = nominal_ns / math.sqrt(12)
        self.room_ns = nominal_ns
        self._nominal_ns = nominal_ns
        self._looks: deque[tuple[int, int, int]] = deque(maxlen=MOST_LOOKS)
        self._newest = 0
        self._host_ns = 0
        self._newest_ns = 0.0

    @property
    def known(self) -> bool:
        """Whether there was a look."""
        return bool(self._looks)

    def look(self, newest: int, asked_ns: int, answered_ns: int) -> None:
        """Sample `newest` was the newest one at some moment between `asked_ns` and `answered_ns` (host)."""
        self._looks.append((newest, asked_ns, answered_ns))
        while self._looks[0][1] < asked_ns - WINDOW_NS:
            self._looks.popleft()
        while not self._fit():
            for _ in range(len(self._looks) // 2):
                self._looks.popleft()

    def time_ns(self, index: int) -> int:
        """Host time of sample `index`."""
        return self._host_ns + round(self._newest_ns + (index - self._newest) * self.period_ns)

    def times_ns(self, first: int, n: int) -> NDArray[np.int64]:
        """Host times (n,) of the samples from `first` on."""
        offsets = self._newest_ns + (np.arange(first, first + n) - self._newest) * self.period_ns
        times: NDArray[np.int64] = self._host_ns + np.round(offsets).astype(np.int64)
        return times

    def index_at(self, host_ns: int) -> int:
        """The newest sample at `host_ns`."""
        return self._newest + math.floor((host_ns - self._host_ns - self._newest_ns) / self.period_ns)

    def _fit(self) -> bool:
        """False: no line fits all looks."""
        looks = np.array(self._looks, dtype=np.int64)
        self._newest, self._host_ns = int(looks[-1, 0]), int(looks[-1, 2])
        index = (looks[:, 0] - self._newest).astype(np.float64)
        early = (looks[:, 1] - self._host_ns).astype(np.float64)
        late = (looks[:, 2] - self._host_ns).astype(np.float64)
        best = self._widest(index, early, late)
        low, high = _room(best * (1 + _OFFSETS), index, early, late)
        within = np.abs(best * (1 + _OFFSETS) / self._nominal_ns - 1) <= RATE_TOLERANCE
        possible = (high >= low) & within
        if not possible.any():
            return len(looks) == 1
        self.period_ns = best
        lowest, highest = low[possible].min(), high[possible].max()
        self._newest_ns = float(lowest + highest) / 2
        self.room_ns = float(highest - lowest)
        self.sigma_ns = math.hypot(self.room_ns / math.sqrt(12), FLOOR_NS)
        return True

    def _widest(self, index: Floats, early: Floats, late: Floats) -> float:
        """The period that leaves the most room; the room is concave over periods."""
        middle, reach = self._nominal_ns, RATE_TOLERANCE * self._nominal_ns
        for _ in range(_PASSES):
            periods = middle + np.linspace(-reach, reach, _STEPS)
            low, high = _room(periods, index, early, late)
            middle = float(periods[int(np.argmax(high - low))])
            reach *= 2 / (_STEPS - 1)
        return middle


def _room(periods: Floats, index: Floats, early: Floats, late: Floats) -> tuple[Floats, Floats]:
    """Earliest and latest time of sample 0 that each of the periods (p,) leaves."""
    low = (early - periods[:, None] * (index + 1)).max(axis=1)
    high = (late - periods[:, None] * index).min(axis=1)
    return low, high
