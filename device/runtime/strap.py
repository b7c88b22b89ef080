"""How each band is turned about its limb: what the camera sees of the limb's own axes against what the band feels.

Two directions are known in both: up, where the limb is not upright, and the way in which the limb's direction changes. Written
as complex numbers y + iz across the limb they differ by the strap's angle alone. The limb's own axes are those of a band that is
worn as it should be: z out of the back of the hand or the outer shin. A shank's follow from the knee's hinge; a forearm's
need the hand's landmarks, which are coarse, and so is the result.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.messages import Array
from device.skeleton import BANDS, N_BANDS, NODE

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

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

_SIDE = np.array([1.0, -1.0, 1.0, -1.0])
_NEAR = [NODE[name] for name in ("left_elbow", "right_elbow", "left_knee", "right_knee")]
_FAR = [NODE[name] for name in BANDS]
_INDEX, _PINKY = [NODE["left_index"], NODE["right_index"]], [NODE["left_pinky"], NODE["right_pinky"]]
_HIPS, _LEFT_HIP, _RIGHT_HIP = [NODE["left_hip"], NODE["right_hip"]], NODE["left_hip"], NODE["right_hip"]
_YZX, _ZXY = [1, 2, 0], [2, 0, 1]
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
        self._dt = 1.0 / rate_hz
        self._span = max(1, round(SPAN_S * rate_hz))
        self._kept = math.exp(-self._dt / FORGETTING_S)
        self._directions = np.zeros((self._span + 1, N_BANDS, 3))
        self._axes = np.zeros((self._span + 1, N_BANDS, 3))
        self._usable = np.zeros((self._span + 1, N_BANDS), dtype=np.bool_)
        self._product: Complexes = np.zeros(N_BANDS, dtype=np.complex128)
        self._seen_power = np.zeros(N_BANDS)
        self._felt_power = np.zeros(N_BANDS)
        self._seconds = np.zeros(N_BANDS)

    def forget(self, band: int) -> None:
        """Begin anew with `band`."""
        self._product[band] = 0.0
        self._seen_power[band] = self._felt_power[band] = self._seconds[band] = 0.0
        self._usable[:, band] = False

    def step(
        self,
        world: Array,
        directions: Floats,
        rotations: Floats,
        usable: NDArray[np.bool_],
        limbs: tuple[int, ...],
        upright: Floats,
    ) -> None:
        """Next look. `world`: (33, 3) landmarks. Of each band: `directions` (4, 3) of the limb that it is on, `rotations`
        (4, 3, 3) into a level frame, `usable` (4,) whether both can be gone by and the heading is that of the last look, `limbs`
        where it is, `upright` (4,): -1 where it is upside down, else 1."""
        for history in (self._directions, self._axes, self._usable):
            history[:-1] = history[1:]
        self._directions[-1], self._axes[-1] = directions, rotations[:, :, 0] * upright[:, None]
        self._usable[-1] = usable
        if not usable.any():
            return

        out = outward(np.asarray(world, dtype=np.float64))[list(limbs)]
        z = _unit(out - (out * directions).sum(-1, keepdims=True) * directions)
        y = _cross(z, directions)
        # Up, in camera axes, is -y.
        felt_up = upright * rotations[:, 2, 1] + 1j * rotations[:, 2, 2]
        seen_up = -y[:, 1] - 1j * z[:, 1]
        change = directions - self._directions[0]
        moved = (rotations * (self._axes[-1] - self._axes[0])[:, :, None]).sum(1)
        felt_change = upright * moved[:, 1] + 1j * moved[:, 2]
        seen_change = (y * change).sum(-1) + 1j * (z * change).sum(-1)
        slanted = usable & (np.minimum(np.abs(felt_up), np.abs(seen_up)) > MIN_SLANT)
        moving = self._usable.all(0) & (np.minimum(np.abs(felt_change), np.abs(seen_change)) > MIN_CHANGE)
        self._add(slanted, seen_up, felt_up)
        self._add(moving, seen_change, felt_change)
        self._seconds += self._dt * (slanted | moving)

    def angles(self, limbs: tuple[int, ...]) -> list[StrapAngle | None]:
        """Of each band, on `limbs`; None while too little was seen, or what was seen does not agree."""
        found: list[StrapAngle | None] = []
        moments = (self._product.tolist(), self._seen_power.tolist(), self._felt_power.tolist(), self._seconds.tolist())
        for limb, product, seen, felt, seconds in zip(limbs, *moments, strict=True):
            coherence = min(abs(product) / max(math.sqrt(seen * felt), 1e-9), 1.0)
            if seconds < SETTLED_S or coherence < MIN_COHERENCE:
                found.append(None)
                continue
            noise = math.sqrt((1 - coherence**2) / (2 * seconds / INDEPENDENT_S)) / coherence
            angle = cmath.phase(product)
            found.append(StrapAngle(angle, math.hypot(noise, SYSTEMATIC_RAD[limb]), math.hypot(noise, POSTURE_RAD[limb])))
        return found

    def _add(self, usable: NDArray[np.bool_], seen: Complexes, felt: Complexes) -> None:
        if not usable.any():
            return
        keep = np.where(usable, self._kept, 1.0)
        self._product = self._product * keep + usable * seen * felt.conj()
        self._seen_power = self._seen_power * keep + usable * np.abs(seen) ** 2
        self._felt_power = self._felt_power * keep + usable * np.abs(felt) ** 2


def outward(world: Floats) -> Floats:
    """Where z of a band on each limb points, (4, 3) in the axes of the landmarks (33, 3); not yet square to the limb."""
    # Across the hand, not along it: a hand on the floor is bent back against its forearm.
    backs = _cross(world[_INDEX] - world[_PINKY], world[_FAR[:2]] - world[_NEAR[:2]])
    left = _unit(world[_LEFT_HIP] - world[_RIGHT_HIP])
    thigh, shank = world[_NEAR[2:]] - world[_HIPS], world[_FAR[2:]] - world[_NEAR[2:]]
    shins = _cross(_unit(thigh), _unit(shank)) + _STRAIGHT_KNEE * left
    return np.asarray(np.concatenate([backs, shins]) * _SIDE[:, None])


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.sqrt((vectors * vectors).sum(-1, keepdims=True)), 1e-9))


def _cross(a: Floats, b: Floats) -> Floats:
    """Cross products of (..., 3); numpy's own spends most of its time on other shapes."""
    return np.asarray(a[..., _YZX] * b[..., _ZXY] - a[..., _ZXY] * b[..., _YZX])
