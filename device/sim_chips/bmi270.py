"""A BMI270 as BST-BMI270-DS000 describes it: chapter 5 by register address, FIFO and initialization as in chapter 4."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from device.band.chips import bmi270 as r
from device.sim_chips.model import ChipModel, Counts, Source

FIFO_BYTES = 2048
_RATES_HZ = {6: 25.0, 7: 50.0, 8: 100.0, 9: 200.0, 10: 400.0, 11: 800.0, 12: 1600.0}
_GYRO_DPS = (2000, 1000, 500, 250, 125)
_TEST_G = np.array([18.0, -17.0, 12.0]) / 2
"""Half of what the two signs differ by: more than 16, -15 and 10 g."""
_TEST_NS = 100_000_000
_PAGE_FIRST, _PAGE_LAST = 0x30, 0x3F
_INT_STATUS_0 = 0x1C
_ANY_MOTION = 0x40
_NOT_LOADED, _LOADED, _LOAD_ERROR = 0x00, 0x01, 0x02
_CROSS_AXES = 5
"""This chip's GYR_CAS.factor_zx."""


class Bmi270Model(ChipModel):
    """`blob`: what its configuration has to be; anything else that is uploaded leaves it without function."""

    def __init__(self, source: Source, blob: bytes, rate_error: float = 0.0, address: int = 0x68) -> None:
        self._blob = blob
        super().__init__(address, source, rate_error)

    def _reset(self, host_ns: int) -> None:
        self._registers = bytearray(128)
        self._registers[r.FIFO_CONFIG_0 + 1] = 0x10
        self._registers[r.PWR_CONF] = 0x03
        self._pages = [bytearray(16) for _ in range(8)]
        self._pages[0][r.GYR_CAS - _PAGE_FIRST] = _CROSS_AXES
        # Any-motion: 5 samples on all axes, 83 mg, output on bit 6, off.
        struct.pack_into("<2H", self._pages[1], r.ANYMO_1 - _PAGE_FIRST, 0xE005, 0x38AA)
        self._uploaded = bytearray(len(self._blob))
        self._status = _NOT_LOADED
        self._frames: list[bytes] = []
        self._skipped = 0
        self._moved = False
        self._test_due_ns: int | None = None
        self._run(0.0, host_ns)

    def _read(self, register: int, n: int) -> bytes:
        if register == r.FIFO_DATA:
            return self._read_fifo(n)
        return bytes(self._register(register + i) for i in range(n))

    def _register(self, register: int) -> int:
        if register == r.CHIP_ID:
            return 0x24
        if register == r.INTERNAL_STATUS:
            return self._status
        if r.ACC_X_LSB <= register < r.ACC_X_LSB + 12:
            return self._latest.astype("<i2").tobytes()[register - r.ACC_X_LSB]
        if register in (r.FIFO_LENGTH_0, r.FIFO_LENGTH_0 + 1):
            return self._fill() >> 8 * (register - r.FIFO_LENGTH_0) & 0xFF
        if register == _INT_STATUS_0:
            moved, self._moved = self._moved, False
            return moved * _ANY_MOTION
        if _PAGE_FIRST <= register <= _PAGE_LAST:
            return self._pages[self._registers[r.FEAT_PAGE] & 7][register - _PAGE_FIRST]
        return self._registers[register]

    def advance(self, host_ns: int) -> None:
        super().advance(host_ns)
        if self._test_due_ns is not None and host_ns >= self._test_due_ns:
            self._registers[r.GYR_SELF_TEST_AXES] = 0x0F if self.test_passes else 0x0D
            self._test_due_ns = None

    def write(self, register: int, data: bytes, host_ns: int) -> None:
        if register == r.INIT_DATA:
            self._answer()
            self.advance(host_ns)
            self._upload(data)
            return
        super().write(register, data, host_ns)

    def _write(self, register: int, value: int, host_ns: int) -> None:
        if register == r.CMD:
            self._command(value, host_ns)
        elif _PAGE_FIRST <= register <= _PAGE_LAST:
            self._pages[self._registers[r.FEAT_PAGE] & 7][register - _PAGE_FIRST] = value
        elif register == r.INIT_CTRL:
            self._registers[register] = value
            if value & 1:
                # In power saving nothing of the upload arrives.
                awake = not self._registers[r.PWR_CONF] & 1
                self._status = _LOADED if awake and self._uploaded == self._blob else _LOAD_ERROR
        else:
            before = self._registers[register]
            self._registers[register] = value
            if register in (r.ACC_CONF, r.GYR_CONF, r.PWR_CTRL) and value != before:
                self._set_rate(host_ns)

    def _command(self, value: int, host_ns: int) -> None:
        if value == r.SOFT_RESET:
            self._reset(host_ns)
        elif value == r.FIFO_FLUSH:
            self._frames, self._skipped = [], 0
        elif value == r.G_TRIGGER and self._status == _LOADED:
            self._registers[r.GYR_SELF_TEST_AXES] = 0
            self._test_due_ns = host_ns + _TEST_NS

    def _upload(self, data: bytes) -> None:
        word = self._registers[r.INIT_ADDR_0] & 0x0F | self._registers[r.INIT_ADDR_0 + 1] << 4
        if not self._registers[r.PWR_CONF] & 1:
            self._uploaded[2 * word : 2 * word + len(data)] = data

    def _set_rate(self, host_ns: int) -> None:
        power = self._registers[r.PWR_CTRL]
        on = bool(power & (r.ACC_EN | r.GYR_EN)) and self._status == _LOADED
        conf = self._registers[r.ACC_CONF if power & r.ACC_EN else r.GYR_CONF]
        self._run(_RATES_HZ.get(conf & 0x0F, 0.0) if on else 0.0, host_ns)

    def _ranges(self) -> tuple[float, float]:
        return float(2 << (self._registers[r.ACC_RANGE] & 3)), _GYRO_DPS[self._registers[r.GYR_RANGE] & 7]

    def _excited(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        control = self._registers[r.ACC_SELF_TEST]
        works = bool(control & 1) and self.test_passes
        sign = 1 if control & 0x04 else -1
        return _TEST_G * sign * works, np.zeros(3)

    def _sampled(self, rows: Counts, before: Counts) -> None:
        self._watch_motion(rows, before)
        config = self._registers[r.FIFO_CONFIG_0 + 1]
        if config & 0xD0 != 0xD0:
            return
        both = self._registers[r.PWR_CTRL] & (r.ACC_EN | r.GYR_EN) == r.ACC_EN | r.GYR_EN
        for row in rows:
            if both:
                # The gyroscope's x shows some of its z (GYR_CAS).
                gx = np.clip(int(row[3]) + _CROSS_AXES * int(row[5]) // 512, -32768, 32767)
                frame = struct.pack("<B6h", r.HEADER_BOTH, gx, row[4], row[5], *row[:3])
            else:
                frame = struct.pack("<B3h", r.HEADER_ACCEL, *row[:3])
            self._push(frame)

    def _push(self, frame: bytes) -> None:
        self._frames.append(frame)
        # The skip frame itself takes two bytes.
        while self._fill() > FIFO_BYTES:
            del self._frames[0]
            self._skipped += 1

    def _fill(self) -> int:
        return sum(len(frame) for frame in self._frames) + 2 * bool(self._skipped)

    def _read_fifo(self, n: int) -> bytes:
        """Whole frames leave the FIFO; one that is read in part comes again; past the end there is 80h."""
        read = bytearray()
        if self._skipped and n >= 2:
            read += bytes([r.HEADER_SKIP, min(self._skipped, 255)])
            self._skipped = 0
        while self._frames and len(read) + len(self._frames[0]) <= n:
            read += self._frames.pop(0)
        left = n - len(read)
        return bytes(read) + (self._frames[0][:left] if self._frames else b"\x80" * left)

    def _watch_motion(self, rows: Counts, before: Counts) -> None:
        _, second = struct.unpack_from("<2H", self._pages[1], r.ANYMO_1 - _PAGE_FIRST)
        if not second & 0x8000 or self.taken < 2:
            return
        previous = np.vstack([before, rows[:-1]])[:, :3].astype(np.int32)
        threshold = (second & 0x7FF) / 2048 * 32768 / self._ranges()[0]
        moved = bool((np.abs(rows[:, :3] - previous) > threshold).any())
        self._moved = moved or (self._moved and bool(self._registers[r.INT_LATCH] & 1))

    def _outputs(self) -> bool:
        return self._registers[r.INT1_IO_CTRL] & 0x0A == 0x0A

    def _wakes(self) -> bool:
        return self._outputs() and bool(self._registers[r.INT1_MAP_FEAT] & _ANY_MOTION)

    def _watermark(self) -> int:
        return int(struct.unpack_from("<H", self._registers, r.FIFO_WTM_0)[0])

    def _signals(self) -> bool:
        return self._outputs() and bool(self._registers[r.INT_MAP_DATA] & 0x02) and self._watermark() > 0

    def _level(self) -> bool:
        return (self._wakes() and self._moved) or (self._signals() and self._fill() >= self._watermark())

    def _may_rise(self, k: int) -> bool:
        return self._wakes() or (self._signals() and self._fill() + r.FRAME * k >= self._watermark())
