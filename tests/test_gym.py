"""What people do in gyms: it moves far, tears nothing, and is what it is called."""

import numpy as np
import pytest
from strange_bodies import assert_a_body_can_do_it_and_it_is_none, track

from device.sim.gym import _hanging, _jumping, _sitting_up, draw_gym, draw_jogging, draw_lifting, draw_walking
from device.sim.script import LIVELY, plan_others
from device.sim.strange import Strange
from device.skeleton import NODE


def cycles_of(strange: Strange) -> np.ndarray:
    """Landmarks while it is done: before the end are holds of up to 0.8 and 1 s, and 1.6 s back into the relaxed stance."""
    ticks = round(50 * strange.times * sum(seconds for seconds, _ in strange.cycle))
    return track(strange).landmarks[-170 - ticks : -170]


def some(family, count: int = 12) -> list[Strange]:
    return [family(np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("seed", range(60))
def test_a_body_can_do_it_and_it_is_none(seed: int) -> None:
    assert_a_body_can_do_it_and_it_is_none(draw_gym(np.random.default_rng(seed)), fastest=15)


def test_each_is_another_one_and_only_lively_sessions_have_them() -> None:
    assert len({str(draw_gym(np.random.default_rng(seed))) for seed in range(200)}) == 200
    assert plan_others(5, LIVELY) == plan_others(5, LIVELY) != plan_others(5)


def test_what_is_lifted_hangs_from_arms_that_point_down_and_the_shins_lean() -> None:
    resting_low = 0
    for strange in some(draw_lifting, 30):
        landmarks = cycles_of(strange)
        shoulder, wrist, hip, knee, ankle = (
            landmarks[:, NODE[f"left_{name}"]] for name in ("shoulder", "wrist", "hip", "knee", "ankle")
        )
        assert np.ptp(wrist[:, 2]) > 0.1
        assert np.ptp(ankle, axis=0).max() < 0.05
        arm = (shoulder - wrist) / np.linalg.norm(shoulder - wrist, axis=-1, keepdims=True)
        assert arm[:, 2].min() > np.cos(np.radians(50))
        shin = np.degrees(np.arctan2(*(knee - ankle)[:, [0, 2]].T))
        assert np.ptp(shin) > 2
        resting_low += np.median(hip[:, 2]) < hip[:, 2].mean()
    assert 5 < resting_low < 28


def test_who_walks_puts_one_foot_before_the_other_and_its_shins_lean_there_and_back() -> None:
    for strange in some(draw_walking):
        landmarks = cycles_of(strange)
        feet = landmarks[:, [NODE["left_ankle"], NODE["right_ankle"]]]
        assert np.corrcoef(feet[:, 0, 0], feet[:, 1, 0])[0, 1] < -0.5
        assert np.ptp(feet[..., 2], axis=0).min() > 0.02
        knee = landmarks[:, NODE["left_knee"]] - landmarks[:, NODE["left_ankle"]]
        assert 15 < np.ptp(np.degrees(np.arctan2(knee[:, 0], knee[:, 2]))) < 110


def test_who_jogs_lifts_knee_after_knee_and_swings_the_arms_against_them() -> None:
    for strange in some(draw_jogging):
        seen = track(strange)
        # The last of it, before a hold and the way back into the relaxed stance.
        steps = round(50 * strange.times * sum(seconds for seconds, _ in strange.cycle))
        feet = seen.landmarks[-150 - steps : -150, [NODE["left_ankle"], NODE["right_ankle"]], 2]
        wrists = seen.landmarks[-150 - steps : -150, [NODE["left_wrist"], NODE["right_wrist"]], 0]
        left, right = np.ptp(feet, axis=0)
        assert min(left, right) > 0.03
        assert np.corrcoef(feet[:, 0], feet[:, 1])[0, 1] < 0
        assert np.corrcoef(wrists[:, 0], wrists[:, 1])[0, 1] < 0


def test_hands_stay_at_the_bar_however_far_one_is_pulled_up() -> None:
    pulled = [one for one in some(_hanging, 40) if one.cycle[0][1].get("hop", 0) > one.stance["hop"]]
    assert len(pulled) > 10
    for strange in pulled:
        landmarks = cycles_of(strange)
        hand, elbow, hip = (landmarks[:, NODE[f"left_{name}"]] for name in ("wrist", "elbow", "hip"))
        assert np.ptp(hip[:, 2]) > 0.2
        assert np.ptp(hand[:, 2]) < 0.7 * np.ptp(hip[:, 2])
        forearm = (hand - elbow) / np.linalg.norm(hand - elbow, axis=-1, keepdims=True)
        assert forearm[:, 2].min() > np.cos(np.radians(45))


def test_who_jumps_onto_a_box_is_up_there_for_a_while_and_comes_with_the_arms_to_the_front() -> None:
    for strange in some(_jumping):
        landmarks = cycles_of(strange)
        feet = landmarks[:, [NODE["left_foot_index"], NODE["right_foot_index"]], 2].min(axis=1)
        assert 0.2 < np.ptp(feet) < 1.0
        assert sum(seconds for seconds, _ in strange.cycle) > 1.5
        hands = landmarks[:, NODE["left_wrist"]] - landmarks[:, NODE["left_shoulder"]]
        assert np.ptp(hands[:, 0]) > 0.2


def test_who_sits_up_throws_the_arms_with_it() -> None:
    fastest = []
    for strange in some(_sitting_up):
        hands = cycles_of(strange)[:, NODE["left_wrist"]]
        fastest.append(np.linalg.norm(np.diff(hands, axis=0), axis=-1).max() * 50)
    assert min(fastest) > 0.8
    assert max(fastest) > 3
