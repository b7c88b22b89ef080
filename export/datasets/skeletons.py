"""From the joints that a source has to the 33 landmarks, with stand-ins for those that it lacks.

Axes are any right-handed ones with a known up; what is on the left of the body must be on its left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.skeleton import N_NODES, NODE

Floats = NDArray[np.float64]

_FACE: dict[str, tuple[float, float, float]] = {
    "nose": (0.120, 0.0, -0.015),
    "eye_inner": (0.090, 0.016, 0.018),
    "eye": (0.087, 0.032, 0.018),
    "eye_outer": (0.077, 0.043, 0.018),
    "mouth": (0.095, 0.026, -0.053),
}
"""Forwards, to the left and up from the middle of the ears, m; the right side mirrors the left."""
_EAR_HALF_M = 0.075
_HEEL_SHARE = 0.3


def unit(v: NDArray[Any]) -> Floats:
    """Vectors (..., 3) of length 1."""
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9))


def body_axes(joints: Mapping[str, Floats]) -> tuple[Floats, Floats, Floats]:
    """Forward, left and up (T, 3) of the trunk."""
    shoulders, hips = (joints[f"left_{j}"] - joints[f"right_{j}"] for j in ("shoulder", "hip"))
    up = unit(joints["left_shoulder"] + joints["right_shoulder"] - joints["left_hip"] - joints["right_hip"])
    left = unit(shoulders + hips)
    left = unit(left - (left * up).sum(-1, keepdims=True) * up)
    return np.cross(left, up), left, up


def landmarks_of(joints: Mapping[str, Floats], head: tuple[Floats, Floats, Floats] | None = None) -> Floats:
    """33 landmarks (T, 33, 3) of `joints`, (T, 3) by landmark name.

    Needed are both shoulders, elbows, wrists, hips, knees, ankles and foot indices, and both ears or `head_centre`. Others
    are used where they are there, else stood in for: face from the head, fingers from the wrist or `left_index`, heels
    behind the ankles. `head`: its forward, left and up; None takes the trunk's.
    """
    forward, left, up = head if head is not None else body_axes(joints)
    found = dict(joints)
    centre = found.pop("head_centre", None)
    if centre is None:
        centre = (found["left_ear"] + found["right_ear"]) / 2
    found.setdefault("left_ear", centre + _EAR_HALF_M * left)
    found.setdefault("right_ear", centre - _EAR_HALF_M * left)
    for name, (ahead, aside, above) in _FACE.items():
        for side, sign in (("left", 1.0), ("right", -1.0)):
            label = "nose" if name == "nose" else f"mouth_{side}" if name == "mouth" else f"{side}_{name}"
            found.setdefault(label, centre + ahead * forward + sign * aside * left + above * up)
    for side in ("left", "right"):
        wrist = found[f"{side}_wrist"]
        found.setdefault(f"{side}_index", wrist + 0.5 * (wrist - found[f"{side}_elbow"]) * 0.6)
        for finger in ("pinky", "thumb"):
            found.setdefault(f"{side}_{finger}", found[f"{side}_index"])
        ankle, toe = found[f"{side}_ankle"], found[f"{side}_foot_index"]
        found.setdefault(f"{side}_heel", ankle - _HEEL_SHARE * (toe - ankle))
    x = np.empty((len(centre), N_NODES, 3))
    for name, node in NODE.items():
        x[:, node] = found[name]
    return x
