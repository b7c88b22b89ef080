"""How each band is turned about its limb: what the camera sees of the limb's own axes against what the band feels.

Two directions are known in both: up, where the limb is not upright, and the way in which the limb's direction changes. Written
as complex numbers y + iz across the limb they differ by the strap's angle alone. The limb's own axes are those of a band that is
worn as it should be: z out of the back of the hand or the outer shin. A shank's follow from the knee's hinge; a forearm's
need the hand's landmarks, which are coarse, and so is the result.
"""

from __future__ import annotations

import cmath
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.messages import Array
from device.skeleton import BANDS, N_BANDS, NODE

Floats = NDArray[np.float64]
Vector = list[float]
"""x, y, z."""

FORGETTING_S = 12.0
SETTLED_S = 4.0
"""Seconds of motion that shows the strap, before anything is said of it."""
INDEPENDENT_S = 0.6
SPAN_S = 0.2
MIN_SLANT, MIN_CHANGE = 0.35, 0.1
"""Sine of the limb's slant, and change of its direction in SPAN_S, from which on they show the strap."""
MIN_COHERENCE = 0.75

SYSTEMATIC_RAD = (math.radians(50.0), math.radians(50.0), math.radians(26.0), math.radians(26.0))
"""What stays wrong however long one looks, one standard deviation, of each limb: on rendered pictures."""
POSTURE_RAD = (math.radians(45.0), math.radians(45.0), math.radians(15.0), math.radians(15.0))
"""The part of it that changes with the posture, and so passes for a slip."""

_SIDE = (1.0, -1.0, 1.0, -1.0)
_NEAR = [NODE[name] for name in ("left_elbow", "right_elbow", "left_knee", "right_knee")]
_FAR = [NODE[name] for name in BANDS]
_INDEX, _PINKY = [NODE["left_index"], NODE["right_index"]], [NODE["left_pinky"], NODE["right_pinky"]]
_LEFT_HIP, _RIGHT_HIP = NODE["left_hip"], NODE["right_hip"]
_STRAIGHT_KNEE = 0.3
"""Sine of the knee's bend at which its hinge counts as much as the line through the hips."""


@dataclass(frozen=True, slots=True)
class StrapAngle:
    """`angle_rad`: by which the band is turned about the limb's axis, elbow to hand or knee to foot; a right-handed turn is
    positive. `sigma_rad`: its standard uncertainty. `spread_rad`: the part of it that is noise and posture, which counts
    when two angles of the same band are compared."""

    angle_rad: float
    sigma_rad: float
    spread_rad: float


class Straps:
    """Angles of the four straps, looked at `rate_hz` times a second; constant memory."""

    def __init__(self, rate_hz: float) -> None:
        self._straps = [_Strap(1.0 / rate_hz, max(1, round(SPAN_S * rate_hz))) for _ in range(N_BANDS)]

    def forget(self, band: int) -> None:
        """Begin anew with `band`."""
        self._straps[band].forget()

    def step(
        self,
        world: Array,
        directions: Floats,
        rotations: Floats,
        usable: NDArray[np.bool_],
        limbs: tuple[int, ...],
        upside_down: tuple[bool, ...],
    ) -> None:
        """Next look. `world`: (33, 3) landmarks. `directions` (4, 3) of the limbs. Of each band: `rotations` (4, 3, 3) into a
        level frame, `usable` (4,) whether it and its limb can be gone by and its heading is that of the last look, `limbs` where
        it is, `upside_down`."""
        points, of_limbs = world.tolist(), directions.tolist()
        bands = zip(self._straps, rotations.tolist(), usable.tolist(), limbs, upside_down, strict=True)
        for strap, rotation, known, limb, turned in bands:
            if known:
                strap.look(of_limbs[limb], outward(points, limb), rotation, -1.0 if turned else 1.0)
            else:
                strap.miss()

    def angles(self, limbs: tuple[int, ...]) -> list[StrapAngle | None]:
        """Of each band, on `limbs`; None while too little was seen, or what was seen does not agree."""
        return [strap.angle(limb) for strap, limb in zip(self._straps, limbs, strict=True)]


class _Strap:
    """One band's. `span`: looks over which a change of direction is taken."""

    def __init__(self, dt: float, span: int) -> None:
        self._dt = dt
        self._kept = math.exp(-dt / FORGETTING_S)
        self._before: deque[tuple[Vector, Vector]] = deque(maxlen=span)
        self._span = span
        self.forget()

    def forget(self) -> None:
        self._before.clear()
        self._product = 0j
        self._seen_power = self._felt_power = self._seconds = 0.0

    def miss(self) -> None:
        """Nothing can be gone by now: changes are taken from the next look on."""
        self._before.clear()

    def look(self, direction: Vector, out: Vector, rotation: Sequence[Vector], upright: float) -> None:
        """`direction` of the limb, `out` as `outward` gives it; `upright`: -1 for a band that is upside down, else 1."""
        along = _dot(out, direction)
        z = _unit([o - along * d for o, d in zip(out, direction, strict=True)])
        y = _cross(z, direction)
        # Up, in camera axes, is -y.
        used = self._add(complex(-y[1], -z[1]), complex(upright * rotation[2][1], rotation[2][2]), MIN_SLANT)
        axis = [row[0] * upright for row in rotation]
        if len(self._before) == self._span:
            direction_before, axis_before = self._before[0]
            change, turned = _less(direction, direction_before), _less(axis, axis_before)
            felt = [sum(row[i] * t for row, t in zip(rotation, turned, strict=True)) for i in (1, 2)]
            used = self._add(complex(_dot(y, change), _dot(z, change)), complex(upright * felt[0], felt[1]), MIN_CHANGE) or used
        self._before.append((direction, axis))
        if used:
            self._seconds += self._dt

    def angle(self, limb: int) -> StrapAngle | None:
        """None while too little was seen, or what was seen does not agree."""
        coherence = min(abs(self._product) / max(math.sqrt(self._seen_power * self._felt_power), 1e-9), 1.0)
        if self._seconds < SETTLED_S or coherence < MIN_COHERENCE:
            return None
        noise = math.sqrt((1 - coherence**2) / (2 * self._seconds / INDEPENDENT_S)) / coherence
        angle = cmath.phase(self._product)
        return StrapAngle(angle, math.hypot(noise, SYSTEMATIC_RAD[limb]), math.hypot(noise, POSTURE_RAD[limb]))

    def _add(self, seen: complex, felt: complex, least: float) -> bool:
        """Take in one direction as both have it, where it is long enough in both. Returns whether it is."""
        long_seen, long_felt = abs(seen), abs(felt)
        if not min(long_seen, long_felt) > least:
            return False
        self._product = self._product * self._kept + seen * felt.conjugate()
        self._seen_power = self._seen_power * self._kept + long_seen**2
        self._felt_power = self._felt_power * self._kept + long_felt**2
        return True


def outward(points: Sequence[Vector], limb: int) -> Vector:
    """Where z of a band on `limb` points, in the axes of the landmarks `points` (33, 3); not yet square to the limb."""
    near, far, side = points[_NEAR[limb]], points[_FAR[limb]], _SIDE[limb]
    if limb < len(_INDEX):
        # Across the hand, not along it: a hand on the floor is bent back against its forearm.
        return [side * c for c in _cross(_less(points[_INDEX[limb]], points[_PINKY[limb]]), _less(far, near))]
    left = _unit(_less(points[_LEFT_HIP], points[_RIGHT_HIP]))
    hip = points[_LEFT_HIP if side > 0 else _RIGHT_HIP]
    hinge = _cross(_unit(_less(near, hip)), _unit(_less(far, near)))
    return [side * (c + _STRAIGHT_KNEE * across) for c, across in zip(hinge, left, strict=True)]


# Five times a second on vectors of three: plain numbers take a fifth of what arrays take.


def _less(a: Vector, b: Vector) -> Vector:
    return [a[0] - b[0], a[1] - b[1], a[2] - b[2]]


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: Vector, b: Vector) -> Vector:
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def _unit(a: Vector) -> Vector:
    length = max(math.sqrt(_dot(a, a)), 1e-9)
    return [a[0] / length, a[1] / length, a[2] / length]
