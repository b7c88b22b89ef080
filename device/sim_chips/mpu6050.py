"""An MPU-6050 as RM-MPU-6000A-00 rev. 4.2 describes it (its sections below)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device.band.chips import mpu6050 as r
from device.sim_chips.model import ChipModel, Counts, Source

_ACCEL_G = (2, 4, 8, 16)
_GYRO_DPS = (250, 500, 1000, 2000)
_DELAYS_NS = (0, 1_950_000, 2_900_000, 4_850_000, 8_400_000, 13_600_000, 18_800_000)
"""By DLPF_CFG, mean of both sensors (4.3)."""
_TRIM = bytes((0x6F, 0x72, 0x8D, 0x1B))
"""SELF_TEST_X, Y, Z, A of one chip (4.1)."""
_SLEEP, _CYCLE = 0x40, 0x20
_LATCHED = 0x20


class Mpu6050Model(ChipModel):
    """`test_error`: how far the self-test's response is off the factory's, 0.1 is 10 %."""

    def __init__(self, source: Source, rate_error: float = 0.0, address: int = 0x68, test_error: float = 0.05) -> None:
        self.test_error = test_error
        super().__init__(address, source, rate_error)

    def _reset(self, host_ns: int) -> None:
        self._registers = bytearray(128)
        self._registers[r.WHO_AM_I] = 0x68
        self._registers[r.PWR_MGMT_1] = _SLEEP
        self._registers[r.SELF_TEST_X : r.SELF_TEST_X + 4] = _TRIM
        self._fifo = bytearray()
        self._held = np.zeros(3, np.int32)
        self._run(0.0, host_ns)

    def _read(self, register: int, n: int) -> bytes:
        if register == r.FIFO_R_W:
            # The address stays (4.31). An empty FIFO repeats its last byte; there is none that is worth modelling.
            data = bytes(self._fifo[:n])
            del self._fifo[:n]
            return data.ljust(n, b"\0")
        return bytes(self._register(register + i) for i in range(n))

    def _register(self, register: int) -> int:
        if register == r.INT_STATUS:
            status, self._registers[register] = self._registers[register], 0
            return status
        if register in (r.FIFO_COUNTH, r.FIFO_COUNTH + 1):
            return len(self._fifo) >> 8 * (r.FIFO_COUNTH + 1 - register) & 0xFF
        if r.ACCEL_XOUT_H <= register < r.ACCEL_XOUT_H + 14:
            values = np.insert(self._latest, 3, 0).astype(">i2").tobytes()
            return values[register - r.ACCEL_XOUT_H]
        return self._registers[register]

    def _write(self, register: int, value: int, host_ns: int) -> None:
        if register == r.PWR_MGMT_1 and value & r.DEVICE_RESET:
            self._reset(host_ns)
            return
        if register in (r.WHO_AM_I, r.INT_STATUS, r.FIFO_COUNTH, r.FIFO_COUNTH + 1):
            return
        before = self._registers[register]
        self._registers[register] = value
        if register == r.USER_CTRL and value & r.FIFO_RESET:
            # The bit clears itself, and works only while the FIFO is off (4.27).
            self._registers[register] = value & ~r.FIFO_RESET
            if not value & r.FIFO_ENABLE:
                self._fifo.clear()
        if register == r.ACCEL_CONFIG and value & 0x07 == 0x07:
            self._held = self._latest[:3].astype(np.int32)
        if register in (r.SMPLRT_DIV, r.CONFIG, r.PWR_MGMT_1, r.PWR_MGMT_2) and value != before:
            self._set_rate(host_ns)

    def _set_rate(self, host_ns: int) -> None:
        power = self._registers[r.PWR_MGMT_1]
        if power & _SLEEP:
            self._run(0.0, host_ns)
        elif power & _CYCLE:
            self._run((1.25, 5.0, 20.0, 40.0)[self._registers[r.PWR_MGMT_2] >> 6], host_ns)
        else:
            unfiltered = self._registers[r.CONFIG] & 7 in (0, 7)
            self._run((8000.0 if unfiltered else 1000.0) / (1 + self._registers[r.SMPLRT_DIV]), host_ns)

    def _delay_ns(self) -> int:
        return _DELAYS_NS[min(self._registers[r.CONFIG] & 7, 6)]

    def _ranges(self) -> tuple[float, float]:
        return _ACCEL_G[self._registers[r.ACCEL_CONFIG] >> 3 & 3], _GYRO_DPS[self._registers[r.GYRO_CONFIG] >> 3 & 3]

    def _excited(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        accel, gyro = _factory_response()
        error = 1 + self.test_error if self.test_passes else 0.5
        axes_accel = np.array([self._registers[r.ACCEL_CONFIG] >> bit & 1 for bit in (7, 6, 5)])
        axes_gyro = np.array([self._registers[r.GYRO_CONFIG] >> bit & 1 for bit in (7, 6, 5)])
        return accel * error * axes_accel, gyro * error * axes_gyro

    def _sampled(self, rows: Counts, before: Counts) -> None:  # noqa: ARG002
        self._registers[r.INT_STATUS] |= r.DATA_RDY
        self._watch_motion(rows)
        if not self._registers[r.USER_CTRL] & r.FIFO_ENABLE:
            return
        for row in rows:
            if self._registers[r.FIFO_EN] & r.FIFO_ALL == r.FIFO_ALL:
                self._fifo += row.astype(">i2").tobytes()
        if len(self._fifo) > r.FIFO_BYTES:
            # The oldest bytes are overwritten, whatever sample they belong to (4.31).
            del self._fifo[: len(self._fifo) - r.FIFO_BYTES]
            self._registers[r.INT_STATUS] |= r.FIFO_OFLOW

    def _watch_motion(self, rows: Counts) -> None:
        if not self._registers[r.INT_ENABLE] & r.MOTION:
            return
        threshold = self._registers[r.MOT_THR] * 2 / 1000 * 32768 / self._ranges()[0]
        if (np.abs(rows[:, :3] - self._held) > threshold).any():
            self._registers[r.INT_STATUS] |= r.MOTION

    def _level(self) -> bool:
        if not self._registers[r.INT_PIN_CFG] & _LATCHED:
            # A pulse of 50 us (4.16): never seen up.
            return False
        return bool(self._registers[r.INT_STATUS] & self._registers[r.INT_ENABLE])

    def _may_rise(self, k: int) -> bool:
        return bool(self._registers[r.INT_ENABLE]) and k >= 1

    def _rose(self) -> bool:
        return bool(self._registers[r.INT_STATUS] & self._registers[r.INT_ENABLE])


def _factory_response() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the self-test adds according to `_TRIM`: g and dps (4.1, at 8 g and 250 dps)."""
    x, y, z, mixed = _TRIM
    accel = np.array([(x >> 5) << 2 | mixed >> 4 & 3, (y >> 5) << 2 | mixed >> 2 & 3, (z >> 5) << 2 | mixed & 3])
    gyro = np.array([x, y, z]) & 0x1F
    return 0.34 * (0.92 / 0.34) ** ((accel - 1) / 30), np.array([25, -25, 25]) * 1.046 ** (gyro - 1.0)
