"""A picture per set: joint angles against the standard movement, stages, repetitions, cues and vibration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.errors import StoreError
from device.exercises import CURVE_POINTS, Exercise
from device.messages import NS_PER_S, Cue, Repetition, SetEnded, Stage, Vibration
from device.report.log import SessionLog
from device.skeleton import BANDS, JOINT

MARGIN_NS = 2 * NS_PER_S
MAX_PANELS = 4
MIN_SPAN_RAD = math.radians(15)
"""A joint that moves less than this in the standard movement is only shown when it was corrected."""

STAGE_COLOURS = {Stage.REST: "#f2f2f2", Stage.BEGINNING: "#d6e6f5", Stage.EXECUTION: "#fdebc8", Stage.END: "#dcf0dc"}
CUE_COLOURS = {"correction": "#c8501e", "praise": "#2c8a3d", "summary": "#3465a4", "notice": "#75507b"}
MEASURED, STANDARD, TRUTH = "#1f4e79", "#e08214", "#888888"


@dataclass(frozen=True, slots=True, eq=False)
class TrueAngles:
    """What the virtual trainee really did. `angles`: (n, 12) rad at the log's ticks. `repetitions`: of this set."""

    angles: NDArray[np.float64]
    repetitions: int


def plot_set(
    path: Path, log: SessionLog, done: SetEnded, exercise: Exercise, number: int, truth: TrueAngles | None = None
) -> None:
    """Write the picture of set `number` as a PNG. `truth`: beside it, where it is known. Raises StoreError."""
    from matplotlib.figure import Figure

    start_ns, end_ns = done.start_ns - MARGIN_NS, done.end_ns + MARGIN_NS
    reps = [rep for rep in log.repetitions if done.start_ns <= rep.start_ns and rep.end_ns <= done.end_ns]
    cues = [cue for cue in log.cues if done.start_ns <= cue.t_ns <= end_ns and cue.exercise == done.exercise]
    ticks = log.within(start_ns, end_ns)
    joints = main_joints(exercise, reps, cues)
    figure = Figure(figsize=(11, 1.7 + 1.75 * len(joints)), dpi=110, layout="constrained")
    rows = figure.subplots(len(joints) + 1, 1, sharex=True, height_ratios=[0.8, *[1.75] * len(joints)])
    seconds = (log.times_ns[ticks] - log.start_ns) / NS_PER_S
    standard = standard_angles(exercise, log, reps)[ticks]
    for axes, joint in zip(rows[1:], joints, strict=True):
        j = JOINT[joint]
        _shade_stages(axes, seconds, log.stage[ticks])
        if truth is not None:
            axes.plot(seconds, np.degrees(truth.angles[ticks, j]), color=TRUTH, lw=0.9, label="truth")
        axes.plot(seconds, np.degrees(standard[:, j]), color=STANDARD, lw=2.2, label="standard")
        axes.plot(seconds, np.degrees(log.refined[ticks, j]), color=MEASURED, lw=1.4, label="measured")
        axes.set_ylabel(f"{joint.replace('_', ' ')}\n(degrees)")
        axes.grid(axis="y", color="#00000018", lw=0.6)
        for rep in reps:
            axes.axvline(log.seconds(rep.end_ns), color="#00000040", lw=0.8, ls=":")
        for cue in cues:
            if cue.joint == joint:
                axes.axvline(log.seconds(cue.t_ns), color=CUE_COLOURS[cue.kind], lw=1.4)
    _event_strip(rows[0], log, reps, cues, (start_ns, end_ns))
    rows[-1].set_xlabel("time in the session (s)")
    rows[-1].xaxis.get_major_locator().set_params(integer=True)
    rows[-1].set_xlim(log.seconds(start_ns), log.seconds(end_ns))
    counted = f"{done.repetitions} repetition{'s' if done.repetitions != 1 else ''}"
    counted += f" counted, {truth.repetitions} done" if truth is not None else ""
    figure.suptitle(f"Set {number}: {exercise.title}, {counted}", x=0.01, ha="left", fontweight="bold")
    _legend(figure, rows[1])
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise StoreError(f"{path}: can't be written ({error.strerror}). Give --out a folder with room.") from error


def main_joints(exercise: Exercise, reps: Sequence[Repetition], cues: Sequence[Cue]) -> list[str]:
    """At most four joints worth a panel: those that were corrected, then those that move most in the standard movement."""
    variant = reps[0].variant if reps else exercise.variants[0]
    curves = exercise.standard(variant)
    span = {joint: float(np.ptp(curves[:, j])) for joint, j in JOINT.items() if np.isfinite(curves[:, j]).all()}
    corrected = list(dict.fromkeys(cue.joint for cue in cues if cue.kind == "correction" and cue.joint in span))
    chosen = corrected[:MAX_PANELS]
    kinds = {_kind(joint) for joint in chosen}
    for joint in sorted(span, key=lambda name: -span[name]):
        if len(chosen) < MAX_PANELS and _kind(joint) not in kinds and (span[joint] >= MIN_SPAN_RAD or not chosen):
            chosen.append(joint)
            kinds.add(_kind(joint))
    return sorted(chosen, key=lambda name: JOINT[name])


def standard_angles(exercise: Exercise, log: SessionLog, reps: Sequence[Repetition]) -> NDArray[np.float64]:
    """(n, 12) rad, the standard movement at the phase that was measured; NaN outside repetitions."""
    angles = np.full(log.refined.shape, np.nan)
    grid = np.linspace(0, 1, CURVE_POINTS)
    for rep in reps:
        ticks = log.within(rep.start_ns, rep.end_ns)
        curves = exercise.standard(rep.variant)
        for j in range(curves.shape[1]):
            angles[ticks, j] = np.interp(log.phase[ticks], grid, curves[:, j])
    return angles


def runs(values: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Stretches of equal values: (value, first index, index after the last)."""
    edges = np.flatnonzero(np.diff(values)) + 1
    for first, end in zip([0, *edges.tolist()], [*edges.tolist(), len(values)], strict=True):
        if end > first:
            yield int(values[first]), first, end


def _shade_stages(axes: Any, seconds: NDArray[np.float64], stages: NDArray[np.int64]) -> None:
    for stage, first, end in runs(stages):
        until = seconds[end] if end < len(seconds) else seconds[-1]
        axes.axvspan(seconds[first], until, color=STAGE_COLOURS[Stage(stage)], lw=0)


def _event_strip(axes: Any, log: SessionLog, reps: Sequence[Repetition], cues: Sequence[Cue], span_ns: tuple[int, int]) -> None:
    """Repetition numbers, cue texts and vibrations above the panels."""
    axes.set_ylim(0, 3)
    axes.set_yticks([0.5, 1.5, 2.5], ["vibration", "cues", "repetitions"])
    axes.tick_params(axis="both", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    for rep in reps:
        axes.text(log.seconds(rep.end_ns), 2.5, str(rep.index), ha="center", va="center", fontsize=9, fontweight="bold")
    free_s = -math.inf
    for cue in cues:
        t_s, colour = log.seconds(cue.t_ns), CUE_COLOURS[cue.kind]
        axes.plot(t_s, 1.5, marker="v", color=colour, ms=6)
        # A text that would run into the one before it is left to the summary; its mark stays.
        if t_s >= free_s:
            axes.text(t_s + 0.25, 1.5, cue.text, color=colour, va="center", fontsize=8, clip_on=True)
            free_s = t_s + 0.25 + len(cue.text) * (span_ns[1] - span_ns[0]) / NS_PER_S / 160
    together: dict[int, list[Vibration]] = {}
    for vibration in log.vibrations:
        if span_ns[0] <= vibration.t_ns <= span_ns[1]:
            together.setdefault(vibration.t_ns, []).append(vibration)
    for t_ns, vibrations in together.items():
        strongest = max(vibrations, key=lambda v: v.intensity)
        start_s, length_s = log.seconds(t_ns), strongest.duration_ns / NS_PER_S
        axes.broken_barh([(start_s, length_s)], (0.2, 0.6), color="#7b3294", alpha=0.35 + 0.65 * strongest.intensity)
        axes.text(start_s + length_s + 0.1, 0.5, _places(vibrations), fontsize=8, va="center", clip_on=True)


def _places(vibrations: Sequence[Vibration]) -> str:
    """Where the bands are that vibrate together: `left wrist`, `both ankles`."""
    sides: dict[str, list[str]] = {}
    for vibration in vibrations:
        side, limb = BANDS[vibration.band].split("_")
        sides.setdefault(limb, []).append(side)
    return ", ".join(f"both {limb}s" if len(found) > 1 else f"{found[0]} {limb}" for limb, found in sides.items())


def _legend(figure: Any, axes: Any) -> None:
    from matplotlib.patches import Patch

    lines, _ = axes.get_legend_handles_labels()
    stages = [Patch(color=colour, label=stage.name.lower()) for stage, colour in STAGE_COLOURS.items()]
    figure.legend(handles=[*lines[::-1], *stages], loc="outside lower center", ncols=7, frameon=False, fontsize=8)


def _kind(joint: str) -> str:
    return joint.removeprefix("left_").removeprefix("right_")
