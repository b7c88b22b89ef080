"""From a band's own clock to the host's.

Nothing arrives before it was sent. Each packet therefore says that its newest sample was taken before the host had it, and each
ping that the band answered after it was asked; over some packets and pings, the shortest ways leave little room between the two.
Every line through that room is as likely as another, so its middle is the estimate and its spread the uncertainty. Half of a
round trip would not do: a radio that answers one connection event after it was asked is always later on the way back.

Without pings only one side is known: of all packets of the last seconds the one that was under way for the shortest time.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from device.messages import NS_PER_S, ClockPing, ImuBatch
from device.skeleton import BANDS

log = logging.getLogger(__name__)

UNCONVERTED = -1
"""`ImuBatch.sigma_ns` while `times_ns` are on the source's own clock. A source on the host's clock states its uncertainty."""

WINDOW_NS = 10 * NS_PER_S
"""Long enough for some packet to be undisturbed, short enough for 50 ppm of drift to stay at half a millisecond."""
DRIFT = 50e-6
JITTER_NS = 40_000_000
"""Range of transport delays taken for granted until a wider one was seen: two BLE connection events."""
OBSERVATIONS_KEPT = 512

MAX_SKEW = 150e-6
SKEW_CHANGE = 5e-6
"""How much a crystal's skew changes while its band warms up: what was seen long ago holds that much less."""
BOUND_ERROR_NS = 150_000.0
"""Granularity of the bands' stamps and of the host's scheduler."""
BUCKET_NS = NS_PER_S
BUCKETS_KEPT = 48
NEWEST_NS = 1_000_000
PINGS_KEPT = 48
REFIT_NS = NS_PER_S // 2
MAX_ROUND_TRIP_NS = 2 * NS_PER_S

TOLERANCE_NS = 20_000_000
"""How far a time may contradict the fit before it is taken for wrong."""
MAX_EARLY_NS = 2 * NS_PER_S
"""The same where only arrivals are known: the longest wait of the packets so far, in a queue that then runs dry."""
REJECTED_IN_A_ROW = 12
"""About a second of packets: so many wrong times are a clock that was set."""
PINGS_REJECTED_IN_A_ROW = 3
"""The same of pings, which alone can tell a clock that was set back a little from packets that come late."""

_COARSE = np.linspace(-MAX_SKEW, MAX_SKEW, 31)
_FINE = np.linspace(-1.0, 1.0, 31) * (_COARSE[1] - _COARSE[0])

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClockState:
    """What is known of a band's clock. `offset_ns`: host less band at `t_ns` (host). `skew`: host seconds a band second, less 1;
    0 without pings. `round_trip_ns`: of the shortest ping, None without one. `rejected`: packets and pings with times that can't
    be, and `restarts`: how often the fit began anew for them; both since the timebase was made."""

    t_ns: int
    session: int
    offset_ns: int
    skew: float
    sigma_ns: int
    pings: int
    round_trip_ns: int | None
    rejected: int
    restarts: int


class Timebase:
    """Offset and skew of every source's clock, and their uncertainty. A new session of a band starts anew.

    `min_delay_ms`, `min_delay_sigma_ms`: the shortest transport delay and how well it is known, for sources that can't be
    asked; nothing that is only received can tell it from the offset.
    """

    def __init__(self, min_delay_ms: float = 5.0, min_delay_sigma_ms: float = 2.0) -> None:
        self._min_delay_ns = round(min_delay_ms * 1e6)
        self._min_delay_sigma_ns = min_delay_sigma_ms * 1e6
        self._clocks: dict[int, _Clock] = {}

    def ping(self, ping: ClockPing) -> None:
        """Take one exchange of clocks. One that is absurd, or contradicts what is known, is left out and counted."""
        clock = self._clock(ping.band, ping.session)
        if not 0 <= ping.received_ns - ping.sent_ns <= MAX_ROUND_TRIP_NS:
            self._reject(clock)
            return
        line = clock.line
        if line is not None:
            tolerance = TOLERANCE_NS + 4 * line.sigma_at(ping.band_ns)
            answered_ns = line.host_ns(ping.band_ns)
            if not ping.sent_ns - tolerance <= answered_ns <= ping.received_ns + tolerance:
                clock.pings_in_a_row += 1
                self._reject(clock)
                return
        clock.in_a_row = clock.pings_in_a_row = 0
        clock.newest_ns = max(clock.newest_ns, ping.band_ns)
        clock.pings.append((ping.band_ns, ping.sent_ns - ping.band_ns, ping.received_ns - ping.band_ns))
        clock.line = _fitted(clock)

    def observe(self, band: int, session: int, source_ns: int, arrival_ns: int) -> bool:
        """Note that what the band stamped `source_ns` was with the host at `arrival_ns`. Returns whether that can be
        and is new."""
        clock = self._clock(band, session)
        if source_ns == clock.stamped_ns:
            return False
        if not self._possible(clock, source_ns, arrival_ns):
            self._reject(clock)
            return False
        clock.in_a_row = 0
        clock.newest_ns = max(clock.newest_ns, source_ns)
        difference = arrival_ns - source_ns
        if clock.line is None:
            clock.differences.append((arrival_ns, difference))
            while clock.differences[0][0] < arrival_ns - WINDOW_NS:
                clock.differences.popleft()
        tighter = clock.arrived(source_ns, difference)
        line = clock.line
        if line is not None and (
            source_ns - line.at_ns > REFIT_NS or (tighter and line.host_ns(source_ns) + line.room_ns > arrival_ns)
        ):
            clock.line = _fitted(clock)
        return True

    def convert(self, batch: ImuBatch, arrival_ns: int) -> ImuBatch:
        """`batch` on host time: `t_ns` is its newest sample's, `sigma_ns` one standard deviation of its times.

        Times go on increasing within a session, also where a better offset lies before the last one. A batch whose times can't
        be, or that came before, is returned without samples.
        """
        if len(batch.times_ns) == 0:
            return replace(batch, t_ns=arrival_ns, sigma_ns=0)
        newest_ns = int(batch.times_ns[-1])
        if not self.observe(batch.band, batch.session, newest_ns, arrival_ns):
            return replace(batch, t_ns=arrival_ns, sigma_ns=0, times_ns=batch.times_ns[:0], values=batch.values[:0])
        clock = self._clocks[batch.band]
        line = clock.line
        if line is None:
            offset_ns, sigma = self._received_only(clock)
            times = batch.times_ns + offset_ns
        else:
            sigma = line.sigma_at(newest_ns)
            drifted = np.rint((batch.times_ns - line.at_ns) * line.skew).astype(np.int64)
            times = batch.times_ns + (line.offset_ns + drifted)
        if times[0] <= clock.last_ns:
            # The offset went down by more than a sample: squeeze this packet in instead of stepping back in time.
            end = max(int(times[-1]), clock.last_ns + 1000 * len(times))
            times = clock.last_ns + (end - clock.last_ns) * np.arange(1, len(times) + 1, dtype=np.int64) // len(times)
        clock.last_ns = int(times[-1])
        return replace(batch, t_ns=clock.last_ns, sigma_ns=round(sigma), times_ns=times)

    def state(self, band: int) -> ClockState | None:
        """The newest of `band`'s clock, None where it was never heard."""
        clock = self._clocks.get(band)
        if clock is None:
            return None
        line = clock.line
        if line is not None:
            offset_ns, skew, sigma = line.offset_ns, line.skew, line.sigma_at(clock.newest_ns)
            offset_ns += round((clock.newest_ns - line.at_ns) * skew)
        else:
            skew = 0.0
            offset_ns, sigma = self._received_only(clock) if clock.differences else (0, math.inf)
        shortest = min((answered - asked for _, asked, answered in clock.pings), default=None)
        return ClockState(
            clock.newest_ns + offset_ns,
            clock.session,
            offset_ns,
            skew,
            round(min(sigma, 2.0**62)),
            len(clock.pings),
            shortest,
            clock.rejected,
            clock.restarts,
        )

    def _clock(self, band: int, session: int) -> _Clock:
        clock = self._clocks.get(band)
        if clock is None or clock.session != session:
            begun = _Clock(band, session)
            if clock is not None:
                begun.rejected, begun.restarts, begun.reported = clock.rejected, clock.restarts, clock.reported
            clock = self._clocks[band] = begun
        return clock

    def _possible(self, clock: _Clock, source_ns: int, arrival_ns: int) -> bool:
        if source_ns < clock.stamped_ns:
            return False
        if clock.line is not None:
            line = clock.line
            return line.host_ns(source_ns) <= arrival_ns + TOLERANCE_NS + 4 * line.sigma_at(source_ns)
        if clock.differences:
            return arrival_ns - source_ns > min(d for _, d in clock.differences) - MAX_EARLY_NS
        return True

    def _reject(self, clock: _Clock) -> None:
        clock.rejected += 1
        clock.in_a_row += 1
        if not clock.reported:
            clock.reported = True
            log.warning(
                "The %s band sends times that can't be; they are left out. Update its firmware, or replace it.", BANDS[clock.band]
            )
        if clock.in_a_row >= REJECTED_IN_A_ROW or clock.pings_in_a_row >= PINGS_REJECTED_IN_A_ROW:
            begun = _Clock(clock.band, clock.session, last_ns=clock.last_ns)
            begun.rejected, begun.restarts, begun.reported = clock.rejected, clock.restarts + 1, True
            self._clocks[clock.band] = begun

    def _received_only(self, clock: _Clock) -> tuple[int, float]:
        """Offset and standard deviation from arrivals alone."""
        differences = [difference for _, difference in clock.differences]
        shortest, n = min(differences), len(differences)
        # The shortest of n delays spread evenly over a range is above the true minimum by less than 3 range / (n + 1) in 95 of
        # 100 cases; that is taken for two standard deviations.
        excess = 1.5 * max(max(differences) - shortest, JITTER_NS) / (n + 1)
        drifted = DRIFT * (clock.differences[-1][0] - clock.differences[0][0])
        return shortest - self._min_delay_ns, math.hypot(self._min_delay_sigma_ns, excess, drifted)


@dataclass(frozen=True, slots=True)
class _Line:
    """Host time of band time `b`: b + offset_ns + skew (b - at_ns). `sigma_ns`: at `at_ns`; `sigma_skew`: of the skew; `room_ns`:
    from the line to the latest that is possible."""

    at_ns: int
    offset_ns: int
    skew: float
    sigma_ns: float
    sigma_skew: float
    room_ns: float

    def host_ns(self, band_ns: int) -> int:
        return band_ns + self.offset_ns + round((band_ns - self.at_ns) * self.skew)

    def sigma_at(self, band_ns: int) -> float:
        return math.hypot(self.sigma_ns, (abs(self.sigma_skew) + SKEW_CHANGE) * max(0, band_ns - self.at_ns))


@dataclass(slots=True)
class _Clock:
    """One session of one band. `pings`: band time, and the least and most that the offset can be. `arrivals`: of each second the
    packet with the shortest way: band time, and the most that the offset can be."""

    band: int
    session: int
    last_ns: int = -(2**62)
    newest_ns: int = -(2**62)
    stamped_ns: int = -(2**62)
    line: _Line | None = None
    differences: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=OBSERVATIONS_KEPT))
    arrivals: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=BUCKETS_KEPT))
    pings: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=PINGS_KEPT))
    bucket_ns: int = -(2**62)
    in_a_row: int = 0
    pings_in_a_row: int = 0
    rejected: int = 0
    restarts: int = 0
    reported: bool = False

    def arrived(self, source_ns: int, difference_ns: int) -> bool:
        """Keep the shortest way of each second. Returns whether this one is."""
        self.stamped_ns = source_ns
        if source_ns - self.bucket_ns >= BUCKET_NS:
            self.bucket_ns = source_ns
            self.arrivals.append((source_ns, difference_ns))
            return True
        if difference_ns >= self.arrivals[-1][1]:
            return False
        self.arrivals[-1] = (source_ns, difference_ns)
        return True


def _fitted(clock: _Clock) -> _Line:
    """The middle and the spread of all lines that contradict no ping and no arrival.

    Where there is none, the clock's skew has changed: what is older is forgotten until there is one again.
    """
    at_ns = clock.newest_ns
    pings = np.array(clock.pings, dtype=np.int64)
    reference_ns = int(pings[-1, 1])
    arrivals = np.array(clock.arrivals, dtype=np.int64).reshape(-1, 2)
    band_ns = np.concatenate([pings[:, 0], arrivals[:, 0]])
    ages = (at_ns - band_ns).astype(np.float64)
    loose = BOUND_ERROR_NS + SKEW_CHANGE * ages
    least = (pings[:, 1] - reference_ns) - loose[: len(pings)]
    most = np.concatenate([pings[:, 2], arrivals[:, 1]]) - reference_ns + loose
    kept_ns = math.inf
    while True:
        low, high = ages[: len(pings)] <= kept_ns, ages <= kept_ns
        found = _middle(ages[: len(pings)][low], least[low], ages[high], most[high])
        if found is not None:
            break
        oldest_ns = float(ages[: len(pings)][low].max())
        newest_ns = float(ages[: len(pings)].min())
        if oldest_ns <= newest_ns + NEWEST_NS:
            # The newest ping alone can't contradict itself; what came since can, and then anything between them is as likely.
            asked, answered = min(float(least[-1]), float(most[ages <= newest_ns].min())), float(most[len(pings) - 1])
            found = (asked + answered) / 2, 0.0, (answered - asked) / math.sqrt(12), MAX_SKEW / math.sqrt(3), answered
            break
        kept_ns = max(oldest_ns / 2, newest_ns)
    offset, skew, sigma, sigma_skew, latest = found
    return _Line(at_ns, reference_ns + round(offset), skew, sigma, sigma_skew, latest - offset)


def _middle(ages_low: Floats, least: Floats, ages_high: Floats, most: Floats) -> tuple[float, float, float, float, float] | None:
    """Offset at age 0, skew, the standard deviations of both, and the largest offset; None where no line fits.

    Each is over all lines with least <= offset - skew age <= most, evenly.
    """
    skews = _COARSE
    for _ in range(3):
        low = (least[:, None] + ages_low[:, None] * skews).max(0)
        high = (most[:, None] + ages_high[:, None] * skews).min(0)
        room = high - low
        inside = room > 0
        if inside.sum() >= 6:
            break
        # The few skews that are possible lie around the one with the most room; look closer.
        finer = _FINE if skews is _COARSE else (skews - skews[15]) / 15
        skews = skews[int(room.argmax())] + finer
    if not inside.any():
        return None
    weight = np.where(inside, room, 0.0)
    weight /= weight.sum()
    middle = (low + high) / 2
    offset, skew = float(weight @ middle), float(weight @ skews)
    spread = float(weight @ ((middle - offset) ** 2 + room**2 / 12))
    sigma_skew = math.sqrt(float(weight @ (skews - skew) ** 2) + ((skews[1] - skews[0]) ** 2) / 12)
    return offset, skew, math.sqrt(spread), sigma_skew, float(high[inside].max())
