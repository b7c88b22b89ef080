"""The visible body as a surface that follows the 33 landmarks: where its vertices are, whatever the pose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.sim.figure import BONE, BONES, Floats, Girths, figure_parts
from device.sim.scene import Outfit
from device.skeleton import NODE


class Mannequin:
    """A dressed body's surface.

    `faces`: (f, 4) indices of vertices, seen from outside in one sense of rotation. `albedo`: (f, 3) 0..255.
    `lift`: (f,) m by which a face is nearer the viewer than it is, for what lies flat on skin.
    """

    def __init__(self, girths: Girths, outfit: Outfit) -> None:
        parts = figure_parts(girths, outfit)
        first = np.cumsum([0] + [len(part.vertices) for part in parts])
        self._local = np.concatenate([part.vertices for part in parts])
        self._bone = np.concatenate([np.full(len(part.vertices), part.bone) for part in parts])
        self.faces = np.concatenate([part.faces + start for part, start in zip(parts, first[:-1], strict=True)])
        self.albedo = np.concatenate([part.albedo for part in parts])
        self.lift = np.concatenate([np.full(len(part.faces), part.lift) for part in parts])
        self._trunk = np.flatnonzero(self._bone == BONE["trunk"])
        self._chest = np.clip(self._local[self._trunk, 2], 0.0, 1.0)[:, None]

    def vertices(self, landmarks: NDArray[np.floating[Any]]) -> Floats:
        """World positions (v, 3) m for landmarks (33, 3) m."""
        points = np.asarray(landmarks, dtype=np.float64)
        origins, axes = bone_frames(points)
        world = origins[self._bone] + np.einsum("vij,vj->vi", axes[self._bone], self._local)
        # The trunk twists from the hips' direction to the shoulders'.
        twisted = _trunk_axes(points, points[NODE["left_shoulder"]] - points[NODE["right_shoulder"]])
        upper = origins[0] + self._local[self._trunk] @ twisted.T
        world[self._trunk] += self._chest * (upper - world[self._trunk])
        return np.asarray(world)


def bone_frames(points: Floats) -> tuple[Floats, Floats]:
    """Origins (b, 3) and axes (b, 3, 3) as columns of the bones of `figure.BONES`; landmarks (33, 3)."""
    p = {name: points[i] for name, i in NODE.items()}
    origins, axes = np.empty((len(BONES), 3)), np.empty((len(BONES), 3, 3))

    def put(name: str, origin: Floats, frame: Floats) -> None:
        origins[BONE[name]], axes[BONE[name]] = origin, frame

    hips = (p["left_hip"] + p["right_hip"]) / 2
    shoulders = (p["left_shoulder"] + p["right_shoulder"]) / 2
    trunk = _trunk_axes(points, p["left_hip"] - p["right_hip"])
    chest = _trunk_axes(points, p["left_shoulder"] - p["right_shoulder"])
    put("trunk", hips, trunk)
    ears = (p["left_ear"] + p["right_ear"]) / 2
    left = _unit(p["left_ear"] - p["right_ear"])
    # Eyes lie above the ears and the nose below, by the same amount in `figure`'s head; their middle is the front.
    eyes = (p["left_eye"] + p["right_eye"]) / 2
    mouth = (p["mouth_left"] + p["mouth_right"]) / 2
    up = _unit(_across(eyes - mouth, left))
    front = _cross(left, up)
    put("head", ears, np.stack([front, left, up], axis=1))
    base = shoulders + 0.10 * (shoulders - hips)
    skull = ears - 0.055 * up - 0.012 * front
    put("neck", base, _transported(np.stack([chest[:, 0], chest[:, 1], _unit(chest[:, 2])], axis=1), skull - base))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        out = sign * chest[:, 1]
        rest = np.stack([chest[:, 0], _cross(out, chest[:, 0]), out], axis=1)
        arm = _transported(rest, p[f"{side}_elbow"] - p[f"{side}_shoulder"])
        forearm = _transported(_normal(arm), p[f"{side}_wrist"] - p[f"{side}_elbow"])
        put(f"{side}_arm", p[f"{side}_shoulder"], arm)
        put(f"{side}_forearm", p[f"{side}_elbow"], forearm)
        knuckles = (p[f"{side}_index"] + p[f"{side}_pinky"]) / 2 - p[f"{side}_wrist"]
        across = _unit(_across(p[f"{side}_index"] - p[f"{side}_pinky"], _unit(knuckles)))
        put(f"{side}_hand", p[f"{side}_wrist"], np.stack([_cross(across, _unit(knuckles)), across, knuckles], axis=1))
        down = -_unit(trunk[:, 2])
        rest = np.stack([trunk[:, 0], -trunk[:, 1], down], axis=1)
        thigh = _transported(rest, p[f"{side}_knee"] - p[f"{side}_hip"])
        put(f"{side}_thigh", p[f"{side}_hip"], thigh)
        put(f"{side}_shank", p[f"{side}_knee"], _transported(_normal(thigh), p[f"{side}_ankle"] - p[f"{side}_knee"]))
        toes = p[f"{side}_foot_index"] - p[f"{side}_heel"]
        rise = _unit(_across(p[f"{side}_ankle"] - p[f"{side}_heel"], _unit(toes)))
        put(f"{side}_foot", p[f"{side}_heel"], np.stack([rise, _cross(_unit(toes), rise), toes], axis=1))
    return origins, axes


def _trunk_axes(points: Floats, left: Floats) -> Floats:
    """Columns front, left (unit) and up (as long as the trunk)."""
    up = (points[11] + points[12] - points[23] - points[24]) / 2
    unit_left = _unit(_across(left, _unit(up)))
    return np.stack([_cross(unit_left, _unit(up)), unit_left, up], axis=1)


def _transported(frame: Floats, bone: Floats) -> Floats:
    """`frame` (unit columns) turned the shortest way so that its third column points along `bone`, which then replaces it."""
    target, source = _unit(bone), frame[:, 2]
    x, y, z = _cross(source, target).tolist()
    skew = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    # Rodrigues' formula without the angle; bones never point straight back along their rest direction.
    turned = frame + skew @ frame + (1.0 / max(1.0 + float(source @ target), 1e-3)) * (skew @ (skew @ frame))
    turned[:, 2] = bone
    return np.asarray(turned)


def _normal(frame: Floats) -> Floats:
    return np.stack([frame[:, 0], frame[:, 1], _unit(frame[:, 2])], axis=1)


def _cross(a: Floats, b: Floats) -> Floats:
    # numpy's own takes twenty times as long for one pair of vectors.
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _across(vector: Floats, unit: Floats) -> Floats:
    return np.asarray(vector - (vector @ unit) * unit)


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(math.sqrt(float(vector @ vector)), 1e-9))
