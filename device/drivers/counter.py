"""A band's counter that wraps, as nanoseconds that do not."""

from __future__ import annotations

_LARGEST_DRIFT_PPM = 1000
"""No crystal is this bad; a reading that says so does not move what the next ones are held against."""


class Counter:
    """Unwraps one session of a counter of `bits` whose unit is `unit_ns`. A band that reboots gets a new one.

    The host's clock says which turn a reading belongs to, so readings may come late, out of order, and after silences of any
    number of turns. A single wrong reading does no harm to the next.
    """

    def __init__(self, bits: int = 30, unit_ns: int = 1000) -> None:
        self._turn = 1 << bits
        self._unit_ns = unit_ns
        self._host_ns: int | None = None
        self._expected_ns = 0

    def unwrap(self, ticks: int, host_ns: int) -> int:
        """The counter's time (ns) when it read `ticks`, which reached the host about `host_ns`. The first one is in turn 0."""
        ticks %= self._turn
        if self._host_ns is None:
            self._host_ns, self._expected_ns = host_ns, ticks * self._unit_ns
            return self._expected_ns
        elapsed_ns = host_ns - self._host_ns
        expected = (self._expected_ns + elapsed_ns) // self._unit_ns
        behind = (ticks - expected + self._turn // 2) % self._turn - self._turn // 2
        found_ns = (expected + behind) * self._unit_ns
        if elapsed_ns > 0:
            most_ns = elapsed_ns * _LARGEST_DRIFT_PPM // 1_000_000
            error_ns = found_ns - self._expected_ns - elapsed_ns
            self._expected_ns += elapsed_ns + max(-most_ns, min(most_ns, error_ns))
            self._host_ns = host_ns
        return found_ns
