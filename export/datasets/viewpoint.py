"""From motion in a room to what a pose estimator would show of it: a camera anywhere, and errors like the estimator's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.messages import EXERCISES
from device.skeleton import N_NODES, mid_hip
from export.landmark_noise import LandmarkNoise

Floats = NDArray[np.float64]

JITTER_M = np.array([0.006, 0.006, 0.018])
"""Standard deviation of what changes from frame to frame, in camera axes: depth is guessed."""
BIAS_M = np.array([0.008, 0.008, 0.02])
"""Standard deviation over clips of what stays."""
JITTER_S = 0.15
FLATTENED = 0.9
"""Share of the depth that estimators show."""
_SIDED = np.array([0.3, 0.25])


def camera_rotation(rng: np.random.Generator) -> Floats:
    """Rows are the camera's right, down and away in a room (z up) in which the person faces +x.

    The camera stands within 80 degrees of the person's front, on either side, tilted by up to 12 degrees.
    """
    round_the_person = rng.uniform(-math.radians(80), math.radians(80))
    tilt = rng.uniform(-math.radians(12), math.radians(12))
    looking = round_the_person + math.pi
    away = np.array([math.cos(looking) * math.cos(tilt), math.sin(looking) * math.cos(tilt), math.sin(tilt)])
    right = np.cross(away, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(away, right), away])


def seen(
    rng: np.random.Generator,
    seconds: Floats,
    room: Floats,
    rotation: Floats,
    noise: LandmarkNoise | None = None,
    activity: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.float32]:
    """(T, 33, 4) what an estimator would show of landmarks `room` (T, 33, 3) m at `seconds` (T,).

    `noise`: fitted on rendered clips, which takes the `activity` (T,) into account, class indices, by default none; None draws
    simple errors: jitter that lasts 0.15 s, a bias, flattened depth, and less visibility on the far side.
    """
    turned = room @ rotation.T
    pose = turned - mid_hip(turned)[:, None]
    if noise is not None:
        velocity = np.gradient(pose, seconds, axis=0)
        doing = np.full(len(pose), len(EXERCISES) - 1) if activity is None else activity.astype(np.int64)
        world, visibility, present = noise.emulate(rng, seconds, pose, velocity, doing)
        shown = np.concatenate([world, visibility[..., None]], axis=-1)
        shown[~present] = np.nan
        return np.asarray(shown, dtype=np.float32)
    keep = np.exp(-np.diff(seconds, prepend=seconds[0] - 1) / JITTER_S)
    jitter = rng.normal(size=(len(pose), N_NODES, 3)) * JITTER_M
    for i in range(1, len(jitter)):
        jitter[i] = keep[i] * jitter[i - 1] + math.sqrt(1 - keep[i] ** 2) * jitter[i]
    world = pose * [1.0, 1.0, FLATTENED] + jitter + rng.normal(size=(N_NODES, 3)) * BIAS_M
    world = world - mid_hip(world)[:, None]
    visibility = 0.98 - 0.4 / (1 + np.exp(-(pose[..., 2] - _SIDED[0]) / (_SIDED[1] / 3)))
    return np.asarray(np.concatenate([world, visibility[..., None]], axis=-1), dtype=np.float32)


def facing_x(room: NDArray[Any], heading: NDArray[Any]) -> Floats:
    """Points (..., 3) turned about the room's z so that `heading` (3,) points along +x."""
    c, s = heading[:2] / max(float(np.linalg.norm(heading[:2])), 1e-9)
    turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(room @ turn.T)
