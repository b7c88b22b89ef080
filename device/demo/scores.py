"""Scores of a simulated session against the virtual trainee's truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.config import CoachConfig
from device.messages import NS_PER_S, Cue, SetEnded
from device.report.log import SessionLog
from device.rows import Row, row
from device.runtime.coach import threshold_rad
from device.sim.trainee import TrueSet, Truth

WARM_UP_NS = NS_PER_S
"""Start of each set that `exercise_tick_accuracy` leaves out: nobody can tell yet what is being done."""

HEARD_LATE_NS = 2 * NS_PER_S
"""A correction this soon after a set still belongs to it."""

PROBES = 24
"""Instants of each repetition at which its errors are looked up."""


@dataclass(frozen=True, slots=True)
class InjectedError:
    """An error that the trainee had in one set. `joint`: kind. `size_rad`: as injected. `sizes_rad`: its largest in each
    repetition as it really was, 0 before its onset, smaller once a cue was heard."""

    set_index: int
    error: str
    joint: str
    sign: int
    size_rad: float
    sizes_rad: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SessionTruth:
    """What really happened. `angles`: (n, 12) rad at the log's ticks. `classes`: model class of each set."""

    duration_ns: int
    sets: tuple[TrueSet, ...]
    classes: tuple[str, ...]
    errors: tuple[InjectedError, ...]
    angles: NDArray[np.float64]


def coaching_rows(log: SessionLog, truth: SessionTruth, coach: CoachConfig) -> list[Row]:
    """How well the session was understood and coached. A share of nothing (no error was injected, nothing was said) has
    neither value nor limit."""
    counts = count_errors(log, truth.sets)
    refined, raw = angle_score(log.refined, log, truth), angle_score(log.raw, log, truth)
    better_than_raw = math.nextafter(raw, math.inf) if raw is not None else 0.0
    threshold = threshold_rad(coach)
    hits, injected = cue_hits(log.cues, truth, threshold)
    corrections = [cue for cue in log.cues if cue.kind == "correction"]
    false = [cue for cue in corrections if not is_justified(cue, truth, threshold)]
    ratios = error_ratios(log.cues, truth, threshold)
    return [
        _row("exercise_tick_accuracy", exercise_tick_accuracy(log, truth), "share", at_least=0.95),
        _row("reps_exact", _share(sum(e == 0 for e in counts), len(counts)), "share", at_least=0.85),
        _row("reps_within_one", _share(sum(abs(e) <= 1 for e in counts), len(counts)), "share", at_least=1.0),
        _row("ghost_reps_per_min", ghost_reps_per_min(log, truth), "1/min", at_most=0.2),
        _row("angle_score", refined, "rad", at_least=max(0.90, better_than_raw)),
        _row("angle_score_raw", raw, "rad"),
        _row("cue_hit_rate", _share(len(hits), len(injected)), "share", at_least=0.90),
        _row("cue_false_rate", _share(len(false), len(corrections)), "share", at_most=0.10),
        _row("error_last_over_first", float(np.mean(ratios)) if ratios else None, "ratio", at_most=0.5),
    ]


def exercise_tick_accuracy(log: SessionLog, truth: SessionTruth) -> float | None:
    """Share of ticks within sets, the first second of each left out, whose likeliest class is the set's."""
    right = total = 0
    for true, name in zip(truth.sets, truth.classes, strict=True):
        ticks = log.within(true.start_ns + WARM_UP_NS, true.end_ns)
        right += int((log.exercise[ticks] == log.classes.index(name)).sum())
        total += int(ticks.sum())
    return _share(right, total) if truth.sets else None


def count_errors(log: SessionLog, sets: Sequence[TrueSet]) -> list[int]:
    """Error of each true set's count: of the detected set that overlaps it most and has its exercise, plus all repetitions
    of other detected sets that belong to it. A set that was missed errs by its whole count."""
    owned: list[list[SetEnded]] = [[] for _ in sets]
    for detected in log.sets:
        overlaps = [_overlap(detected, true) for true in sets]
        if overlaps and max(overlaps) > 0:
            owned[int(np.argmax(overlaps))].append(detected)
    errors = []
    for true, candidates in zip(sets, owned, strict=True):
        same = [d for d in candidates if d.exercise == true.exercise]
        best = max(same, key=lambda d: _overlap(d, true), default=None)
        counted = best.repetitions if best is not None else 0
        extra = sum(d.repetitions for d in candidates if d is not best)
        wrong = counted - len(true.repetitions)
        errors.append(abs(wrong) + extra if extra else wrong)
    return errors


def ghost_reps_per_min(log: SessionLog, truth: SessionTruth) -> float | None:
    """Repetitions whose middle is in no true set, per minute outside sets; None where a session is all one set."""
    ghosts = sum(
        not any(true.start_ns <= (rep.start_ns + rep.end_ns) // 2 <= true.end_ns for true in truth.sets)
        for rep in log.repetitions
    )
    outside_ns = truth.duration_ns - sum(true.end_ns - true.start_ns for true in truth.sets)
    return ghosts / (outside_ns / NS_PER_S / 60) if outside_ns > 0 else None


def angle_score(angles: NDArray[np.float64], log: SessionLog, truth: SessionTruth) -> float | None:
    """Angle-Score (paper eq. 12), rad: 1 - mean |angle - true| over joints and over the ticks within sets.

    `angles`: (n, 12) rad. Ticks without an angle are left out of both scores alike (where `log.raw` is NaN).
    """
    ticks = np.zeros(len(log.times_ns), bool)
    for true in truth.sets:
        ticks |= log.within(true.start_ns, true.end_ns)
    ticks &= np.isfinite(log.raw).all(axis=1)
    if not ticks.any():
        return None
    return angle_agreement(angles[ticks], truth.angles[ticks])


def angle_agreement(angles: NDArray[np.floating[Any]], true: NDArray[np.floating[Any]]) -> float:
    """Paper eq. 12 over ticks and joints (n, 12), n > 0: 1 - mean |angle - true|, rad, the short way round."""
    wrapped = (angles - true + np.pi) % (2 * np.pi) - np.pi
    return 1.0 - float(np.abs(wrapped).mean())


def cue_hits(cues: Sequence[Cue], truth: SessionTruth, threshold: float) -> tuple[list[InjectedError], list[InjectedError]]:
    """Injected errors above `threshold` (rad) that got a correction of the same joint kind and sign in their set, and all."""
    injected = [error for error in truth.errors if error.size_rad >= threshold]
    return [error for error in injected if right_cues(cues, error, truth)], injected


def right_cues(cues: Iterable[Cue], error: InjectedError, truth: SessionTruth) -> list[Cue]:
    """The corrections that name this error, in order."""
    true = truth.sets[error.set_index]
    return [cue for cue in cues if _names(cue, error) and true.start_ns <= cue.t_ns <= true.end_ns + HEARD_LATE_NS]


def is_justified(cue: Cue, truth: SessionTruth, threshold: float) -> bool:
    """Whether an error of the cue's joint kind and sign, at least half of `threshold` (rad), was there in the repetition
    in which the correction came or in one of the two before it (alternating exercises show it every second time)."""
    for error in truth.errors:
        true = truth.sets[error.set_index]
        if not _names(cue, error) or not true.start_ns <= cue.t_ns <= true.end_ns + HEARD_LATE_NS:
            continue
        begun = [i for i, rep in enumerate(true.repetitions) if rep.start_ns <= cue.t_ns]
        if max((error.sizes_rad[i] for i in begun[-3:]), default=0.0) >= threshold / 2:
            return True
    return False


def error_ratios(cues: Sequence[Cue], truth: SessionTruth, threshold: float) -> list[float]:
    """For each injected error that was rightly corrected: its size in the last repetition over its largest until the first
    correction. Repetitions that lead with the other side, where the error can't show, are left out."""
    ratios = []
    for error in cue_hits(cues, truth, threshold)[0]:
        reps = truth.sets[error.set_index].repetitions
        heard_ns = right_cues(cues, error, truth)[0].t_ns
        before = [i for i, rep in enumerate(reps) if rep.start_ns <= heard_ns] or [0]
        first = max(before, key=lambda i: error.sizes_rad[i])
        last = max(i for i, rep in enumerate(reps) if rep.variant == reps[first].variant)
        if error.sizes_rad[first] > 0:
            ratios.append(error.sizes_rad[last] / error.sizes_rad[first])
    return ratios


def injected_errors(sets: Sequence[TrueSet], truth_at: Callable[[int], Truth]) -> tuple[InjectedError, ...]:
    """The errors of all sets. `truth_at`: t_ns -> Truth, with all cues heard, since they make the errors smaller."""
    found = []
    for index, true in enumerate(sets):
        if not true.habits:
            continue
        probes = [
            [truth_at(int(t_ns)).errors for t_ns in np.linspace(rep.start_ns, rep.end_ns, PROBES)] for rep in true.repetitions
        ]
        for habit, _, size_rad, _ in true.habits:
            sizes = [
                max((active.size_rad for errors in rep for active in errors if active.error == habit.error), default=0.0)
                for rep in probes
            ]
            found.append(InjectedError(index, habit.error, habit.joint, habit.sign, size_rad, tuple(sizes)))
    return tuple(found)


def joint_kind(joint: str) -> str:
    """`left_knee` and `right_knee` are knees; a kind is its own kind."""
    return joint.removeprefix("left_").removeprefix("right_")


def _names(cue: Cue, error: InjectedError) -> bool:
    return cue.kind == "correction" and joint_kind(cue.joint) == error.joint and cue.sign == error.sign


def _overlap(detected: SetEnded, true: TrueSet) -> int:
    return min(detected.end_ns, true.end_ns) - max(detected.start_ns, true.start_ns)


def _row(name: str, value: float | None, unit: str, *, at_least: float | None = None, at_most: float | None = None) -> Row:
    return row(name, None, unit) if value is None else row(name, value, unit, at_least=at_least, at_most=at_most)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
