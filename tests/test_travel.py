"""Repetitions that the joints have done, whatever the phase says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scripted import START_NS, standing, tick

from device.config import RepsConfig
from device.exercises import load_exercises
from device.messages import NS_PER_S
from device.runtime import travel
from device.runtime.sets import Mark
from device.runtime.travel import GATE, PROMINENCE, Travelled, TravelWatch
from device.skeleton import JOINT, NODE

EXERCISES = load_exercises()
HZ = 30.0
NOTHING = Mark(0, (), 0, (), (), frozenset(), frozenset())


@pytest.fixture(autouse=True)
def _landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travel, "joint_angles_now", travel.joint_angles_now)


class Watch:
    """A watch of all exercises that is fed angles of one; the landmarks show the same angles, or those that it is told."""

    def __init__(self) -> None:
        self.watch = TravelWatch(RepsConfig(), HZ, EXERCISES)
        self.shown: np.ndarray | None = None
        self.visibility = 0.95
        self.k = 0
        self.due: list[Travelled] = []

    @property
    def now_ns(self) -> int:
        return tick(self.k).t_ns

    def be(self, angles: np.ndarray | None, seconds: float = 1 / HZ) -> None:
        for _ in range(round(seconds * HZ)):
            self.k += 1
            shown = angles if self.shown is None else self.shown
            now = tick(
                self.k, present=angles is not None, visibility=self.visibility, world=None if shown is None else body(shown)
            )
            travel.joint_angles_now = lambda _, shown=shown: [] if shown is None else shown.tolist()
            self.watch.step(now, entry("squat", "both") if angles is None else angles, lambda: NOTHING)
            self.due += self.watch.due(now.t_ns)

    def do(
        self, exercise: str, variant: str, *, share: float = 1.0, seconds: float = 2.0, bent: float = 0.0,
        still: tuple[str, ...] = (), arms: float = 0.0,
    ) -> None:  # fmt: skip
        """One repetition, `share` of the way, from a posture whose joints are `bent` (rad) all along. The landmarks show joints
        that are `still`, and elbows that turn by `arms` (rad)."""
        standard = np.nan_to_num(EXERCISES[exercise].standard(variant))
        for phase in np.linspace(0, 1, round(seconds * HZ)):
            at = standard[0] + share * (standard[round(phase * (len(standard) - 1))] - standard[0]) - bent
            self.shown = at.copy()
            self.shown[[JOINT[joint] for joint in still]] = standard[0, [JOINT[joint] for joint in still]]
            self.shown[JOINT["left_elbow"]] += arms * np.sin(np.pi * phase)
            self.be(at)
        self.shown = None

    def found(self, exercise: str) -> int:
        return sum(done.exercise == exercise for done in self.due)


def body(angles: np.ndarray) -> np.ndarray:
    """Somebody whose hips are as high above the ankles as the knees are straight."""
    world = standing()
    for side in ("left", "right"):
        world[NODE[f"{side}_ankle"], 1] = 0.85 * np.sin(angles[JOINT[f"{side}_knee"]] / 2)
    return world


def far(exercise: str) -> np.ndarray:
    standard = np.nan_to_num(EXERCISES[exercise].standard("both"))
    return standard[len(standard) // 2] - standard[0]


def entry(exercise: str, variant: str) -> np.ndarray:
    return np.nan_to_num(EXERCISES[exercise].standard(variant)[0])


@pytest.mark.parametrize(
    ("exercise", "variant"), [(name, variant) for name, exercise in EXERCISES.items() for variant in exercise.variants]
)
def test_every_repetition_of_the_standard_is_found_once(exercise, variant):
    w = Watch()
    w.be(entry(exercise, variant), 1)
    for _ in range(4):
        w.do(exercise, variant)
    w.be(entry(exercise, variant), 3)
    assert w.found(exercise) == 4
    first = next(done for done in w.due if done.exercise == exercise)
    assert 1.0 <= (first.start_ns - START_NS) / NS_PER_S <= 1.6
    assert 2.2 <= (first.end_ns - START_NS) / NS_PER_S <= 3.0


def test_who_stands_with_bent_joints_is_counted_too():
    w = Watch()
    w.be(entry("squat", "both") - 0.3, 1)
    for _ in range(3):
        w.do("squat", "both", share=0.7, seconds=1.2, bent=0.3)
    w.be(entry("squat", "both") - 0.3, 2)
    assert w.found("squat") == 3


def test_what_the_network_draws_to_the_standard_the_landmarks_still_show():
    w = Watch()
    w.be(entry("squat", "both"), 1)
    for _ in range(3):
        for refined, shown in ((0.45, 0.9), (0.0, 0.0)):
            w.shown = entry("squat", "both") + shown * far("squat")
            w.be(entry("squat", "both") + refined * far("squat"), 1)
    w.be(entry("squat", "both"), 3)
    assert w.found("squat") == 3


@pytest.mark.parametrize("share", [PROMINENCE - 0.1, 0.1])
def test_small_movements_are_no_repetitions(share):
    w = Watch()
    for _ in range(3):
        w.do("squat", "both", share=share)
    w.be(entry("squat", "both"), 3)
    assert w.found("squat") == 0


def after_a_squat() -> Watch:
    w = Watch()
    w.be(entry("squat", "both"), 1)
    w.do("squat", "both")
    return w


def test_what_the_phase_found_is_not_found_again():
    w = after_a_squat()
    w.watch.took(w.now_ns)
    w.be(entry("squat", "both"), 3)
    assert w.found("squat") == 0


def test_what_the_phase_passed_over_is_given_out_before_what_it_found_next():
    w = after_a_squat()
    assert not w.found("squat")
    assert w.watch.before(w.now_ns - NS_PER_S) == []
    (missed,) = [one for one in w.watch.before(w.now_ns) if one.exercise == "squat"]
    assert missed.end_ns <= w.now_ns
    w.be(entry("squat", "both"), 3)
    assert w.found("squat") == 0


def test_two_excursions_are_not_one_repetition_of_the_phase_while_they_wait():
    w = Watch()
    w.be(entry("squat", "both"), 1)
    start_ns = w.now_ns
    w.do("squat", "both", seconds=0.42)
    assert w.watch.knows("squat", start_ns, w.now_ns)
    w.do("squat", "both", seconds=0.42)
    assert not w.watch.knows("squat", start_ns, w.now_ns)


def test_what_the_joints_found_is_not_found_again_by_the_phase():
    w = after_a_squat()
    w.be(entry("squat", "both"), 2)
    (done,) = [one for one in w.due if one.exercise == "squat"]
    assert w.watch.knows("squat", done.start_ns, w.now_ns)
    w.watch.took(done.end_ns)
    assert not w.watch.knows("squat", done.start_ns, w.now_ns)


def test_a_phase_without_movement_is_refused_where_the_joints_are_seen():
    w = Watch()
    w.be(entry("squat", "both"), 1)
    start_ns = w.now_ns
    w.do("squat", "both", share=GATE - 0.1)
    assert not w.watch.knows("squat", start_ns, w.now_ns)
    assert w.watch.knows("something else", start_ns, w.now_ns)
    blind = Watch()
    blind.be(None, 3)
    assert blind.watch.knows("squat", 0, blind.now_ns)


@pytest.mark.parametrize(
    ("exercise", "variant", "shown", "fits"),
    [
        ("lunge", "left", {}, True), ("lunge", "left", {"still": ("right_knee",)}, False),
        ("lunge", "right", {"still": ("right_knee",)}, False), ("lunge", "left", {"still": ("left_ankle", "right_hip")}, True),
        ("squat", "both", {"still": ("left_knee", "right_knee")}, True), ("squat", "both", {"arms": 2.5}, True),
        ("squat", "both", {"arms": 4.0}, False), ("lunge", "right", {"arms": 2.0}, True),
        ("lunge", "right", {"arms": 3.5}, False), ("jumping_jack", "both", {"still": ("left_hip_spread",)}, True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("visible", [True, False])
def test_who_moves_something_else_does_another_exercise(exercise, variant, shown, fits, visible):
    w = Watch()
    w.visibility = 0.9 if visible else 0.1
    w.be(entry(exercise, variant), 1)
    start_ns = w.now_ns
    w.do(exercise, variant, **shown)
    assert w.watch.knows(exercise, start_ns, w.now_ns) is (fits or not visible)


def test_a_gap_in_the_pose_begins_anew():
    w = Watch()
    standard = np.nan_to_num(EXERCISES["squat"].standard("both"))
    w.be(standard[0], 1)
    w.be(standard[20], 0.5)
    w.be(None, 2)
    w.be(standard[0], 3)
    assert w.found("squat") == 0


def swings(k: int, period_s: float) -> np.ndarray:
    """(4, 6) of a right wrist that goes up and down, its strap anyhow."""
    turn, imu = 2 * np.pi * k / HZ / period_s, np.zeros((4, 6), dtype=np.float32)
    imu[1] = np.array([9.8 * np.cos(0.6 * np.sin(turn)), 5 * np.sin(0.6 * np.sin(turn)), 2.0, 0.1, np.cos(turn), 0.0])
    return imu


@pytest.mark.parametrize("period_s", [0.9, 2.0, 4.0])
def test_bands_alone_tell_by_their_rhythm(period_s):
    watch, due = TravelWatch(RepsConfig(), HZ, EXERCISES), []
    worn = np.array([False, True, False, False])
    for k in range(round(12 * period_s * HZ)):
        now = dataclasses.replace(tick(k, present=False), imu=swings(k, period_s), imu_present=worn)
        watch.step(now, np.zeros(12), lambda: NOTHING)
        due += watch.due(now.t_ns)
    assert {done.exercise for done in due} == {None}
    assert 9 <= len(due) <= 12
    assert np.median([done.end_ns - done.start_ns for done in due]) == pytest.approx(period_s * NS_PER_S, rel=0.15)


def test_bands_that_lie_still_have_no_rhythm():
    watch, due, rng = TravelWatch(RepsConfig(), HZ, EXERCISES), [], np.random.default_rng(3)
    for k in range(900):
        imu = np.array([9.8, 0, 0, 0, 0, 0]) + rng.normal(0, 0.05, (4, 6))
        still = dataclasses.replace(tick(k, present=False), imu=imu.astype(np.float32), imu_present=np.ones(4, dtype=np.bool_))
        watch.step(still, np.zeros(12), lambda: NOTHING)
        due += watch.due(still.t_ns)
    assert due == []
