"""Exercise files: what is in the built-in ones, and what a wrong one says."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

import device.exercises
from device.errors import ExerciseError
from device.exercises import CURVE_POINTS, load_exercise, load_exercises
from device.messages import EXERCISES, Stage
from device.skeleton import JOINT

BUILT_IN = Path(device.exercises.__file__).parent
ALL = load_exercises()


@pytest.fixture
def squat(tmp_path):
    """A copy of the squat's file to spoil."""
    return Path(shutil.copy(BUILT_IN / "squat.toml", tmp_path / "squat.toml"))


def spoil(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return file


def test_every_class_of_the_model_has_its_exercise():
    assert {exercise.model_class for exercise in ALL.values()} == set(EXERCISES) - {"none"}


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_correction_has_a_habit_that_needs_it_and_a_standard_to_judge_it_by(name):
    exercise = ALL[name]
    habits = {(habit.error, habit.joint, habit.sign) for habit in exercise.habits}
    assert habits == {(cue.error, cue.joint, cue.sign) for cue in exercise.cues}
    for cue in exercise.cues:
        assert cue.joint in exercise.tolerance
        assert (cue.joint, "lead") in exercise.curves


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_prompt_has_its_text(name):
    texts = tomllib.loads((Path(device.__file__).parent / "voice" / "en" / "prompts.toml").read_text())["prompts"]
    for cue in ALL[name].cues:
        assert texts[cue.prompt] == cue.text
        assert cue.praise in texts


def test_in_both_both_sides_follow_lead_and_in_left_the_right_follows_trail():
    curl = ALL["bicep_curl"]
    both, left, right = (curl.standard(variant) for variant in ("both", "left", "right"))
    assert both.shape == (CURVE_POINTS, len(JOINT))
    assert np.array_equal(both[:, JOINT["left_elbow"]], both[:, JOINT["right_elbow"]])
    assert np.ptp(left[:, JOINT["left_elbow"]]) > 1.5
    assert np.ptp(left[:, JOINT["right_elbow"]]) < 0.05
    assert np.array_equal(left[:, JOINT["left_elbow"]], right[:, JOINT["right_elbow"]])
    assert np.isnan(both[:, JOINT["left_ankle"]]).all()


def test_a_single_led_exercise_has_no_standard_for_both():
    assert "both" not in ALL["lunge"].variants
    assert ALL["lunge"].alternates


def test_stages_follow_each_other_over_the_phase():
    squat = ALL["squat"]
    assert [squat.stage(p) for p in (0.0, 0.3, 0.5, 0.9)] == [Stage.BEGINNING, Stage.BEGINNING, Stage.EXECUTION, Stage.END]


def test_a_folder_adds_and_replaces(squat):
    spoil(squat, 'title = "Squat"', 'title = "Deep squat"')
    assert load_exercises(squat.parent)["squat"].title == "Deep squat"
    spoil(squat, 'name = "squat"', 'name = "deep_squat"')
    assert set(load_exercises(squat.parent)) == {*ALL, "deep_squat"}


def test_what_the_bands_are_judged_by_is_read_in_radians():
    fast, caving = ALL["squat"].band_cues
    assert (fast.error, fast.measure, fast.bands, fast.text) == ("too_fast", "rate", "wrist", "Slower")
    assert fast.limit == pytest.approx(np.radians(240))
    # The same error as the skeleton's.
    assert caving.error in {cue.error for cue in ALL["squat"].cues}
    uneven = ALL["jumping_jack"].band_cues[-1]
    assert (uneven.measure, uneven.limit) == ("asymmetry", 1.6)
    assert uneven.floor == pytest.approx(np.radians(170))


def test_an_exercise_may_leave_the_bands_alone(squat):
    text = squat.read_text()
    start, end = text.index("[[band_cues]]"), text.index("[motion]")
    squat.write_text(text[:start] + text[end:])
    assert load_exercise(squat).band_cues == ()


def test_only_enabled_exercises_are_loaded():
    assert set(load_exercises(enabled=["lunge", "squat"])) == {"lunge", "squat"}
    with pytest.raises(ExerciseError, match=r"'lunges'.*Did you mean lunge\?"):
        load_exercises(enabled=["lunges"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("stage_ends", "stage_end", r"unknown key stage_end\. Did you mean stage_ends\?"),
        ('praise = "better"\n', "", r"cues\[0\]\.praise is missing"),
        ('joint = "hip_spread"', 'joint = "hip_spraed"', r"cues\[0\]\.joint has 'hip_spraed'\. Did you mean hip_spread\?"),
        ("sign = -1", "sign = 2", r"cues\[0\]\.sign must be 1"),
        ("phases = [0.25, 0.75]", "phases = [0.75, 0.25]", r"cues\[0\]\.phases must be two ascending numbers from 0 to 1"),
        ("priority = 30", 'priority = "high"', r"cues\[0\]\.priority must be a number"),
        ("knee = 8", "knee = 900", r"tolerance\.knee = 900 is out of range; it must be 0 to 90"),
        ('model_class = "squat"', 'model_class = "squad"', r"model_class has 'squad'\. Did you mean squat\?"),
        ('"left_knee"', '"left_kne"', r"joints has 'left_kne'\. Did you mean left_knee\?"),
        ("stage_ends = [0.36, 0.64]", "stage_ends = 0.36", r"stage_ends must be a list of numbers"),
        ("[tolerance]", "[tolerance", "not valid TOML"),
        ("[[band_cues]]", "[[band_cuse]]", r"unknown key band_cuse\. Did you mean band_cues\?"),
        ('measure = "rate"', 'measure = "rates"', r"band_cues\[0\]\.measure has 'rates'\. Did you mean rate\?"),
        ("limit = 240", "limit = 2", r"band_cues\[0\]\.limit = 2 is out of range; it must be 5 to 2000"),
        ("limit = 240", "limit = 240\nfloor = 60", r"unknown key band_cues\[0\]\.floor"),
        ('measure = "rate"', 'measure = "asymmetry"', r"band_cues\[0\]\.floor is missing"),
        ('text = "Slower"\n', "", r"band_cues\[0\]\.text is missing"),
        ('error = "too_fast"', 'error = "knees_caving_in"', r"band_cues\[1\]\.error = 'knees_caving_in' is there twice"),
        ("lead = [\n", "lead = [\n    1.0,\n", r"curves\.\w+\.lead has 42 values"),
    ],
)
def test_a_wrong_file_says_where_and_what(squat, old, new, message):
    with pytest.raises(ExerciseError, match=message) as caught:
        load_exercise(spoil(squat, old, new))
    assert str(squat) in str(caught.value)


def test_an_absent_file_or_folder_is_named(tmp_path):
    with pytest.raises(ExerciseError, match=r"none\.toml: can't be read"):
        load_exercise(tmp_path / "none.toml")
    with pytest.raises(ExerciseError, match="no such folder"):
        load_exercises(tmp_path / "nowhere")
