"""Time that passes only while somebody sleeps, or while the appliance is kept from working."""

from __future__ import annotations

from device.messages import NS_PER_S


class SimulatedClock:
    """The host's monotonic clock (ns) of a simulated appliance: `clock()` and `clock.sleep(s)` are what `LiveRunner` takes."""

    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns
        self._stalled_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        """Sleep, and as much longer as the appliance was starved of processor time."""
        self.now_ns += round(seconds * NS_PER_S) + self._stalled_ns
        self._stalled_ns = 0

    def stall(self, duration_ns: int) -> None:
        """Whoever sleeps next wakes up so much later."""
        self._stalled_ns += duration_ns
