"""What the coach saw of recorded people, as figures: rows named `<set>_<metric>`, with the limits that they are judged by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.messages import EXERCISES, NS_PER_S
from device.rows import Row, row
from export.datasets.splits import split_people
from export.people.watch import NONE, Seen

BOTH, CAMERA, BANDS = "both", "camera", "bands"
"""Modalities that a clip was played with."""
SETTLING_NS = NS_PER_S
"""A repetition this soon before the first or after the last true one still belongs to the set."""


def rows_of(seen: Sequence[Seen]) -> list[Row]:
    """Every figure of the sets that were watched, set by set."""
    found: list[Row] = []
    for name, rows in ROWS.items():
        mine = [one for one in seen if one.source == name]
        if mine:
            found += rows(mine)
    return found + ghost_rows(strangers(seen))


def ghost_rows(seen: Sequence[Seen]) -> list[Row]:
    """The row of the ghosts in all sets together; none where there was no room for one."""
    ghosts = ghosts_per_min(seen)
    return [] if ghosts is None else [row("people_ghost_reps_per_min", ghosts, "1/min", at_most=0.2)]


def strangers(seen: Sequence[Seen]) -> list[Seen]:
    """Clips of people who were in no training data."""
    return [one for one in seen if one.source != "ui_prmd"] + held_back(seen)


def held_back(seen: Sequence[Seen]) -> list[Seen]:
    """Clips of UI-PRMD's people who may not be trained on; the other ones may have been."""
    mine = [one for one in seen if one.source == "ui_prmd"]
    people = split_people(one.subject for one in mine).held_back if mine else frozenset()
    return [one for one in mine if one.subject in people]


def _repcount(seen: Sequence[Seen]) -> list[Row]:
    ours = [one for one in seen if one.truth.exercise != NONE]
    rows = [
        row("repcount_pose_obo", within_one(ours), "share", at_least=0.75),
        row("repcount_pose_mae_relative", relative_error(ours), "share", at_most=0.15),
        row("repcount_pose_exercise_macro", macro_accuracy(seen), "share", at_least=0.90),
    ]
    for exercise in sorted({str(one.truth.exercise) for one in seen}):
        same = [one for one in seen if one.truth.exercise == exercise]
        rows.append(row(f"repcount_pose_{exercise}_accuracy", recall(same), "share"))
        if exercise != NONE:
            rows.append(row(f"repcount_pose_{exercise}_obo", within_one(same), "share"))
            rows.append(row(f"repcount_pose_{exercise}_mae_relative", relative_error(same), "share"))
    return [*rows, row("repcount_pose_ghost_reps_per_min", ghosts_per_min(seen), "1/min")]


def _crossfit(seen: Sequence[Seen]) -> list[Row]:
    ours = [one for one in seen if one.truth.exercise not in (None, NONE)]
    rows = [
        row("crossfit_imu_exercise_macro", macro_accuracy(seen), "share", at_least=0.85),
        row("crossfit_imu_reps_within_one", within_one(ours), "share", at_least=0.85),
    ]
    for exercise in sorted({str(one.truth.exercise) for one in seen if one.truth.exercise is not None}):
        same = [one for one in seen if one.truth.exercise == exercise]
        rows.append(row(f"crossfit_imu_{exercise}_accuracy", recall(same), "share"))
        if exercise != NONE:
            rows.append(row(f"crossfit_imu_{exercise}_reps_within_one", within_one(same), "share"))
    for activity in sorted({one.truth.activity for one in seen if one.truth.exercise is None}):
        same = [one for one in seen if one.truth.activity == activity]
        rows.append(row(f"crossfit_imu_{activity}_seen_as_none", share(one.exercise == NONE for one in same), "share"))
    return [*rows, row("crossfit_imu_ghost_reps_per_min", ghosts_per_min(seen), "1/min")]


def _utd(seen: Sequence[Seen]) -> list[Row]:
    rows = []
    for part, limit in ((BOTH, 0.90), (CAMERA, 0.90), (BANDS, None)):
        mine = [one for one in seen if one.part == part]
        rows.append(row(f"utd_mhad_{part}_exercise_macro", macro_accuracy(mine), "share", at_least=limit))
        for exercise in sorted({str(one.truth.exercise) for one in mine}):
            same = [one for one in mine if one.truth.exercise == exercise]
            rows.append(row(f"utd_mhad_{part}_{exercise}_accuracy", recall(same), "share"))
    fused = [one for one in seen if one.part == BOTH]
    return [*rows, row("utd_mhad_ghost_reps_per_min", ghosts_per_min(fused), "1/min")]


def _ui_prmd(seen: Sequence[Seen]) -> list[Row]:
    unseen = held_back(seen)
    exercises = ("squat", "lunge")
    areas = {
        (who, exercise): error_area([one for one in those if one.truth.exercise == exercise])
        for who, those in (("", unseen), ("_everybody", seen))
        for exercise in exercises
    }
    rows = [row("ui_prmd_auc", _mean([areas["", exercise] for exercise in exercises]), "share", at_least=0.75)]
    rows += [row(f"ui_prmd_{exercise}_auc", areas["", exercise], "share") for exercise in exercises]
    rows += [row(f"ui_prmd_{exercise}_auc_everybody", areas["_everybody", exercise], "share") for exercise in exercises]
    for exercise in exercises:
        same = [one for one in unseen if one.truth.exercise == exercise]
        rows.append(row(f"ui_prmd_{exercise}_accuracy", recall(same), "share"))
        rows.append(row(f"ui_prmd_{exercise}_reps_within_one", within_one(same), "share"))
    return [*rows, row("ui_prmd_ghost_reps_per_min", ghosts_per_min(unseen), "1/min")]


def _video(seen: Sequence[Seen]) -> list[Row]:
    return [
        row("video_pose_exercise", recall(seen), "share", at_least=1.0),
        row("video_pose_reps_within_one", within_one(seen), "share", at_least=1.0),
    ]


ROWS: dict[str, Callable[[Sequence[Seen]], list[Row]]] = {
    "repcount_pose": _repcount,
    "crossfit_imu": _crossfit,
    "utd_mhad": _utd,
    "ui_prmd": _ui_prmd,
    "video_pose": _video,
}


def share(flags: Any) -> float | None:
    """Share of true ones; None of nothing."""
    values = list(flags)
    return sum(map(bool, values)) / len(values) if values else None


def recall(seen: Sequence[Seen]) -> float | None:
    """Share of clips that were taken for what they are."""
    return share(one.exercise == one.truth.exercise for one in seen if one.truth.exercise is not None)


def macro_accuracy(seen: Sequence[Seen]) -> float | None:
    """Mean over the classes of the share of their clips that were recognised; clips whose class is open are left out."""
    classes = sorted({one.truth.exercise for one in seen if one.truth.exercise is not None})
    return _mean([recall([one for one in seen if one.truth.exercise == name]) for name in classes])


def within_one(seen: Sequence[Seen]) -> float | None:
    """Off-by-one accuracy: share of clips whose count is wrong by one at most."""
    return share(abs(one.count_error) <= 1 for one in seen if one.has_count)


def relative_error(seen: Sequence[Seen]) -> float | None:
    """Mean over clips of the count's absolute error as a share of the true count."""
    return _mean([abs(one.count_error) / one.truth.count for one in seen if one.has_count and one.truth.count])


def ghosts_per_min(seen: Sequence[Seen]) -> float | None:
    """Repetitions counted a minute while no exercise of ours is done: in clips of class none all along, in the others before the
    first true repetition and after the last one. Clips played with a part of what they have are left out."""
    ghosts, outside_ns = 0, 0.0
    for one in seen:
        if one.truth.exercise is None or (one.source == "utd_mhad" and one.part != BOTH):
            continue
        length_ns = one.seconds * NS_PER_S
        if one.truth.exercise == NONE:
            ghosts += len(one.counted)
            outside_ns += length_ns
        elif len(one.truth.repetitions):
            first = max(int(one.truth.repetitions.min()) - SETTLING_NS, one.start_ns)
            last = min(int(one.truth.repetitions.max()) + SETTLING_NS, one.start_ns + length_ns)
            ghosts += sum(not first <= (r.start_ns + r.end_ns) / 2 <= last for r in one.counted)
            outside_ns += length_ns - (last - first)
    return ghosts / (outside_ns / NS_PER_S / 60) if outside_ns > 0 else None


def error_area(seen: Sequence[Seen]) -> float | None:
    """Area under the ROC curve of each repetition's largest deviation, wrong ones against right ones (0.5 tells nothing)."""
    scores = np.concatenate([one.worst_rad for one in seen]) if seen else np.zeros(0)
    wrong = (
        np.concatenate([np.full(len(one.worst_rad), one.truth.correct is False) for one in seen]) if seen else np.zeros(0, bool)
    )
    return area_under_curve(scores[wrong], scores[~wrong])


def area_under_curve(above: NDArray[np.float64], below: NDArray[np.float64]) -> float | None:
    """Probability that one drawn from `above` is larger than one from `below`; ties count half. NaN are left out."""
    above, below = above[np.isfinite(above)], below[np.isfinite(below)]
    if not len(above) or not len(below):
        return None
    larger = (above[:, None] > below).mean() + 0.5 * (above[:, None] == below).mean()
    return float(larger)


def confusion(seen: Sequence[Seen]) -> tuple[list[str], NDArray[np.int64]]:
    """What clips of each activity (with its class) were taken for: labels, and counts (len(labels), 6)."""
    labels = sorted({_label(one) for one in seen})
    counts = np.zeros((len(labels), len(EXERCISES)), dtype=np.int64)
    for one in seen:
        counts[labels.index(_label(one)), EXERCISES.index(one.exercise)] += 1
    return labels, counts


def worst(seen: Sequence[Seen], count: int) -> list[Seen]:
    """The clips that went most wrong: by ghosts and miscounts, then by the share of time taken for something else."""
    return sorted((one for one in seen if badness(one) > 0), key=lambda one: -badness(one))[:count]


def badness(one: Seen) -> float:
    """How wrong a clip went; 0 where all is right."""
    if one.truth.exercise is None:
        return 0.0
    wrong = float(one.exercise != one.truth.exercise)
    if one.truth.exercise == NONE:
        return wrong + len(one.counted) / 10
    missed = abs(one.count_error) / max(one.truth.count or 1, 1) if one.truth.count else 0.0
    return wrong + missed + 0.1 * (1 - one.share)


def _label(one: Seen) -> str:
    return f"{one.truth.activity} ({one.truth.exercise or 'open'})"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None
