"""The radio links of four virtual bands, and what can go wrong with each. Real: the unwrapping of counters and all that comes
after.

Modelled: the bands, their crystals and the air (`device.sim_clock`), and the faults, as they show at the source of the bands.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from device.drivers.base import ImuSource
from device.drivers.ble.central import FAST_PING_S, FAST_PINGS_S
from device.drivers.counter import Counter
from device.errors import DriverError, DriverUnavailable
from device.messages import NS_PER_S, ClockPing, ImuBatch
from device.runtime.timebase import UNCONVERTED, Timebase
from device.sim.faults.feed import Crystal, Placed, Sent
from device.sim_clock.band import BOOTING_S, COUNTER_BITS, RECONNECTING_S

AGAIN_NS = 4_000_000
"""How much later a doubled notification brings the same packet again."""
LATE_NS = (30_000_000, 250_000_000)
"""How late a packet is that others overtake."""
_OVERLAP_NS = NS_PER_S


class Link:
    """One band as its messages reach the host. A fault sets what is public; times are the host's.

    `loss`: share of packets that are lost beside those that always are. `doubled`: every packet comes twice. `shuffled`: share of
    packets that others overtake. `dropped`: packets that were lost to a fault.
    """

    def __init__(self, band: int, crystal: Crystal, seed: int, boot_ns: int) -> None:
        self.loss = 0.0
        self.doubled = False
        self.shuffled = 0.0
        self.dropped = 0
        self.session = 1
        self._band = band
        self._rng = np.random.default_rng((seed, band, 13))
        self._interval_ns = round(crystal.air.interval_ms * 1e6)
        self._rate_hz = 100.0 * (1 + crystal.rate_error)
        self._drift = crystal.drift
        self._counter = Counter(COUNTER_BITS)
        self._boot_ns = boot_ns
        # What the counter showed, and what the time was, when the drift became what it is now.
        self._counted_ns, self._since_ns = 0, boot_ns
        self._silent_until_ns = boot_ns
        self._fast_until_ns = boot_ns
        self._turned_ns = 0
        self._newest_ns = 0
        self._pinged_ns = boot_ns
        self._base = 0
        self._piece_ns = boot_ns
        self._piece_samples = 0
        self._first: int | None = None

    def mute(self, until_ns: int) -> None:
        """Nothing is heard until then; the connection takes a while to come back."""
        self._silent_until_ns = max(self._silent_until_ns, until_ns + round(RECONNECTING_S * NS_PER_S))
        self._fast_until_ns = self._silent_until_ns + round(FAST_PINGS_S * NS_PER_S)

    def reboot(self, now_ns: int) -> None:
        """The band starts anew: its counter and its numbers begin at 0."""
        self.session += 1
        self._counter = Counter(COUNTER_BITS)
        self._boot_ns = self._since_ns = now_ns
        self._counted_ns = 0
        self._first = None
        self.mute(now_ns + round(BOOTING_S * NS_PER_S))

    def drift_by(self, now_ns: int, change: float) -> None:
        """The crystal's drift changes."""
        self._counted_ns, self._since_ns = self._stamp_ns(now_ns), now_ns
        self._drift += change

    def heard(self, start_ns: int, samples: int, sent: Sent) -> Iterator[tuple[int, ImuBatch | ClockPing]]:
        """What comes of `sent`, in a piece of `samples` that began at `start_ns`: arrival and message."""
        if start_ns != self._piece_ns:
            self._base += self._piece_samples
            self._piece_ns = start_ns
        self._piece_samples = samples
        at_ns, stamped_ns = start_ns + sent.at_ns, start_ns + sent.stamped_ns
        if at_ns < self._silent_until_ns or stamped_ns < self._boot_ns or self._rng.random() < self.loss:
            self.dropped += 1
            return
        if sent.asked_ns is not None:
            yield at_ns, self._ping(start_ns + sent.asked_ns, stamped_ns, at_ns)
            return
        if at_ns < self._fast_until_ns and at_ns - self._pinged_ns > FAST_PING_S * NS_PER_S:
            # A host that has just connected asks more often.
            asked_ns = at_ns - 2 * self._interval_ns - int(self._rng.integers(0, 2_000_000))
            yield at_ns, self._ping(asked_ns, at_ns - self._interval_ns, at_ns)
        if stamped_ns <= self._newest_ns:
            # The last packet of a piece was under way for longer than the first of the next.
            return
        self._newest_ns = stamped_ns
        batch = self._batch(sent, stamped_ns, at_ns)
        if self._rng.random() < self.shuffled:
            late_ns = at_ns + int(self._rng.integers(*LATE_NS))
            yield late_ns, replace(batch, t_ns=late_ns)
            return
        yield at_ns, batch
        if self.doubled:
            yield at_ns + AGAIN_NS, replace(batch, t_ns=at_ns + AGAIN_NS)

    def clock_error_ns(self, timebase: Timebase) -> int | None:
        """How far `timebase` is from the truth about this band's clock; None while it knows nothing of this session."""
        state = timebase.state(self._band)
        if state is None or state.session != self.session:
            return None
        stamp_ns = state.t_ns - state.offset_ns + self._turned_ns
        true_ns = self._since_ns + round((stamp_ns - self._counted_ns) / (1 + self._drift))
        return state.t_ns - true_ns

    def _unwrapped(self, host_ns: int, near_ns: int) -> int:
        """The counter as the host reads it, for what happened at `host_ns` and reached it about `near_ns`."""
        stamp_ns = self._stamp_ns(host_ns)
        band_ns = self._counter.unwrap(stamp_ns // 1000, near_ns)
        self._turned_ns = stamp_ns - band_ns
        return band_ns

    def _ping(self, asked_ns: int, answered_ns: int, at_ns: int) -> ClockPing:
        self._pinged_ns = at_ns
        band_ns = self._unwrapped(answered_ns, (asked_ns + at_ns) // 2)
        return ClockPing(self._band, self.session, asked_ns, band_ns, at_ns)

    def _batch(self, sent: Sent, stamped_ns: int, at_ns: int) -> ImuBatch:
        index = self._base + sent.index
        if self._first is None:
            self._first = index
        spacing_ns = round((1 + self._drift) / self._rate_hz * 1e6) * 1000
        first_ns = self._unwrapped(stamped_ns, at_ns)
        times = first_ns + spacing_ns * np.arange(len(sent.values), dtype=np.int64)
        return ImuBatch(at_ns, UNCONVERTED, index - self._first, self._band, self.session, times, sent.values)

    def _stamp_ns(self, host_ns: int) -> int:
        return self._counted_ns + round((host_ns - self._since_ns) * (1 + self._drift))


class FeedBands(ImuSource):
    """All four links as a source of bands. `gone`: why the radio itself fails; empty while it works."""

    def __init__(self, pieces: Iterator[Placed], worn: Sequence[Crystal], seed: int, boot_ns: Sequence[int]) -> None:
        self.links = [Link(band, crystal, seed, boot_ns[band]) for band, crystal in enumerate(worn)]
        self.gone = ""
        self._raw = ((here.start_ns + sent.at_ns, here, sent) for here in pieces for sent in here.piece.sent)
        self._newest_ns = 0
        # Both by time: what comes within a moment, and what a fault made late. The count keeps the order of equals.
        self._coming: list[tuple[int, int, Placed, Sent]] = []
        self._late: list[tuple[int, int, ImuBatch | ClockPing]] = []
        self._count = 0
        self._batches: list[ImuBatch] = []
        self._pings: list[ClockPing] = []
        self._is_open = False

    def open(self) -> None:
        if self.gone:
            raise DriverUnavailable(self.gone)
        self._is_open = True

    def close(self) -> None:
        self._is_open = False

    def read(self, until_ns: int) -> list[ImuBatch]:
        self._take(until_ns)
        taken, self._batches = self._batches, []
        return taken

    def pings(self, until_ns: int) -> list[ClockPing]:
        self._take(until_ns)
        taken, self._pings = self._pings, []
        return taken

    def _take(self, until_ns: int) -> None:
        """Sort what has arrived by `until_ns` into batches and pings. What comes while the radio is gone is lost."""
        for at_ns, here, sent in self._arrived(until_ns):
            link = self.links[sent.band]
            if self.gone or not self._is_open:
                link.dropped += 1
                continue
            for message_ns, message in link.heard(here.start_ns, here.piece.samples[sent.band], sent):
                self._count += 1
                heapq.heappush(self._late, (max(message_ns, at_ns), self._count, message))
        if self.gone or not self._is_open:
            self._batches.clear()
            self._pings.clear()
            self._late.clear()
            raise DriverError(self.gone or "The bands are closed. Open the source before reading it.")
        while self._late and self._late[0][0] <= until_ns:
            message = heapq.heappop(self._late)[2]
            if isinstance(message, ImuBatch):
                self._batches.append(message)
            else:
                self._pings.append(message)

    def _arrived(self, until_ns: int) -> Iterator[tuple[int, Placed, Sent]]:
        """In order, though the last of a piece come after the first of the next one."""
        while self._newest_ns <= until_ns + _OVERLAP_NS:
            one = next(self._raw, None)
            if one is None:
                break
            self._newest_ns = one[0]
            self._count += 1
            heapq.heappush(self._coming, (one[0], self._count, one[1], one[2]))
        while self._coming and self._coming[0][0] <= until_ns:
            at_ns, _, here, sent = heapq.heappop(self._coming)
            yield at_ns, here, sent
