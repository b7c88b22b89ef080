"""Manners in which only bands watch: what an exercise leaves free, and what people's watches show of them."""

import numpy as np
import pytest
from drawn_manners import ALL, drawn_of, exercises_with_any

from device.messages import NS_PER_S
from device.sim.bands import perfect_sensors, true_imu
from device.sim.manner import Manner
from device.sim.script import ANYBODY, LIVELY, SessionPlan, SetBlock, plan_session
from device.sim.trainee import VirtualTrainee

drawn = drawn_of(LIVELY)


def doing(name: str, manner: Manner) -> VirtualTrainee:
    block = SetBlock(name, ALL[name].variants[0], 3, "normal", (), 0.0, manner)
    return VirtualTrainee(3, SessionPlan(0.0, (block,)), deaf=True)


def test_only_what_an_exercise_leaves_free_is_drawn() -> None:
    assert exercises_with_any(drawn, "swing") == {"bicep_curl"}
    assert exercises_with_any(drawn, "middle") == {"squat", "push_up"}
    assert exercises_with_any(drawn, "early") == exercises_with_any(drawn, "arms") == {"squat", "lunge"}
    assert exercises_with_any(drawn, "start") == {"jumping_jack"}
    assert exercises_with_any(drawn, "hold_s") == exercises_with_any(drawn, "there") == set(ALL) - {"jumping_jack"}
    assert all(manner.jump == min(manner.pace, 1) ** 2 for manner in (drawn("jumping_jack", seed) for seed in range(60)))
    assert exercises_with_any(drawn, "pace") == exercises_with_any(drawn, "rest") == set(ALL)


def test_arms_are_thrown_forward_in_squats_as_fast_as_people_throw_them() -> None:
    fastest = []
    for seed in range(40):
        manner = drawn("squat", seed)
        done = doing("squat", manner)
        inside = done.sets[0]
        rate = true_imu(done, np.arange(inside.start_ns, inside.end_ns, NS_PER_S // 100), 0, perfect_sensors())[:, 1, 3:]
        fastest.append(np.percentile(np.linalg.norm(rate, axis=-1), 99))
    # 28 people (crossfit_imu): 1.4, 5.7 and 9.2 rad/s, the slowest, the median and the fastest of them.
    assert np.quantile(fastest, 0.1) < 3
    assert np.quantile(fastest, 0.9) > 5.7


def test_lively_sessions_differ_from_those_in_any_manner_in_nothing_but_that() -> None:
    usual, lively = (plan_session(7, variety=1.0, people=people) for people in (ANYBODY, LIVELY))
    assert lively != usual
    assert {block.exercise for block in lively.blocks if isinstance(block, SetBlock)} == set(ALL)
    assert plan_session(7, variety=1.0, people=LIVELY) == lively


def test_the_skin_over_a_planted_wrist_stays_behind_the_hand_and_leans_to_the_side_as_people_do() -> None:
    leaning = []
    for seed in range(30):
        manner = drawn("push_up", seed)
        if manner.prone is None:
            continue
        done = doing("push_up", Manner(prone=manner.prone))
        inside = done.sets[0].repetitions[1]
        times = np.arange(inside.start_ns, inside.end_ns, NS_PER_S // 100)
        force = true_imu(done, times, 0, perfect_sensors())[:, 1, :3]
        leaning.append(force.mean(axis=0)[1:])
    # Right wrists of 29 people in the mean of a set (crossfit_imu): 2.0 and 2.8 m/s^2.
    sideways, back = np.median(leaning, axis=0)
    assert sideways == pytest.approx(2.0, abs=1.0)
    assert back == pytest.approx(2.8, abs=1.2)
