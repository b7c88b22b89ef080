"""Clips as pictures: strips of skeletons, traces of landmarks and bands, histograms of a set."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.errors import DatasetError
from device.messages import NS_PER_S
from device.skeleton import BANDS, EDGES, JOINT, LANDMARKS, N_BANDS, joint_angles
from export.datasets.clip import Clip

LEFT, RIGHT, MIDDLE = "#c8501e", "#1f4e79", "#666666"
"""Left limbs are orange, right ones blue."""
SHOWN = 12
TRACED = ("left_elbow", "left_hip", "left_knee")


def draw_clip(clip: Clip, path: Path, *, title: str = "", events: Sequence[tuple[float, float, str]] = ()) -> None:
    """Write `clip` as a PNG. `events`: (start s, end s, colour) bars below the traces. Raises DatasetError."""
    from matplotlib.figure import Figure

    rows = [
        *(["skeletons", "angles"] if clip.landmarks is not None else []),
        *(["force", "rate"] if clip.imu is not None else []),
    ]
    worn = [b for b in range(N_BANDS) if clip.imu is not None and clip.imu_present[:, b].any()]
    count = sum(len(worn) if row in ("force", "rate") else 1 for row in rows)
    figure = Figure(figsize=(15, 1.0 + 1.9 * count + (1.0 if clip.landmarks is not None else 0)), dpi=80, layout="constrained")
    heights = [h for row in rows for h in ([2.4] if row == "skeletons" else [1.5] * (len(worn) if row != "angles" else 1))]
    axes = iter(np.atleast_1d(figure.subplots(len(heights), 1, height_ratios=heights)).tolist())
    for row in rows:
        if row == "skeletons":
            draw_strip(next(axes), clip)
        elif row == "angles":
            draw_angles(next(axes), clip, events)
        else:
            for band in worn:
                draw_band(next(axes), clip, band, row)
    figure.suptitle(title or f"{clip.source}/{clip.name}: {clip.truth.activity}", x=0.01, ha="left", fontweight="bold")
    save_figure(figure, path)


def draw_strip(axes: Any, clip: Clip) -> None:
    assert clip.landmarks is not None
    found = np.flatnonzero(np.isfinite(clip.landmarks).all(axis=(1, 2)))
    chosen = found[np.linspace(0, len(found) - 1, min(SHOWN, len(found))).round().astype(int)]
    for i, frame in enumerate(chosen):
        skeleton(axes, clip.landmarks[frame], 1.5 * i)
        seconds = (clip.pose_ns[frame] - clip.start_ns) / NS_PER_S
        axes.text(1.5 * i, 1.15, f"{seconds:.1f} s" if clip.timed else f"frame {frame}", ha="center", fontsize=8)
    axes.set_xlim(-0.9, 1.5 * SHOWN)
    axes.set_ylim(1.1, -1.2)
    axes.set_aspect("equal")
    axes.axis("off")


def skeleton(axes: Any, landmarks: NDArray[np.floating[Any]], x: float) -> None:
    """One frame (33, 3 or 4), camera axes, at `x`; what is not visible is faint."""
    for a, b in EDGES:
        names = (LANDMARKS[a], LANDMARKS[b])
        sides = {"left" in name for name in names}, {"right" in name for name in names}
        colour = LEFT if sides[0] == {True} else RIGHT if sides[1] == {True} else MIDDLE
        seen = float(landmarks[[a, b], 3].min()) if landmarks.shape[1] > 3 else 1.0
        axes.plot(x + landmarks[[a, b], 0], landmarks[[a, b], 1], color=colour, lw=1.4, alpha=0.25 + 0.75 * min(max(seen, 0), 1))


def draw_angles(axes: Any, clip: Clip, events: Sequence[tuple[float, float, str]]) -> None:
    assert clip.landmarks is not None
    seconds = (clip.pose_ns - clip.start_ns) / NS_PER_S
    angles = np.degrees(joint_angles(clip.landmarks[..., :3]))
    for name, style in zip(TRACED, ("-", "--", ":"), strict=True):
        for side, colour in (("left", LEFT), ("right", RIGHT)):
            joint = name.replace("left", side)
            axes.plot(seconds, angles[:, JOINT[joint]], style, color=colour, lw=1, label=joint.replace("_", " "))
    for start, end in clip.truth.repetitions:
        axes.axvspan((start - clip.start_ns) / NS_PER_S, (end - clip.start_ns) / NS_PER_S, color="#00000010", ec="#00000050")
    for start_s, end_s, colour in events:
        axes.plot([start_s, end_s], [5, 5], color=colour, lw=5, solid_capstyle="butt")
    axes.set_ylabel("degrees")
    axes.legend(ncols=6, fontsize=7, loc="upper right")
    axes.margins(x=0)


def draw_band(axes: Any, clip: Clip, band: int, what: str) -> None:
    assert clip.imu is not None
    seconds = (clip.imu_ns - clip.start_ns) / NS_PER_S
    columns = slice(0, 3) if what == "force" else slice(3, 6)
    for axis, values in zip("xyz", clip.imu[:, band, columns].T, strict=True):
        axes.plot(seconds, values, lw=0.8, label=axis)
    for start, _ in clip.truth.repetitions:
        axes.axvline((start - clip.start_ns) / NS_PER_S, color="#00000040", lw=0.8)
    axes.set_ylabel(f"{BANDS[band].replace('_', ' ')}\n{'m/s²' if what == 'force' else 'rad/s'}", fontsize=8)
    axes.legend(ncols=3, fontsize=7, loc="upper right")
    axes.margins(x=0)


def draw_histograms(clips: Sequence[Clip], path: Path, title: str) -> None:
    """Classes, lengths, rates and people of a set as one PNG. Raises DatasetError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4), dpi=80, layout="constrained")
    classes, lengths, subjects = figure.subplots(1, 3)
    activities = Counter(f"{c.truth.activity}: {c.truth.exercise or 'open'}" for c in clips)
    names = sorted(activities)
    classes.barh(names, [activities[name] for name in names], color=RIGHT)
    classes.set_title("clips of each activity and its class")
    classes.tick_params(axis="y", labelsize=7)
    lengths.hist([clip.seconds for clip in clips], bins=30, color=RIGHT)
    lengths.set_title("length (s)")
    people = Counter(clip.subject or "unknown" for clip in clips)
    subjects.bar(range(len(people)), [count for _, count in people.most_common()], color=RIGHT)
    subjects.set_title(f"clips of each of {len(people)} people")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    save_figure(figure, path)


def save_figure(figure: Any, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise DatasetError(f"{path}: can't be written ({error.strerror}). Make room, or choose another folder.") from error
