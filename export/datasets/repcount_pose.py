"""RepCount-A, test part: landmarks of web videos with the number of repetitions and where each begins and ends.

The source scaled x, y and z of every frame to 0..1 by themselves, so size, aspect and depth are lost. They are put back with the
limb ratios of an average person: in every frame the three scales are sought at which the bones have their lengths.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from device.errors import DatasetError
from device.messages import NS_PER_S
from device.skeleton import NODE, mid_hip
from export.datasets.clip import Clip, Truth
from export.datasets.files import read_arrays

Floats = NDArray[np.float64]

ASSUMED_HZ = 30.0
EXERCISES = {
    "squat": "squat", "push_up": "push_up", "jump_jack": "jumping_jack", "situp": "none", "pull_up": "none",
    "bench_pressing": "none", "front_raise": "none", "pommelhorse": "none", "others": "none",
}  # fmt: skip
BONES_M: tuple[tuple[str, str, float], ...] = (
    ("shoulder", "elbow", 0.28), ("elbow", "wrist", 0.25), ("hip", "knee", 0.40), ("knee", "ankle", 0.40),
    ("shoulder", "hip", 0.50), ("heel", "foot_index", 0.20), ("ear", "shoulder", 0.23),
)  # fmt: skip
"""Bones on either side with their lengths in the estimator's metres, an adult's."""
WIDTHS_M: tuple[tuple[str, str, float], ...] = (("left_shoulder", "right_shoulder", 0.33), ("left_hip", "right_hip", 0.20))
SCALES_M = (0.15, 0.15, 0.15), (2.2, 2.2, 2.0)
"""Smallest and largest extent of a body along x, y and z."""
MEDIAN_FRAMES = 5
MIN_CYCLE_FRAMES = 8

_VISIBILITY = 0.9
_FULL = 65535.0
_STEPS = 12
_PULL = 0.02


def clips(folder: Path) -> Iterator[Clip]:
    """One clip for each video in which anybody was found."""
    for activity, exercise in EXERCISES.items():
        file = folder / f"{activity}.npz"
        data = read_arrays(file)
        try:
            for i in range(len(data["name"])):
                if data["detected"][data["offset"][i] : data["offset"][i + 1]].any():
                    yield _clip(data, i, activity, exercise)
        except (KeyError, IndexError) as error:
            raise DatasetError(
                f"{file}: is no file of RepCount as the data folder has it ({error!r}). Get a fresh copy."
            ) from error


def _clip(data: dict[str, Any], i: int, activity: str, exercise: str) -> Clip:
    here = slice(data["offset"][i], data["offset"][i + 1])
    found = data["detected"][here]
    landmarks = np.full((len(found), 33, 4), np.nan, dtype=np.float32)
    landmarks[found, :, :3] = rescaled(data["pose"][here][found] / _FULL)
    landmarks[found, :, 3] = _VISIBILITY
    cycles = data["cycles"][data["cycle_offset"][i] : data["cycle_offset"][i + 1]].astype(np.int64)
    cycles = plausible(cycles)
    period_ns = NS_PER_S / ASSUMED_HZ
    name = str(data["name"][i])
    return Clip(
        "repcount_pose", f"{activity}-{name}", name, False, landmarks,
        np.round(np.arange(len(found)) * period_ns).astype(np.int64),
        truth=Truth(exercise, activity, None, int(data["count"][i]), np.round(cycles * period_ns).astype(np.int64)),
        assumed="30 Hz; size and depth put back with limb ratios; visibility",
    )  # fmt: skip


def plausible(cycles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cycles (C, 2) that end after they begin; none where most are too short to be repetitions: one video's are all in its
    first second."""
    cycles = cycles[cycles[:, 1] > cycles[:, 0]]
    short = len(cycles) > 0 and np.median(cycles[:, 1] - cycles[:, 0]) < MIN_CYCLE_FRAMES
    return cycles[:0] if short else cycles


def rescaled(shape: Floats) -> Floats:
    """(T, 33, 3) m from mid-hip of frames (T, 33, 3) whose x, y and z run from 0 to 1 each."""
    scales = median_filter(frame_scales(shape), size=(MEDIAN_FRAMES, 1), mode="nearest") if len(shape) else np.ones((0, 3))
    metres = shape * scales[:, None]
    return np.asarray(metres - mid_hip(metres)[:, None])


def frame_scales(shape: Floats) -> Floats:
    """(T, 3) extents along x, y and z (m) at which the bones of each frame have their lengths, as nearly as can be.

    A bone of length L and differences d gives sum(s^2 d^2) = L^2, linear in the squared scales. They are found by weighted
    least squares within SCALES_M, projected gradients from the median over all frames, to which they are held weakly.
    """
    starts, ends, lengths = _bones()
    squared = (shape[:, ends] - shape[:, starts]) ** 2
    rows, right = squared / lengths[:, None] ** 2, np.ones(len(lengths))
    low, high = (np.array(bound, dtype=np.float64) ** 2 for bound in SCALES_M)
    gram = np.einsum("tbi,tbj->tij", rows, rows)
    target = np.einsum("tbi,b->ti", rows, right)
    whole = _bounded(gram.mean(axis=0)[None], target.mean(axis=0)[None], low, high, np.full((1, 3), 0.6))[0]
    # Each axis is held to the clip's value with a share of what the frame itself says of it on average.
    pull = _PULL * np.einsum("tii->i", gram) / max(len(gram), 1)
    gram = gram + np.diag(pull)
    target = target + pull * whole
    return np.sqrt(_bounded(gram, target, low, high, np.tile(whole, (len(gram), 1))))


def _bounded(gram: Floats, target: Floats, low: Floats, high: Floats, start: Floats) -> Floats:
    """Least squares within bounds, one axis after the other (Gauss-Seidel)."""
    x = start.copy()
    for _ in range(_STEPS * 4):
        for axis in range(3):
            others = np.einsum("tj,tj->t", gram[:, axis], x) - gram[:, axis, axis] * x[:, axis]
            best = (target[:, axis] - others) / np.maximum(gram[:, axis, axis], 1e-9)
            x[:, axis] = np.clip(best, low[axis], high[axis])
    return x


def _bones() -> tuple[list[int], list[int], Floats]:
    sided = [(f"{s}_{a}", f"{s}_{b}", length) for a, b, length in BONES_M for s in ("left", "right")]
    bones = [*sided, *WIDTHS_M]
    return [NODE[a] for a, _, _ in bones], [NODE[b] for _, b, _ in bones], np.array([length for _, _, length in bones])
