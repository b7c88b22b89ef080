"""Whether data still comes, as often as it should and as new as it should: one concept for poses, bands and ticks alike."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from device.messages import NS_PER_S

RATE_WINDOW_NS = 2 * NS_PER_S
LEAST_SHARE, MOST_SHARE = 0.5, 1.5
"""Of the expected rate. Half of it is still plenty for a grid that interpolates, and load must not look like a fault."""
AHEAD_NS = 50_000_000
"""How far data may seem to come from the future: the clocks' own uncertainty."""


@dataclass(frozen=True, slots=True)
class Health:
    """`alive`: something came lately. `valid`: what came was new. `rate_ok`: as often as expected, true before that is known.
    `rate_hz`: measured over the last 2 s. `age_s`: since the newest valid data came, None before any."""

    alive: bool
    valid: bool
    rate_ok: bool
    rate_hz: float
    age_s: float | None

    @property
    def ok(self) -> bool:
        return self.alive and self.valid and self.rate_ok


class Freshness:
    """Of one stream of data. Time is what it is handed.

    `rate_hz`: expected, 0 where any will do; may be set anew when the source is asked for another one. `fresh_s`: what is older
    is stale.
    """

    def __init__(self, rate_hz: float, fresh_s: float) -> None:
        self.rate_hz = rate_hz
        # Infinite for what acts only when asked: never stale.
        self._fresh_ns = fresh_s * NS_PER_S
        self._arrivals: deque[tuple[int, int]] = deque()
        self._heard_ns: int | None = None
        self._valid_ns: int | None = None
        self._newest_ns: int | None = None
        self._first_ns = 0

    @property
    def valid_ns(self) -> int | None:
        """When the newest valid data came; None before any."""
        return self._valid_ns

    def heard(self, now_ns: int, t_ns: int | None = None, count: int = 1) -> bool:
        """`count` data came at `now_ns`. Returns whether they are valid.

        `t_ns`: when they happened at the sensor; None where only the arrival counts. What is stale, comes from the future or
        repeats what came before is not valid.
        """
        self._heard_ns = now_ns
        if t_ns is not None:
            repeated = self._newest_ns is not None and t_ns <= self._newest_ns
            if repeated or now_ns - t_ns > self._fresh_ns or t_ns - now_ns > AHEAD_NS:
                return False
            self._newest_ns = t_ns
        if self._valid_ns is None:
            self._first_ns = now_ns
        self._valid_ns = now_ns
        self._arrivals.append((now_ns, count))
        self._forget(now_ns)
        return True

    def at(self, now_ns: int) -> Health:
        """How it is at `now_ns`."""
        self._forget(now_ns)
        since_ns = min(RATE_WINDOW_NS, now_ns - self._first_ns)
        known = self._valid_ns is not None and since_ns >= RATE_WINDOW_NS / 2
        rate_hz = sum(count for _, count in self._arrivals) * NS_PER_S / since_ns if known else 0.0
        right = LEAST_SHARE * self.rate_hz <= rate_hz <= MOST_SHARE * self.rate_hz
        return Health(
            alive=self._lately(self._heard_ns, now_ns),
            valid=self._lately(self._valid_ns, now_ns),
            rate_ok=not known or not self.rate_hz or right,
            rate_hz=rate_hz,
            age_s=None if self._valid_ns is None else (now_ns - self._valid_ns) / NS_PER_S,
        )

    def fresh(self, now_ns: int) -> bool:
        """Whether valid data came lately."""
        return self._lately(self._valid_ns, now_ns)

    def forgive(self, gap_ns: int) -> None:
        """Nobody could listen for `gap_ns`: that silence was not the source's."""
        if self._heard_ns is not None:
            self._heard_ns += gap_ns
        if self._valid_ns is not None:
            self._valid_ns += gap_ns

    def excuse(self, now_ns: int) -> None:
        """Nothing was expected until `now_ns`: its silence begins only now."""
        if self._valid_ns is not None:
            self._heard_ns = self._valid_ns = now_ns

    def restart(self) -> None:
        """The source was started anew: what it said before counts no more."""
        self._heard_ns = self._valid_ns = self._newest_ns = None
        self._arrivals.clear()

    def _lately(self, when_ns: int | None, now_ns: int) -> bool:
        return when_ns is not None and now_ns - when_ns <= self._fresh_ns

    def _forget(self, now_ns: int) -> None:
        while self._arrivals and now_ns - self._arrivals[0][0] > RATE_WINDOW_NS:
            self._arrivals.popleft()
