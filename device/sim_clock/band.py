"""One band's clock, sampler and radio link: what the host hears of it, and when each thing really happened.

Times of truth are the host's. Data waits for the next connection event, an answer for the one after its question; a packet that
is not heard is repeated at the event after. All of it follows from the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.band import protocol
from device.drivers.ble.central import FAST_PING_S, FAST_PINGS_S, PING_S
from device.drivers.counter import Counter
from device.messages import NS_PER_S, ClockPing, ImuBatch
from device.runtime.timebase import UNCONVERTED

Times = NDArray[np.int64]

COUNTER_BITS = 30
PING_SPREAD_S = 0.05
"""Pings at even times would meet the connection events at the same few phases all the time."""
RECONNECTING_S = 0.9
BOOTING_S = 1.5
BATCH = protocol.samples_per_packet(100)


@dataclass(frozen=True, slots=True)
class Air:
    """A connection: its interval, share of notifications lost for good, share of packets that are sent again one event later."""

    interval_ms: float = 15.0
    loss: float = 0.0
    repeated: float = 0.05


@dataclass(frozen=True, slots=True)
class Mishaps:
    """What happens in a session, in s from its start; None where it does not. `outage_s`: nobody is heard for `outage_for_s`.
    `reboot_s`: the band starts anew. `wrap_s`: its counter wraps. `drift_step_s`: its drift changes by `drift_step`."""

    outage_s: float | None = None
    outage_for_s: float = 3.0
    reboot_s: float | None = None
    wrap_s: float | None = None
    drift_step_s: float | None = None
    drift_step: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What reaches the host at `t_ns`. `truth_ns` (n,): when the samples of a batch were taken; empty for a ping."""

    t_ns: int
    message: ImuBatch | ClockPing
    truth_ns: Times


@dataclass(frozen=True, slots=True, eq=False)
class _Received:
    """`ticks`: the band's counter at the first sample, or at the answer to what was asked at `asked_s`."""

    at_s: float
    seq: int
    ticks: int
    asked_s: float | None
    truth_ns: Times


class SimulatedBand:
    """`drift`: 1e-6 is a counter 1 ppm fast. `rate_error`: of the chip's sample rate, as data sheets allow a percent or so.

    `connected_s`: when each connection began.
    """

    def __init__(
        self,
        seed: int,
        band: int = 0,
        *,
        seconds: float = 60.0,
        drift: float = 0.0,
        rate_error: float = 0.0,
        rate_hz: float = 100.0,
        air: Air | None = None,
        mishaps: Mishaps | None = None,
        pinged: bool = True,
    ) -> None:
        self._rng = np.random.default_rng((seed, band))
        self._band = band
        self._seconds = seconds
        self._drift = drift
        self._rate_hz = rate_hz * (1 + rate_error)
        self._air = Air() if air is None else air
        self._mishaps = Mishaps() if mishaps is None else mishaps
        self._pinged = pinged
        self._phase_s = float(self._rng.uniform(0, self._air.interval_ms / 1e3))
        self.connected_s: list[float] = []

    def heard(self) -> list[Heard]:
        """Everything that reaches the host, in order of arrival."""
        counters: dict[int, Counter] = {}
        arrived: list[tuple[float, Heard]] = []
        self.connected_s = []
        for session, start_s, end_s, boot_s in self._sessions():
            counters[session] = Counter(COUNTER_BITS)
            received = sorted(self._received(start_s, end_s, boot_s), key=lambda one: one.at_s)
            arrived += [(one.at_s, self._unwrapped(counters[session], session, one)) for one in received]
        return [heard for _, heard in sorted(arrived, key=lambda pair: pair[0])]

    def _sessions(self) -> Iterator[tuple[int, float, float, float]]:
        """(session, connected, ended, counter zero) of each boot."""
        first = int(self._rng.integers(1, 2**15))
        wrap_s, reboot_s = self._mishaps.wrap_s, self._mishaps.reboot_s
        zero_s = -float(self._rng.uniform(5, 900)) if wrap_s is None else wrap_s - 2**COUNTER_BITS * 1e-6
        end_s = self._seconds if reboot_s is None else reboot_s
        yield first, 0.0, end_s, zero_s
        if reboot_s is not None:
            yield first + 1, reboot_s + BOOTING_S, self._seconds, reboot_s

    def _received(self, start_s: float, end_s: float, boot_s: float) -> Iterator[_Received]:
        """What comes while the band is connected, in any order."""
        out_s, in_s = self._outage()
        self.connected_s.append(start_s)
        if start_s < in_s < end_s:
            self.connected_s.append(in_s)
        pings = self._ping_times(start_s, min(end_s, out_s)) + (self._ping_times(in_s, end_s) if in_s < end_s else [])
        for asked_s in pings if self._pinged else []:
            there_s = self._event_after(asked_s + self._delay(0.2e-3, 0.3e-3)) + self._rng.uniform(0.2e-3, 1.0e-3)
            back_s = self._event_after(there_s) + self._delay(0.2e-3, 0.4e-3)
            if self._rng.random() >= self._air.loss and not (asked_s < out_s < back_s):
                yield _Received(back_s, 0, self._ticks(there_s, boot_s), asked_s, np.empty(0, np.int64))
        period_s = 1 / self._rate_hz
        taken_s = start_s + float(self._rng.uniform(0, period_s)) + period_s * np.arange(BATCH)
        seq, before_s = 0, start_s
        while taken_s[-1] < end_s - 0.1:
            # The FIFO is read after its interrupt, which takes some milliseconds on the wire.
            sent_s = self._event_after(max(taken_s[-1] + self._delay(2.5e-3, 0.5e-3), before_s + 1e-6))
            at_s, before_s = sent_s + self._delay(0.2e-3, 0.4e-3), sent_s
            if self._rng.random() >= self._air.loss and not out_s <= at_s < in_s:
                truth_ns = np.round(taken_s * NS_PER_S).astype(np.int64)
                yield _Received(at_s, seq, self._ticks(float(taken_s[0]), boot_s), None, truth_ns)
            seq += BATCH
            taken_s = taken_s + BATCH * period_s

    def _unwrapped(self, counter: Counter, session: int, one: _Received) -> Heard:
        at_ns = round(one.at_s * NS_PER_S)
        if one.asked_s is not None:
            sent_ns = round(one.asked_s * NS_PER_S)
            band_ns = counter.unwrap(one.ticks, (sent_ns + at_ns) // 2)
            return Heard(at_ns, ClockPing(self._band, session, sent_ns, band_ns, at_ns), one.truth_ns)
        spacing_ns = round((1 + self._drift) / self._rate_hz * 1e6) * 1000
        times = counter.unwrap(one.ticks, at_ns) + spacing_ns * np.arange(BATCH, dtype=np.int64)
        batch = ImuBatch(at_ns, UNCONVERTED, one.seq, self._band, session, times, np.zeros((BATCH, 6), np.float32))
        return Heard(at_ns, batch, one.truth_ns)

    def _ticks(self, at_s: float, zero_s: float) -> int:
        """The band's counter, with the microseconds that an interrupt takes to be served."""
        elapsed_s = (at_s - zero_s) * (1 + self._drift)
        step_s = self._mishaps.drift_step_s
        if step_s is not None:
            elapsed_s += max(0.0, at_s - step_s) * self._mishaps.drift_step
        return round(elapsed_s * 1e6 + float(self._rng.uniform(0, 100))) % (1 << COUNTER_BITS)

    def _outage(self) -> tuple[float, float]:
        out_s = self._mishaps.outage_s
        return (np.inf, np.inf) if out_s is None else (out_s, out_s + self._mishaps.outage_for_s + RECONNECTING_S)

    def _ping_times(self, start_s: float, end_s: float) -> list[float]:
        times, at_s = [], start_s + 0.05
        while at_s < end_s - 0.2:
            times.append(at_s + float(self._rng.uniform(0, PING_SPREAD_S)))
            at_s += FAST_PING_S if at_s < start_s + FAST_PINGS_S else PING_S
        return times

    def _event_after(self, at_s: float) -> float:
        """The connection event that carries what is ready at `at_s`."""
        interval_s = self._air.interval_ms / 1e3
        event = np.floor((at_s - self._phase_s) / interval_s) + 1
        while self._rng.random() < self._air.repeated:
            event += 1
        return float(self._phase_s + event * interval_s)

    def _delay(self, least_s: float, spread_s: float) -> float:
        return least_s + float(self._rng.exponential(spread_s))
