"""The timebase: offsets found, uncertainty honest, time never steps back, a reboot starts anew."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from device.messages import NS_PER_S, ImuBatch
from device.runtime.timebase import Timebase

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
