"""Windows of evidence for the corrections of one repetition."""

from __future__ import annotations

import numpy as np
import pytest
from scripted import HZ, LUNGE, SQUAT, Said, ScriptedModel, tick

from device.exercises import Exercise
from device.messages import Stage
from device.runtime.deviation import RepetitionMeter, Standards, sample_of
from device.runtime.evidence import Evidence, Response, Window


def watch(
    exercise: Exercise,
    variant: str,
    errors: dict[str, float],
    until: float = 1.0,
    responses: dict[str, Response] | None = None,
    **model: float,
) -> dict[str, Window]:
    standards = Standards(exercise)
    meter, evidence = RepetitionMeter(standards), Evidence(standards, HZ, responses or {})
    radians = {joint: float(np.radians(size)) for joint, size in errors.items()}
    scripted = ScriptedModel([Said()], **model)
    for k in range(round(60 * until)):
        said = Said(exercise.name, variant, (k + 0.5) / 60, Stage.EXECUTION, errors=radians)
        sample = sample_of(tick(k), scripted.estimate(said, 0, 0))
        evidence.add(sample.phase, meter.add(sample))
    return {f"{w.rule.error} {w.joint}": w for w in evidence.windows(standards.variants.index(variant))}


def test_each_rule_sees_its_joint_on_both_sides_in_its_own_phases():
    windows = watch(SQUAT, "both", {"left_hip_spread": -20})
    assert set(windows) == {
        *("knees_caving_in left_hip_spread", "knees_caving_in right_hip_spread"),
        *("forward_lean left_hip", "forward_lean right_hip", "shallow left_knee", "shallow right_knee"),
    }
    assert np.degrees(windows["knees_caving_in left_hip_spread"].difference_rad) == pytest.approx(17, abs=2)
    assert np.degrees(windows["knees_caving_in right_hip_spread"].difference_rad) == pytest.approx(0, abs=1)
    assert windows["knees_caving_in left_hip_spread"].seconds == pytest.approx(0.4 * 2, abs=0.1)


def test_a_difference_in_the_other_direction_is_negative():
    assert watch(SQUAT, "both", {"left_hip_spread": 20})["knees_caving_in left_hip_spread"].difference_rad < -0.2


def test_a_rule_for_the_leading_side_sees_that_side_alone():
    assert set(watch(LUNGE, "right", {})) == {"short_lunge right_knee"}
    assert set(watch(LUNGE, "left", {})) == {"short_lunge left_knee"}


def test_a_window_has_a_half_and_an_end():
    name = "shallow left_knee"
    assert name not in watch(SQUAT, "both", {}, until=0.35)
    states = [(w.half, w.ended) for until in (0.45, 0.55, 0.7) for w in (watch(SQUAT, "both", {}, until=until)[name],)]
    assert states == [(False, False), (True, False), (True, True)]


def test_a_lag_of_the_phase_cancels_over_the_whole_window():
    standards = Standards(SQUAT)
    meter, evidence = RepetitionMeter(standards), Evidence(standards, HZ, {})
    model = ScriptedModel([Said()])
    for k in range(60):
        true, seen = (k + 0.5) / 60, max((k - 1.5) / 60, 0.0)
        sample = sample_of(tick(k), model.estimate(Said("squat", "both", true, Stage.EXECUTION), 0, 0))
        late = type(sample)(sample.t_ns, seen, sample.angles, sample.sigma)
        evidence.add(seen, meter.add(late))
    for window in evidence.windows(0):
        assert abs(np.degrees(window.difference_rad)) < 1.5


def test_the_mean_is_less_uncertain_than_a_tick_but_not_as_if_ticks_were_independent():
    for sigma_deg in (4.0, 8.0):
        window = watch(SQUAT, "both", {}, sigma_deg=sigma_deg)["knees_caving_in left_hip_spread"]
        assert sigma_deg / 2 < np.degrees(window.sigma_rad) < sigma_deg * 1.2


def test_what_a_model_shows_too_small_and_shifted_is_put_right_and_is_as_uncertain_as_it_was_found_to_be():
    shown = watch(SQUAT, "both", {"left_knee": 20})
    right = watch(SQUAT, "both", {"left_knee": 20}, responses={"shallow": Response(bias_rad=0.1, gain=0.5, spread=1.5)})
    was, now = shown["shallow left_knee"], right["shallow left_knee"]
    assert now.difference_rad == pytest.approx((was.difference_rad - 0.1) / 0.5)
    assert now.sigma_rad == pytest.approx(was.sigma_rad * 1.5 / 0.5)
    assert right["forward_lean left_hip"] == shown["forward_lean left_hip"]
