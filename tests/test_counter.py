"""A counter that wraps: turns, silences, order, and readings that are wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.drivers.counter import Counter

US = 1000
S = 1_000_000_000
TURN_NS = (1 << 30) * US


def test_the_first_reading_is_in_turn_zero():
    assert Counter().unwrap(123, 77 * S) == 123 * US


def test_a_wrap_goes_on():
    counter = Counter()
    before = counter.unwrap((1 << 30) - 10, 5 * S)
    assert counter.unwrap(10, 5 * S + 20 * US) == before + 20 * US


@pytest.mark.parametrize("silence_s", [1, 400, 540, 1000, 3600, 7 * 24 * 3600])
def test_a_silence_of_any_number_of_turns_is_bridged(silence_s):
    counter, drift = Counter(), 1 + 50e-6
    first = counter.unwrap(12_345, 0)
    ticks = 12_345 + round(silence_s * 1e6 * drift)
    assert counter.unwrap(ticks & (1 << 30) - 1, silence_s * S + 30_000_000) == first + round(silence_s * 1e6 * drift) * US


def test_a_reading_from_before_the_wrap_may_come_after_it():
    counter = Counter()
    late = counter.unwrap((1 << 30) - 500, 0)
    after = counter.unwrap(100, 600 * US)
    assert counter.unwrap((1 << 30) - 400, 700 * US) == late + 100 * US
    assert counter.unwrap(200, 800 * US) == after + 100 * US


def test_a_wrong_reading_harms_no_other():
    counter = Counter()
    for i in range(100):
        assert counter.unwrap(i * 80_000, i * 80_000 * US) == i * 80_000 * US
    for i in range(100, 110):
        counter.unwrap((i * 80_000 + (1 << 29) - 1) % (1 << 30), i * 80_000 * US)
    for i in range(110, 30_000):
        assert counter.unwrap(i * 80_000 % (1 << 30), i * 80_000 * US) == i * 80_000 * US


def test_a_reading_wider_than_the_counter_is_taken_by_its_low_bits():
    assert Counter(bits=16, unit_ns=1).unwrap(0x1_0003, 0) == 3


@given(
    bits=st.sampled_from([16, 24, 30, 32]),
    start=st.integers(0, 2**32 - 1),
    drift_ppm=st.floats(-100, 100),
    steps=st.lists(st.floats(0.0, 0.9), min_size=1, max_size=50),
    delays=st.lists(st.integers(0, 60_000), min_size=50, max_size=50),
)
def test_readings_keep_their_distances(bits, start, drift_ppm, steps, delays):
    counter, turn = Counter(bits=bits, unit_ns=1000), 1 << bits
    # Late by less than a quarter of a turn, after silences of nearly a whole one.
    longest_us = min(60_000, turn // 4)
    true_us, zero = 0.0, None
    for step, delay in zip(steps, delays, strict=False):
        true_us += step * turn
        ticks = start % turn + round(true_us * (1 + drift_ppm * 1e-6))
        unwrapped = counter.unwrap(ticks % turn, round((true_us + delay * longest_us / 60_000) * 1000))
        zero = unwrapped - ticks * 1000 if zero is None else zero
        assert unwrapped - ticks * 1000 == zero
