"""The timebase: offsets found, uncertainty honest, time never steps back, a reboot starts anew."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from device.messages import NS_PER_S, ClockPing, ImuBatch
from device.runtime.timebase import MAX_ROUND_TRIP_NS, REJECTED_IN_A_ROW, UNCONVERTED, Timebase
from device.sim_clock.band import Air, Mishaps, SimulatedBand

MS = 1_000_000
START = 50 * NS_PER_S


def packets(
    seed: int, *, drift: float = 0.0, offset_ns: int = 0, seconds: float = 20.0, session: int = 1, min_delay_ms: float = 5.0
) -> Iterator[tuple[ImuBatch, int, int]]:
    """(batch, arrival, true host time of its newest sample): 8 samples at 100 Hz, delays up to 40 ms."""
    rng = np.random.default_rng(seed)
    for i in range(round(seconds * 100 / 8)):
        source = (np.arange(8 * i, 8 * i + 8) * 10 * MS).astype(np.int64)
        true_ns = START + round(int(source[-1]) / (1 + drift))
        arrival_ns = true_ns + round(rng.uniform(min_delay_ms, 40) * MS)
        values = np.zeros((8, 6), dtype=np.float32)
        yield ImuBatch(arrival_ns, 0, 8 * i, 0, session, source + offset_ns, values), arrival_ns, true_ns


def convert_all(
    timebase: Timebase, sent: Iterator[tuple[ImuBatch, int, int]], later_ns: int = 0
) -> tuple[list[ImuBatch], NDArray[np.int64]]:
    """Converted batches and the true host times of their newest samples, all of it `later_ns` later."""
    batches, true_ns = [], []
    for batch, arrival_ns, true in sent:
        batches.append(timebase.convert(batch, arrival_ns + later_ns))
        true_ns.append(true + later_ns)
    return batches, np.array(true_ns, dtype=np.int64)


def test_the_offset_is_found_whatever_it_is() -> None:
    for offset_ns in (-3600 * NS_PER_S, 0, 10**15):
        timebase = Timebase()
        batches, true_ns = convert_all(timebase, packets(1, offset_ns=offset_ns))
        assert abs(batches[-1].t_ns - true_ns[-1]) < 1 * MS
        assert batches[-1].t_ns == batches[-1].times_ns[-1]
        assert np.diff(batches[-1].times_ns).tolist() == [10 * MS] * 7


def test_a_drifting_clock_is_followed() -> None:
    for drift in (-40e-6, 40e-6):
        timebase = Timebase()
        batches, true_ns = convert_all(timebase, packets(2, drift=drift, seconds=120))
        assert np.abs([b.t_ns for b in batches[100:]] - true_ns[100:]).max() < 3 * MS


def test_the_stated_uncertainty_is_honest_from_the_first_packet_on() -> None:
    inside = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        delay_ms = max(5.0 + rng.normal(scale=2.0), 0.0)
        sent = packets(seed, drift=rng.uniform(-40e-6, 40e-6), min_delay_ms=delay_ms)
        batches, true_ns = convert_all(Timebase(), sent)
        sigma_ns = np.array([b.sigma_ns for b in batches])
        inside.append(np.abs([b.t_ns for b in batches] - true_ns) <= 1.96 * sigma_ns)
        assert sigma_ns[-1] < 5 * MS
    assert np.mean(inside, axis=0).min() >= 0.85
    assert 0.95 <= np.mean(inside) < 1


def test_time_never_steps_back_when_a_shorter_delay_is_met() -> None:
    timebase = Timebase()
    everything = np.concatenate([timebase.convert(batch, arrival).times_ns for batch, arrival, _ in packets(3)])
    assert (np.diff(everything) > 0).all()
    timebase = Timebase()
    slow, fast = [b for b, _, _ in packets(4, seconds=0.16)]
    before = timebase.convert(slow, START + 500 * MS)
    after = timebase.convert(fast, START + 501 * MS)
    assert after.times_ns[0] > before.times_ns[-1]


def test_a_band_that_reboots_gets_a_new_session() -> None:
    timebase = Timebase()
    convert_all(timebase, packets(5))
    batches, true_ns = convert_all(timebase, packets(6, offset_ns=-(10**12), session=2, seconds=10), later_ns=60 * NS_PER_S)
    assert abs(batches[-1].t_ns - true_ns[-1]) < 1 * MS
    assert batches[0].sigma_ns > 10 * MS > batches[-1].sigma_ns


def test_bands_do_not_share_a_clock() -> None:
    timebase = Timebase()
    for batch, arrival_ns, _ in packets(8):
        other = ImuBatch(batch.t_ns, 0, batch.seq, 1, 1, batch.times_ns + 10**12, batch.values)
        first, second = timebase.convert(batch, arrival_ns), timebase.convert(other, arrival_ns)
        assert first.times_ns.tolist() == second.times_ns.tolist()


def test_a_batch_without_samples_passes() -> None:
    empty = ImuBatch(0, 0, 0, 0, 1, np.empty(0, dtype=np.int64), np.empty((0, 6), dtype=np.float32))
    assert Timebase().convert(empty, START).t_ns == START


class Followed:
    """What a timebase makes of a simulated band: `t_s` arrival, `errors_ms` (largest of each batch, signed), `sigma_ms`."""

    def __init__(self, band: SimulatedBand, timebase: Timebase | None = None) -> None:
        self.timebase = Timebase() if timebase is None else timebase
        self.batches: list[ImuBatch] = []
        t_s, errors, sigma = [], [], []
        for heard in band.heard():
            if isinstance(heard.message, ClockPing):
                self.timebase.ping(heard.message)
                continue
            batch = self.timebase.convert(heard.message, heard.t_ns)
            self.batches.append(batch)
            error = batch.times_ns - heard.truth_ns
            t_s.append(heard.t_ns / NS_PER_S)
            errors.append(error[np.argmax(np.abs(error))] / MS)
            sigma.append(batch.sigma_ns / MS)
        self.t_s, self.errors_ms, self.sigma_ms = np.array(t_s), np.array(errors), np.array(sigma)
        self.connected_s = band.connected_s

    def usable_after_s(self) -> float:
        """Longest time from a connection to its last error above 5 ms."""
        return max(
            max((t - c for t, e in zip(self.t_s, self.errors_ms, strict=True) if abs(e) > 5 and 0 < t - c < 10), default=0.0)
            for c in self.connected_s
        )


def heard_by(timebase: Timebase, seed: int = 1, seconds: float = 15.0) -> tuple[list[ImuBatch | ClockPing], int]:
    """A good band's messages that `timebase` has taken in, and the host time after them."""
    band = SimulatedBand(seed, seconds=seconds, drift=2e-5)
    messages = [heard.message for heard in band.heard()]
    for message in messages:
        if isinstance(message, ClockPing):
            timebase.ping(message)
        else:
            timebase.convert(message, message.t_ns)
    return messages, round(seconds * NS_PER_S)


def later(batch: ImuBatch, by_ns: int, stamps_by_ns: int | None = None) -> ImuBatch:
    """The same packet `by_ns` later, its stamps by as much or by `stamps_by_ns`."""
    moved = by_ns if stamps_by_ns is None else stamps_by_ns
    return replace(batch, t_ns=batch.t_ns + by_ns, seq=batch.seq + 8, times_ns=batch.times_ns + moved)


@pytest.mark.parametrize("interval_ms", [15.0, 30.0])
def test_pings_find_the_time_although_every_answer_comes_a_connection_event_later(interval_ms: float) -> None:
    for seed in range(4):
        band = SimulatedBand(seed, seconds=60, drift=(-1) ** seed * 50e-6, rate_error=0.004, air=Air(interval_ms, loss=0.05))
        found = Followed(band)
        settled = found.t_s > 3
        assert np.percentile(np.abs(found.errors_ms[settled]), 95) < 3.5
        assert np.mean(np.abs(found.errors_ms) <= 1.96 * found.sigma_ms) >= 0.95
        assert found.sigma_ms[-1] < 5
        assert found.usable_after_s() < 3


def test_skew_is_found_with_its_sign() -> None:
    for drift in (-50e-6, 50e-6):
        found = Followed(SimulatedBand(3, seconds=90, drift=drift))
        state = found.timebase.state(0)
        assert state is not None
        assert state.skew == pytest.approx(-drift, abs=40e-6)
        assert state.round_trip_ns is not None
        assert 0 < state.round_trip_ns < 40 * MS
        assert (state.rejected, state.restarts) == (0, 0)


@pytest.mark.parametrize(
    "mishap",
    [
        Mishaps(outage_s=30.0),
        Mishaps(reboot_s=30.0),
        Mishaps(wrap_s=30.0),
        Mishaps(drift_step_s=30.0, drift_step=20e-6),
        Mishaps(outage_s=20.0, outage_for_s=30.0),
    ],
    ids=["outage", "reboot", "wrap", "drift step", "long outage"],
)
def test_what_befalls_a_band_does_not_spoil_its_times(mishap: Mishaps) -> None:
    found = Followed(SimulatedBand(5, seconds=70, drift=-4e-5, air=Air(15.0, loss=0.05), mishaps=mishap))
    assert found.usable_after_s() < 3
    assert np.mean(np.abs(found.errors_ms) <= 1.96 * found.sigma_ms) >= 0.95
    assert np.abs(found.errors_ms[found.t_s > 60]).max() < 5
    for session in {batch.session for batch in found.batches}:
        times = np.concatenate([batch.times_ns for batch in found.batches if batch.session == session])
        assert (np.diff(times) > 0).all()


def test_a_batch_on_the_bands_clock_says_so_and_a_converted_one_has_its_uncertainty() -> None:
    band = SimulatedBand(1, seconds=2)
    raw = next(heard.message for heard in band.heard() if isinstance(heard.message, ImuBatch))
    assert raw.sigma_ns == UNCONVERTED
    assert Timebase().convert(raw, raw.t_ns).sigma_ns > 0


@pytest.mark.parametrize("pings", [True, False])
def test_a_time_in_the_future_is_left_out_and_does_not_touch_the_next(pings: bool, caplog: pytest.LogCaptureFixture) -> None:
    timebase, untouched = Timebase(), Timebase()
    for base in (timebase, untouched):
        for heard in SimulatedBand(2, seconds=15, pinged=pings).heard():
            if isinstance(heard.message, ClockPing):
                base.ping(heard.message)
            else:
                last = heard.message
                base.convert(last, last.t_ns)
    for hours in (1, 2):
        wrong = timebase.convert(later(last, 80 * MS, hours * 3600 * NS_PER_S), last.t_ns + 80 * MS)
        assert len(wrong.times_ns) == len(wrong.values) == 0
    good = later(last, 160 * MS)
    assert timebase.convert(good, good.t_ns).times_ns.tolist() == untouched.convert(good, good.t_ns).times_ns.tolist()
    state = timebase.state(0)
    assert state is not None
    assert (state.rejected, state.restarts) == (2, 0)
    assert len([r for r in caplog.records if "left_wrist" in r.message]) == 1


@pytest.mark.parametrize("jump_s", [-200.0, -0.5, 5.0, 4000.0])
def test_a_clock_that_was_set_is_noticed_and_then_right_again(jump_s: float) -> None:
    timebase, jump_ns = Timebase(), round(jump_s * NS_PER_S)
    messages, _ = heard_by(timebase)
    last = [m for m in messages if isinstance(m, ImuBatch)][-1]
    before = timebase.convert(later(last, 80 * MS), last.t_ns + 80 * MS).times_ns[-1]
    converted = []
    for i in range(2, 150):
        batch = later(last, i * 80 * MS, i * 80 * MS + jump_ns)
        converted.append(timebase.convert(batch, batch.t_ns))
        if i % 25 == 0:
            band_ns = int(batch.times_ns[-1]) - 5 * MS
            timebase.ping(ClockPing(0, batch.session, batch.t_ns - 30 * MS, band_ns, batch.t_ns))
    lost = next(i for i, batch in enumerate(converted) if len(batch.times_ns))
    assert lost <= REJECTED_IN_A_ROW
    times = np.concatenate([batch.times_ns for batch in converted])
    assert times[0] > before
    assert (np.diff(times) > 0).all()
    # Three pings, 2 s apart, until a small step back is told from packets that come late.
    for i, batch in enumerate(converted[80:], start=82):
        assert abs(batch.t_ns - (last.t_ns + i * 80 * MS)) < 60 * MS
    state = timebase.state(0)
    assert state is not None
    assert state.restarts == 1


def test_a_packet_that_comes_twice_is_left_out_without_complaint(caplog: pytest.LogCaptureFixture) -> None:
    timebase = Timebase()
    messages, _ = heard_by(timebase)
    last = [m for m in messages if isinstance(m, ImuBatch)][-1]
    for _ in range(30):
        assert len(timebase.convert(last, last.t_ns + 5 * MS).times_ns) == 0
    state = timebase.state(0)
    assert state is not None
    assert (state.rejected, state.restarts) == (0, 0)
    assert not caplog.records


def test_after_a_long_silence_the_uncertainty_has_grown_and_holds() -> None:
    timebase = Timebase()
    messages, _ = heard_by(timebase, seconds=60)
    last = [m for m in messages if isinstance(m, ImuBatch)][-1]
    settled = timebase.state(0)
    silence_ns = 600 * NS_PER_S
    # The band is 20 ppm fast, as `heard_by` made it.
    batch = later(last, silence_ns, round(silence_ns * (1 + 2e-5)))
    after = timebase.convert(batch, batch.t_ns)
    assert settled is not None
    assert after.sigma_ns > 1.5 * settled.sigma_ns
    assert abs(after.t_ns - (batch.t_ns - 10 * MS)) < 1.96 * after.sigma_ns + 10 * MS


@pytest.mark.parametrize("round_trip_ns", [-1, -NS_PER_S, MAX_ROUND_TRIP_NS + 1, 10**15])
def test_an_absurd_round_trip_is_left_out(round_trip_ns: int) -> None:
    timebase = Timebase()
    _, now_ns = heard_by(timebase)
    before = timebase.state(0)
    assert before is not None
    band_ns = before.t_ns - before.offset_ns
    timebase.ping(ClockPing(0, before.session, now_ns, band_ns, now_ns + round_trip_ns))
    after = timebase.state(0)
    assert after is not None
    assert (after.offset_ns, after.pings, after.rejected) == (before.offset_ns, before.pings, before.rejected + 1)


def test_a_ping_that_contradicts_all_others_is_left_out() -> None:
    timebase = Timebase()
    _, now_ns = heard_by(timebase)
    before = timebase.state(0)
    assert before is not None
    for wrong_ns in (-NS_PER_S, NS_PER_S):
        band_ns = now_ns + 10 * MS - before.offset_ns + wrong_ns
        timebase.ping(ClockPing(0, before.session, now_ns, band_ns, now_ns + 20 * MS))
    after = timebase.state(0)
    assert after is not None
    assert (after.offset_ns, after.rejected) == (before.offset_ns, before.rejected + 2)


def test_a_band_that_never_spoke_has_no_state() -> None:
    assert Timebase().state(3) is None


def test_hours_take_no_more_memory_than_minutes() -> None:
    timebase = Timebase()
    for i in range(8_000):
        times = (np.arange(8 * i, 8 * i + 8) * 10 * MS).astype(np.int64)
        batch = ImuBatch(0, UNCONVERTED, 8 * i, 0, 1, times, np.zeros((8, 6), np.float32))
        timebase.convert(batch, int(times[-1]) + 10 * MS)
        if i % 25 == 0:
            timebase.ping(ClockPing(0, 1, int(times[-1]), int(times[-1]) + 8 * MS, int(times[-1]) + 20 * MS))
    clock = timebase._clocks[0]
    assert max(len(clock.pings), len(clock.arrivals), len(clock.differences)) <= 512


RAW = st.integers(-(2**60), 2**60)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 1), RAW, st.integers(-(10**9), 10**10), st.integers(0, 10**8)), max_size=40)
)
def test_whatever_a_band_claims_its_times_go_forwards_and_end_before_they_came(
    claims: list[tuple[bool, int, int, int, int]],
) -> None:
    timebase = Timebase()
    now_ns, last = START, {0: -(2**62), 1: -(2**62)}
    session_before = None
    for is_ping, session, band_ns, round_trip_ns, wait_ns in claims:
        now_ns += wait_ns
        if session != session_before:
            last[session] = -(2**62)
        session_before = session
        if is_ping:
            timebase.ping(ClockPing(0, session, now_ns - round_trip_ns, band_ns, now_ns))
            continue
        times = band_ns + np.arange(4, dtype=np.int64) * 10 * MS
        batch = timebase.convert(ImuBatch(now_ns, UNCONVERTED, 0, 0, session, times, np.zeros((4, 6), np.float32)), now_ns)
        if len(batch.times_ns):
            assert batch.times_ns[0] > last[session]
            assert (np.diff(batch.times_ns) > 0).all()
            assert batch.times_ns[-1] < now_ns + 20 * MS + 5 * batch.sigma_ns + MS
            assert 0 <= batch.sigma_ns < 2**62
            last[session] = int(batch.times_ns[-1])


def test_where_pings_and_packets_contradict_each_other_the_uncertainty_says_so() -> None:
    timebase = Timebase()
    timebase.ping(ClockPing(0, 1, START - 5_300_000, 1_000_001, START))
    timebase.ping(ClockPing(0, 1, START, 0, START))
    times = np.arange(4, dtype=np.int64) * 10 * MS
    batch = timebase.convert(ImuBatch(START, UNCONVERTED, 0, 0, 1, times, np.zeros((4, 6), np.float32)), START)
    # The pings say that the newest sample is 30 ms old before it is taken, its arrival that it has been.
    assert batch.times_ns[-1] - START == pytest.approx(15 * MS, abs=MS)
    assert batch.sigma_ns == pytest.approx(30 * MS / math.sqrt(12), rel=0.1)


def test_packets_from_before_a_clock_was_set_back_do_not_blur_the_ping_after_it() -> None:
    timebase = Timebase()
    timebase.observe(0, 1, 1_030 * MS, START)
    timebase.ping(ClockPing(0, 1, START + 1_000 * MS, 1_050 * MS, START + 1_010 * MS))
    state = timebase.state(0)
    assert state is not None
    assert state.sigma_ns == pytest.approx(10 * MS / math.sqrt(12), rel=0.1)


def test_the_log_is_told_once_a_band(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    timebase = Timebase()
    for i in range(100):
        times = np.array([i * 10**12 * (-1) ** i], dtype=np.int64)
        timebase.convert(ImuBatch(0, UNCONVERTED, i, 2, 1, times, np.zeros((1, 6), np.float32)), START + i * 80 * MS)
    assert len(caplog.records) == 1
