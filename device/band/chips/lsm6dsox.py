"""ST LSM6DSOX: data sheet DS12814 (registers: chapters 8 and 9, by address), application note AN5272 (procedures)."""

import struct

from device.band.chips.base import ACCEL_RANGES_G, GYRO_RANGES_DPS, SAMPLE_SIZE, UNKNOWN, Chip, SelfTest, code_of

FIFO_CTRL1, FIFO_CTRL2, FIFO_CTRL3, FIFO_CTRL4 = 0x07, 0x08, 0x09, 0x0A
INT1_CTRL, WHO_AM_I = 0x0D, 0x0F
CTRL1_XL, CTRL2_G, CTRL3_C, CTRL5_C, CTRL6_C = 0x10, 0x11, 0x12, 0x14, 0x15
STATUS_REG, OUTX_L_G, OUTX_L_A = 0x1E, 0x22, 0x28
FIFO_STATUS1 = 0x3A
TAP_CFG0, TAP_CFG2, WAKE_UP_THS, WAKE_UP_DUR, MD1_CFG = 0x56, 0x58, 0x5B, 0x5C, 0x5E
FIFO_DATA_OUT_TAG = 0x78

SW_RESET, IF_INC, BDU = 0x01, 0x04, 0x40
FIFO_BYPASS, FIFO_CONTINUOUS = 0, 6
INT1_FIFO_TH = 0x08
DIFF_HIGH, OVR_LATCHED, OVR = 0x03, 0x08, 0x40
"""In FIFO_STATUS2 (3Bh): DIFF_FIFO_9:8, FIFO_OVR_LATCHED, FIFO_OVR_IA."""
TAG_GYRO, TAG_ACCEL = 0x01, 0x02
WORD = 7
"""A tag and six bytes (FIFO_DATA_OUT_TAG, 78h, to FIFO_DATA_OUT_Z_H, 7Eh)."""

_RATES = {50: (3, 52.0), 100: (4, 104.0), 200: (5, 208.0)}
"""ODR_XL and ODR_G, and the rate (CTRL1_XL, CTRL2_G): it has no rounder ones."""
_ACCEL_FS = (0, 2, 3, 1)
_GYRO_FS = (0x02, 0x00, 0x04, 0x08, 0x0C)
"""FS_XL, and FS_G with FS_125, by range code."""
_TEST_SAMPLES = 5
_TEST_MG = (50.0, 1700.0)
_TEST_DPS = (150.0, 700.0)
"""Self-test output change (section 4.1, mechanical characteristics), of the gyroscope at 2000 dps."""


class Lsm6dsox(Chip):
    """Gyroscope and accelerometer words come tagged; two words of the same time slot make a sample."""

    NAME = "lsm6dsox"
    CODE = 1
    ADDRESSES = (0x6A, 0x6B)
    ID_REGISTER = WHO_AM_I
    IDS = (0x6C,)
    COUNT_REGISTER = FIFO_STATUS1
    FIFO_SAMPLES = 256
    SETTLE_MS = 100
    _gyro_slot = UNKNOWN
    """Time slot of a gyroscope word whose accelerometer word has not come."""

    def start(self, rate_hz: int = 100, accel_g: int = 16, gyro_dps: int = 2000, watermark: int = 8) -> None:
        if rate_hz not in _RATES:
            raise ValueError(f"A rate of {rate_hz} Hz; there are 50, 100 and 200.")
        self.accel_code = code_of(accel_g, ACCEL_RANGES_G, "g")
        self.gyro_code = code_of(gyro_dps, GYRO_RANGES_DPS, "dps")
        odr, self.rate_hz = _RATES[rate_hz]
        self.samples_per_interrupt = min(max(watermark, 1), self.FIFO_SAMPLES - 1)
        self.reset()
        words = 2 * self.samples_per_interrupt
        self._bus.write(FIFO_CTRL1, bytes((words & 0xFF, words >> 8, odr << 4 | odr, FIFO_BYPASS)))
        self._write1(INT1_CTRL, INT1_FIFO_TH)
        self._write1(CTRL1_XL, odr << 4 | _ACCEL_FS[self.accel_code] << 2)
        self._write1(CTRL2_G, odr << 4 | _GYRO_FS[self.gyro_code])
        self._sleep_ms(self.SETTLE_MS)
        self._gyro_slot = UNKNOWN
        self._n = 0
        self._write1(FIFO_CTRL4, FIFO_CONTINUOUS)

    def reset(self) -> None:
        """All registers as after power-up (SW_RESET), but for multi-byte access."""
        self._write1(CTRL3_C, SW_RESET)
        self._wait_for(CTRL3_C, SW_RESET, 0, 50, "does not come back from its reset")
        self._write1(CTRL3_C, BDU | IF_INC)

    def stop(self) -> None:
        self._write1(FIFO_CTRL4, FIFO_BYPASS)
        self._write1(CTRL1_XL, 0)
        self._write1(CTRL2_G, 0)

    def read_fifo(self) -> int:
        most = self._block // WORD
        self._n = 0
        words, self.overflow = self._fifo_status()
        self.lost = UNKNOWN if self.overflow else 0
        if self.overflow:
            # Full as it is, it would go on losing its oldest words while it is read: make room, then count.
            self._bus.read(FIFO_DATA_OUT_TAG, most * WORD)
            self._gyro_slot = UNKNOWN
            words, _ = self._fifo_status()
        while words > 0:
            n = min(words, most)
            # After 7Eh the address rolls back to 78h, so a transfer goes over words.
            self._take(self._bus.read(FIFO_DATA_OUT_TAG, n * WORD), n)
            words -= n
        return self._n

    def self_test(self) -> SelfTest:
        self.reset()
        self._write1(CTRL1_XL, 0x38)
        accel = self._change(OUTX_L_A, 0x01, 0x01, 4000 / 32768)
        self.reset()
        self._write1(CTRL2_G, 0x5C)
        gyro = self._change(OUTX_L_G, 0x02, 0x04, 2000 / 32768)
        self.reset()
        return SelfTest(
            all(_TEST_MG[0] <= change <= _TEST_MG[1] for change in accel),
            all(_TEST_DPS[0] <= change <= _TEST_DPS[1] for change in gyro),
            accel,
            gyro,
            ("mg", "dps"),
            f"{_TEST_MG[0]:.0f} to {_TEST_MG[1]:.0f} mg, {_TEST_DPS[0]:.0f} to {_TEST_DPS[1]:.0f} dps.",
        )

    def wake_on_motion(self, threshold_mg: int = 80) -> None:
        self.reset()
        # A slope of WK_THS x FS / 2^8 between two samples (WAKE_UP_DUR: WAKE_THS_W), at 2 g.
        threshold = min(max(round(threshold_mg * 256 / 2000), 1), 0x3F)
        self._write1(CTRL6_C, 0x10)
        # Latched (LIR), cleared by reading WAKE_UP_SRC: who polls the pin does not miss it.
        self._write1(TAP_CFG0, 0x41)
        self._write1(WAKE_UP_DUR, 0x10)
        self._write1(WAKE_UP_THS, threshold)
        self._write1(MD1_CFG, 0x20)
        self._write1(CTRL1_XL, 0x20)
        # The first slopes are those of switching on.
        self._sleep_ms(self.SETTLE_MS)
        self._write1(TAP_CFG2, 0x80)

    def _fifo_status(self) -> tuple[int, bool]:
        """Words in the FIFO, and whether some were lost since this was asked last."""
        status = self._bus.read(FIFO_STATUS1, 2)
        return (status[1] & DIFF_HIGH) << 8 | status[0], bool(status[1] & (OVR_LATCHED | OVR))

    def _take(self, data: bytes, n: int) -> None:
        rows = self._rows
        for start in range(0, n * WORD, WORD):
            tag = data[start] >> 3
            slot = data[start] >> 1 & 3
            place = self._n * SAMPLE_SIZE
            if place >= len(rows):
                return
            if tag == TAG_GYRO:
                rows[place + 6 : place + 12] = data[start + 1 : start + WORD]
                self._gyro_slot = slot
            elif tag == TAG_ACCEL and slot == self._gyro_slot:
                rows[place : place + 6] = data[start + 1 : start + WORD]
                self._n += 1
                self._gyro_slot = UNKNOWN

    def _change(self, register: int, ready: int, excite: int, unit: float) -> tuple[float, ...]:
        """What the self-test adds to x, y, z (AN5272, self-test): means of five samples with it, less those without."""
        self._sleep_ms(100)
        rest = self._mean(register, ready)
        self._write1(CTRL5_C, excite)
        self._sleep_ms(100)
        excited = self._mean(register, ready)
        self._write1(CTRL5_C, 0)
        return tuple(abs(excited[i] - rest[i]) * unit for i in range(3))

    def _mean(self, register: int, ready: int) -> list[float]:
        total = [0, 0, 0]
        for i in range(_TEST_SAMPLES + 1):
            self._wait_for(STATUS_REG, ready, ready, 200, "measures nothing in its self-test")
            values = struct.unpack("<3h", self._bus.read(register, 6))
            if i:
                total = [total[k] + values[k] for k in range(3)]
        return [each / _TEST_SAMPLES for each in total]
