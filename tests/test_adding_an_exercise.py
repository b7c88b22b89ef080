"""docs/adding-an-exercise.md, followed to the letter."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from device.config import config_from
from device.exercises import load_exercises
from device.messages import EXERCISES, NS_PER_S
from device.sim.script import PlannedHabit, SessionPlan, SetBlock, plan_session
from device.sim.trainee import VirtualTrainee
from device.skeleton import JOINT
from device.voice import load_prompts

GUIDE = (Path(__file__).parents[1] / "docs" / "adding-an-exercise.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`([\w.]+)`:\n\n```toml\n(.*?)```", GUIDE, re.DOTALL))
COMMAND = re.search(r"^    python (-m device\.sim\.curves) \S*/(\S+)$", GUIDE, re.MULTILINE)
NAME = "sumo_squat"


@pytest.fixture(scope="module")
def exercises(tmp_path_factory):
    """All exercises once the guide's file lies in its folder and its curves have been derived."""
    folder = tmp_path_factory.mktemp("exercises")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    subprocess.run([sys.executable, *COMMAND[1].split(), str(folder / COMMAND[2])], check=True)
    config = config_from({"exercises": {"folder": str(folder)}})
    return load_exercises(config.exercises.folder, config.exercises.enabled)


def test_the_new_exercise_stands_beside_the_built_in_ones(exercises):
    assert set(exercises) == {*load_exercises(), NAME}


def test_curves_have_been_derived_for_all_that_is_judged(exercises):
    exercise = exercises[NAME]
    assert set(exercise.curves) == {(kind, "lead") for kind in exercise.tolerance}
    knee = np.degrees(exercise.curves["knee", "lead"])
    assert knee[0] == pytest.approx(172, abs=2)
    assert knee[20] == pytest.approx(96, abs=2)


def test_the_virtual_trainee_performs_it_to_the_standard(exercises):
    plan = SessionPlan(0.0, (SetBlock(NAME, "both", 3, "normal", (), 0.2),))
    trainee = VirtualTrainee(5, plan, exercises=exercises)
    done = trainee.sets[0]
    assert len(done.repetitions) == 3
    times = np.arange(done.start_ns, done.end_ns, NS_PER_S // 30)
    track = trainee.track(times)
    assert set(track.exercise) == {EXERCISES.index("squat")}
    standard = exercises[NAME].standard("both")
    for kind, tolerance in exercises[NAME].tolerance.items():
        i = JOINT[f"left_{kind}"]
        expected = np.interp(track.phase, np.linspace(0, 1, 41), standard[:, i])
        assert np.abs(track.angles[:, i] - expected).max() < tolerance


def test_its_habits_show_in_the_joint_they_name(exercises):
    exercise = exercises[NAME]
    for habit in exercise.habits:
        plan = SessionPlan(0.0, (SetBlock(NAME, "both", 3, "normal", (PlannedHabit(habit.error, "both", 0.35, 0),), 0.0),))
        trainee = VirtualTrainee(5, plan, exercises=exercises)
        last = trainee.sets[0].repetitions[-1]
        truth = trainee.truth((last.start_ns + last.end_ns) // 2)
        i = JOINT[f"left_{habit.joint}"]
        assert habit.sign * (truth.angles[i] - exercise.standard("both")[20, i]) == pytest.approx(0.35, abs=0.09)


def test_sessions_can_be_planned_with_it(exercises):
    plan = plan_session(1, sets=[NAME, "lunge"], exercises=exercises)
    assert [block.exercise for block in plan.blocks if isinstance(block, SetBlock)] == [NAME, "lunge"]


def test_its_prompts_exist(exercises):
    prompts = load_prompts()
    for cue in exercises[NAME].cues:
        assert {cue.prompt, cue.praise} <= set(prompts.sounds)
