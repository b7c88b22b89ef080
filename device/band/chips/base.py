"""What an IMU chip does for Spotter, whichever it is. docs/adding-an-imu-chip.md walks through one.

Runs on CPython 3.11 and MicroPython 1.28. Does no I/O of its own: a chip talks to the bus that it is given. Errors of that bus
(OSError) pass through.
"""

try:  # noqa: SIM105
    from collections.abc import Callable
except ImportError:
    # MicroPython has none, and evaluates no annotations.
    pass

FULL_SCALE = 32768
"""A sample of this many counts would be the range of its axis."""
SAMPLE_SIZE = 12
"""Bytes of a sample: six int16, little endian: ax ay az gx gy gz."""
ACCEL_RANGES_G = (2, 4, 8, 16)
GYRO_RANGES_DPS = (125, 250, 500, 1000, 2000)
"""Ranges by the code that a packet carries."""
SMBUS_BLOCK = 32
"""Bytes that one SMBus block call moves at most."""
UNKNOWN = -1


class ChipError(Exception):
    """A chip does not do what its data sheet says; the message names the register."""


class WrongChip(ChipError):
    """At this address answers something else. `found`: what WHO_AM_I said."""

    def __init__(self, message: str, found: int) -> None:
        super().__init__(message)
        self.found = found


class MissingBlob(ChipError):
    """The chip needs a file of its maker that is not there; the message says where to get it."""


class Bus:
    """The registers of one address. Anything with these two methods will do."""

    def read(self, register: int, n: int) -> bytes:
        """`n` bytes from `register` on. Raises OSError."""
        raise NotImplementedError

    def write(self, register: int, data: bytes) -> None:
        """Write `data` to `register` and those after it. Raises OSError."""
        raise NotImplementedError


class SelfTest:
    """What a self-test found. `accel`, `gyro`: passed. `accel_change`, `gyro_change`: response of x, y, z in `units`, None where
    the chip judges by itself. `limits`: what the data sheet allows, in words."""

    def __init__(
        self,
        accel: bool,
        gyro: bool,
        accel_change: tuple[float, ...] | None,
        gyro_change: tuple[float, ...] | None,
        units: tuple[str, str],
        limits: str,
    ) -> None:
        self.accel = accel
        self.gyro = gyro
        self.accel_change = accel_change
        self.gyro_change = gyro_change
        self.units = units
        self.limits = limits

    def passed(self) -> bool:
        """Whether both sensors passed."""
        return self.accel and self.gyro

    def text(self) -> str:
        """One line for a person."""
        found = []
        for name, passed, change, unit in (
            ("accelerometer", self.accel, self.accel_change, self.units[0]),
            ("gyroscope", self.gyro, self.gyro_change, self.units[1]),
        ):
            values = "" if change is None else " (" + ", ".join(f"{v:.1f}" for v in change) + f" {unit})"
            found.append(name + (" passed" if passed else " failed") + values)
        return "; ".join(found) + ". Allowed: " + self.limits


class Chip:
    """One IMU. Use: `probe`, then `start`, then `read_fifo` again and again; after errors of the bus `start` again.

    `rate_hz`: nominal output data rate that `start` chose; the true one is off by what the chip's oscillator is.
    `accel_code`, `gyro_code`: of the ranges. `samples_per_interrupt`: the interrupt pin rises when so many samples wait.
    `delay_us`: how much older than its sample the motion is, by the chip's filter, where the data sheet says so.
    After `read_fifo`: `samples`, `overflow` and `lost`.
    """

    NAME = ""
    CODE = 0
    """Index into `protocol.CHIP_NAMES`."""
    ADDRESSES: tuple[int, ...] = ()
    """I2C addresses, the usual one first."""
    ID_REGISTER = 0
    IDS: tuple[int, ...] = ()
    """What WHO_AM_I may say."""
    COUNT_REGISTER = 0
    """What `read_fifo` reads to know how many samples there are; those it returns were there at the last such read."""
    FIFO_SAMPLES = 0
    """Six-axis samples that the FIFO holds."""
    SETTLE_MS = 0
    """From the start until samples are good."""
    BLOB = ""
    """File of the chip's maker that has to be uploaded; empty: none."""

    def __init__(
        self,
        bus: Bus,
        sleep_ms: "Callable[[int], None]",
        load_blob: "Callable[[str], bytes] | None" = None,
        block: int = SMBUS_BLOCK,
    ) -> None:
        """`sleep_ms`: waits so many ms. `load_blob(name) -> bytes`: reads the file `BLOB`, raising OSError where it is absent.
        `block`: bytes that the bus moves in one transfer."""
        self.rate_hz = 0.0
        self.accel_code = 3
        self.gyro_code = 4
        self.samples_per_interrupt = 1
        self.delay_us = 0
        self.overflow = False
        self.lost = 0
        self._bus = bus
        self._sleep_ms = sleep_ms
        self._load_blob = load_blob
        self._block = block
        self._rows = bytearray(self.FIFO_SAMPLES * SAMPLE_SIZE)
        self._view = memoryview(self._rows)
        self._n = 0

    @property
    def samples(self) -> memoryview:
        """The samples of the last `read_fifo`, oldest first, `SAMPLE_SIZE` bytes each; valid until the next one."""
        return self._view[: self._n * SAMPLE_SIZE]

    def probe(self) -> None:
        """Raises WrongChip when WHO_AM_I is not this chip's."""
        found = self._read1(self.ID_REGISTER)
        if found not in self.IDS:
            expected = " or ".join(f"0x{each:02x}" for each in self.IDS)
            where = f"WHO_AM_I (register 0x{self.ID_REGISTER:02x})"
            raise WrongChip(f"{where} says 0x{found:02x}; a {self.NAME.upper()} says {expected}.", found)

    def start(self, rate_hz: int = 100, accel_g: int = 16, gyro_dps: int = 2000, watermark: int = 8) -> None:
        """Reset, set up and measure; returns when samples are good, `SETTLE_MS` later, with an empty FIFO.

        `rate_hz`: 50, 100 or 200; the chip takes its nearest one. `watermark`: samples that make the interrupt pin rise, where
        the chip has a watermark. Raises ValueError for what the chip doesn't have, ChipError when it doesn't do it.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Both sensors off."""
        raise NotImplementedError

    def read_fifo(self) -> int:
        """Empty the FIFO; how many samples there were comes back. They are in `samples`.

        `overflow`: samples were lost before these. `lost`: how many, `UNKNOWN` where the chip doesn't say.
        """
        raise NotImplementedError

    def self_test(self) -> SelfTest:
        """The data sheet's procedure, as a `SelfTest`. The chip must lie still. It takes up to a second and leaves the chip
        stopped: `start` follows."""
        raise NotImplementedError

    def wake_on_motion(self, threshold_mg: int = 80) -> None:
        """Measure little and raise the interrupt pin when the acceleration changes by more than `threshold_mg`. `start` ends
        it."""
        raise NotImplementedError

    def _read1(self, register: int) -> int:
        return self._bus.read(register, 1)[0]

    def _write1(self, register: int, value: int) -> None:
        self._bus.write(register, bytes((value,)))

    def _wait_for(self, register: int, mask: int, value: int, timeout_ms: int, what: str) -> None:
        """Until `register & mask == value`. Raises ChipError after `timeout_ms`."""
        for _ in range(timeout_ms):
            if self._read1(register) & mask == value:
                return
            self._sleep_ms(1)
        raise ChipError(f"The {self.NAME.upper()} {what} within {timeout_ms} ms (register 0x{register:02x}).")


def code_of(wanted: int, ranges: tuple[int, ...], what: str) -> int:
    """Index of `wanted` in `ranges`. Raises ValueError naming those that there are."""
    if wanted not in ranges:
        there_are = ", ".join(str(each) for each in ranges)
        raise ValueError(f"A range of {wanted} {what}; there are {there_are}.")
    return ranges.index(wanted)


def swap_int16(view: memoryview, n: int) -> None:
    """Big-endian int16 to little endian, in place, over the first `n` bytes."""
    for i in range(0, n, 2):
        view[i], view[i + 1] = view[i + 1], view[i]
