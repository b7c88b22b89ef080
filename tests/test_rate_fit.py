"""Times of a free-running sensor's samples, from looks at how many there are."""

import math

import numpy as np
import pytest

from device.drivers.rate_fit import RATE_TOLERANCE, RateFit

MS = 1_000_000
S = 1_000 * MS


def look_at(fit, moments_ns, period_ns, start_ns, took_ns=200_000):
    """Look at a sensor whose sample k is taken at `start_ns` + k x `period_ns`."""
    for moment in moments_ns:
        inside = moment + took_ns // 2
        fit.look(math.floor((inside - start_ns) / period_ns), moment, moment + took_ns)


def test_looks_at_any_moments_find_rate_and_phase():
    fit = RateFit(10 * MS)
    period, start = 9.87 * MS, 7 * S + 3_456_789
    moments = (8 * S + np.cumsum(np.random.default_rng(1).integers(40 * MS, 120 * MS, 150))).tolist()
    look_at(fit, moments, period, start)
    newest = math.floor((moments[-1] - start) / period)
    truth = start + np.arange(newest - 20, newest + 20) * period
    assert np.abs(fit.times_ns(newest - 20, 40) - truth).max() < 0.3 * MS
    assert fit.period_ns == pytest.approx(period, rel=50e-6)
    assert fit.sigma_ns < 0.5 * MS
    assert fit.time_ns(newest) == fit.times_ns(newest, 1)[0]
    assert fit.index_at(round(start + 2000.5 * period)) == 2000


def test_one_look_leaves_a_whole_sample_of_doubt():
    fit = RateFit(10 * MS)
    fit.look(7, 5 * S, 5 * S + 200_000)
    assert fit.known
    assert fit.room_ns == pytest.approx(10 * MS * (1 + RATE_TOLERANCE), rel=0.02)
    assert 5 * S - 10.6 * MS < fit.time_ns(7) < 5 * S + 0.2 * MS


def test_truth_lies_within_the_stated_uncertainty():
    """Over many sensors and lengths of watching, 1.96 sigma holds the truth in at least 95 of 100."""
    generator = np.random.default_rng(3)
    inside = []
    for _ in range(150):
        period = 10 * MS * (1 + generator.uniform(-0.05, 0.05))
        start = int(generator.integers(0, 10 * MS))
        fit = RateFit(10 * MS)
        moments = S + np.cumsum(generator.integers(70 * MS, 90 * MS, int(generator.integers(1, 60))))
        look_at(fit, moments.tolist(), period, start, int(generator.integers(100_000, 900_000)))
        newest = math.floor((moments[-1] - start) / period)
        inside.append(abs(fit.time_ns(newest) - (start + newest * period)) <= 1.96 * fit.sigma_ns)
    assert np.mean(inside) >= 0.95


def test_looks_in_step_with_the_samples_claim_no_more_than_they_know():
    fit = RateFit(10 * MS)
    look_at(fit, [5 * S + i * 80 * MS for i in range(100)], 10 * MS, 4 * S + 5 * MS)
    assert fit.room_ns > 9 * MS
    assert abs(fit.time_ns(199) - (4 * S + 5 * MS + 199 * 10 * MS)) < 1.96 * fit.sigma_ns


def test_an_oscillator_that_wanders_is_followed():
    """Its rate changes by 400 ppm within a minute, as in a chip that warms up."""
    fit = RateFit(10 * MS)
    t, k, moment = 0.0, 0, 0.0
    generator = np.random.default_rng(5)
    errors = []
    while moment < 60 * S:
        moment += generator.integers(70 * MS, 90 * MS)
        while True:
            period = 10 * MS * (1 + 400e-6 * t / (60 * S))
            if t + period > moment:
                break
            t += period
            k += 1
        fit.look(k, int(moment) - 100_000, int(moment) + 100_000)
        errors.append(abs(fit.time_ns(k) - t))
    assert max(errors[50:]) < 1.0 * MS


def test_a_wrong_count_is_forgotten():
    fit = RateFit(10 * MS)
    generator = np.random.default_rng(7)
    moments = (5 * S + np.cumsum(generator.integers(70 * MS, 90 * MS, 60))).tolist()
    look_at(fit, moments, 10 * MS, 4 * S)
    fit.look(math.floor((moments[-1] + 80 * MS - 4 * S) / (10 * MS)) + 3, moments[-1] + 80 * MS, moments[-1] + 80.2 * MS)
    later = (moments[-1] + np.cumsum(generator.integers(90 * MS, 110 * MS, 60))).tolist()
    look_at(fit, later, 10 * MS, 4 * S)
    newest = math.floor((later[-1] - 4 * S) / (10 * MS))
    assert abs(fit.time_ns(newest) - (4 * S + newest * 10 * MS)) < MS
