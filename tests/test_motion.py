"""Keyposes and the smooth track through them."""

from dataclasses import replace

import numpy as np
import pytest

from device.errors import ExerciseError
from device.exercises import load_exercises
from device.sim.kinematics import COLUMN, RELAXED
from device.sim.motion import Knots, motion_of, repetition, shape, smooth, with_parameters

ALL = load_exercises()


def test_a_track_passes_its_knots_without_overshoot_and_rests_at_turning_points():
    times, values = np.array([0.0, 1.0, 1.5, 3.0]), np.array([[0.0], [2.0], [2.0], [-1.0]])
    track = Knots(times, values)
    assert np.allclose(track(times), values)
    assert np.allclose(track(times, 1), 0)
    fine = track(np.linspace(-1, 4, 2001))
    assert fine.max() <= 2 + 1e-9
    assert fine.min() >= -1 - 1e-9


def test_a_track_is_smooth_up_to_its_second_derivative():
    rng = np.random.default_rng(0)
    times, values = np.cumsum(rng.uniform(0.2, 1, 30)), rng.normal(size=(30, 4))
    track = Knots(times, values)
    for order in (0, 1, 2):
        before, after = track(times[1:-1] - 1e-9, order), track(times[1:-1] + 1e-9, order)
        assert np.allclose(before, after, atol=1e-4)


def test_derivatives_are_those_of_the_values():
    track = Knots(np.array([0.0, 0.7, 1.0]), np.array([[0.0], [1.0], [3.0]]))
    t = np.linspace(0.01, 0.99, 50)
    for order in (0, 1):
        numeric = (track(t + 1e-6, order) - track(t - 1e-6, order)) / 2e-6
        assert np.allclose(numeric, track(t, order + 1), atol=1e-3)


def test_a_parameter_that_a_key_does_not_give_runs_past_it():
    squat = motion_of(ALL["squat"])
    plain = repetition(squat, "both")
    keys = (squat.keys[0], {"nod": 3.0}, *squat.keys[1:])
    more = repetition(replace(squat, keys=keys, phases=(0.0, 0.2, *squat.phases[1:])), "both")
    phases = np.linspace(0, 1, 101)
    knee, nod = COLUMN["left_knee"], COLUMN["nod"]
    assert np.allclose(plain(phases)[:, knee], more(phases)[:, knee])
    assert more(np.array([0.2]))[0, nod] == pytest.approx(3.0)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_repetition_starts_and_ends_at_rest_in_the_start_posture(name):
    for variant in ALL[name].variants:
        knots = repetition(motion_of(ALL[name]), variant)
        ends = np.array([0.0, 1.0])
        assert np.allclose(knots(ends)[0], knots(ends)[1])
        assert np.allclose(knots(ends, 1), 0)
        assert np.allclose(knots(ends, 2), 0)


def test_lead_and_trail_are_the_sides_that_the_variant_says():
    changes = {"lead_elbow": 50.0, "trail_elbow": 100.0}
    left, right = COLUMN["left_elbow"], COLUMN["right_elbow"]
    assert list(with_parameters(RELAXED, changes, "left")[[left, right]]) == [50, 100]
    assert list(with_parameters(RELAXED, changes, "right")[[left, right]]) == [100, 50]
    assert list(with_parameters(RELAXED, changes, "both")[[left, right]]) == [50, 50]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": [{"phase": 0.0}, {"phase": 1.0, "kne": 90}]}, r"unknown motion parameter kne\. Did you mean knee\?"),
        ({"keys": [{"phase": 0.0}, {"phase": 0.9}]}, "phases must ascend from 0 to 1"),
        ({"rep_s": {"slow": 3}}, "is incomplete"),
        ({"speed": 3}, "unknown key speed"),
        ({"stance": {"lead_trunk": 3}}, "unknown motion parameter lead_trunk"),
    ],
)
def test_a_wrong_motion_says_what_is_wrong(change, message):
    squat = ALL["squat"]
    with pytest.raises(ExerciseError, match=message):
        motion_of(replace(squat, motion={**squat.motion, **change}))


def test_shapes_are_full_where_they_should_be_and_end_gently():
    phase = np.linspace(0, 1, 101)
    assert (shape("hold", phase) == 1).all()
    peak = shape("peak", phase)
    assert peak[50] == pytest.approx(1)
    assert peak[0] == peak[-1] == 0
    assert shape("start", phase)[0] == pytest.approx(1)
    assert shape("end", phase)[-1] == pytest.approx(1)
    assert (shape("start", phase)[50:] < 1e-6).all()
    assert smooth(np.array([-1.0, 0.0, 0.5, 1.0, 2.0])) == pytest.approx([0, 0, 0.5, 1, 1])
