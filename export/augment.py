"""What may befall the signals of a session: mirrors, other straps, hidden limbs, gaps, whole modalities missing; and what turns
an exercise into none."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import uniform_filter1d
from scipy.spatial.transform import Rotation

from device.config import SignalsConfig
from device.runtime.align import Aligned
from device.skeleton import JOINTS, MIRRORED_NODES, N_BANDS, NODE, as_read, joint_angles

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

CAMERA_ONLY, BANDS_ONLY, SOME_BANDS = 0.3, 0.2, 0.15
"""Shares of stretches with no band, with no camera, and with a part of the bands; the rest has everything."""
ONE_OF_EACH = 0.5
"""Share of the stretches with no camera that have one band at a wrist and one at an ankle."""
SOME = 0.3
"""Share of those that bands alone learn from that have some of the bands, any of them."""
STRAP_SPREAD_DEG, BLIND_STRAP_SPREAD_DEG = 6.0, 35.0
"""Standard deviation of a strap's turn about the limb, beside what the trainee's have."""
TAPER_DEG = ((0, -6, 8), (0, -6, -8), (0, -11, 10), (0, -11, -10))
"""How a band that lies flat on the skin leans from the bone under it, turned about its own axes: limbs taper towards hand and
foot. The watches of people who stand, squat, lift and lean on their hands all show it (`docs/people.md`)."""
MOST_TAPER, TILT_SPREAD_DEG = 1.3, 6.0
"""Most of that lean in anybody, and the standard deviation of what straps are askew beside."""
SWAYING = 0.5
"""Share of the stretches without a camera in which limbs give way; in the others they are as rigid as those of a simulation."""
SWAY_DEG, WOBBLE_DEG = 2.5, 1.0
"""Standard deviations of how far a limb gives way, about each axis, where another one swings as usual, and of how far without."""
SWINGING = 2.0
"""Force (m/s^2, one standard deviation) of what swings as usual."""
SWAY_TICKS = 8
"""Ticks in which a limb sways from here to there."""
TICK_HZ = SignalsConfig().tick_hz
FORCE_SHAKE, RATE_SHAKE = 0.8, 0.3
"""Most of what trembling adds to the specific force (m/s^2) and the angular rate (rad/s), one standard deviation."""


LIMBS_TO_TRUNK = (-0.1, 0.35)
"""How much longer all limbs are against the trunk where an estimator has shoulders and hips elsewhere, from least to most."""
WIDTHS = (
    ("shoulder", (-0.15, 0.3), ("shoulder", "elbow", "wrist", "pinky", "index", "thumb")),
    ("hip", (-0.3, 0.1), ("hip", "knee", "ankle", "heel", "foot_index")),
)
"""Pairs of joints, how much further apart they are, and what they carry."""
SHIFTED_M = 0.03
"""Most (m, standard deviation) by which an estimator takes each landmark for another place of the body."""
MISJUDGED, DEPTHS, WAVER, WAVER_TICKS = 0.5, (0.3, 1.3), 0.35, 8
"""Share of the stretches in which depth comes out wrong, least and most of it, how much that wavers, and in how many ticks."""
LEANING = 0.15
"""How far the end of a limb is too near or too far, in its lengths, one standard deviation."""
DRIFTING, ADMITTED = 0.4, 0.6
"""Share of the stretches in which a limb drifts, and of those the share in which the visibility says so."""
CUT_OFF, GUESSED_DEG = 0.2, (25.0, 8.0)
"""Share of the stretches without the legs, where those don't matter, and how far they are guessed from where they are: standard
deviations of both and of each."""

ARMS, LEGS = ([NODE[f"{side}_{part}"] for side in ("left", "right") for part in LIMBS[limb]] for limb in (0, 2))
LEG_JOINTS = [i for i, joint in enumerate(JOINTS) if not joint.name.endswith(("elbow", "shoulder"))]
ARM_JOINTS = [i for i, joint in enumerate(JOINTS) if joint.name.endswith(("elbow", "shoulder"))]
HALF_SHARE = 0.06
"""Share of the stretches of which one half of the body stays still."""


def spoiled(rng: np.random.Generator, signals: Aligned, angles: NDArray[np.float32], *, arms: bool) -> NDArray[np.float32] | None:
    """Now and then, make a movement one that is none of ours, in place: the half of the body that it is about (the `arms`, or the
    legs) stays still, as in raises, pull-ups or good mornings. Returns the angles (T, 12) then, else None."""
    if rng.random() >= HALF_SHARE or not signals.pose_present[0]:
        return None
    nodes, joints, bands = (ARMS, ARM_JOINTS, [0, 1]) if arms else (LEGS, LEG_JOINTS, [2, 3])
    signals.world[:, nodes] = signals.world[0, nodes] + rng.normal(0, 0.004, (len(signals.world), len(nodes), 3))
    signals.imu[:, bands] = signals.imu[:, bands].mean(axis=0)
    angles = angles.copy()
    angles[:, joints] = as_read(joint_angles(signals.world))[:, joints]
    return angles


def augmented(rng: np.random.Generator, signals: Aligned, joints: NDArray[np.float32]) -> tuple[Aligned, NDArray[np.float32]]:
    """The signals of a stretch, changed in place or replaced, and what is true of its joints (..., T, 12)."""
    if rng.random() < 0.5:
        signals, joints = mirrored(signals, joints)
    _other_limbs(rng, signals)
    _turn_camera(rng, signals)
    if rng.random() < 0.25:
        _hide_limb(rng, signals)
    if rng.random() < 0.15:
        _lose_pose(rng, signals)
    _drop_modality(rng, signals)
    _turn_straps(rng, signals)
    if rng.random() < 0.4:
        _shake_bands(rng, signals)
    return signals, joints


def augmented_sight(
    rng: np.random.Generator, signals: Aligned, joints: NDArray[np.float32]
) -> tuple[Aligned, NDArray[np.float32]]:
    """As `augmented`, for whom a camera is all that there is: any estimator's body, with depth that is hardly seen."""
    if rng.random() < 0.5:
        signals, joints = mirrored(signals, joints)
    _other_build(rng, signals)
    _turn_camera(rng, signals, yaw_deg=5.0, pitch_deg=6.0)
    if rng.random() < MISJUDGED:
        _misjudge_depth(rng, signals)
    if rng.random() < DRIFTING:
        _hide_limb(rng, signals, admitted=rng.random() < ADMITTED)
    if rng.random() < 0.15:
        _lose_pose(rng, signals)
    signals.imu_present[:] = False
    return signals, joints


def cut_off(rng: np.random.Generator, signals: Aligned, angles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Leave the legs out of the picture, in place: the estimator guesses them, much the same all along. Returns the angles
    (T, 12), those of the legs as they are shown then."""
    visible = rng.uniform(0.005, 0.4)
    both, each = np.radians(GUESSED_DEG)
    common = rng.normal(0, both, (2, 3))
    for side in ("left", "right"):
        for (start, _, carried), turn in zip(SEGMENTS[2:], common, strict=True):
            nodes = [NODE[f"{side}_{part}"] for part in carried]
            hinge = signals.world[:, [NODE[f"{side}_{start}"]]]
            turned = Rotation.from_rotvec(turn + rng.normal(0, each, 3)).as_matrix().astype(np.float32)
            signals.world[:, nodes] = hinge + (signals.world[:, nodes] - hinge) @ turned.T
            signals.visibility[:, nodes] *= visible
    angles = angles.copy()
    angles[:, LEG_JOINTS] = as_read(joint_angles(signals.world))[:, LEG_JOINTS]
    return angles


def augmented_blind(
    rng: np.random.Generator, signals: Aligned, joints: NDArray[np.float32]
) -> tuple[Aligned, NDArray[np.float32]]:
    """As `augmented`, where nobody is seen: only bands are left, a few of them or all."""
    if rng.random() < 0.5:
        signals, joints = mirrored(signals, joints)
    signals.pose_present[:] = False
    drawn = rng.random()
    if drawn < ONE_OF_EACH:
        _leave_one_of_each(rng, signals)
    elif drawn < ONE_OF_EACH + SOME:
        _take_off(rng, signals)
    _turn_straps(rng, signals)
    if rng.random() < SWAYING:
        _sway(rng, signals)
    if rng.random() < 0.4:
        _shake_bands(rng, signals)
    return signals, joints


def mirrored(signals: Aligned, joints: NDArray[np.float32]) -> tuple[Aligned, NDArray[np.float32]]:
    """The same in a mirror: left and right change places in landmarks, bands and joints."""
    nodes = list(MIRRORED_NODES)
    world = signals.world[:, nodes] * np.array([-1, 1, 1], np.float32)
    imu = signals.imu[:, MIRRORED_BANDS] * MIRRORED_IMU
    seen = Aligned(world, signals.visibility[:, nodes], signals.pose_present, imu, signals.imu_present[:, MIRRORED_BANDS])
    return seen, joints[..., MIRRORED_JOINTS]


def _other_build(rng: np.random.Generator, signals: Aligned) -> None:
    """The body as another estimator has it: wider or narrower, longer limbs, each landmark somewhere else."""
    for part, widths, carried in WIDTHS:
        apart = signals.world[:, NODE[f"left_{part}"]] - signals.world[:, NODE[f"right_{part}"]]
        moved = (rng.uniform(*widths) / 2 * apart)[:, None].astype(np.float32)
        for side, outwards in (("left", moved), ("right", -moved)):
            signals.world[:, [NODE[f"{side}_{name}"] for name in carried]] += outwards
    _other_limbs(rng, signals, rng.uniform(*LIMBS_TO_TRUNK) if rng.random() < 0.5 else 0.0)
    signals.world[:] += rng.normal(0, rng.uniform(0, SHIFTED_M), signals.world.shape[1:]).astype(np.float32)


def _other_limbs(rng: np.random.Generator, signals: Aligned, all_longer: float = 0.0) -> None:
    """Longer or shorter bones in the same posture: every direction, and so every angle, stays."""
    for sides in _limbs(signals):
        common = rng.normal(0, LENGTH_SPREAD)
        for bone, carried in sides:
            longer = all_longer + np.clip(common + rng.normal(0, SIDE_SPREAD), -0.2, 0.2)
            signals.world[:, carried] += (longer * bone)[:, None].astype(np.float32)


def _limbs(signals: Aligned) -> Iterator[list[tuple[NDArray[np.float32], list[int]]]]:
    """Both sides' bones (T, 3) of each segment, as they are when it is its turn, with the nodes of all that hangs on each."""
    for start, end, carried in SEGMENTS:
        yield [
            (
                signals.world[:, NODE[f"{side}_{end}"]] - signals.world[:, NODE[f"{side}_{start}"]],
                [NODE[f"{side}_{part}"] for part in carried],
            )
            for side in ("left", "right")
        ]


def _turn_camera(rng: np.random.Generator, signals: Aligned, yaw_deg: float = 4.0, pitch_deg: float = 3.0) -> None:
    yaw, pitch = rng.normal(0, math.radians(yaw_deg)), rng.normal(0, math.radians(pitch_deg))
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    signals.world[:] = signals.world @ turn.T.astype(np.float32)


def _misjudge_depth(rng: np.random.Generator, signals: Aligned) -> None:
    """One camera hardly sees depth: it comes out flatter or deeper, now more and then less, and limbs end too near or too far."""
    for sides in _limbs(signals):
        common = rng.normal(0, LEANING)
        for bone, carried in sides:
            away = (common + rng.normal(0, LEANING / 3)) * np.linalg.norm(bone, axis=-1)
            signals.world[:, carried, 2] += away[:, None].astype(np.float32)
    ticks = len(signals.world)
    knots = rng.normal(0, rng.uniform(0, WAVER), ticks // WAVER_TICKS + 3)
    wavering = _through(knots, WAVER_TICKS, ticks)
    signals.world[..., 2] *= (rng.uniform(*DEPTHS) * np.exp(wavering))[:, None].astype(np.float32)


def _turn_straps(rng: np.random.Generator, signals: Aligned) -> None:
    """As they are put on, and as limbs taper; with a camera the appliance knows how they are turned about the limb, and turns
    them back."""
    about_deg = STRAP_SPREAD_DEG if signals.pose_present.any() else BLIND_STRAP_SPREAD_DEG
    about = rng.normal(0, np.radians([about_deg, TILT_SPREAD_DEG, TILT_SPREAD_DEG]), (N_BANDS, 3))
    about += rng.uniform(0, MOST_TAPER) * np.radians(TAPER_DEG)
    turns = Rotation.from_rotvec(about).as_matrix().astype(np.float32)
    signals.imu[:] = np.einsum("bij,tbkj->tbki", turns, _vectors(signals.imu)).reshape(signals.imu.shape)


def _sway(rng: np.random.Generator, signals: Aligned) -> None:
    """Limbs that are thought to rest give way a little as others swing, and wobble."""
    ticks = len(signals.imu)
    smoothed = uniform_filter1d(signals.imu[..., :3], SWAY_TICKS, axis=0, mode="nearest")
    swing = (smoothed - smoothed.mean(axis=0)).reshape(ticks, -1) @ rng.normal(0, 1, N_BANDS * 3)
    swing /= max(float(swing.std()), SWINGING)
    turned = swing[:, None, None] * rng.normal(0, math.radians(SWAY_DEG), (N_BANDS, 3))
    wobble = np.abs(rng.normal(0, math.radians(WOBBLE_DEG), (N_BANDS, 1)))
    knots = rng.normal(0, wobble, (ticks // SWAY_TICKS + 3, N_BANDS, 3))
    turned += _through(knots, SWAY_TICKS, ticks)
    given_way = Rotation.from_rotvec(turned.reshape(-1, 3)).as_matrix().reshape(ticks, N_BANDS, 3, 3)
    moved = np.einsum("tbji,tbkj->tbki", given_way, _vectors(signals.imu))
    moved[:, :, 1] += np.gradient(turned, axis=0) * TICK_HZ
    signals.imu[:] = moved.reshape(signals.imu.shape)


def _through(knots: NDArray[np.float64], every: int, ticks: int) -> NDArray[np.float64]:
    """A smooth path over so many `ticks` through `knots` (k, ...), one `every` so many."""
    return np.asarray(CubicSpline(np.arange(len(knots)) * every, knots)(np.arange(ticks)))


def _vectors(imu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Specific force and angular rate (T, 4, 2, 3) of what bands read (T, 4, 6)."""
    return imu.reshape(*imu.shape[:-1], 2, 3)


def _shake_bands(rng: np.random.Generator, signals: Aligned) -> None:
    """Effort makes limbs tremble, and a band moves on the skin."""
    ticks = len(signals.imu)
    for scale, part in ((FORCE_SHAKE, slice(0, 3)), (RATE_SHAKE, slice(3, 6))):
        shake = rng.normal(0, rng.uniform(0, scale), (ticks + 2, N_BANDS, 3))
        signals.imu[:, :, part] += ((shake[:-2] + shake[1:-1] + shake[2:]) / 1.7).astype(np.float32)


def _hide_limb(rng: np.random.Generator, signals: Aligned, *, admitted: bool = True) -> None:
    """Something in front of a limb: the estimator guesses and drifts slowly about the truth; `admitted`: it says so."""
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
    if admitted:
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
        if rng.random() < ONE_OF_EACH:
            _leave_one_of_each(rng, signals)
    elif drawn < CAMERA_ONLY + BANDS_ONLY + SOME_BANDS:
        _take_off(rng, signals)


def _leave_one_of_each(rng: np.random.Generator, signals: Aligned) -> None:
    wrist, ankle = rng.integers(2, size=2)
    signals.imu_present[:, [int(wrist), 2 + int(ankle)]] = False


def _take_off(rng: np.random.Generator, signals: Aligned) -> None:
    worn = rng.random(N_BANDS) < 0.5
    signals.imu_present[:, ~worn] = False
