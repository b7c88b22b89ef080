"""Motion energy (paper eq. 1) and boundary score (eq. 2), tick by tick."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.skeleton import NODE, TRUNK_NODES

BETA = 3.8
"""Weight of squared joint rates (rad/s)^2 against squared node speeds (torso lengths/s)^2: the mean ratio of the two sums over
the five exercises, so that both count alike."""
LAMBDA = 0.02
"""Weight of the change of energy per tick against the acceleration of the centre of mass (torso lengths/s^2). The change is some
fifty times the larger number; with this weight both count alike."""

_SMOOTHING = 0.5
_TORSO_SMOOTHING = 0.05


_SEGMENTS: tuple[tuple[str, str, float, float], ...] = (
    ("elbow", "wrist", 0.016, 0.430),
    ("shoulder", "elbow", 0.028, 0.436),
    ("wrist", "index", 0.006, 0.506),
    ("hip", "knee", 0.100, 0.433),
    ("knee", "ankle", 0.0465, 0.433),
    ("heel", "foot_index", 0.0145, 0.500),
    ("hip", "shoulder", 0.2485, 0.500),
    ("ear", "ear", 0.0405, 0.500),
)
"""Of each side: near end, far end, share of the body's mass, centre's place from the near end (Winter 2009, table 4.1)."""


@dataclass(frozen=True, slots=True)
class Energy:
    """`energy`: E_t. `score`: S_t. Both are non-negative."""

    energy: float
    score: float


def centre_weights() -> NDArray[np.float64]:
    """(33,) weights, summing to 1, whose product with the landmarks is the segment-mass-weighted centre."""
    weights = np.zeros(len(NODE))
    for near, far, mass, place in _SEGMENTS:
        for side in ("left", "right"):
            weights[NODE[f"{side}_{near}"]] += mass * (1 - place)
            weights[NODE[f"{side}_{far}"]] += mass * place
    return np.asarray(weights / weights.sum())


class EnergyMeter:
    """E_t and S_t of a stream of ticks, causally smoothed.

    Positions are relative to the mid-hip, the origin of world landmarks, in torso lengths. Where the pose is absent only the
    joint rates speak; where it comes back the differences start anew instead of seeing a jump.
    """

    def __init__(self, tick_hz: float, beta: float = BETA, lam: float = LAMBDA) -> None:
        self._hz = tick_hz
        self._beta = beta
        self._lambda = lam
        self._weights = centre_weights()
        self._torso = 0.0
        self._position: NDArray[np.float64] | None = None
        self._centre_velocity = np.zeros(3)
        self._angles: list[float] | None = None
        self._energy: float | None = None

    def step(self, world: NDArray[np.floating[Any]], pose_present: bool, angles: NDArray[np.floating[Any]]) -> Energy:
        """Next tick. `world`: (33, 3) m. `angles`: (12,) rad."""
        speeds, acceleration = self._motion(world) if pose_present else self._no_motion()
        energy = speeds + self._beta * self._rates(angles)
        change = 0.0 if self._energy is None else abs(energy - self._energy)
        self._energy = energy
        return Energy(energy, self._lambda * change + (1 - self._lambda) * acceleration)

    def _motion(self, world: NDArray[np.floating[Any]]) -> tuple[float, float]:
        points = np.asarray(world, dtype=np.float64)
        left_shoulder, right_shoulder, left_hip, right_hip = points[TRUNK_NODES]
        hips = left_hip + right_hip
        trunk = left_shoulder + right_shoulder - hips
        torso = math.sqrt(trunk @ trunk) / 2
        self._torso = torso if self._torso == 0 else self._torso + _TORSO_SMOOTHING * (torso - self._torso)
        position = (points - hips / 2) / max(self._torso, 1e-3)
        if self._position is None:
            self._position = position
            self._centre_velocity = np.zeros(3)
            return 0.0, 0.0
        moved = _SMOOTHING * (position - self._position)
        self._position += moved
        centre_velocity = (self._weights @ moved) * self._hz
        change = centre_velocity - self._centre_velocity
        self._centre_velocity = centre_velocity
        return float(np.vdot(moved, moved)) * self._hz**2, math.sqrt(change @ change) * self._hz

    def _no_motion(self) -> tuple[float, float]:
        self._position = None
        return 0.0, 0.0

    def _rates(self, angles: NDArray[np.floating[Any]]) -> float:
        # A dozen plain numbers are faster than the same in an array.
        now: list[float] = angles.tolist()
        before = now if self._angles is None else self._angles
        turned = [_SMOOTHING * ((a - b + math.pi) % math.tau - math.pi) for a, b in zip(now, before, strict=True)]
        self._angles = [b + turn for b, turn in zip(before, turned, strict=True)]
        return sum(turn * turn for turn in turned) * self._hz**2


class PeakFinder:
    """Peaks of a non-negative stream: larger than both neighbours and than the stream's running mean, `refractory_s` apart."""

    def __init__(self, tick_hz: float, refractory_s: float = 0.15, memory_s: float = 2.0) -> None:
        self._refractory = round(refractory_s * tick_hz)
        self._forget = 1 / max(1.0, memory_s * tick_hz)
        self._mean = 0.0
        self._last = 0.0
        self._before = 0.0
        self._since = self._refractory

    def step(self, value: float) -> bool:
        """Next sample; true when the sample before it was a peak."""
        self._mean += self._forget * (value - self._mean)
        self._since += 1
        peak = self._before < self._last >= value and self._last > self._mean and self._since > self._refractory
        if peak:
            self._since = 0
        self._before, self._last = self._last, value
        return peak
