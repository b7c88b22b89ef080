"""Exercises without a name: they move far, tear nothing, and are like none of ours."""

from __future__ import annotations

import numpy as np
import pytest
from strange_bodies import assert_a_body_can_do_it_and_it_is_none, track

from device.messages import NS_PER_S
from device.sim.script import RestBlock, SessionPlan
from device.sim.strange import Strange, draw_strange
from device.sim.trainee import VirtualTrainee
from device.skeleton import JOINT, NODE

SHOWN = 60


def drawn(count: int) -> list[Strange]:
    return [draw_strange(np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("seed", range(SHOWN))
def test_a_body_can_do_it_and_it_is_none(seed: int) -> None:
    assert_a_body_can_do_it_and_it_is_none(draw_strange(np.random.default_rng(seed)), fastest=12)


def test_people_stand_sit_lie_hang_and_lean_on_their_hands() -> None:
    trunks = []
    for strange in drawn(SHOWN):
        middle = track(strange).landmarks[200:-150]
        up = middle[:, NODE["left_shoulder"], 2] - middle[:, NODE["left_hip"], 2]
        trunks.append((np.median(up), np.median(middle[:, NODE["left_hip"], 2])))
    up, hips = np.array(trunks).T
    assert (up > 0.4).mean() > 0.4
    assert ((up < 0.35) & (hips < 0.7)).mean() > 0.1
    assert (hips > 1.1).mean() > 0.05
    assert any(strange.prone for strange in drawn(SHOWN))


def test_each_is_another_one() -> None:
    assert len({str(strange) for strange in drawn(200)}) == 200
    assert draw_strange(np.random.default_rng(3)) == draw_strange(np.random.default_rng(3))


def test_no_elbow_bends_beside_the_trunk_of_whoever_stands() -> None:
    for strange in drawn(200):
        if strange.prone or abs(strange.stance["trunk"]) > 30 or "hop" in strange.stance:
            continue
        # Before the end: holds of up to 0.8 and 1 s, and 1.6 s back into the relaxed stance.
        cycles = round(50 * strange.times * sum(seconds for seconds, _ in strange.cycle))
        angles = track(strange).angles[-170 - cycles + 40 : -170]
        for side in ("left", "right"):
            elbow, shoulder = angles[:, JOINT[f"{side}_elbow"]], angles[:, JOINT[f"{side}_shoulder"]]
            assert not (np.ptp(elbow) > np.radians(40) and shoulder.max() < np.radians(40)), strange


def test_it_is_known_when_a_stance_is_taken_up_and_left() -> None:
    lying = next(strange for strange in drawn(SHOWN) if strange.stance.get("trunk", 0) < -60)
    one = VirtualTrainee(5, SessionPlan(0.0, (RestBlock(1.0, (lying,)),)), deaf=True)
    (down, lies), (lain, up) = one.between
    assert down < lies < lain < up < one.duration_ns
    assert (lain - lies) / NS_PER_S == pytest.approx(lying.times * sum(seconds for seconds, _ in lying.cycle), abs=0.01)
    hips = one.pose(np.array([down, lies, lain, up]))[:, NODE["left_hip"], 2]
    assert hips[[1, 2]].max() < 0.7 < hips[[0, 3]].min()
    assert VirtualTrainee(5, deaf=True).between == ()
