"""Bosch BMI270: data sheet BST-BMI270-DS000 (register map: chapter 5, by address); feature pages as in Bosch's BMI270 SensorAPI.

The chip measures nothing until its configuration file of 8 kB was uploaded after each power-up or reset (chapter 4, device
initialization). It is shipped beside this module as `bmi270.bin`, under the licence in `bmi270.LICENSE`.
"""

import struct

from device.band.chips.base import (
    ACCEL_RANGES_G,
    GYRO_RANGES_DPS,
    SAMPLE_SIZE,
    Chip,
    ChipError,
    MissingBlob,
    SelfTest,
    code_of,
)

CHIP_ID, STATUS, ACC_X_LSB, INTERNAL_STATUS = 0x00, 0x03, 0x0C, 0x21
FIFO_LENGTH_0, FIFO_DATA, FEAT_PAGE = 0x24, 0x26, 0x2F
ACC_CONF, ACC_RANGE, GYR_CONF, GYR_RANGE = 0x40, 0x41, 0x42, 0x43
FIFO_WTM_0, FIFO_CONFIG_0 = 0x46, 0x48
INT1_IO_CTRL, INT_LATCH, INT1_MAP_FEAT, INT_MAP_DATA = 0x53, 0x55, 0x56, 0x58
INIT_CTRL, INIT_ADDR_0, INIT_DATA = 0x59, 0x5B, 0x5E
ACC_SELF_TEST, GYR_SELF_TEST_AXES = 0x6D, 0x6E
PWR_CONF, PWR_CTRL, CMD = 0x7C, 0x7D, 0x7E

GYR_CAS, G_TRIG_1, ANYMO_1 = 0x3C, 0x32, 0x3C
"""In the feature pages 0, 1 and 1."""
SOFT_RESET, FIFO_FLUSH, G_TRIGGER = 0xB6, 0xB0, 0x02
ACC_EN, GYR_EN = 0x04, 0x02
BLOB_SIZE = 8192
HEADER_BOTH, HEADER_ACCEL, HEADER_GYRO = 0x8C, 0x84, 0x88
HEADER_SKIP, HEADER_TIME, HEADER_CONFIG = 0x40, 0x44, 0x48
HEADER_TAG = 0x03
"""Bits of a frame's header that tell of interrupt pins."""
_LENGTHS = {HEADER_BOTH: 13, HEADER_ACCEL: 7, HEADER_GYRO: 7, HEADER_SKIP: 2, HEADER_TIME: 4, HEADER_CONFIG: 5}
FRAME = 13

_ODR = {50: 7, 100: 8, 200: 9}
_TEST_MG = (16000.0, -15000.0, 10000.0)
"""Least difference between positive and negative excitation, x, y (downwards), z (chapter 4, accelerometer self-test)."""


class Bmi270(Chip):
    """The FIFO is read with headers: they say how many samples an overflow lost."""

    NAME = "bmi270"
    CODE = 2
    ADDRESSES = (0x68, 0x69)
    ID_REGISTER = CHIP_ID
    IDS = (0x24,)
    COUNT_REGISTER = FIFO_LENGTH_0
    FIFO_SAMPLES = 157
    SETTLE_MS = 100
    BLOB = "bmi270.bin"
    _cross = 0

    def start(self, rate_hz: int = 100, accel_g: int = 16, gyro_dps: int = 2000, watermark: int = 8) -> None:
        if rate_hz not in _ODR:
            raise ValueError(f"A rate of {rate_hz} Hz; there are 50, 100 and 200.")
        self.accel_code = code_of(accel_g, ACCEL_RANGES_G, "g")
        self.gyro_code = code_of(gyro_dps, GYRO_RANGES_DPS, "dps")
        self.rate_hz = float(rate_hz)
        self.samples_per_interrupt = min(max(watermark, 1), self.FIFO_SAMPLES - 1)
        self._boot()
        self._write1(FEAT_PAGE, 0)
        factor = self._read1(GYR_CAS) & 0x7F
        self._cross = factor - 128 if factor > 63 else factor
        odr = _ODR[rate_hz]
        # Normal filter, performance before power; the gyroscope's range codes count down.
        conf = (0xA0 | odr, self.accel_code, 0xE0 | odr, len(GYRO_RANGES_DPS) - 1 - self.gyro_code)
        self._bus.write(ACC_CONF, bytes(conf))
        self._bus.write(FIFO_WTM_0, struct.pack("<H", self.samples_per_interrupt * FRAME))
        self._bus.write(FIFO_CONFIG_0, b"\x00\xd0")
        self._write1(INT1_IO_CTRL, 0x0A)
        self._write1(INT_MAP_DATA, 0x02)
        self._write1(PWR_CTRL, ACC_EN | GYR_EN)
        self._sleep_ms(self.SETTLE_MS)
        self._n = 0
        self._write1(CMD, FIFO_FLUSH)

    def stop(self) -> None:
        self._write1(PWR_CTRL, 0)

    def read_fifo(self) -> int:
        length = self._bus.read(FIFO_LENGTH_0, 2)
        left = (length[1] & 0x3F) << 8 | length[0]
        self.overflow = False
        self.lost = 0
        self._n = 0
        most = self._block // FRAME * FRAME
        while left > 0:
            data = self._bus.read(FIFO_DATA, min(most, left))
            taken = self._take(data)
            if not taken:
                break
            # A frame that was read in part comes again as a whole.
            left -= taken
        return self._n

    def self_test(self) -> SelfTest:
        self._boot()
        gyro = self._test_gyro()
        accel = self._test_accel()
        self._write1(CMD, SOFT_RESET)
        self._sleep_ms(2)
        return SelfTest(
            accel[0] >= _TEST_MG[0] and accel[1] <= _TEST_MG[1] and accel[2] >= _TEST_MG[2],
            gyro,
            accel,
            None,
            ("mg", ""),
            "at least 16000 mg, at most -15000 mg, at least 10000 mg; the chip judges its gyroscope.",
        )

    def wake_on_motion(self, threshold_mg: int = 80) -> None:
        self._boot()
        self._write1(FEAT_PAGE, 1)
        _, second = struct.unpack("<2H", self._bus.read(ANYMO_1, 4))
        threshold = min(max(round(threshold_mg * 2048 / 1000), 1), 0x7FF)
        # Two samples at 50 Hz, on any axis; where the result goes (out_conf) stays as it is.
        self._bus.write(ANYMO_1, struct.pack("<2H", 0xE000 | 2, second & 0x7800 | 0x8000 | threshold))
        self._write1(INT1_IO_CTRL, 0x0A)
        self._write1(INT_LATCH, 0x01)
        self._write1(INT1_MAP_FEAT, 0x40)
        self._bus.write(ACC_CONF, b"\x27\x00")
        self._write1(PWR_CTRL, ACC_EN)
        self._write1(PWR_CONF, 0x01)

    def _boot(self) -> None:
        """Reset and upload the configuration. Raises MissingBlob, ChipError when the chip refuses it."""
        blob = self._blob()
        self._write1(CMD, SOFT_RESET)
        self._sleep_ms(2)
        # Out of power saving, in which most registers can't be written.
        self._write1(PWR_CONF, 0x00)
        self._sleep_ms(1)
        self._write1(INIT_CTRL, 0)
        step = self._block // 2 * 2
        for start in range(0, BLOB_SIZE, step):
            word = start // 2
            self._bus.write(INIT_ADDR_0, bytes((word & 0x0F, word >> 4)))
            self._bus.write(INIT_DATA, blob[start : start + step])
        self._write1(INIT_CTRL, 1)
        self._wait_for(INTERNAL_STATUS, 0x0F, 0x01, 150, "does not accept its configuration file")

    def _blob(self) -> bytes:
        if self._load_blob is None:
            raise MissingBlob("A BMI270 needs Bosch's configuration file, and nobody gave it.")
        try:
            blob = self._load_blob(self.BLOB)
        except OSError:
            raise MissingBlob(
                f"A BMI270 needs Bosch's configuration file {self.BLOB}, which is absent. Take it from device/band/chips of a "
                f"release, or make it of the array bmi270_config_file in Bosch's BMI270 SensorAPI (bmi270.c)."
            ) from None
        if len(blob) != BLOB_SIZE:
            raise ChipError(f"{self.BLOB} has {len(blob)} bytes; a BMI270 needs {BLOB_SIZE}.")
        return blob

    def _take(self, data: bytes) -> int:
        """Bytes of whole frames at the start of `data`, which are unpacked."""
        place = 0
        while place < len(data):
            header = data[place] & ~HEADER_TAG
            length = _LENGTHS.get(header, 0)
            if not length or place + length > len(data):
                break
            if header == HEADER_BOTH and self._n < self.FIFO_SAMPLES:
                self._unpack(data, place + 1)
            elif header == HEADER_SKIP:
                self.overflow = True
                self.lost += data[place + 1]
            place += length
        return place

    def _unpack(self, data: bytes, place: int) -> None:
        row = self._n * SAMPLE_SIZE
        gx, gy, gz, ax, ay, az = struct.unpack_from("<6h", data, place)
        # Cross-axis sensitivity of the gyroscope (chapter 4, GYR_CAS.factor_zx).
        gx = min(max(gx - self._cross * gz // 512, -32768), 32767)
        struct.pack_into("<6h", self._rows, row, ax, ay, az, gx, gy, gz)
        self._n += 1

    def _test_gyro(self) -> bool:
        self._write1(PWR_CTRL, ACC_EN)
        self._write1(FEAT_PAGE, 1)
        # Bit 8 of G_TRIG_1 would select the component retrimming instead.
        self._bus.write(G_TRIG_1, b"\x00\x00")
        self._write1(CMD, G_TRIGGER)
        self._wait_for(GYR_SELF_TEST_AXES, 0x01, 0x01, 500, "does not end its gyroscope's self-test")
        return self._read1(GYR_SELF_TEST_AXES) & 0x0E == 0x0E

    def _test_accel(self) -> tuple[float, ...]:
        self._write1(PWR_CTRL, ACC_EN)
        # 1600 Hz, normal filter, 16 g, large amplitude.
        self._bus.write(ACC_CONF, b"\xac\x03")
        self._write1(ACC_SELF_TEST, 0x08)
        self._sleep_ms(3)
        found = []
        for excite in (0x0D, 0x09):
            self._write1(ACC_SELF_TEST, excite)
            self._sleep_ms(51)
            found.append(struct.unpack("<3h", self._bus.read(ACC_X_LSB, 6)))
        self._write1(ACC_SELF_TEST, 0)
        return tuple((found[0][i] - found[1][i]) * 16000 / 32768 for i in range(3))
