"""The body as the coach sees it: 33 landmarks, the edges between them, and the angles of its joints.

Landmark order is MediaPipe Pose's. Everything that indexes a landmark or a joint does it through this module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LANDMARKS: tuple[str, ...] = (
    "nose",
    "left_eye_inner", "left_eye", "left_eye_outer",
    "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear",
    "mouth_left", "mouth_right",
    "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow",
    "left_wrist", "right_wrist",
    "left_pinky", "right_pinky",
    "left_index", "right_index",
    "left_thumb", "right_thumb",
    "left_hip", "right_hip",
    "left_knee", "right_knee",
    "left_ankle", "right_ankle",
    "left_heel", "right_heel",
    "left_foot_index", "right_foot_index",
)  # fmt: skip
NODE: dict[str, int] = {name: i for i, name in enumerate(LANDMARKS)}
N_NODES = len(LANDMARKS)

EDGES: tuple[tuple[int, int], ...] = (
    (0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (9, 10), (0, 9), (0, 10),
    (7, 11), (8, 12), (11, 12), (11, 23), (12, 24), (23, 24),
    (11, 13), (13, 15), (15, 17), (15, 19), (15, 21), (17, 19),
    (12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (18, 20),
    (23, 25), (25, 27), (27, 29), (27, 31), (29, 31),
    (24, 26), (26, 28), (28, 30), (28, 32), (30, 32),
)  # fmt: skip
"""Body graph. Face and trunk are joined at nose-mouth and ear-shoulder so that the graph is connected."""

BANDS: tuple[str, ...] = ("left_wrist", "right_wrist", "left_ankle", "right_ankle")
N_BANDS = len(BANDS)
BAND_NODES: tuple[int, ...] = tuple(NODE[name] for name in BANDS)
"""Landmark that carries each band's IMU: 15, 16, 27, 28."""


@dataclass(frozen=True, slots=True)
class Joint:
    """The angle at landmark `b` of a-b-c; `sagittal` measures it in the body's left-right symmetry plane."""

    name: str
    a: int
    b: int
    c: int
    sagittal: bool = False


def _joint(name: str, a: str, b: str, c: str, sagittal: bool = False) -> Joint:
    return Joint(name, NODE[a], NODE[b], NODE[c], sagittal)


JOINTS: tuple[Joint, ...] = (
    _joint("left_elbow", "left_shoulder", "left_elbow", "left_wrist"),
    _joint("right_elbow", "right_shoulder", "right_elbow", "right_wrist"),
    _joint("left_shoulder", "left_hip", "left_shoulder", "left_elbow"),
    _joint("right_shoulder", "right_hip", "right_shoulder", "right_elbow"),
    _joint("left_hip", "left_shoulder", "left_hip", "left_knee", sagittal=True),
    _joint("right_hip", "right_shoulder", "right_hip", "right_knee", sagittal=True),
    _joint("left_knee", "left_hip", "left_knee", "left_ankle"),
    _joint("right_knee", "right_hip", "right_knee", "right_ankle"),
    _joint("left_ankle", "left_knee", "left_ankle", "left_foot_index"),
    _joint("right_ankle", "right_knee", "right_ankle", "right_foot_index"),
    _joint("left_hip_spread", "right_hip", "left_hip", "left_knee"),
    _joint("right_hip_spread", "left_hip", "right_hip", "right_knee"),
)
"""Left and right alternate, so joint `i ^ 1` is the mirror of joint `i`."""

TRUNK_NODES = [NODE[name] for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")]

JOINT: dict[str, int] = {joint.name: i for i, joint in enumerate(JOINTS)}
N_JOINTS = len(JOINTS)
_CORNERS = [(joint.a, joint.b, joint.c, joint.sagittal) for joint in JOINTS]
JOINT_NODES: tuple[int, ...] = tuple(joint.b for joint in JOINTS)
"""Landmark at whose place each joint's angle is read."""

MIRRORED_NODES: tuple[int, ...] = tuple(
    NODE[name.replace("left", "\0").replace("right", "left").replace("\0", "right")] for name in LANDMARKS
)
"""Landmark that takes this landmark's place in a mirror."""

ADJACENCY: NDArray[np.bool_] = np.eye(N_NODES, dtype=np.bool_)
for _i, _j in EDGES:
    ADJACENCY[_i, _j] = ADJACENCY[_j, _i] = True
ADJACENCY.flags.writeable = False


def joint_angles(landmarks: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Angles of all joints.

    `landmarks`: (..., 33, 3), any right-handed frame and unit. Returns (..., 12) rad. Plain joints are in
    [0, pi]. Sagittal joints (the hips) are measured on the body's front side in [0, 2 pi), so that an
    over-extended hip reads more than pi; the left-right axis is the mean of the hips' and the shoulders'.
    NaN landmarks give NaN angles.
    """
    x = np.asarray(landmarks, dtype=np.float64)
    left = (x[..., 23, :] - x[..., 24, :]) + (x[..., 11, :] - x[..., 12, :])
    left = left / np.maximum(np.linalg.norm(left, axis=-1, keepdims=True), 1e-9)
    angles = np.empty((*x.shape[:-2], N_JOINTS))
    for i, joint in enumerate(JOINTS):
        u = x[..., joint.a, :] - x[..., joint.b, :]
        v = x[..., joint.c, :] - x[..., joint.b, :]
        if joint.sagittal:
            u = u - (u * left).sum(-1, keepdims=True) * left
            v = v - (v * left).sum(-1, keepdims=True) * left
            angle = np.arctan2((np.cross(u, v) * left).sum(-1), (u * v).sum(-1))
            angles[..., i] = np.mod(angle, 2 * np.pi)
        else:
            cross = np.linalg.norm(np.cross(u, v), axis=-1)
            angles[..., i] = np.arctan2(cross, (u * v).sum(-1))
    return angles


def joint_angles_now(landmarks: NDArray[np.floating[Any]]) -> list[float]:
    """`joint_angles` of one instant, (33, 3): so few numbers are faster one by one than in arrays."""
    x = landmarks.tolist()
    lx, ly, lz = (x[23][k] - x[24][k] + x[11][k] - x[12][k] for k in range(3))
    length = max(math.sqrt(lx * lx + ly * ly + lz * lz), 1e-9)
    lx, ly, lz = lx / length, ly / length, lz / length
    angles = []
    for a, b, c, sagittal in _CORNERS:
        bx, by, bz = x[b]
        ux, uy, uz = x[a][0] - bx, x[a][1] - by, x[a][2] - bz
        vx, vy, vz = x[c][0] - bx, x[c][1] - by, x[c][2] - bz
        if sagittal:
            along_u, along_v = ux * lx + uy * ly + uz * lz, vx * lx + vy * ly + vz * lz
            ux, uy, uz = ux - along_u * lx, uy - along_u * ly, uz - along_u * lz
            vx, vy, vz = vx - along_v * lx, vy - along_v * ly, vz - along_v * lz
        cx, cy, cz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        cosine = ux * vx + uy * vy + uz * vz
        if sagittal:
            angles.append(math.atan2(cx * lx + cy * ly + cz * lz, cosine) % math.tau)
        else:
            angles.append(math.atan2(math.sqrt(cx * cx + cy * cy + cz * cz), cosine))
    return angles


def as_read(angles: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Angles of `joint_angles` as the model reads them: on a circle that is cut at -pi/2, where no joint goes."""
    return np.asarray(np.where(angles > 1.5 * np.pi, angles - 2 * np.pi, angles))


def torso_length(landmarks: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Distance mid-hip to mid-shoulder. `landmarks`: (..., 33, 3); returns (...) in the same unit."""
    x = np.asarray(landmarks, dtype=np.float64)
    trunk = x[..., 11, :] + x[..., 12, :] - x[..., 23, :] - x[..., 24, :]
    return np.asarray(np.sqrt((trunk * trunk).sum(axis=-1)) / 2)


def mid_hip(landmarks: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Middle of the hips. `landmarks`: (..., 33, 3); returns (..., 3)."""
    x = np.asarray(landmarks, dtype=np.float64)
    return np.asarray((x[..., 23, :] + x[..., 24, :]) / 2)
