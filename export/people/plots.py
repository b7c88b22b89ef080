"""Pictures of what the coach made of recorded people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from device.messages import EXERCISES, NS_PER_S
from device.skeleton import N_BANDS
from export.datasets.clip import Clip
from export.datasets.pictures import draw_angles, draw_band, draw_strip, save_figure
from export.people.figures import confusion
from export.people.watch import Seen

COLOURS = dict(zip(EXERCISES, ("#c8501e", "#1f4e79", "#2c8a3d", "#7b3294", "#e0a214", "#bbbbbb"), strict=True))


def draw_confusion(seen: Sequence[Seen], path: Path, title: str) -> None:
    """What clips of each activity were taken for. Raises DatasetError."""
    from matplotlib.figure import Figure

    labels, counts = confusion(seen)
    figure = Figure(figsize=(8, 1.8 + 0.36 * len(labels)), dpi=90, layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(counts):
        if value:
            axes.text(j, i, str(value), ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black", fontsize=8)
    axes.set_xticks(range(len(EXERCISES)), [name.replace("_", " ") for name in EXERCISES], rotation=25, ha="right")
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_xlabel("taken for, by most of the moving time")
    axes.set_title(title, loc="left", fontweight="bold")
    save_figure(figure, path)


def draw_people(seen: Sequence[Seen], path: Path, title: str) -> None:
    """For each person the share of clips recognised, and of those with a count the share within one. Raises DatasetError."""
    from matplotlib.figure import Figure

    people = sorted({one.subject for one in seen})
    figure = Figure(figsize=(max(8.0, 0.3 * len(people)), 5), dpi=90, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    recognised = [(one.subject, one.exercise == one.truth.exercise) for one in seen if one.truth.exercise is not None]
    counted = [(one.subject, abs(one.count_error) <= 1) for one in seen if one.has_count]
    for axes, label, picked in ((upper, "recognised", recognised), (lower, "count within one", counted)):
        mine = [[float(ok) for who, ok in picked if who == person] for person in people]
        shares = [np.mean(oks) if oks else np.nan for oks in mine]
        axes.bar(range(len(people)), shares, color=COLOURS["squat"])
        axes.set_ylim(0, 1.02)
        axes.set_ylabel(f"share {label}")
    lower.set_xticks(range(len(people)), people, rotation=90, fontsize=7)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    save_figure(figure, path)


def draw_repetitions(seen: Sequence[Seen], path: Path) -> None:
    """True against counted repetitions of every clip with a count. Raises DatasetError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 7), dpi=90, layout="constrained")
    axes = figure.subplots()
    counted = [one for one in seen if one.has_count]
    marks = dict(zip(sorted({one.source for one in seen}), "o^sDvP", strict=False))
    top = 1.0
    for one in counted:
        assert one.truth.exercise is not None
        assert one.truth.count is not None
        found = one.count(one.truth.exercise)
        top = max(top, float(one.truth.count), float(found))
        axes.plot(one.truth.count, found, marks[one.source], color=COLOURS[one.truth.exercise], alpha=0.55, ms=6)
    axes.fill_between([0, top], [-1, top - 1], [1, top + 1], color="#00000012")
    axes.plot([0, top], [0, top], color="#00000050", lw=1)
    for source in sorted({one.source for one in counted}):
        axes.plot([], [], marks[source], color="#444444", label=source)
    for exercise in sorted({str(one.truth.exercise) for one in counted}):
        axes.plot([], [], "s", color=COLOURS[exercise], label=exercise.replace("_", " "))
    axes.legend(fontsize=8)
    axes.set_xlabel("true repetitions")
    axes.set_ylabel("counted repetitions")
    axes.set_title("Repetitions (band: within one)", loc="left", fontweight="bold")
    save_figure(figure, path)


def draw_seen(clip: Clip, one: Seen, path: Path) -> None:
    """A clip with what the coach made of it: phase, class of every tick, counted repetitions. Raises DatasetError."""
    from matplotlib.figure import Figure

    worn = [b for b in range(N_BANDS) if clip.imu is not None and clip.imu_present[:, b].any()]
    camera = clip.landmarks is not None
    heights = [*([2.4, 1.6] if camera else []), *([1.3] * 2 * len(worn)), 1.2, 0.5]
    figure = Figure(figsize=(14, 1.0 + sum(heights)), dpi=80, layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(len(heights), 1, height_ratios=heights)))
    rest = iter(axes)
    if camera:
        draw_strip(next(rest), clip)
        draw_angles(next(rest), clip, ())
    for what in ("force", "rate"):
        for band in worn:
            draw_band(next(rest), clip, band, what)
    seconds = (one.times_ns - clip.start_ns) / NS_PER_S
    phase, classes = next(rest), next(rest)
    phase.plot(seconds, one.phase, ".", ms=2, color="#444444")
    for repetition in one.counted:
        span = [(t - clip.start_ns) / NS_PER_S for t in (repetition.start_ns, repetition.end_ns)]
        phase.axvspan(*span, color=COLOURS[repetition.exercise], alpha=0.25, lw=0.5)
    phase.set_ylabel("phase, counted")
    phase.set_ylim(0, 1)
    classes.scatter(seconds, np.zeros(len(seconds)), c=[COLOURS[EXERCISES[k]] for k in one.ticks], marker="|", s=400)
    classes.set_yticks([])
    classes.set_ylabel("class", fontsize=8)
    for panel in (phase, classes):
        panel.set_xlim(0, max(float(seconds[-1]), 0.1))
    for exercise, colour in COLOURS.items():
        classes.plot([], [], "s", color=colour, label=exercise.replace("_", " "))
    classes.legend(ncols=6, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.6), frameon=False)
    truth = f"{one.truth.exercise}, {one.truth.count if one.truth.count is not None else 'no'} repetitions"
    found = f"{one.exercise} ({one.share:.0%} of the time right), {len(one.counted)} counted"
    figure.suptitle(f"{one.source}/{one.name} ({one.part})   true: {truth}   seen: {found}", x=0.01, ha="left", fontweight="bold")
    save_figure(figure, path)
