"""Energy (eq. 1), boundary score (eq. 2) and peaks."""

from __future__ import annotations

import numpy as np
import pytest
from scripted import HZ, standing

from device.runtime.energy import BETA, EnergyMeter, PeakFinder, centre_weights
from device.skeleton import N_JOINTS, torso_length


def moved(shift: float) -> np.ndarray:
    """Only the left wrist, forward by `shift` torso lengths."""
    world = standing().astype(np.float64)
    world[15, 2] -= shift * torso_length(world)
    return world


def test_segment_masses_make_a_centre_that_is_no_landmark_alone():
    weights = centre_weights()
    assert weights.sum() == pytest.approx(1)
    assert weights[[11, 12, 23, 24]].sum() > 0.6
    assert weights[0] == 0
    centre = weights @ standing()
    assert -0.3 < centre[1] < 0.1


def test_a_still_body_has_no_energy_and_no_score():
    meter = EnergyMeter(HZ)
    for _ in range(20):
        energy = meter.step(standing(), True, np.ones(N_JOINTS))
    assert energy.energy == energy.score == 0


def test_a_landmark_in_steady_motion_has_its_squared_speed_in_torso_lengths():
    meter = EnergyMeter(HZ)
    for k in range(60):
        energy = meter.step(moved(2.0 * k / HZ), True, np.ones(N_JOINTS))
    assert energy.energy == pytest.approx(4.0, rel=0.02)
    assert energy.score == pytest.approx(0, abs=0.05)


def test_turning_joints_add_beta_times_their_squared_rate():
    for beta in (1.0, 2.5):
        meter = EnergyMeter(HZ, beta=beta)
        for k in range(60):
            angles = np.ones(N_JOINTS)
            angles[0] += 1.5 * k / HZ
            energy = meter.step(standing(), True, angles)
        assert energy.energy == pytest.approx(beta * 2.25, rel=0.02)


def test_a_hip_that_passes_a_full_turn_does_not_jump():
    meter = EnergyMeter(HZ)
    for k in range(60):
        energy = meter.step(standing(), True, np.full(N_JOINTS, (6.0 + 0.5 * k / HZ) % (2 * np.pi)))
    assert energy.energy == pytest.approx(BETA * N_JOINTS * 0.25, rel=0.02)


def test_a_body_that_comes_back_elsewhere_makes_no_jump():
    meter = EnergyMeter(HZ)
    meter.step(standing(), True, np.ones(N_JOINTS))
    meter.step(standing(), False, np.ones(N_JOINTS))
    assert meter.step(moved(3.0), True, np.ones(N_JOINTS)).energy == 0


def test_a_start_of_motion_is_a_peak_of_the_score():
    meter, finder = EnergyMeter(HZ), PeakFinder(HZ)
    peaks = []
    for k in range(90):
        shift = 0.0 if k < 45 else 0.5 * (1 - np.cos(2 * np.pi * (k - 45) / 45))
        if finder.step(meter.step(moved(shift), True, np.ones(N_JOINTS)).score):
            peaks.append(k - 1)
    assert peaks
    assert 45 <= peaks[0] <= 60


def test_peaks_keep_their_distance():
    finder = PeakFinder(HZ, refractory_s=0.5)
    values = [10.0 if k % 5 == 0 else 0.0 for k in range(100)]
    peaks = [k - 1 for k, value in enumerate(values) if finder.step(value)]
    assert peaks
    assert min(np.diff(peaks)) >= 15
