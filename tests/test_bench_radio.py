"""What `spotter bench radio` makes of samples whose truth is known."""

import numpy as np
import pytest

from device.bench.radio import Arrived, Numbered, _against_truth, _doubled, _fitted, _lost, _waits_s, numbers_of
from device.cli import build_parser
from device.messages import NS_PER_S, ImuBatch
from device.runtime.timebase import UNCONVERTED

MS = 1_000_000
SPACING_NS = 10 * MS


def batch(source, times_ns, arrival_ns):
    values = source(times_ns).astype(np.float32) * np.float32(16 * 9.80665 / 32768)
    return ImuBatch(arrival_ns, UNCONVERTED, 0, 0, 1, times_ns, values)


def arrivals(error_ns, seconds=10, began_ns=0, skip=()):
    """Batches of eight; `error_ns(t_ns)` is added to true times. Numbers in `skip` are lost, all others come once."""
    source, arrived = Numbered(), Arrived(began_ns=[began_ns])
    for i in range(seconds * 100 // 8):
        true_ns = i * 80 * MS + np.arange(8, dtype=np.int64) * SPACING_NS
        one = batch(source, true_ns, int(true_ns[-1]) + 20 * MS)
        if i in skip:
            continue
        stated = true_ns + np.array([error_ns(t) for t in true_ns.tolist()], dtype=np.int64)
        arrived.add(one, ImuBatch(one.t_ns, 2 * MS, 0, 0, 1, stated, one.values))
    return arrived, source


def test_samples_tell_their_numbers():
    source = Numbered()
    numbers = np.concatenate([numbers_of(batch(source, np.arange(n, dtype=np.int64), 0)) for n in (5, 40_000, 3)])
    assert numbers.tolist() == list(range(40_008))
    assert len(source.times_ns) == 40_008


def test_lost_and_doubled_samples_are_counted():
    arrived, _ = arrivals(lambda _: 0, skip=(3, 7, 8))
    assert (_lost(arrived), _doubled(arrived)) == (24, 0)
    arrived.numbers.append(arrived.numbers[5])
    assert (_lost(arrived), _doubled(arrived)) == (24, 8)


def test_errors_are_against_the_time_at_which_the_chip_measured():
    arrived, source = arrivals(lambda t_ns: t_ns // 1000)
    errors = _against_truth(arrived, source)
    assert errors.error_ns[-1] == pytest.approx(10 * MS, rel=0.02)
    assert set(errors.sigma_ns) == {2.0 * MS}


def test_what_the_timebase_left_out_has_no_error():
    arrived, source = arrivals(lambda _: 0)
    one = batch(source, np.arange(8, dtype=np.int64), 11 * NS_PER_S)
    arrived.add(one, ImuBatch(one.t_ns, 0, 0, 0, 1, one.times_ns[:0], one.values[:0]))
    assert len(_against_truth(arrived, source).error_ns) == len(np.concatenate(arrived.numbers)) - 8


def test_the_fit_is_usable_once_it_stays_right():
    arrived, source = arrivals(lambda t_ns: 8 * MS if t_ns < 1_500 * MS else 1 * MS)
    (wait_s,) = _waits_s(arrived, _against_truth(arrived, source))
    assert wait_s == pytest.approx(1.6, abs=0.1)


def test_a_fit_that_never_gets_right_is_never_usable():
    arrived, source = arrivals(lambda _: 8 * MS)
    assert _waits_s(arrived, _against_truth(arrived, source)) == [float("inf")]


def test_samples_soon_after_connecting_are_left_to_the_time_to_fit():
    arrived, source = arrivals(lambda _: 0)
    arrived.began_ns.append(6 * NS_PER_S)
    errors = _against_truth(arrived, source)
    fitted = errors.arrival_ns[_fitted(arrived, errors)] / NS_PER_S
    assert np.all(((fitted >= 3) & (fitted < 6)) | (fitted >= 9))
    assert len(fitted) > 300


@pytest.mark.parametrize("minutes", ["0.1", "601", "nan"])
def test_a_length_that_makes_no_sense_is_refused(minutes):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["bench", "radio", "--minutes", minutes])
