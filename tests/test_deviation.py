"""Deviation from the standard movement, its uncertainty, and the choice of the variant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scripted import LUNGE, PHASES, SQUAT, Said, ScriptedModel, tick

from device.messages import Estimate, Stage
from device.runtime.deviation import BLIND_SIGMA, RepetitionMeter, Sample, Standards, expected_variant, sample_of
from device.skeleton import JOINT, NODE


def estimate(said: Said, sigma_deg: float = 4.0) -> Estimate:
    return ScriptedModel([said], sigma_deg=sigma_deg).estimate(said, 0, 0)


def samples(exercise: str, variant: str, errors: dict[str, float], n: int = 60):
    for k in range(n):
        phase = (k + 0.5) / n
        radians = {joint: float(np.radians(size)) for joint, size in errors.items()}
        yield sample_of(tick(k), estimate(Said(exercise, variant, phase, Stage.EXECUTION, errors=radians)))


def test_a_standard_movement_deviates_nowhere():
    meter = RepetitionMeter(Standards(SQUAT))
    for sample in samples("squat", "both", {}):
        measured = meter.add(sample)
        assert not np.nan_to_num(measured.deviation).any()
    assert meter.worst() == ()


def test_joints_without_a_standard_have_no_deviation():
    measured = RepetitionMeter(Standards(SQUAT)).add(next(iter(samples("squat", "both", {}))))
    assert np.isnan(measured.deviation[JOINT["left_elbow"]])
    assert np.isfinite(measured.deviation[JOINT["left_knee"]])


@pytest.mark.parametrize("size", [-25.0, -12.0, 12.0, 25.0])
def test_a_deviation_has_its_sign_and_its_whole_size(size):
    meter = RepetitionMeter(Standards(SQUAT))
    for sample in samples("squat", "both", {"left_hip_spread": size}):
        meter.add(sample)
    (worst,) = meter.worst()
    assert worst.joint == "left_hip_spread"
    assert np.degrees(worst.deviation_rad) == pytest.approx(size, abs=1.0)
    assert worst.sigma_rad > 0


def test_inside_the_tolerance_there_is_no_deviation():
    meter = RepetitionMeter(Standards(SQUAT))
    for sample in samples("squat", "both", {"left_hip_spread": 4.5}):
        meter.add(sample)
    assert meter.worst() == ()


def off(sample: Sample, joint: str, degrees: float) -> Sample:
    angles = sample.angles.copy()
    angles[JOINT[joint]] += np.radians(degrees)
    return replace(sample, angles=angles)


def test_how_somebody_gets_to_where_the_exercise_is_judged_is_no_deviation():
    low, high = SQUAT.judged
    assert 0 < low < 0.5 < high < 1
    meter = RepetitionMeter(Standards(SQUAT))
    for sample in samples("squat", "both", {}):
        meter.add(off(sample, "left_hip_spread", 15 if low <= sample.phase <= high else -30))
    assert [np.degrees(d.deviation_rad) for d in meter.worst()] == pytest.approx([15], abs=1)


def test_of_a_repetition_that_was_not_seen_where_it_is_judged_all_counts():
    meter = RepetitionMeter(Standards(SQUAT))
    for sample in list(samples("squat", "both", {}))[:10]:
        meter.add(off(sample, "left_hip_spread", -30))
    assert [np.degrees(d.deviation_rad) for d in meter.worst()] == pytest.approx([-30], abs=1)


def test_an_error_of_the_phase_is_no_deviation():
    standards = Standards(SQUAT)
    said = Said("squat", "both", 0.25, Stage.BEGINNING)
    late = sample_of(tick(0), estimate(Said("squat", "both", 0.28, Stage.BEGINNING)))
    sample = type(late)(late.t_ns, said.phase, late.angles, late.sigma)
    difference, _, of_phase = standards.differences(sample)
    assert abs(np.degrees(difference[0, JOINT["left_knee"]])) > 7
    assert standards.deviation(difference[0], of_phase[0])[JOINT["left_knee"]] == 0


def test_uncertainty_grows_with_hidden_joints_a_steep_standard_and_an_absent_pose():
    said = estimate(Said("squat", "both", 0.5, Stage.EXECUTION))
    knee = JOINT["left_knee"]
    seen = sample_of(tick(0), said).sigma[knee]
    hidden = tick(0)
    hidden.visibility[NODE["left_ankle"]] = 0.1
    assert sample_of(hidden, said).sigma[knee] > 2 * seen
    assert sample_of(hidden, said).sigma[JOINT["right_knee"]] == pytest.approx(seen)
    assert sample_of(tick(0, present=False), said).sigma[knee] > BLIND_SIGMA
    standards = Standards(SQUAT)
    steep = sample_of(tick(0), estimate(Said("squat", "both", 0.25, Stage.EXECUTION)))
    assert standards.differences(steep)[1][0, knee] > 1.5 * standards.differences(sample_of(tick(0), said))[1][0, knee]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("expected", [None, "left", "right"])
def test_the_side_of_a_lunge_is_known_by_a_quarter_of_the_repetition(side, expected):
    meter = RepetitionMeter(Standards(LUNGE), expected)
    for sample in samples("lunge", side, {f"{side}_knee": 15.0}):
        meter.add(sample)
        if sample.phase > 0.3:
            assert meter.variant == side
    assert meter.settled


def test_with_one_variant_there_is_nothing_to_settle():
    assert RepetitionMeter(Standards(SQUAT)).settled


def test_the_other_side_is_expected_where_sides_alternate():
    assert expected_variant(LUNGE, "left") == "right"
    assert expected_variant(LUNGE, None) is None
    assert expected_variant(SQUAT, "both") == "both"


def test_a_single_wild_tick_makes_no_deviation_of_its_size():
    meter = RepetitionMeter(Standards(SQUAT))
    for k, sample in enumerate(samples("squat", "both", {})):
        if k == 30:
            sample.angles[JOINT["left_hip_spread"]] += np.radians(40)
        meter.add(sample)
    assert max((abs(np.degrees(d.deviation_rad)) for d in meter.worst()), default=0) < 10


def test_standards_are_interpolated_between_the_points_of_the_curve():
    standards = Standards(SQUAT)
    middle = (PHASES[7] + PHASES[8]) / 2
    said = estimate(Said("squat", "both", middle, Stage.BEGINNING))
    difference, _, _ = standards.differences(sample_of(tick(0), said))
    assert difference[0, JOINT["left_knee"]] == pytest.approx(0, abs=1e-5)
