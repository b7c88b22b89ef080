"""An LSM6DSOX as DS12814 describes it: chapter 9 by register address, FIFO as in chapter 6, limits of section 4.1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device.band.chips import lsm6dsox as r
from device.sim_chips.model import ChipModel, Counts, Source

FIFO_WORDS = 512
"""3 kB of six bytes; the tags come on top."""
_RATES_HZ = {1: 12.5, 2: 26.0, 3: 52.0, 4: 104.0, 5: 208.0, 6: 416.0, 7: 833.0, 8: 1667.0, 9: 3333.0, 10: 6667.0}
"""By ODR_XL and ODR_G (10h, 11h)."""
_ACCEL_G = (2, 16, 4, 8)
_GYRO_DPS = (250, 500, 1000, 2000)
_TEST_G, _TEST_DPS = 0.5, 300.0
"""Inside what section 4.1 allows: 50 to 1700 mg, and 150 to 700 dps."""
_FIFO_LAST = 0x7E
_OUT_LAST = 0x2D
_LIR, _INTERRUPTS_ENABLE, _INT1_WU = 0x01, 0x80, 0x20
_WAKE_UP_SRC = 0x1B


class Lsm6dsoxModel(ChipModel):
    """Both sensors run at the accelerometer's rate, or the gyroscope's where that is off. FIFO: bypass and continuous mode."""

    def __init__(self, source: Source, rate_error: float = 0.0, address: int = 0x6A) -> None:
        super().__init__(address, source, rate_error)

    def _reset(self, host_ns: int) -> None:
        self._registers = bytearray(128)
        self._registers[r.WHO_AM_I] = 0x6C
        self._registers[r.CTRL3_C] = r.IF_INC
        self._fifo: list[bytes] = []
        self._slot = 0
        self._overrun = self._overrun_latched = False
        self._woken = False
        self._fresh = 0
        self._run(0.0, host_ns)

    def _read(self, register: int, n: int) -> bytes:
        if register >= r.FIFO_DATA_OUT_TAG:
            # The address goes round within the FIFO's output (6.5, reading procedure).
            words = b"".join(self._pop() for _ in range(-(-n // r.WORD)))
            return words[:n]
        return bytes(self._register(self._next(register, i)) for i in range(n))

    def _next(self, register: int, i: int) -> int:
        return register + i if self._registers[r.CTRL3_C] & r.IF_INC else register

    def _register(self, register: int) -> int:
        if register == r.STATUS_REG:
            return self._fresh
        if r.OUTX_L_G <= register <= _OUT_LAST:
            self._fresh &= ~0x02 if register < r.OUTX_L_A else ~0x01
            values: bytes = np.concatenate([self._latest[3:], self._latest[:3]]).astype("<i2").tobytes()
            return values[register - r.OUTX_L_G]
        if register == r.FIFO_STATUS1:
            return len(self._fifo) & 0xFF
        if register == r.FIFO_STATUS1 + 1:
            return self._fifo_status()
        if register == _WAKE_UP_SRC:
            woken, self._woken = self._woken, False
            return woken << 3
        return self._registers[register]

    def _fifo_status(self) -> int:
        latched, self._overrun_latched = self._overrun_latched, False
        reached = len(self._fifo) >= self._watermark() > 0
        return reached << 7 | self._overrun << 6 | latched << 3 | len(self._fifo) >> 8

    def _write(self, register: int, value: int, host_ns: int) -> None:
        if register in (r.WHO_AM_I, r.STATUS_REG) or register >= r.FIFO_DATA_OUT_TAG:
            return
        if register == r.CTRL3_C and value & r.SW_RESET:
            self._reset(host_ns)
            return
        before = self._registers[register]
        self._registers[register] = value
        if register in (r.CTRL1_XL, r.CTRL2_G) and value >> 4 != before >> 4:
            accel, gyro = self._registers[r.CTRL1_XL] >> 4, self._registers[r.CTRL2_G] >> 4
            self._run(_RATES_HZ.get(accel or gyro, 0.0), host_ns)
        if register == r.FIFO_CTRL4 and value & 0x07 == r.FIFO_BYPASS:
            self._fifo, self._overrun = [], False

    def _ranges(self) -> tuple[float, float]:
        control = self._registers[r.CTRL2_G]
        gyro = 125 if control & 0x02 else _GYRO_DPS[control >> 2 & 3]
        return _ACCEL_G[self._registers[r.CTRL1_XL] >> 2 & 3], gyro

    def _excited(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        works = 1.0 if self.test_passes else 0.0
        sign_accel = (0, 1, -1, 0)[self._registers[r.CTRL5_C] & 3]
        sign_gyro = (0, 1, 0, -1)[self._registers[r.CTRL5_C] >> 2 & 3]
        return np.full(3, _TEST_G * sign_accel * works), np.full(3, _TEST_DPS * sign_gyro * works)

    def _sampled(self, rows: Counts, before: Counts) -> None:
        accel_on, gyro_on = self._registers[r.CTRL1_XL] >> 4 > 0, self._registers[r.CTRL2_G] >> 4 > 0
        self._fresh = accel_on | gyro_on << 1
        self._watch_motion(rows, before)
        if self._registers[r.FIFO_CTRL4] & 0x07 != r.FIFO_CONTINUOUS:
            return
        batched = self._registers[r.FIFO_CTRL3]
        for row in rows:
            self._slot = (self._slot + 1) % 4
            if batched >> 4 and gyro_on:
                self._push(r.TAG_GYRO, row[3:])
            if batched & 0x0F and accel_on:
                self._push(r.TAG_ACCEL, row[:3])

    def _push(self, sensor: int, values: Counts) -> None:
        tag = sensor << 3 | self._slot << 1
        # Even parity over the tag byte.
        self._fifo.append(bytes([tag | bin(tag).count("1") & 1]) + values.astype("<i2").tobytes())
        if len(self._fifo) > FIFO_WORDS:
            del self._fifo[0]
            self._overrun = self._overrun_latched = True

    def _pop(self) -> bytes:
        self._overrun = False
        return self._fifo.pop(0) if self._fifo else bytes(r.WORD)

    def _watch_motion(self, rows: Counts, before: Counts) -> None:
        """Wake-up: the slope between two samples passes WK_THS x FS / 2^6, or / 2^8 (5Bh, 5Ch)."""
        if not self._wakes() or self.taken < 2:
            return
        previous = np.vstack([before, rows[:-1]])[:, :3].astype(np.int32)
        parts = 256 if self._registers[r.WAKE_UP_DUR] & 0x10 else 64
        threshold = (self._registers[r.WAKE_UP_THS] & 0x3F) * 32768 / parts
        moved = bool((np.abs(rows[:, :3] - previous) > threshold).any())
        self._woken = moved or (self._woken and bool(self._registers[r.TAP_CFG0] & _LIR))

    def _wakes(self) -> bool:
        return bool(self._registers[r.MD1_CFG] & _INT1_WU and self._registers[r.TAP_CFG2] & _INTERRUPTS_ENABLE)

    def _watermark(self) -> int:
        return self._registers[r.FIFO_CTRL1] | (self._registers[r.FIFO_CTRL2] & 0x01) << 8

    def _signals(self) -> bool:
        return bool(self._registers[r.INT1_CTRL] & r.INT1_FIFO_TH) and self._watermark() > 0

    def _level(self) -> bool:
        return self._woken or (self._signals() and len(self._fifo) >= self._watermark())

    def _may_rise(self, k: int) -> bool:
        return self._wakes() or (self._signals() and len(self._fifo) + 2 * k >= self._watermark())
