"""Exercise with hysteresis, gates and sets."""

from __future__ import annotations

import numpy as np
import pytest
from scripted import CATALOGUE, HZ, TICK_NS, Said, ScriptedModel, standing, tick

from device.config import RepsConfig
from device.exercises import EntryPose, load_exercises
from device.messages import EXERCISES, NS_PER_S, Repetition, SetEnded, SetStarted, Stage
from device.runtime.sets import SetKeeper, SetMessage, joints_entered, kinds_of, seen_kinds, seen_share, trunk_held, trunk_lean
from device.skeleton import N_JOINTS, NODE

ALL_SEEN = [True] * 6


class Keeper:
    """A set keeper with scripted ticks: `rep` feeds one repetition's ticks and completes it."""

    def __init__(self) -> None:
        self.keeper = SetKeeper(RepsConfig(), HZ, EXERCISES, CATALOGUE)
        self.model = ScriptedModel([Said()])
        self.k = 0
        self.phase = 0.0

    @property
    def now_ns(self) -> int:
        return tick(self.k).t_ns

    def ticks(self, exercise: str, seconds: float, sureness: float, **body: object) -> None:
        for _ in range(round(seconds * HZ)):
            self.k += 1
            said = Said(exercise, "both" if exercise == "squat" else "left", self.phase, Stage.BEGINNING, sureness)
            now = tick(self.k, **body)
            self.keeper.step(now, self.model.estimate(said, now.t_ns, self.k))

    def rep(self, exercise: str, sureness: float = 0.95, seconds: float = 2.0, **body: object) -> list[SetMessage] | None:
        self.ticks(exercise, 0.3, sureness, **body)
        self.keeper.begin()
        start_ns = self.now_ns
        self.ticks(exercise, seconds, sureness, **body)
        return self.keeper.complete(start_ns, self.now_ns, lambda _: ("both", ()))

    def wait(self, seconds: float, moving: bool = False) -> list[SetMessage]:
        messages: list[SetMessage] = []
        for _ in range(round(seconds * HZ)):
            self.ticks("none", 1 / HZ, 0.95)
            messages += self.keeper.idle(self.now_ns, moving)
        return messages


def kinds(messages: list[SetMessage] | None) -> list[type]:
    assert messages is not None
    return [type(message) for message in messages]


def test_a_sure_repetition_opens_a_set_and_a_pause_ends_it():
    k = Keeper()
    assert kinds(k.rep("squat")) == [SetStarted, Repetition]
    assert kinds(k.rep("squat")) == [Repetition]
    assert k.keeper.repetitions == 2
    assert k.wait(3.9) == []
    (ended,) = k.wait(0.3)
    assert isinstance(ended, SetEnded)
    assert (ended.exercise, ended.repetitions) == ("squat", 2)
    assert ended.end_ns - ended.start_ns == pytest.approx(4.3 * NS_PER_S, abs=2 * TICK_NS)
    assert k.keeper.set_exercise == "none"


def test_two_plausible_repetitions_open_a_set_together():
    k = Keeper()
    assert k.rep("squat", 0.7) == []
    assert kinds(k.rep("squat", 0.7)) == [SetStarted, Repetition, Repetition]


def test_a_plausible_repetition_long_ago_confirms_nothing():
    k = Keeper()
    assert k.rep("squat", 0.7) == []
    k.wait(5)
    assert k.rep("squat", 0.7) == []


def test_a_doubtful_repetition_counts_when_a_sure_one_follows_directly():
    k = Keeper()
    assert k.rep("squat", 0.45) == []
    assert kinds(k.rep("squat")) == [SetStarted, Repetition, Repetition]
    late = Keeper()
    late.rep("squat", 0.45)
    late.wait(2)
    assert kinds(late.rep("squat")) == [SetStarted, Repetition]


def test_doubtful_repetitions_in_a_row_open_a_set_that_has_all_of_them():
    k = Keeper()
    assert [k.rep("squat", 0.49) for _ in range(4)] == [[]] * 4
    assert kinds(k.rep("squat", 0.49)) == [SetStarted, *[Repetition] * 5]


def test_none_and_unlikely_repetitions_open_no_set():
    k = Keeper()
    assert [k.rep("none"), k.rep("squat", 0.35), k.rep("push_up")] == [None, None, None]


def test_within_a_set_a_doubtful_repetition_counts_and_none_does_not():
    k = Keeper()
    k.rep("squat")
    assert kinds(k.rep("squat", 0.45)) == [Repetition]
    assert kinds(k.rep("lunge", 0.7)) == [Repetition]
    assert k.rep("none") is None
    assert k.keeper.repetitions == 3


def test_two_repetitions_of_another_exercise_change_the_set():
    k = Keeper()
    k.rep("squat")
    assert k.rep("lunge") == []
    messages = k.rep("lunge")
    assert kinds(messages) == [SetEnded, SetStarted, Repetition, Repetition]
    assert k.keeper.set_exercise == "lunge"


def test_one_sure_repetition_of_another_exercise_is_its_own_set_when_the_first_one_ends():
    k = Keeper()
    k.rep("squat")
    assert k.rep("lunge") == []
    assert kinds(k.wait(2.5)) == [SetEnded, SetStarted, Repetition]


def test_a_repetition_in_progress_keeps_its_set_open():
    k = Keeper()
    k.rep("squat")
    k.ticks("squat", 6.0, 0.95)
    assert k.keeper.idle(k.now_ns, moving=True) == []
    assert kinds(k.keeper.idle(k.now_ns, moving=False)) == [SetEnded]


def test_closing_ends_the_open_set_once():
    k = Keeper()
    k.rep("squat")
    assert kinds(k.keeper.close()) == [SetEnded]
    assert k.keeper.close() == []


def test_who_never_reaches_the_entry_pose_needs_two_repetitions():
    k = Keeper()
    k.phase = 0.5
    k.ticks("squat", 1, 0.2)
    assert k.rep("squat") == []
    assert kinds(k.rep("squat")) == [SetStarted, Repetition, Repetition]


def test_the_trunk_of_the_entry_pose_is_asked_of_the_first_repetition_only():
    lying = standing()[:, [1, 0, 2]]
    k = Keeper()
    k.ticks("none", 1, 0.95, world=lying)
    assert k.rep("squat", world=lying) is None
    k.wait(2)
    assert kinds(k.rep("squat")) == [SetStarted, Repetition]
    assert kinds(k.rep("squat", world=lying)) == [Repetition]


def test_of_whom_nobody_saw_before_the_entry_pose_is_not_asked():
    k = Keeper()
    k.phase = 0.5
    assert kinds(k.rep("squat")) == [SetStarted, Repetition]
    k.wait(5)
    k.ticks("none", 1, 0.95, present=False)
    assert kinds(k.rep("squat")) == [SetStarted, Repetition]
    k.wait(5)
    k.ticks("squat", 1, 0.2)
    assert k.rep("squat") == []


@pytest.mark.parametrize(
    ("worn", "opened"), [((2, 3), True), ((0, 1, 2, 3), True), ((0, 1, 2), False), ((0, 3), False), ((), False)]
)
def test_unseen_lunges_need_both_ankles(worn, opened):
    bands = np.isin(np.arange(4), worn)
    k = Keeper()
    assert (k.rep("lunge", present=False, bands=bands) is not None) is opened
    assert kinds(Keeper().rep("squat", present=False, bands=bands)) == [SetStarted, Repetition]
    assert kinds(Keeper().rep("lunge", bands=bands)) == [SetStarted, Repetition]


def test_a_set_goes_on_when_a_band_is_lost():
    k = Keeper()
    k.rep("lunge", present=False, bands=np.ones(4, dtype=np.bool_))
    assert kinds(k.rep("lunge", present=False, bands=np.zeros(4, dtype=np.bool_))) == [Repetition]


def test_what_nobody_could_name_between_two_repetitions_is_one_of_them():
    k = Keeper()
    assert [k.rep("squat", 0.6), k.rep("squat", 0.3)] == [[], None]
    assert kinds(k.rep("squat")) == [SetStarted, *[Repetition] * 3]


@pytest.mark.parametrize(("between", "sureness", "pause_s"), [("none", 0.95, 0.0), ("squat", 0.3, 1.3)])
def test_what_is_none_or_does_not_follow_directly_is_none_of_them(between, sureness, pause_s):
    k = Keeper()
    assert k.rep("squat", 0.6) == []
    k.wait(pause_s)
    assert k.rep(between, sureness) is None
    assert kinds(k.rep("squat")) == [SetStarted, Repetition, Repetition]


def test_a_repetition_far_sooner_than_all_before_it_is_none():
    k = Keeper()
    for _ in range(5):
        k.rep("squat")
    assert k.rep("squat", seconds=0.5) is None
    assert kinds(k.rep("squat", seconds=0.5)) == [Repetition]
    assert k.keeper.repetitions == 6


def test_hidden_joints_count_nothing_unless_the_bands_are_alone():
    assert Keeper().rep("squat", visibility=0.3) is None
    assert kinds(Keeper().rep("squat", visibility=0.3, present=False)) == [SetStarted, Repetition]


def test_the_exercise_follows_the_classes_with_hysteresis():
    k = Keeper()
    k.ticks("squat", 1.5, 0.95)
    assert k.keeper.exercise == "squat"
    k.ticks("squat", 1.5, 0.5)
    assert k.keeper.exercise == "squat"
    k.ticks("none", 1.5, 0.95)
    assert k.keeper.exercise == "none"
    assert k.keeper.confidence("squat") < 0.1


def test_within_a_set_a_glitch_does_not_change_the_exercise():
    k = Keeper()
    k.rep("squat")
    k.ticks("lunge", 0.8, 0.95)
    assert k.keeper.exercise == "squat"
    k.ticks("lunge", 1.5, 0.95)
    assert k.keeper.exercise == "lunge"


@pytest.mark.parametrize(("lean_deg", "fits"), [(0, True), (35, True), (50, False), (90, False)])
def test_the_entry_pose_allows_for_a_tilted_camera(lean_deg, fits):
    entry = EntryPose((0.0, float(np.radians(25))), (("knee", 2.5, 3.2),))
    c, s = np.cos(np.radians(lean_deg)), np.sin(np.radians(lean_deg))
    leaning = standing() @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    assert trunk_held(entry, trunk_lean(leaning)) is fits


def test_one_side_of_each_joint_makes_the_entry_pose():
    entry = EntryPose((0.0, 0.5), (("knee", 2.5, 3.2),))
    angles = np.full(N_JOINTS, 3.0)
    assert joints_entered(entry, angles.tolist(), ALL_SEEN)
    angles[6] = 1.5
    assert joints_entered(entry, angles.tolist(), ALL_SEEN)
    angles[7] = 1.5
    assert not joints_entered(entry, angles.tolist(), ALL_SEEN)
    assert joints_entered(entry, angles.tolist(), [False] * 6)


def test_the_trunk_has_to_be_there_and_held_as_in_the_entry_pose():
    entry = EntryPose((0.0, 0.5), ())
    assert trunk_held(entry, trunk_lean(standing()))
    assert not trunk_held(entry, trunk_lean(standing()[:, [1, 0, 2]]))
    assert not trunk_held(entry, trunk_lean(np.zeros((33, 3))))


def test_one_hidden_wrist_does_not_void_a_push_up_but_half_a_body_does() -> None:
    push_up = kinds_of(load_exercises()["push_up"])
    seen = np.full(33, 0.9)
    seen[[NODE["left_wrist"], NODE["right_wrist"]]] = 0.02
    assert seen_share(seen_kinds(seen), push_up) > 0.5
    squat = kinds_of(load_exercises()["squat"])
    seen = np.full(33, 0.9)
    seen[NODE["left_knee"] :] = 0.05
    assert seen_share(seen_kinds(seen), squat) < 0.5
