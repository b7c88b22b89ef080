"""How people do exercises before a camera: as deep, as high and as bent as cameras have seen."""

import numpy as np
import pytest
from drawn_manners import ALL, drawn_of, exercises_with_any

from device.sim.manner import Manner
from device.sim.script import ANYBODY, FREE, SessionPlan, SetBlock, plan_session
from device.sim.trainee import VirtualTrainee
from device.skeleton import JOINT, joint_angles

drawn = drawn_of(FREE)


def smallest(name: str, joint: str, count: int = 40) -> np.ndarray:
    """The smallest angle (degrees, mean of both sides) of one repetition of each of so many people."""
    found = []
    for seed in range(count):
        block = SetBlock(name, ALL[name].variants[0], 2, "normal", (), 0.0, drawn(name, seed))
        done = VirtualTrainee(seed, SessionPlan(0.0, (block,)), deaf=True)
        inside = done.sets[0].repetitions[1]
        landmarks = done.track(np.linspace(inside.start_ns, inside.end_ns, 60).astype(np.int64)).landmarks
        assert np.isfinite(landmarks).all()
        angles = np.degrees(joint_angles(landmarks))
        found.append(angles[:, [JOINT[f"left_{joint}"], JOINT[f"right_{joint}"]]].mean(axis=1).min())
    return np.array(found)


@pytest.mark.parametrize(
    ("name", "joint", "low", "high"),
    [
        # What 3 % of the ticks of people's sets are below, of the person who bends most and of the one who bends least, where the
        # landmarks show them well: repcount_pose's jacks, squats and push-ups, utd_mhad's curls.
        ("jumping_jack", "elbow", 84, 128),
        ("squat", "knee", 46, 93),
        ("push_up", "elbow", 64, 83),
        ("bicep_curl", "elbow", 8, 39),
    ],
)
def test_joints_bend_as_far_as_those_of_people(name: str, joint: str, low: float, high: float) -> None:
    bent = smallest(name, joint)
    assert bent.min() < low + 20
    assert bent.max() > high


def test_only_what_an_exercise_leaves_free_is_drawn() -> None:
    assert exercises_with_any(drawn, "swing") == {"bicep_curl"}
    assert exercises_with_any(drawn, "hold_s") == {"squat"}
    assert exercises_with_any(drawn, "early") == exercises_with_any(drawn, "arms") == {"squat", "lunge"}
    assert exercises_with_any(drawn, "there") == set(ALL) - {"jumping_jack"}
    assert exercises_with_any(drawn, "start") == {"jumping_jack", "bicep_curl", "squat"}
    assert exercises_with_any(drawn, "middle") == set(ALL)


def test_free_sessions_differ_from_those_in_any_manner_in_nothing_but_that() -> None:
    usual, free = (plan_session(7, variety=1.0, people=people) for people in (ANYBODY, FREE))
    assert free != usual
    assert {block.exercise for block in free.blocks if isinstance(block, SetBlock)} == set(ALL)
    assert plan_session(7, variety=1.0, people=FREE) == free


def test_hands_too_far_aside_for_the_bent_arm_leave_a_body_that_is_one() -> None:
    manner = Manner(prone={"hand_y": 2.4, "flare": 60.0, "pronate": 120.0}, middle={"elbow": 45.0})
    done = VirtualTrainee(3, SessionPlan(0.0, (SetBlock("push_up", "both", 3, "normal", (), 1.4, manner),)), deaf=True)
    assert np.isfinite(done.track(np.arange(0, done.duration_ns, 50_000_000)).landmarks).all()
