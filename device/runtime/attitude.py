"""How each band is turned: its gyro integrated, held level by gravity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.skeleton import N_BANDS

Floats = NDArray[np.float64]
Quaternion = tuple[float, float, float, float]
"""w, x, y, z."""

GRAVITY = 9.80665
LEVELLING_S = 1.5
"""Time constant with which the direction of gravity is followed while the specific force is near 1 g."""
LEVEL_S = 0.5
"""Seconds near 1 g after which the direction of gravity is good enough to go by."""
FORCE_SPREAD = 1.5
"""Departure from 1 g, m/s^2, at which the accelerometer is hardly believed any more."""


class Attitudes:
    """Rotation of each band into a level frame of its own: z up, heading arbitrary and as constant as its gyro is good.

    A band that was away starts anew, with another heading. Complementary filter after Mahony et al., 2008, section IV-B.
    """

    def __init__(self, tick_hz: float) -> None:
        self._dt = 1.0 / tick_hz
        self._bands: list[Quaternion] = [(1.0, 0.0, 0.0, 0.0)] * N_BANDS
        self._running = [False] * N_BANDS
        self._believed_s = [0.0] * N_BANDS

    @property
    def level(self) -> NDArray[np.bool_]:
        """(4,), whether the band's rotation can be gone by: it was tracked for LEVEL_S near 1 g."""
        known = [running and s > LEVEL_S for running, s in zip(self._running, self._believed_s, strict=True)]
        return np.array(known, dtype=np.bool_)

    @property
    def rotations(self) -> Floats:
        """(4, 3, 3), columns are the band's axes in its level frame; row 2 is the direction up in the band's axes."""
        return np.array([_matrix(band) for band in self._bands])

    @property
    def x_axes(self) -> list[tuple[float, float, float]]:
        """Column 0 of each band's rotation: along the limb."""
        return [x_axis(band) for band in self._bands]

    def step(self, imu: NDArray[np.floating[Any]], present: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Next tick: `imu` (4, 6) m/s^2 and rad/s, `present` (4,). Returns (4,), whether the band started anew."""
        started = [False] * N_BANDS
        for band, (values, here) in enumerate(zip(imu.tolist(), present.tolist(), strict=True)):
            force = values[:3]
            size = math.hypot(*force)
            if not here:
                self._running[band], self._believed_s[band] = False, 0.0
            elif self._running[band]:
                self._follow(band, force, size, values[3:])
            elif size > 0.5 * GRAVITY:
                self._bands[band] = _levelled(np.array(force) / size)
                self._running[band] = started[band] = True
        return np.array(started)

    def _follow(self, band: int, force: list[float], size: float, rate: list[float]) -> None:
        dt = self._dt
        turned = _times(self._bands[band], _turn(rate[0] * dt, rate[1] * dt, rate[2] * dt))
        # The force, level: where it leans from the vertical, the frame is tilted back.
        lean_x, lean_y = _level_part(turned, force)
        believed = math.exp(-(((size - GRAVITY) / FORCE_SPREAD) ** 2)) * dt
        self._believed_s[band] += believed
        # A plain mean at first: where a band starts in motion, its first force is not upright.
        gain = believed / min(max(self._believed_s[band], dt), LEVELLING_S) / max(size, 1e-6)
        self._bands[band] = _unit(_times(_tilt(lean_y * gain, -lean_x * gain), turned))


def x_axis(q: Quaternion) -> tuple[float, float, float]:
    """Where the x axis of a frame that is turned by `q` points."""
    w, x, y, z = q
    return (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))


def _times(a: Quaternion, b: Quaternion) -> Quaternion:
    """Turn by `b`, then by `a`."""
    (aw, ax, ay, az), (bw, bx, by, bz) = a, b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def _turn(x: float, y: float, z: float) -> Quaternion:
    """By a rotation vector (rad)."""
    angle = math.sqrt(x * x + y * y + z * z)
    share = math.sin(angle / 2) / angle if angle > 0 else 0.5
    return (math.cos(angle / 2), x * share, y * share, z * share)


def _tilt(x: float, y: float) -> Quaternion:
    """About a level axis, by the angle whose tangent is the axis' length."""
    cos = 1 / math.sqrt(1 + x * x + y * y)
    w = math.sqrt((1 + cos) / 2)
    share = cos / (2 * w)
    return (w, x * share, y * share, 0.0)


def _unit(q: Quaternion) -> Quaternion:
    w, x, y, z = q
    scale = 1 / math.sqrt(w * w + x * x + y * y + z * z)
    return (w * scale, x * scale, y * scale, z * scale)


def _level_part(q: Quaternion, vector: list[float]) -> tuple[float, float]:
    """x and y of `vector` turned by `q`."""
    (w, x, y, z), (a, b, c) = q, vector
    return (
        (1 - 2 * (y * y + z * z)) * a + 2 * ((x * y - w * z) * b + (x * z + w * y) * c),
        (1 - 2 * (x * x + z * z)) * b + 2 * ((x * y + w * z) * a + (y * z - w * x) * c),
    )


def _matrix(q: Quaternion) -> list[list[float]]:
    w, x, y, z = q
    xx, yy, zz, xy, xz, yz, wx, wy, wz = x * x, y * y, z * z, x * y, x * z, y * z, w * x, w * y, w * z
    return [
        [1 - 2 * (yy + zz), 2 * (xy - wz), 2 * (xz + wy)],
        [2 * (xy + wz), 1 - 2 * (xx + zz), 2 * (yz - wx)],
        [2 * (xz - wy), 2 * (yz + wx), 1 - 2 * (xx + yy)],
    ]


def _levelled(up: Floats) -> Quaternion:
    """Of a frame in which the band's unit vector `up` (3,) is up."""
    aside = np.eye(3)[int(np.argmin(np.abs(up)))]
    y = np.cross(up, aside)
    y = y / np.linalg.norm(y)
    (a, b, c), (d, e, f), (g, h, i) = np.stack([np.cross(y, up), y, up]).tolist()
    # Each row is the quaternion times four times one of its parts; the longest is the exactest.
    rows = [
        (1 + a + e + i, h - f, c - g, d - b),
        (h - f, 1 + a - e - i, b + d, c + g),
        (c - g, b + d, 1 - a + e - i, f + h),
        (d - b, c + g, f + h, 1 - a - e + i),
    ]
    return _unit(max(rows, key=lambda row: math.hypot(*row)))
