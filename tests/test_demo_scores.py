"""Scores on made-up sessions whose right answer is known, the perfect ones and the wrong ones."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from device.config import CoachConfig
from device.demo.scores import (
    InjectedError,
    SessionTruth,
    angle_score,
    coaching_rows,
    count_errors,
    cue_hits,
    error_ratios,
    exercise_tick_accuracy,
    ghost_reps_per_min,
    injected_errors,
    is_justified,
    right_cues,
)
from device.exercises import load_exercises
from device.messages import EXERCISES, NS_PER_S, Cue, Repetition, SetEnded
from device.report.log import SessionLog
from device.rows import Row
from device.sim.trainee import ActiveError, TrueRepetition, TrueSet, Truth

REPS = 5
PERIOD_NS = 2 * NS_PER_S
SQUAT, LUNGE = 10 * NS_PER_S, 40 * NS_PER_S
DURATION_NS = 70 * NS_PER_S
BIG = math.radians(15)
THRESHOLD = math.radians(9)


def true_set(exercise: str, start_ns: int, variants: tuple[str, ...] = ("both",)) -> TrueSet:
    reps = tuple(
        TrueRepetition(exercise, variants[i % len(variants)], start_ns + i * PERIOD_NS, start_ns + (i + 1) * PERIOD_NS)
        for i in range(REPS)
    )
    return TrueSet(exercise=exercise, start_ns=start_ns, end_ns=start_ns + REPS * PERIOD_NS, repetitions=reps, habits=())


def truth_of(errors: tuple[InjectedError, ...] = (), variants: tuple[str, ...] = ("both",)) -> SessionTruth:
    sets = (true_set("squat", SQUAT, variants), true_set("lunge", LUNGE))
    ticks = len(np.arange(0, DURATION_NS, NS_PER_S // 30))
    return SessionTruth(DURATION_NS, sets, ("squat", "lunge"), errors, np.full((ticks, 12), 1.0))


def detected(true: TrueSet, exercise: str | None = None, count: int = REPS) -> SetEnded:
    return SetEnded(true.end_ns + NS_PER_S, 0, true.start_ns, true.end_ns, exercise or true.exercise, count)


def repetition(start_ns: int, index: int = 1) -> Repetition:
    return Repetition(start_ns + PERIOD_NS, 0, start_ns, start_ns + PERIOD_NS, "squat", "both", index, ())


def cue(t_ns: int, joint: str = "left_knee", sign: int = -1, kind: str = "correction") -> Cue:
    return Cue(t_ns, 0, kind, "squat", joint, sign, "Lower", ("lower",), BIG, (2,), 0.5)


def perfect_log(truth: SessionTruth) -> SessionLog:
    times = np.arange(0, DURATION_NS, NS_PER_S // 30)
    exercise = np.full(len(times), EXERCISES.index("none"))
    for true in truth.sets:
        exercise[(times >= true.start_ns) & (times <= true.end_ns)] = EXERCISES.index(true.exercise)
    return SessionLog(
        classes=EXERCISES,
        times_ns=times,
        exercise=exercise,
        stage=np.zeros(len(times), np.int64),
        phase=np.zeros(len(times)),
        refined=truth.angles + 0.02,
        raw=truth.angles + 0.2,
        sigma=np.zeros((len(times), 12)),
        sets=tuple(detected(true) for true in truth.sets),
        repetitions=tuple(repetition(rep.start_ns) for true in truth.sets for rep in true.repetitions),
        boundaries=(),
        cues=(),
        speeches=(),
        vibrations=(),
    )


def fading(first: float = BIG, last: float = 0.0, set_index: int = 0) -> InjectedError:
    """Knees too bent in every repetition, from `first` to `last` after the second."""
    return InjectedError(set_index, "shallow", "knee", -1, first, (first, first, last, last, last))


def rows_of(log: SessionLog, truth: SessionTruth) -> dict[str, Row]:
    return {row.name: row for row in coaching_rows(log, truth, CoachConfig())}


def test_a_perfect_session_passes_every_row() -> None:
    truth = truth_of((fading(),))
    rows = rows_of(replace(perfect_log(truth), cues=(cue(SQUAT + PERIOD_NS),)), truth)
    assert all(row.ok for row in rows.values())
    assert rows["reps_exact"].value == rows["exercise_tick_accuracy"].value == rows["cue_hit_rate"].value == 1.0
    assert rows["ghost_reps_per_min"].value == rows["cue_false_rate"].value == rows["error_last_over_first"].value == 0.0


def test_rows_have_the_published_names_in_order() -> None:
    truth = truth_of()
    assert list(rows_of(perfect_log(truth), truth)) == [
        "exercise_tick_accuracy", "reps_exact", "reps_within_one", "ghost_reps_per_min", "angle_score", "angle_score_raw",
        "cue_hit_rate", "cue_false_rate", "error_last_over_first",
    ]  # fmt: skip


def test_the_first_second_of_a_set_is_left_out_of_the_accuracy() -> None:
    truth = truth_of()
    log = perfect_log(truth)
    wrong = log.exercise.copy()
    wrong[log.within(SQUAT, SQUAT + NS_PER_S - 1)] = EXERCISES.index("push_up")
    assert exercise_tick_accuracy(replace(log, exercise=wrong), truth) == 1.0


def test_a_set_taken_for_another_exercise_halves_the_accuracy() -> None:
    truth = truth_of()
    log = perfect_log(truth)
    wrong = np.where(log.exercise == EXERCISES.index("lunge"), EXERCISES.index("squat"), log.exercise)
    accuracy = exercise_tick_accuracy(replace(log, exercise=wrong), truth)
    assert accuracy == pytest.approx(0.5, abs=0.01)
    assert not rows_of(replace(log, exercise=wrong), truth)["exercise_tick_accuracy"].ok


def test_ticks_outside_sets_do_not_count() -> None:
    truth = truth_of()
    log = perfect_log(truth)
    outside = np.where(log.exercise == EXERCISES.index("none"), EXERCISES.index("squat"), log.exercise)
    assert exercise_tick_accuracy(replace(log, exercise=outside), truth) == 1.0


@pytest.mark.parametrize(
    ("found", "errors"),
    [
        ([("squat", 5), ("lunge", 5)], [0, 0]),
        ([("squat", 4), ("lunge", 7)], [-1, 2]),
        ([("lunge", 5), ("lunge", 5)], [10, 0]),
        ([("squat", 5)], [0, -5]),
    ],
    ids=["exact", "one short, two over", "wrong exercise", "missed"],
)
def test_counts_are_compared_set_by_set(found: list[tuple[str, int]], errors: list[int]) -> None:
    truth = truth_of()
    sets = tuple(detected(true, *what) for true, what in zip(truth.sets, found, strict=False))
    assert count_errors(replace(perfect_log(truth), sets=sets), truth.sets) == errors


def test_repetitions_of_a_second_set_in_the_same_true_set_are_errors() -> None:
    truth = truth_of()
    log = perfect_log(truth)
    extra = SetEnded(0, 0, SQUAT, SQUAT + PERIOD_NS, "lunge", 2)
    assert count_errors(replace(log, sets=(*log.sets, extra)), truth.sets) == [2, 0]


def test_a_set_in_a_rest_belongs_to_no_true_set() -> None:
    truth = truth_of()
    log = perfect_log(truth)
    ghost = SetEnded(0, 0, 0, SQUAT - NS_PER_S, "squat", 3)
    assert count_errors(replace(log, sets=(*log.sets, ghost)), truth.sets) == [0, 0]


def test_repetitions_outside_sets_are_ghosts_per_minute_of_rest() -> None:
    truth = truth_of()
    log = perfect_log(truth)
    ghosts = (*log.repetitions, repetition(0), repetition(30 * NS_PER_S))
    assert ghost_reps_per_min(replace(log, repetitions=ghosts), truth) == pytest.approx(2 / (50 / 60))
    assert not rows_of(replace(log, repetitions=ghosts), truth)["ghost_reps_per_min"].ok


def test_the_angle_score_is_one_less_the_mean_error_in_sets() -> None:
    truth = truth_of()
    log = perfect_log(truth)
    refined = truth.angles + np.where(log.exercise[:, None] == EXERCISES.index("none"), 3.0, 0.05)
    assert angle_score(refined, log, truth) == pytest.approx(0.95)


def test_the_angle_score_wraps_around() -> None:
    truth = truth_of()
    assert angle_score(truth.angles + 2 * math.pi, perfect_log(truth), truth) == pytest.approx(1.0)


def test_both_angle_scores_use_the_same_ticks() -> None:
    truth = truth_of()
    log = perfect_log(truth)
    raw, refined = log.raw.copy(), log.refined.copy()
    unseen = log.within(SQUAT, SQUAT + 5 * NS_PER_S)
    raw[unseen], refined[unseen] = np.nan, 3.0
    assert angle_score(refined, replace(log, raw=raw), truth) == pytest.approx(0.98)


def test_refined_angles_no_better_than_raw_ones_fail() -> None:
    truth = truth_of()
    log = perfect_log(truth)
    assert not rows_of(replace(log, raw=log.refined), truth)["angle_score"].ok
    assert not rows_of(replace(log, refined=truth.angles + 0.15), truth)["angle_score"].ok


@pytest.mark.parametrize(
    "wrong",
    [
        cue(SQUAT + PERIOD_NS, joint="left_hip"),
        cue(SQUAT + PERIOD_NS, sign=1),
        cue(LUNGE + PERIOD_NS),
        cue(SQUAT + PERIOD_NS, kind="praise"),
    ],
    ids=["joint", "sign", "set", "praise"],
)
def test_a_cue_of_another_joint_sign_set_or_kind_is_no_hit(wrong: Cue) -> None:
    truth = truth_of((fading(),))
    hits, injected = cue_hits([wrong], truth, THRESHOLD)
    assert (len(hits), len(injected)) == (0, 1)
    assert not rows_of(replace(perfect_log(truth), cues=(wrong,)), truth)["cue_hit_rate"].ok


def test_either_side_of_the_joint_is_the_right_cue() -> None:
    truth = truth_of((fading(),))
    assert len(right_cues([cue(SQUAT + PERIOD_NS, joint="right_knee")], fading(), truth)) == 1


def test_errors_below_the_threshold_need_no_cue() -> None:
    truth = truth_of((fading(first=math.radians(8)),))
    assert cue_hits([], truth, THRESHOLD) == ([], [])
    row = rows_of(perfect_log(truth), truth)["cue_hit_rate"]
    assert (row.value, row.limit, row.ok) == (None, None, True)


def test_a_cue_without_an_error_is_false() -> None:
    truth = truth_of((fading(),))
    right, wrong = cue(SQUAT + PERIOD_NS), cue(LUNGE + PERIOD_NS)
    assert is_justified(right, truth, THRESHOLD)
    assert not is_justified(wrong, truth, THRESHOLD)
    row = rows_of(replace(perfect_log(truth), cues=(right, wrong)), truth)["cue_false_rate"]
    assert (row.value, row.ok) == (0.5, False)


def test_a_cue_long_after_the_error_was_put_right_is_false() -> None:
    true = true_set("squat", SQUAT)
    gone = InjectedError(0, "shallow", "knee", -1, BIG, (BIG, 0.0, 0.0, 0.0, 0.0))
    truth = replace(truth_of(), sets=(true,), classes=("squat",), errors=(gone,))
    assert is_justified(cue(SQUAT + PERIOD_NS), truth, THRESHOLD)
    assert not is_justified(cue(SQUAT + 4 * PERIOD_NS), truth, THRESHOLD)


def test_the_ratio_is_the_last_size_over_the_largest_before_the_cue() -> None:
    truth = truth_of((fading(first=0.3, last=0.06),))
    assert error_ratios([cue(SQUAT + PERIOD_NS)], truth, THRESHOLD) == [pytest.approx(0.2)]


def test_an_error_that_stays_after_its_cue_fails() -> None:
    truth = truth_of((fading(first=0.3, last=0.3),))
    row = rows_of(replace(perfect_log(truth), cues=(cue(SQUAT + PERIOD_NS),)), truth)["error_last_over_first"]
    assert (row.value, row.ok) == (1.0, False)


def test_the_last_repetition_that_counts_leads_with_the_same_side() -> None:
    sizes = (0.3, 0.0, 0.3, 0.0, 0.3)
    lunge = replace(truth_of((), ("right", "left")), errors=(InjectedError(0, "shallow", "knee", -1, 0.3, (0.0, *sizes[:4])),))
    # The fifth repetition leads with the right side and shows nothing; the fourth still has the whole error.
    assert error_ratios([cue(SQUAT + 2 * PERIOD_NS)], lunge, THRESHOLD) == [pytest.approx(1.0)]


def test_injected_errors_are_the_largest_sizes_of_each_repetition() -> None:
    habit = next(h for h in load_exercises()["squat"].habits if h.joint == "knee")
    true = replace(true_set("squat", SQUAT), habits=((habit, "both", 0.35, 0),))

    def truth_at(t_ns: int) -> Truth:
        late = t_ns > SQUAT + 2 * PERIOD_NS
        size = 0.1 if late else 0.3 * math.sin(math.pi * ((t_ns - SQUAT) % PERIOD_NS) / PERIOD_NS)
        sides = [ActiveError(habit.error, f"{side}_knee", habit.sign, size) for side in ("left", "right")]
        return Truth(t_ns, np.zeros((33, 3)), np.zeros(12), "squat", "both", 0, 0.0, tuple(sides))  # type: ignore[arg-type]

    (error,) = injected_errors((true,), truth_at)
    assert (error.set_index, error.joint, error.sign, error.size_rad) == (0, "knee", habit.sign, 0.35)
    assert error.sizes_rad == pytest.approx((0.3, 0.3, 0.1, 0.1, 0.1), abs=0.005)


def test_a_session_without_sets_still_has_all_rows() -> None:
    truth = SessionTruth(DURATION_NS, (), (), (), truth_of().angles)
    log = replace(perfect_log(truth_of()), sets=(), repetitions=())
    rows = rows_of(log, truth)
    assert rows["reps_exact"].value is None
    assert rows["ghost_reps_per_min"].value == 0.0
