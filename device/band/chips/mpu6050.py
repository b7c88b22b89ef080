"""InvenSense MPU-6050: register map RM-MPU-6000A-00 rev. 4.2 (sections below), product specification PS-MPU-6000A-00 rev. 3.4.

There is no watermark: the interrupt pin says that a sample is there. After an overflow the FIFO starts anew, as its 1024 bytes
are no whole number of samples.
"""

import struct

from device.band.chips.base import ACCEL_RANGES_G, GYRO_RANGES_DPS, SAMPLE_SIZE, UNKNOWN, Chip, SelfTest, code_of, swap_int16

SELF_TEST_X, SMPLRT_DIV, CONFIG, GYRO_CONFIG, ACCEL_CONFIG = 0x0D, 0x19, 0x1A, 0x1B, 0x1C
MOT_THR, FIFO_EN, INT_PIN_CFG, INT_ENABLE, INT_STATUS = 0x1F, 0x23, 0x37, 0x38, 0x3A
ACCEL_XOUT_H, SIGNAL_PATH_RESET, USER_CTRL = 0x3B, 0x68, 0x6A
PWR_MGMT_1, PWR_MGMT_2, FIFO_COUNTH, FIFO_R_W, WHO_AM_I = 0x6B, 0x6C, 0x72, 0x74, 0x75

DEVICE_RESET, PLL_X = 0x80, 0x01
DATA_RDY, FIFO_OFLOW, MOTION = 0x01, 0x10, 0x40
FIFO_ENABLE, FIFO_RESET = 0x40, 0x04
FIFO_ALL = 0x78
"""Gyroscope and accelerometer (4.6)."""
FIFO_BYTES = 1024

_FILTERS = {50: (4, 8400), 100: (3, 4850), 200: (2, 2900)}
"""DLPF_CFG with a bandwidth below half the rate, and its delay in us, mean of both sensors (4.3)."""
_TEST_SAMPLES = 16
_TEST_PERCENT = 14.0
"""How far the response may be from the factory's (product specification 6.1 and 6.2)."""


class Mpu6050(Chip):
    """Samples come big-endian, accelerometer first."""

    NAME = "mpu6050"
    CODE = 3
    ADDRESSES = (0x68, 0x69)
    ID_REGISTER = WHO_AM_I
    IDS = (0x68,)
    COUNT_REGISTER = FIFO_COUNTH
    FIFO_SAMPLES = FIFO_BYTES // SAMPLE_SIZE
    SETTLE_MS = 100

    def start(self, rate_hz: int = 100, accel_g: int = 16, gyro_dps: int = 2000, watermark: int = 8) -> None:  # noqa: ARG002
        if rate_hz not in _FILTERS:
            raise ValueError(f"A rate of {rate_hz} Hz; there are 50, 100 and 200.")
        self.accel_code = code_of(accel_g, ACCEL_RANGES_G, "g")
        gyro_fs = code_of(gyro_dps, GYRO_RANGES_DPS[1:], "dps")
        self.gyro_code = gyro_fs + 1
        self.rate_hz = float(rate_hz)
        self.samples_per_interrupt = 1
        dlpf, self.delay_us = _FILTERS[rate_hz]
        self._reset()
        # 1 kHz / (1 + SMPLRT_DIV) (4.2).
        setup = (1000 // rate_hz - 1, dlpf, gyro_fs << 3, self.accel_code << 3)
        self._bus.write(SMPLRT_DIV, bytes(setup))
        self._write1(INT_PIN_CFG, 0x00)
        self._write1(INT_ENABLE, DATA_RDY | FIFO_OFLOW)
        self._sleep_ms(self.SETTLE_MS)
        self._write1(FIFO_EN, FIFO_ALL)
        self._n = 0
        self._empty_fifo()

    def stop(self) -> None:
        self._write1(USER_CTRL, 0)
        self._write1(PWR_MGMT_1, 0x40)

    def read_fifo(self) -> int:
        n = self._count()
        full = n >= self.FIFO_SAMPLES
        if not full:
            self._take(n)
        # An overflow at any time before puts what was read out of step.
        self.overflow = bool(self._read1(INT_STATUS) & FIFO_OFLOW) or full
        self.lost = UNKNOWN if self.overflow else 0
        if self.overflow:
            self._empty_fifo()
            n = self._count()
            self._take(n)
        swap_int16(self._view, n * SAMPLE_SIZE)
        self._n = n
        return n

    def self_test(self) -> SelfTest:
        self._reset()
        trim = self._bus.read(SELF_TEST_X, 4)
        self._bus.write(SMPLRT_DIV, bytes((9, 3, 0x00, 0x10)))
        self._sleep_ms(self.SETTLE_MS)
        rest = self._mean()
        self._bus.write(GYRO_CONFIG, b"\xe0\xf0")
        self._sleep_ms(250)
        excited = self._mean()
        self._reset()
        expected = _factory_trim(trim)
        change = [_percent(excited[i] - rest[i], expected[i]) for i in range(6)]
        accel, gyro = tuple(change[:3]), tuple(change[3:])
        return SelfTest(
            all(abs(each) <= _TEST_PERCENT for each in accel),
            all(abs(each) <= _TEST_PERCENT for each in gyro),
            accel,
            gyro,
            ("% off the factory's", "% off the factory's"),
            "14 %.",
        )

    def wake_on_motion(self, threshold_mg: int = 80) -> None:
        self._reset()
        self._bus.write(CONFIG, b"\x00\x00\x00")
        # 2 mg a count, for 1 ms (rev. 4.0, 4.6).
        self._bus.write(MOT_THR, bytes((min(max(round(threshold_mg / 2), 1), 255), 1)))
        # Latched, and cleared by reading INT_STATUS.
        self._write1(INT_PIN_CFG, 0x20)
        self._sleep_ms(10)
        # The high-pass filter holds what it has now; what departs from it is motion.
        self._write1(ACCEL_CONFIG, 0x07)
        self._write1(INT_ENABLE, MOTION)
        # 20 samples a second, the gyroscope in standby (4.29).
        self._write1(PWR_MGMT_2, 0x87)
        self._write1(PWR_MGMT_1, 0x28)

    def _reset(self) -> None:
        self._write1(PWR_MGMT_1, DEVICE_RESET)
        self._wait_for(PWR_MGMT_1, DEVICE_RESET, 0, 200, "does not come back from its reset")
        self._write1(SIGNAL_PATH_RESET, 0x07)
        self._sleep_ms(100)
        self._write1(PWR_MGMT_1, PLL_X)
        self._sleep_ms(10)

    def _count(self) -> int:
        high, low = self._bus.read(FIFO_COUNTH, 2)
        return min((high << 8 | low) // SAMPLE_SIZE, self.FIFO_SAMPLES)

    def _take(self, n: int) -> None:
        most = self._block // SAMPLE_SIZE
        for first in range(0, n, most):
            part = min(most, n - first) * SAMPLE_SIZE
            place = first * SAMPLE_SIZE
            self._view[place : place + part] = self._bus.read(FIFO_R_W, part)

    def _empty_fifo(self) -> None:
        self._write1(USER_CTRL, 0)
        self._write1(USER_CTRL, FIFO_RESET)
        self._write1(USER_CTRL, FIFO_ENABLE)
        self._read1(INT_STATUS)

    def _mean(self) -> list[float]:
        total = [0] * 6
        for _ in range(_TEST_SAMPLES):
            self._wait_for(INT_STATUS, DATA_RDY, DATA_RDY, 200, "measures nothing in its self-test")
            values = struct.unpack(">7h", self._bus.read(ACCEL_XOUT_H, 14))
            total = [total[i] + values[i if i < 3 else i + 1] for i in range(6)]
        return [each / _TEST_SAMPLES for each in total]


def _factory_trim(registers: bytes) -> list[float]:
    """Response that the factory saw, counts at 8 g and 250 dps, ax ay az gx gy gz; 0 where it noted none (4.1)."""
    x, y, z, mixed = registers
    accel = [(each >> 5) << 2 | mixed >> shift & 3 for each, shift in ((x, 4), (y, 2), (z, 0))]
    gyro = [each & 0x1F for each in (x, y, z)]
    trim = [4096 * 0.34 * (0.92 / 0.34) ** ((each - 1) / 30) if each else 0.0 for each in accel]
    trim += [25 * 131 * 1.046 ** (each - 1) if each else 0.0 for each in gyro]
    trim[4] = -trim[4]
    return trim


def _percent(found: float, trim: float) -> float:
    return 100 * (found - trim) / trim if trim else float("inf")
