"""The bounds of a vibration motor, whoever asks for what. The guard process imports this file, so it stays free of numpy."""

from __future__ import annotations

WINDOW_NS = 10_000_000_000
"""The duty is bounded in every window of this length."""
PAUSE_NS = 100_000_000
"""A pause shorter than this doesn't end a stretch of vibration, or short gaps would defeat the longest on-time."""
SHORTEST_NS = 30_000_000
"""A shorter pulse isn't felt as vibration (Sci. Rep. 2025, 85778)."""


class OnTimeLimiter:
    """Grants on-time to each motor so that no stretch exceeds `max_on_ns` and no 10 s hold more than `max_duty` of on-time.

    A request while the motor is on replaces what is left of the running one. A grant shorter than `shortest_ns` is none.
    """

    def __init__(self, max_on_ns: int, max_duty: float, shortest_ns: int = SHORTEST_NS) -> None:
        self.max_on_ns = max_on_ns
        self.budget_ns = int(max_duty * WINDOW_NS)
        self.shortest_ns = shortest_ns
        self._motors: dict[int, list[tuple[int, int]]] = {}
        self._stretch_start: dict[int, int] = {}

    def grant(self, motor: int, duration_ns: int, t_ns: int) -> int:
        """How long `motor` may be on from `t_ns` (ns), at most `duration_ns`; 0 when its bounds are used up.

        A `t_ns` before that of an earlier request of the same motor counts as that one.
        """
        spans = self._motors.setdefault(motor, [])
        t_ns = max(t_ns, spans[-1][0]) if spans else t_ns
        running_end = spans[-1][1] if spans else None
        past = [(start, min(end, t_ns)) for start, end in spans if end > t_ns - WINDOW_NS and start < t_ns]
        stretch = t_ns
        if running_end is not None and t_ns - running_end < PAUSE_NS:
            stretch = self._stretch_start[motor]
        wanted = min(duration_ns, stretch + self.max_on_ns - t_ns)
        granted = self._within_duty(past, t_ns, max(0, wanted))
        if granted < max(1, self.shortest_ns):
            return 0
        self._motors[motor] = [*past, (t_ns, t_ns + granted)]
        self._stretch_start[motor] = stretch
        return granted

    def _within_duty(self, past: list[tuple[int, int]], t_ns: int, wanted_ns: int) -> int:
        """Largest part of `wanted_ns` that keeps every window within the budget.

        While the motor is on, the on-time in the window that ends now never falls, so the window that ends with the pulse is
        the fullest and its on-time grows with the pulse: bisection finds the longest pulse that fits.
        """
        low, high = 0, wanted_ns
        while low < high:
            middle = (low + high + 1) // 2
            if _on_time(past, t_ns + middle - WINDOW_NS, t_ns) + middle <= self.budget_ns:
                low = middle
            else:
                high = middle - 1
        return low


def _on_time(spans: list[tuple[int, int]], start_ns: int, end_ns: int) -> int:
    return sum(max(0, min(end, end_ns) - max(start, start_ns)) for start, end in spans)
