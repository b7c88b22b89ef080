"""How each band is turned: its gyro integrated, held level by gravity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.skeleton import N_BANDS

Floats = NDArray[np.float64]

GRAVITY = 9.80665
LEVELLING_S = 1.5
"""Time constant with which the direction of gravity is followed while the specific force is near 1 g."""
LEVEL_S = 0.5
"""Seconds near 1 g after which the direction of gravity is good enough to go by."""
FORCE_SPREAD = 1.5
"""Departure from 1 g, m/s^2, at which the accelerometer is hardly believed any more."""

_EPSILON = np.zeros((3, 3, 3))
for _i, _j, _k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _EPSILON[_i, _k, _j], _EPSILON[_i, _j, _k] = 1.0, -1.0


class Attitudes:
    """Rotation of each band into a level frame of its own: z up, heading arbitrary and as constant as its gyro is good.

    A band that was away starts anew, with another heading. Complementary filter after Mahony et al., 2008, section IV-B.
    """

    def __init__(self, tick_hz: float) -> None:
        self._dt = 1.0 / tick_hz
        self.rotations: Floats = np.tile(np.eye(3), (N_BANDS, 1, 1))
        """(4, 3, 3), columns are the band's axes in its level frame; row 2 is the direction up in the band's axes."""
        self._running: NDArray[np.bool_] = np.zeros(N_BANDS, dtype=np.bool_)
        self._believed_s = np.zeros(N_BANDS)

    @property
    def level(self) -> NDArray[np.bool_]:
        """(4,), whether the band's rotation can be gone by: it was tracked for LEVEL_S near 1 g."""
        return np.asarray(self._running & (self._believed_s > LEVEL_S))

    def step(self, imu: NDArray[np.floating[Any]], present: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Next tick: `imu` (4, 6) m/s^2 and rad/s, `present` (4,). Returns (4,), whether the band started anew."""
        values = np.asarray(imu, dtype=np.float64)
        force, turned = values[:, :3], values[:, 3:] * self._dt
        size = np.sqrt((force * force).sum(-1))
        started: NDArray[np.bool_] = present & ~self._running & (size > 0.5 * GRAVITY)
        angle = np.maximum(np.sqrt((turned * turned).sum(-1)), 1e-9)[:, None, None]
        cross = _skew(turned)
        rotations = self.rotations + self.rotations @ (
            np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * (cross @ cross)
        )
        # The force, level: where it leans from the vertical, the frame is tilted back.
        leaning = (rotations @ force[..., None])[..., 0] / np.maximum(size, 1e-6)[:, None]
        believed = np.exp(-(((size - GRAVITY) / FORCE_SPREAD) ** 2)) * self._dt
        self._believed_s = np.where(self._running & present, self._believed_s + believed, 0.0)
        # A plain mean at first: where a band starts in motion, its first force is not upright.
        gain = believed / np.clip(self._believed_s, self._dt, LEVELLING_S)
        tilt = np.stack([leaning[:, 1], -leaning[:, 0], np.zeros(N_BANDS)], -1) * gain[:, None]
        rotations += _skew(tilt) @ rotations
        # One Newton step towards the nearest rotation.
        rotations = rotations @ (1.5 * np.eye(3) - 0.5 * (rotations.swapaxes(1, 2) @ rotations))
        self._running &= present
        self.rotations = np.where(self._running[:, None, None], rotations, self.rotations)
        for band in started.nonzero()[0]:
            self.rotations[band] = _levelled(force[band] / size[band])
        self._running |= started
        return started


def _skew(vectors: Floats) -> Floats:
    """Cross-product matrices (n, 3, 3) of vectors (n, 3)."""
    return np.asarray((vectors @ _EPSILON.reshape(3, 9)).reshape(-1, 3, 3))


def _levelled(up: Floats) -> Floats:
    """Rotation (3, 3) whose row 2 is the unit vector `up` (3,)."""
    aside = np.eye(3)[int(np.argmin(np.abs(up)))]
    y = np.cross(up, aside)
    y = y / np.linalg.norm(y)
    return np.stack([np.cross(y, up), y, up])
