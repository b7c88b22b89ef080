"""How long corrections take, end to end: from the sensor's sample that caused one to the motor's command and to the first sound.

The sinks that drive motor and speaker report here (docs/latency.md). Memory is bounded; a day fits as well as a minute.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from device.config import BudgetConfig
from device.messages import Advanced, StageTiming

log = logging.getLogger(__name__)

KEPT = 1024
"""Newest corrections of a path that its percentiles are taken from."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One end-to-end figure in ms: `count` corrections, percentiles of the newest `KEPT`, the largest, `over` the budget."""

    count: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    budget_ms: float
    over: int


@dataclass(slots=True)
class _Path:
    budget_ms: float
    newest_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    count: int = 0
    over: int = 0
    max_ms: float = 0.0

    def add(self, value_ms: float) -> None:
        self.newest_ms.append(value_ms)
        self.count += 1
        self.over += value_ms > self.budget_ms
        self.max_ms = max(self.max_ms, value_ms)


class LatencyMeter:
    """Keeps `haptic` (what the bands show to motor command), `form_haptic` (what the skeleton shows to motor command) and `voice`
    (the same to first sample of the voice).

    `clock`: the host's, for a session in real time; without one the session's own time counts, as it moves with `Advanced`, so a
    replay gives the same figures. `on_timing` hears of each correction as if it were a section, named after its budget.
    """

    def __init__(
        self,
        budget: BudgetConfig,
        *,
        clock: Callable[[], int] | None = None,
        on_timing: Callable[[StageTiming], None] | None = None,
    ) -> None:
        self._paths = {
            "haptic": _Path(budget.haptic_ms),
            "form_haptic": _Path(budget.voice_ms),
            "voice": _Path(budget.voice_ms),
        }
        self._clock = clock
        self._on_timing = on_timing
        self._now_ns = 0

    def now_ns(self) -> int:
        """The time that counts: the clock's, or the session's."""
        return self._now_ns if self._clock is None else self._clock()

    def advanced(self, message: Advanced) -> None:
        """The session's time moves."""
        self._now_ns = max(self._now_ns, message.t_ns)

    def add(self, path: str, cause_ns: int, done_ns: int) -> None:
        """A correction caused by the sample of `cause_ns` was out at `done_ns`. One without a cause (0) has no latency."""
        if not cause_ns:
            return
        self._paths[path].add((done_ns - cause_ns) / 1e6)
        if self._on_timing is not None:
            self._on_timing(StageTiming(cause_ns, path, done_ns - cause_ns, cause_ns))

    def figures(self) -> dict[str, Figure]:
        """The figures of the paths that were taken."""
        found = {}
        for name, path in self._paths.items():
            if path.count:
                p50, p95 = np.percentile(path.newest_ms, [50, 95])
                found[name] = Figure(path.count, float(p50), float(p95), path.max_ms, path.budget_ms, path.over)
        return found

    def as_json(self) -> dict[str, Any]:
        """The figures as a summary holds them, in ms to the thousandth."""
        return {
            name: {
                "count": f.count,
                "p50_ms": round(f.p50_ms, 3),
                "p95_ms": round(f.p95_ms, 3),
                "max_ms": round(f.max_ms, 3),
                "budget_ms": f.budget_ms,
                "over": f.over,
            }
            for name, f in self.figures().items()
        }

    def report(self) -> None:
        """Write the figures to the log, as a session does at its end."""
        for name, f in self.figures().items():
            log.info(
                "Latency %s: %d corrections, median %.0f ms, p95 %.0f ms, max %.0f ms, %d over the budget of %g ms.",
                name, f.count, f.p50_ms, f.p95_ms, f.max_ms, f.over, f.budget_ms,
            )  # fmt: skip
