"""Raw counts of an IMU: what they are in SI units, and whether they can be true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device.band.protocol import ACCEL_RANGES_G, FULL_SCALE, GYRO_RANGES_DPS

GRAVITY = 9.80665
STUCK_NS = 500_000_000
"""A sensor that measures has noise: six counts that stay the same for so long are none."""


def to_si(counts: NDArray[np.int16], accel_code: int, gyro_code: int) -> NDArray[np.float32]:
    """Counts (n, 6) with their range codes as specific force m/s^2 and angular rate rad/s."""
    force = ACCEL_RANGES_G[accel_code] * GRAVITY / FULL_SCALE
    rate = np.deg2rad(GYRO_RANGES_DPS[gyro_code]) / FULL_SCALE
    return np.asarray(counts * np.repeat([force, rate], 3), dtype=np.float32)


class CountsWatch:
    """`saturated`: samples with an axis at the end of its range. `stuck`: all axes have stayed the same for `STUCK_NS`."""

    def __init__(self) -> None:
        self.saturated = 0
        self.stuck = False
        self._previous: NDArray[np.int16] | None = None
        self._alike_ns = 0

    def feed(self, counts: NDArray[np.int16], spacing_ns: int) -> None:
        """The next samples (n, 6) of a sensor."""
        self.saturated += int((np.abs(counts.astype(np.int32)) >= FULL_SCALE - 1).any(axis=1).sum())
        for row in counts:
            if self._previous is not None and (row == self._previous).all():
                self._alike_ns += spacing_ns
            else:
                self._alike_ns = 0
            self._previous = row.copy()
        self.stuck = self._alike_ns >= STUCK_NS
