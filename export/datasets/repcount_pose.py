"""RepCount-A, test part: landmarks of web videos with the number of repetitions and where each begins and ends.

The source scaled x, y and z of every frame to 0..1 by themselves, so size, aspect and depth are lost. They are put back with five
angles of every frame, which it took before, and with the limb ratios of an average person: in every frame the three scales are
sought at which joints have those angles and bones their lengths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
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
ANGLES = (
    ("shoulder", "elbow", "wrist"), ("hip", "shoulder", "elbow"), ("shoulder", "hip", "knee"), ("hip", "knee", "ankle"),
    ("knee", "ankle", "heel"),
)  # fmt: skip
"""The source's angles: each the mean of both sides, in the picture, from the smallest (0) to the largest (1) of the five."""
ANGLE_ERROR, BONE_ERROR = 0.02, 0.12
"""How far those are off, which have two decimals, and bones in the logarithm of their lengths."""
STARTS_M = (1.0, 1.1, 0.8), (1.0, 0.8, 0.9), (0.6, 1.1, 0.9)
"""Extents from which the likeliest are sought where the angles can't be met from where the bones alone say."""
DEPTH = 0.26
"""Depth of people by that of the estimator's picture, in which the angles were taken: 0.21 to 0.28 in `video_pose`, which has
both."""
MEDIAN_FRAMES = 3
MIN_CYCLE_FRAMES = 8

_CORNERS = [[[NODE[f"{side}_{name}"] for name in names] for side in ("left", "right")] for names in ANGLES]
_VISIBILITY = 0.9
_FULL = 65535.0
_STEPS = 12
_PULL = 0.02
_ROUNDS = 20
_MOVE = 1e-4
_NOTHING = 1e-6


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
    landmarks[found, :, :3] = rescaled(data["pose"][here][found] / _FULL, data["angles"][here][found].astype(np.float64))
    landmarks[found, :, 3] = _VISIBILITY
    cycles = data["cycles"][data["cycle_offset"][i] : data["cycle_offset"][i + 1]].astype(np.int64)
    cycles = plausible(cycles)
    period_ns = NS_PER_S / ASSUMED_HZ
    name = str(data["name"][i])
    return Clip(
        "repcount_pose", f"{activity}-{name}", name, False, landmarks,
        np.round(np.arange(len(found)) * period_ns).astype(np.int64),
        truth=Truth(exercise, activity, None, int(data["count"][i]), np.round(cycles * period_ns).astype(np.int64)),
        assumed="30 Hz; size and depth put back with the source's angles and limb ratios; visibility",
    )  # fmt: skip


def plausible(cycles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cycles (C, 2) that end after they begin; none where most are too short to be repetitions: one video's are all in its
    first second."""
    cycles = cycles[cycles[:, 1] > cycles[:, 0]]
    short = len(cycles) > 0 and np.median(cycles[:, 1] - cycles[:, 0]) < MIN_CYCLE_FRAMES
    return cycles[:0] if short else cycles


def rescaled(shape: Floats, angles: Floats) -> Floats:
    """(T, 33, 3) m from mid-hip of frames (T, 33, 3) whose x, y and z run from 0 to 1, given the source's `angles` (T, 5)."""
    if not len(shape):
        return np.zeros(shape.shape)
    metres = shape * median_filter(frame_scales(shape, angles), size=(MEDIAN_FRAMES, 1), mode="nearest")[:, None]
    return np.asarray(metres - mid_hip(metres)[:, None])


def frame_scales(shape: Floats, angles: Floats) -> Floats:
    """(T, 3) extents along x, y and z (m) at which the frames (T, 33, 3) are likeliest, given the source's `angles` (T, 5)."""
    logs = _likeliest(shape, angles, np.log(bone_scales(shape)))
    for start in STARTS_M:
        missed = np.flatnonzero(np.abs(_angle_errors(shape, angles, logs)).max(axis=1) > 2)
        few, said = shape[missed], angles[missed]
        other = _likeliest(few, said, np.tile(np.log(start), (len(missed), 1)))
        better = _cost(_errors(few, said, other)) < _cost(_errors(few, said, logs[missed]))
        logs[missed[better]] = other[better]
    return np.exp(logs)


def _likeliest(shape: Floats, angles: Floats, logs: Floats) -> Floats:
    """Logarithms of the extents (T, 3) with the least `_errors`, sought from `logs` (Levenberg and Marquardt)."""
    logs, damping = logs.copy(), np.full(len(logs), 1e-2)
    errors = _errors(shape, angles, logs)
    for _ in range(_ROUNDS):
        slopes = np.stack([(_errors(shape, angles, logs + move) - errors) / _MOVE for move in _MOVE * np.eye(3)], axis=-1)
        square = np.einsum("tij,tik->tjk", slopes, slopes)
        square += damping[:, None, None] * np.eye(3) * (1 + square)
        step = np.linalg.solve(square, np.einsum("tij,ti->tj", slopes, errors)[..., None])[..., 0]
        moved = logs - np.clip(step, -0.5, 0.5)
        new = _errors(shape, angles, moved)
        better = _cost(new) < _cost(errors)
        logs[better], errors[better] = moved[better], new[better]
        damping = np.clip(np.where(better, damping / 3, damping * 4), 1e-6, 1e6)
    return logs


def _cost(errors: Floats) -> Floats:
    return np.asarray(np.square(errors).sum(axis=1))


def _errors(shape: Floats, angles: Floats, logs: Floats) -> Floats:
    """(T, errors) of angles and bones by their usual sizes; a bone that is far off weighs hardly more than one that is a bit."""
    bones = np.tanh(2 * _bone_errors(shape, logs)) / (2 * BONE_ERROR)
    return np.concatenate((_angle_errors(shape, angles, logs), bones), axis=1)


def _angle_errors(shape: Floats, angles: Floats, logs: Floats) -> Floats:
    """(T, 5) by their usual size."""
    points = (shape * np.exp(logs - [0.0, 0.0, math.log(DEPTH)])[:, None])[:, _CORNERS]  # (T, 5, 2, 3, 3)
    u, v = points[..., 0, :] - points[..., 1, :], points[..., 2, :] - points[..., 1, :]
    cosine = (u * v).sum(axis=-1) / np.sqrt((u * u).sum(axis=-1) * (v * v).sum(axis=-1) + _NOTHING)
    found = np.arccos(np.clip(cosine, -1.0, 1.0)).mean(axis=-1)
    low, high = found.min(axis=1, keepdims=True), found.max(axis=1, keepdims=True)
    return np.asarray(((found - low) / (high - low + _NOTHING) - angles) / ANGLE_ERROR)


def _bone_errors(shape: Floats, logs: Floats) -> Floats:
    """(T, bones) logarithms of their lengths by what those should be."""
    starts, ends, lengths = _bones()
    bones = (shape[:, ends] - shape[:, starts]) * np.exp(logs)[:, None]
    return np.asarray(0.5 * np.log((bones * bones).sum(axis=-1) / lengths**2 + _NOTHING))


def bone_scales(shape: Floats) -> Floats:
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


@cache
def _bones() -> tuple[list[int], list[int], Floats]:
    sided = [(f"{s}_{a}", f"{s}_{b}", length) for a, b, length in BONES_M for s in ("left", "right")]
    bones = [*sided, *WIDTHS_M]
    return [NODE[a] for a, _, _ in bones], [NODE[b] for _, b, _ in bones], np.array([length for _, _, length in bones])
