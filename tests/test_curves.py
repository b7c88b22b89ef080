"""Standard curves derived from error-free motion."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import device.exercises
from device.exercises import CURVE_POINTS, load_exercise, load_exercises
from device.sim.body import sample_body
from device.sim.curves import derive_curves, update_file
from device.sim.kinematics import posture
from device.sim.motion import motion_of, repetition
from device.skeleton import joint_angles

ALL = load_exercises()
CASES = [(name, variant) for name, exercise in sorted(ALL.items()) for variant in exercise.variants]


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_files_hold_what_the_motion_gives(name):
    derived = derive_curves(ALL[name])
    assert derived.keys() == ALL[name].curves.keys()
    for key, curve in derived.items():
        assert np.degrees(np.abs(curve - ALL[name].curves[key])).max() < 0.2


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_people_without_errors_follow_the_standard(name, variant):
    exercise = ALL[name]
    parameters = repetition(motion_of(exercise), variant)(np.linspace(0, 1, CURVE_POINTS))
    standard = exercise.standard(variant)
    judged = ~np.isnan(standard[0])
    assert judged.any()
    for seed in range(1000, 1020):
        angles = joint_angles(posture(sample_body(np.random.default_rng(seed)), parameters).landmarks)
        assert np.degrees(np.abs(angles - standard)[:, judged]).max() < 4


def test_updating_a_file_keeps_all_else_and_is_stable(tmp_path):
    source = Path(device.exercises.__file__).parent / "lunge.toml"
    file = Path(shutil.copy(source, tmp_path))
    file.write_text(file.read_text().split("[curves.")[0])
    update_file(file)
    once = file.read_text()
    assert once == source.read_text()
    update_file(file)
    assert file.read_text() == once
    assert load_exercise(file).curves.keys() == ALL["lunge"].curves.keys()
