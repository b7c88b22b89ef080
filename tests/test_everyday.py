"""What people do before a camera beside exercising: bodies can do it, none of it is ours, and it is what it is called."""

import numpy as np
import pytest
from strange_bodies import assert_a_body_can_do_it_and_it_is_none, track

from device.sim import everyday
from device.sim.everyday import draw_everyday
from device.sim.script import ANYBODY, FREE, RestBlock, SessionPlan, plan_others
from device.sim.strange import Strange
from device.sim.trainee import VirtualTrainee
from device.skeleton import JOINT, NODE, joint_angles


def some(family, count: int = 15) -> list[Strange]:
    return [family(np.random.default_rng(seed)) for seed in range(count)]


def during(strange: Strange) -> np.ndarray:
    """Landmarks while it is done, at 50 a second: before the end are holds of up to 0.8 and 1 s, and the way back."""
    ticks = round(50 * strange.times * sum(seconds for seconds, _ in strange.cycle))
    end = -90 - round(50 * strange.way_s)
    return track(strange).landmarks[end - ticks : end]


@pytest.mark.parametrize("seed", range(60))
def test_a_body_can_do_it_and_it_is_none(seed: int) -> None:
    assert_a_body_can_do_it_and_it_is_none(draw_everyday(np.random.default_rng(seed)), fastest=18)


def test_each_is_another_one_and_only_free_people_have_them() -> None:
    assert len({str(draw_everyday(np.random.default_rng(seed))) for seed in range(200)}) == 200
    assert plan_others(5, FREE) == plan_others(5, FREE) != plan_others(5, ANYBODY)


def test_who_gets_up_sits_still_first_and_stands_then_on_feet_that_stay() -> None:
    for strange in some(everyday._rising):
        landmarks = during(strange)
        hips = landmarks[:, [NODE["left_hip"], NODE["right_hip"]], 2].mean(axis=1)
        sitting = hips[45 : round(50 * strange.cycle[0][0])]
        assert not len(sitting) or np.ptp(sitting) < 0.03
        assert hips[-1] > hips[45] + 0.1
        assert np.ptp(landmarks[:, NODE["left_ankle"]], axis=0).max() < 0.05


def test_hands_that_clap_come_together() -> None:
    nearest = []
    for strange in some(everyday._clapping, 30):
        landmarks = during(strange)
        apart = np.linalg.norm(landmarks[:, NODE["left_wrist"]] - landmarks[:, NODE["right_wrist"]], axis=-1)
        nearest.append(apart.min())
    # The hands that 5 people clap (utd_mhad) come within 0.2 m of each other at the wrists, those of who curls don't.
    assert np.quantile(nearest, 0.8) < 0.2


def test_only_ways_that_may_be_ours_too_are_left_open() -> None:
    for family, open_ways in ((everyday._rising, 2), (everyday._waving, 0), (everyday._clapping, 0)):
        plan = SessionPlan(0.0, (RestBlock(1.0, (family(np.random.default_rng(1)),)),))
        assert len(VirtualTrainee(5, plan, deaf=True).between) == open_ways


def test_elbows_bend_as_the_arms_of_who_jogs_swing() -> None:
    bent = [np.ptp(np.degrees(joint_angles(during(strange))[:, JOINT["left_elbow"]])) for strange in some(everyday._jogging)]
    assert np.quantile(bent, 0.8) > 20
