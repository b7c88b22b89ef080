"""What happens outside sets: smooth, on the floor, and never a repetition."""

import numpy as np
import pytest

from device.messages import NS_PER_S, Stage
from device.sim.script import RestBlock, SessionPlan, SetBlock
from device.sim.trainee import VirtualTrainee
from device.sim.transitions import ACTIVITIES
from device.skeleton import NODE


def moves(trainee, start_ns, end_ns):
    times = np.arange(start_ns, end_ns, NS_PER_S // 100, dtype=np.int64)
    return times, trainee.pose(times)


@pytest.mark.parametrize("name", sorted(ACTIVITIES))
def test_an_activity_comes_back_to_standing_and_counts_nothing(name):
    trainee = VirtualTrainee(2, SessionPlan(0.0, (RestBlock(1.0, ()), RestBlock(1.0, (name,)))))
    times, landmarks = moves(trainee, 4 * NS_PER_S, trainee.duration_ns)
    moved = np.abs(landmarks - landmarks[:1]).max((1, 2))
    assert moved.max() > 0.05
    assert np.abs(landmarks[-1] - landmarks[0]).max() < 0.05
    assert np.ptp(landmarks[:, [NODE["left_ankle"], NODE["right_ankle"]]], axis=0).max() < 0.003
    assert landmarks[..., 2].min() > -0.01
    track = trainee.track(times)
    assert not track.in_set.any()
    assert set(track.stage) == {Stage.REST}


def test_walking_in_ends_at_the_place_with_feet_on_the_floor_one_at_a_time():
    trainee = VirtualTrainee(0, SessionPlan(0.4, (RestBlock(2.0, ()),)))
    _, landmarks = moves(trainee, 0, 6 * NS_PER_S)
    hips = landmarks[:, [23, 24], :2].mean(1)
    assert np.linalg.norm(hips[0]) > 0.8
    assert np.linalg.norm(hips[-1]) < 0.1
    direction = hips[-1] - hips[0]
    assert np.arctan2(direction[1], direction[0]) == pytest.approx(0.4, abs=0.1)
    toes = landmarks[:, [31, 32], 2]
    assert (toes.min(1) < 0.04).all()
    assert toes.max() > 0.06


def test_getting_down_and_up_takes_the_body_from_standing_to_a_plank_and_back():
    trainee = VirtualTrainee(1, SessionPlan(0.0, (SetBlock("push_up", "both", 2, "normal", (), 1.4), RestBlock(2.0, ()))))
    done = trainee.sets[0]
    _, before = moves(trainee, 3 * NS_PER_S, done.start_ns)
    _, after = moves(trainee, done.end_ns, trainee.duration_ns)
    for landmarks in (before, after[::-1]):
        heights = landmarks[:, NODE["nose"], 2]
        assert heights[0] > 1.2
        assert heights[-1] < 0.9
        assert landmarks[..., 2].min() > -0.01
        bones = np.linalg.norm(landmarks[:, 25] - landmarks[:, 27], axis=-1)
        assert np.ptp(bones) < 1e-9
    plank = before[-1]
    assert np.arctan2(*(plank[NODE["nose"], :2] - plank[[27, 28], :2].mean(0))[::-1]) == pytest.approx(1.4, abs=0.1)


def test_turning_takes_steps_rather_than_spinning_on_planted_feet():
    blocks = (RestBlock(1.0, ()), SetBlock("bicep_curl", "both", 1, "fast", (), 1.5))
    trainee = VirtualTrainee(0, SessionPlan(0.0, blocks))
    _, landmarks = moves(trainee, 3 * NS_PER_S, trainee.sets[0].start_ns)
    toe = landmarks[:, NODE["left_foot_index"]]
    path = np.linalg.norm(np.diff(toe[:, :2], axis=0), axis=-1)
    planted = toe[1:, 2] < toe[:, 2].min() + 0.002
    assert path.sum() > 0.2
    assert path[planted].sum() < 0.1 * path.sum()
