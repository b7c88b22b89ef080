"""Sampled bodies."""

import numpy as np
import pytest

from device.sim.body import HEIGHT_RANGE_M, sample_body

BODIES = [sample_body(np.random.default_rng(seed)) for seed in range(20)]


def test_bodies_differ_and_stay_human():
    heights = [body.height_m for body in BODIES]
    assert min(heights) >= HEIGHT_RANGE_M[0]
    assert max(heights) <= HEIGHT_RANGE_M[1]
    assert np.ptp(heights) > 0.2
    for body in BODIES:
        assert 0.45 < body.leg / body.height_m < 0.53
        assert sum(share * (1 if name in ("head", "trunk") else 2) for name, share in body.mass_fractions.items()) == (
            pytest.approx(1.0, abs=0.02)
        )


def test_same_seed_same_body():
    assert sample_body(np.random.default_rng(5)) == sample_body(np.random.default_rng(5))
