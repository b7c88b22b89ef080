"""Session plans."""

import numpy as np

from device.exercises import load_exercises
from device.messages import EXERCISES
from device.sim.script import RestBlock, SetBlock, plan_others, plan_session
from device.sim.strange import Strange
from device.sim.trainee import VirtualTrainee
from device.sim.transitions import OTHER_EXERCISES

ALL = load_exercises()


def sets(plan):
    return [block for block in plan.blocks if isinstance(block, SetBlock)]


def test_the_same_seed_plans_the_same_session():
    assert plan_session(4) == plan_session(4)
    assert plan_session(4) != plan_session(5)


def test_a_session_does_every_exercise_once_with_rests_between():
    for seed in range(10):
        plan = plan_session(seed)
        assert sorted(block.exercise for block in sets(plan)) == sorted(ALL)
        kinds = [type(block) for block in plan.blocks]
        assert kinds == [RestBlock, *([SetBlock, RestBlock] * len(ALL))]
        assert all(6 <= block.repetitions <= 8 for block in sets(plan))


def test_order_tempo_and_habits_vary():
    plans = [plan_session(seed) for seed in range(60)]
    assert len({tuple(block.exercise for block in sets(plan)) for plan in plans}) > 30
    blocks = [block for plan in plans for block in sets(plan)]
    assert {block.tempo for block in blocks} == {"slow", "normal", "fast"}
    assert 0.75 < np.mean([len(block.habits) == 1 for block in blocks]) < 0.93
    errors = {(block.exercise, habit.error) for block in blocks for habit in block.habits}
    assert errors == {(exercise.name, habit.error) for exercise in ALL.values() for habit in exercise.habits}
    assert {habit.onset for block in blocks for habit in block.habits} == {0, 1, 2}


def test_push_ups_are_seen_from_the_side_and_the_rest_from_the_front():
    for seed in range(20):
        for block in sets(plan_session(seed)):
            turned = abs(np.degrees(block.heading_rad))
            assert (60 <= turned <= 90) if block.exercise == "push_up" else turned <= 45


def test_sets_and_repetitions_can_be_given():
    plan = plan_session(0, sets=["squat", "lunge", "squat"], reps=3)
    assert [(block.exercise, block.repetitions) for block in sets(plan)] == [("squat", 3), ("lunge", 3), ("squat", 3)]
    assert all(habit.onset <= 1 for block in sets(plan) for habit in block.habits)


def test_variety_widens_habits_and_repetitions():
    blocks = [block for seed in range(60) for block in sets(plan_session(seed, variety=1.0))]
    assert len({block.repetitions for block in blocks}) >= 6
    sizes = np.degrees([habit.size_rad for block in blocks for habit in block.habits])
    assert sizes.min() < 10
    assert sizes.max() > 26


def test_with_variety_habits_change_all_the_time():
    block = next(iter(sets(plan_session(3, sets=["squat"], reps=40, variety=1.0))))
    at_once = [sum(h.onset <= i < (h.until or 0) for h in block.habits) for i in range(block.repetitions)]
    assert set(at_once) == {0, 1, 2}
    assert all(h.until is not None and 1 <= h.until - h.onset <= 2 for h in block.habits)
    assert len({h.error for h in block.habits}) == len(ALL["squat"].habits)


def test_a_brief_session_walks_in_facing_the_first_set_and_hardly_rests():
    brief, full = (plan_session(5, sets=["push_up"], brief=brief) for brief in (True, False))
    assert brief.heading_rad == next(iter(sets(brief))).heading_rad
    assert full.heading_rad != next(iter(sets(full))).heading_rad
    assert brief.blocks[-1].duration_s < full.blocks[-1].duration_s


def test_a_session_of_other_exercises_has_nothing_of_ours():
    plan = plan_others(5)
    assert plan == plan_others(5) != plan_others(6)
    assert all(isinstance(block, RestBlock) for block in plan.blocks)
    done = [activity for block in plan.blocks for activity in block.activities]
    assert all(isinstance(activity, Strange) or activity in OTHER_EXERCISES for activity in done)
    assert len({isinstance(activity, Strange) for activity in done}) == 2
    trainee = VirtualTrainee(5, plan, deaf=True)
    times = np.arange(0, trainee.duration_ns, 100_000_000)
    assert set(trainee.track(times).exercise.tolist()) == {EXERCISES.index("none")}
