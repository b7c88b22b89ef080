"""What may befall the signals of a session: mirrors, other straps, hidden limbs, gaps, and whole modalities missing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from device.runtime.align import Aligned
from device.skeleton import MIRRORED_NODES, N_BANDS, NODE

MIRRORED_JOINTS = [i ^ 1 for i in range(12)]
MIRRORED_BANDS = [i ^ 1 for i in range(N_BANDS)]
MIRRORED_IMU = np.array([1, -1, 1, -1, 1, -1], np.float32)
"""In a mirror a band's x (along the limb) and z (outwards) stay and y = z x x turns about; a rate is an axial vector."""
LIMBS: tuple[tuple[str, ...], ...] = (
    ("elbow", "wrist", "pinky", "index", "thumb"),
    ("wrist", "pinky", "index", "thumb"),
    ("knee", "ankle", "heel", "foot_index"),
    ("ankle", "heel", "foot_index"),
    ("hip", "knee", "ankle", "heel", "foot_index"),
)

SEGMENTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("shoulder", "elbow", ("elbow", "wrist", "pinky", "index", "thumb")),
    ("elbow", "wrist", ("wrist", "pinky", "index", "thumb")),
    ("hip", "knee", ("knee", "ankle", "heel", "foot_index")),
    ("knee", "ankle", ("ankle", "heel", "foot_index")),
)
"""Bones by their ends, each with all that hangs on it."""
LENGTH_SPREAD, SIDE_SPREAD = 0.08, 0.02
"""Standard deviation of a bone's length over people, and between the sides of one as the estimator shows it."""

CAMERA_ONLY, BANDS_ONLY, SOME_BANDS = 0.3, 0.1, 0.2
"""Shares of stretches with no band, with no camera, and with a part of the bands; the rest has everything."""


def augmented(rng: np.random.Generator, signals: Aligned, joints: NDArray[np.float32]) -> tuple[Aligned, NDArray[np.float32]]:
    """The signals of a stretch, changed in place or replaced, and what is true of its joints (..., T, 12)."""
    if rng.random() < 0.5:
        signals, joints = mirrored(signals, joints)
    _other_limbs(rng, signals)
    _turn_camera(rng, signals)
    _turn_straps(rng, signals)
    if rng.random() < 0.25:
        _hide_limb(rng, signals)
    if rng.random() < 0.15:
        _lose_pose(rng, signals)
    _drop_modality(rng, signals)
    return signals, joints


def mirrored(signals: Aligned, joints: NDArray[np.float32]) -> tuple[Aligned, NDArray[np.float32]]:
    """The same in a mirror: left and right change places in landmarks, bands and joints."""
    nodes = list(MIRRORED_NODES)
    world = signals.world[:, nodes] * np.array([-1, 1, 1], np.float32)
    imu = signals.imu[:, MIRRORED_BANDS] * MIRRORED_IMU
    seen = Aligned(world, signals.visibility[:, nodes], signals.pose_present, imu, signals.imu_present[:, MIRRORED_BANDS])
    return seen, joints[..., MIRRORED_JOINTS]


def _other_limbs(rng: np.random.Generator, signals: Aligned) -> None:
    """Longer or shorter bones in the same posture: every direction, and so every angle, stays."""
    for start, end, carried in SEGMENTS:
        common = rng.normal(0, LENGTH_SPREAD)
        for side in ("left", "right"):
            bone = signals.world[:, NODE[f"{side}_{end}"]] - signals.world[:, NODE[f"{side}_{start}"]]
            longer = np.clip(common + rng.normal(0, SIDE_SPREAD), -0.2, 0.2)
            signals.world[:, [NODE[f"{side}_{part}"] for part in carried]] += (longer * bone)[:, None].astype(np.float32)


def _turn_camera(rng: np.random.Generator, signals: Aligned) -> None:
    yaw, pitch = rng.normal(0, math.radians(4)), rng.normal(0, math.radians(3))
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    signals.world[:] = signals.world @ turn.T.astype(np.float32)


def _turn_straps(rng: np.random.Generator, signals: Aligned) -> None:
    for band in range(N_BANDS):
        angle = rng.normal(0, math.radians(6))
        c, s = math.cos(angle), math.sin(angle)
        turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]], np.float32)
        signals.imu[:, band, :3] = signals.imu[:, band, :3] @ turn.T
        signals.imu[:, band, 3:] = signals.imu[:, band, 3:] @ turn.T


def _hide_limb(rng: np.random.Generator, signals: Aligned) -> None:
    """Something in front of a limb: the estimator guesses, says so in the visibility, and drifts slowly about the truth."""
    side = ("left", "right")[int(rng.integers(2))]
    nodes = [NODE[f"{side}_{part}"] for part in LIMBS[int(rng.integers(len(LIMBS)))]]
    ticks = len(signals.world)
    start, length = int(rng.integers(ticks)), int(rng.integers(15, ticks))
    span = slice(start, start + length)
    frames = len(signals.world[span])
    anchors = rng.normal(0, rng.uniform(0.02, 0.1), (frames // 8 + 2, len(nodes), 3))
    # The limb's far end strays furthest, and along with what it hangs on.
    anchors = np.cumsum(anchors, axis=1)
    where = np.arange(frames) / 8
    low = where.astype(np.int64)
    share = (where - low)[:, None, None]
    signals.world[span, nodes] += (anchors[low] * (1 - share) + anchors[low + 1] * share).astype(np.float32)
    signals.visibility[span, nodes] *= rng.uniform(0.05, 0.6)


def _lose_pose(rng: np.random.Generator, signals: Aligned) -> None:
    start, length = int(rng.integers(len(signals.world))), int(rng.integers(5, 60))
    signals.pose_present[start : start + length] = False


def _drop_modality(rng: np.random.Generator, signals: Aligned) -> None:
    drawn = rng.random()
    if drawn < CAMERA_ONLY:
        signals.imu_present[:] = False
    elif drawn < CAMERA_ONLY + BANDS_ONLY:
        signals.pose_present[:] = False
    elif drawn < CAMERA_ONLY + BANDS_ONLY + SOME_BANDS:
        worn = rng.random(N_BANDS) < 0.5
        signals.imu_present[:, ~worn] = False
