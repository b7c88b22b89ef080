"""IMU chips on the appliance's own I2C buses as a source."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

import device.band.chips
from device.band.chips import CHIPS
from device.band.chips.base import SAMPLE_SIZE, UNKNOWN, Bus, Chip, ChipError, WrongChip
from device.band.protocol import RATES_HZ
from device.config import ImuConfig
from device.drivers.base import ImuSource
from device.drivers.counts import CountsWatch, to_si
from device.drivers.health import BandHealth
from device.drivers.rate_fit import RateFit
from device.errors import ConfigError, DriverError, DriverUnavailable
from device.messages import NS_PER_S, ImuBatch
from device.skeleton import BANDS

log = logging.getLogger(__name__)

BATCH_S = 0.08
"""How long samples wait in a chip's FIFO."""
MOST_FAILURES = 8
"""In a row, before a chip is given up."""
FIRST_REST_NS, LONGEST_REST_NS = NS_PER_S // 10, 5 * NS_PER_S
RECOVERED_NS = 5 * NS_PER_S
"""So long without a failure, and the failures before are forgotten."""
OPEN_S = 20.0
KEPT = 4096
_NEXT_POLL_NS = 2_000_000
"""The soonest that a chip is asked again."""


class SmBus(Protocol):
    """The part of `smbus2.SMBus` that is used: I2C block transfers of at most 32 bytes."""

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int) -> list[int]: ...

    def write_i2c_block_data(self, i2c_addr: int, register: int, data: list[int]) -> None: ...

    def close(self) -> None: ...


OpenBus = Callable[[int], SmBus]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the chip of one limb is: `band` indexes `skeleton.BANDS`, `kind` is a chip's name or empty for any."""

    band: int
    bus: int
    address: int
    kind: str

    def __str__(self) -> str:
        return f"{BANDS[self.band]} (/dev/i2c-{self.bus}, address 0x{self.address:02x})"


class I2cImu(ImuSource):
    """Up to four chips, each read by a thread of its own; `times_ns` are host times with `sigma_ns` already.

    Where they are is in `config.chips`: limb -> "bus:address" or "bus:address:chip". A chip that fails is set up anew with
    growing pauses, `MOST_FAILURES` times; the others go on. `open_bus`: gives the bus of a number, None is Linux's.
    """

    def __init__(self, config: ImuConfig, open_bus: OpenBus | None = None) -> None:
        self._config = config
        self._open_bus = open_bus
        self._readers: list[ChipReader] = []
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self._is_open = False

    def open(self) -> None:
        """Raises DriverUnavailable where smbus2 is absent, no chip is named or none works, ConfigError for places that make no
        sense."""
        self.close()
        places = parse_places(self._config.chips)
        if self._config.rate_hz not in RATES_HZ:
            raise DriverUnavailable(f"The chips measure at 50, 100 or 200 Hz, not at {self._config.rate_hz:g}. Set imu.rate_hz.")
        open_bus = self._open_bus or linux_bus()
        self._closing = threading.Event()
        rate_hz, test = round(self._config.rate_hz), self._config.self_test
        self._readers = [ChipReader(place, open_bus, rate_hz, self_test=test) for place in places]
        self._threads = [
            threading.Thread(target=_run, args=(reader, self._closing), name=f"i2c {BANDS[reader.place.band]}", daemon=True)
            for reader in self._readers
        ]
        for thread in self._threads:
            thread.start()
        until_ns = time.monotonic_ns() + round(OPEN_S * NS_PER_S)
        for reader in self._readers:
            reader.tried.wait(max(0.0, (until_ns - time.monotonic_ns()) / NS_PER_S))
        self._is_open = True
        problems = [reader.problem for reader in self._readers if reader.problem]
        if len(problems) == len(self._readers):
            self.close()
            raise DriverUnavailable("No IMU chip works. " + " ".join(problems))

    def close(self) -> None:
        self._is_open = False
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._threads, self._readers = [], []

    def read(self, until_ns: int) -> list[ImuBatch]:
        """Raises DriverError when every chip was given up."""
        if not self._is_open:
            raise DriverError("The IMU chips are not open. Open the source before reading it.")
        batches: list[ImuBatch] = []
        for reader in self._readers:
            while reader.batches and reader.batches[0].t_ns <= until_ns:
                batches.append(reader.batches.popleft())
        if not batches and all(reader.given_up for reader in self._readers):
            raise DriverError("Every IMU chip was given up. " + " ".join(reader.problem for reader in self._readers))
        return sorted(batches, key=lambda batch: batch.t_ns)

    def health(self) -> dict[int, BandHealth]:
        return {reader.place.band: reader.health() for reader in self._readers}


class ChipReader:
    """One chip, without a thread: `step` does what is due and says when it wants to be called again.

    `batches`: may be taken from the left by another thread. `problem`: why it does not work now, empty when it does. `given_up`:
    it failed too often. `tried`: set once the first attempt is over.

    After an overflow of which the chip doesn't say how much it lost, what it kept waits until a look says which samples they are.
    """

    def __init__(
        self,
        place: Place,
        open_bus: OpenBus,
        rate_hz: int,
        *,
        self_test: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep_ms: Callable[[int], None] = lambda ms: time.sleep(ms / 1000),
    ) -> None:
        self.place = place
        self.batches: deque[ImuBatch] = deque(maxlen=KEPT)
        self.problem = ""
        self.given_up = False
        self.tried = threading.Event()
        self._open_bus = open_bus
        self._rate_hz = rate_hz
        self._self_test = self_test
        self._clock = clock
        self._sleep_ms = sleep_ms
        self._bus: _TimedBus | None = None
        self._chip: Chip | None = None
        self._fit = RateFit(NS_PER_S / rate_hz)
        self._watch = CountsWatch()
        self._session = 0
        self._next = 0
        self._last_ns = 0
        self._started_ns = 0
        self._alive_ns = 0
        self._failures = 0
        self._late_ns = 0.0
        self._due_ns = 0
        self._side = 1
        self._astray: bytes | None = None
        self._received = self._lost = self._overflows = self._dropped = 0
        self._seen_ns: int | None = None

    def step(self) -> int:
        """When to call again (host ns). Errors of the chip are kept in `problem`; nothing is raised."""
        if self.given_up:
            return self._clock() + LONGEST_REST_NS
        try:
            if self._chip is None:
                self._set_up()
            else:
                self._poll(self._chip)
        except (OSError, ChipError) as error:
            return self._fail(error)
        finally:
            self.tried.set()
        return self._due_ns

    def close(self) -> None:
        """Both sensors off, the bus given back."""
        chip, self._chip = self._chip, None
        if chip is not None:
            try:
                chip.stop()
            except OSError as error:
                log.debug("%s: not stopped: %s", self.place, error)
        if self._bus is not None:
            self._bus.close()
        self._bus = None

    def health(self) -> BandHealth:
        """How the chip is doing. Any thread may ask."""
        chip = self._chip
        return BandHealth(
            name=chip.NAME if chip is not None else self.place.kind,
            rate_hz=NS_PER_S / self._fit.period_ns if chip is not None and self._fit.known else 0.0,
            received=self._received,
            lost=self._lost,
            overflows=self._overflows,
            dropped=self._dropped,
            saturated=self._watch.saturated,
            reconnects=max(0, self._session - 1),
            last_seen_ns=self._seen_ns,
            stuck=self._watch.stuck,
            problem=self.problem,
        )

    def _set_up(self) -> None:
        bus = _TimedBus(self._open_bus(self.place.bus), self.place.address, self._clock)
        try:
            chip = self._find(bus)
            if self._self_test and self._session == 0:
                result = chip.self_test()
                if not result.passed():
                    raise ChipError(f"its self-test failed: {result.text()} Lay it still, or replace it.")
            chip.start(self._rate_hz, watermark=self._batch())
        except BaseException:
            bus.close()
            raise
        now_ns = self._clock()
        if self._seen_ns is not None:
            self._lost += round((now_ns - self._seen_ns) / self._fit.period_ns)
        bus.count_register = chip.COUNT_REGISTER
        self._bus, self._chip = bus, chip
        self._session += 1
        self._next = 0
        self._astray = None
        self._fit = RateFit(NS_PER_S / chip.rate_hz)
        self._started_ns = self._alive_ns = now_ns
        self._due_ns = now_ns + round(BATCH_S * NS_PER_S)
        log.info("%s: %s at %g Hz.", self.place, chip.NAME, chip.rate_hz)

    def _find(self, bus: Bus) -> Chip:
        kinds = [kind for kind in CHIPS if self.place.kind in ("", kind.NAME)]
        wrong: list[str] = []
        for kind in kinds:
            if not self.place.kind and self.place.address not in kind.ADDRESSES:
                continue
            chip = kind(bus, self._sleep_ms, load_blob)
            try:
                chip.probe()
            except WrongChip as error:
                wrong.append(str(error))
            else:
                return chip
        raise ChipError(" ".join(wrong) + " Check the wiring, the address, and imu.chips.")

    def _poll(self, chip: Chip) -> None:
        assert self._bus is not None
        n = chip.read_fifo()
        rows = bytes(chip.samples)
        asked_ns, answered_ns = self._bus.counted_ns
        self._late_ns += (max(0.0, float(asked_ns - self._due_ns)) - self._late_ns) / 8
        if n or chip.overflow:
            self._alive_ns = answered_ns
        if chip.overflow:
            self._overflows += 1
        if chip.overflow and chip.lost == UNKNOWN and self._fit.known:
            self._astray = rows
        else:
            self._place(chip, rows, asked_ns, answered_ns)
        if self._clock() - self._started_ns > RECOVERED_NS:
            self._failures = 0
        self._plan(answered_ns)

    def _place(self, chip: Chip, rows: bytes, asked_ns: int, answered_ns: int) -> None:
        """Number the samples and hand them on."""
        lost = max(0, chip.lost)
        if self._astray is not None:
            rows, self._astray = self._astray + rows, None
            newest = self._fit.index_at((asked_ns + answered_ns) // 2)
            lost = max(0, newest + 1 - len(rows) // SAMPLE_SIZE - self._next)
        self._lost += lost
        first = self._next + lost
        self._next = first + len(rows) // SAMPLE_SIZE
        if self._next:
            self._fit.look(self._next - 1, asked_ns, answered_ns)
        if rows:
            self._seen_ns = answered_ns
            self._hand_on(chip, rows, first)

    def _hand_on(self, chip: Chip, rows: bytes, first: int) -> None:
        counts = np.frombuffer(rows, "<i2").reshape(-1, SAMPLE_SIZE // 2)
        self._received += len(counts)
        self._watch.feed(counts, round(self._fit.period_ns))
        if self._watch.stuck:
            raise ChipError("it repeats one sample: the sensor is stuck.")
        if self.problem:
            log.warning("%s: works again.", self.place)
            self.problem = ""
        times = self._fit.times_ns(first, len(counts)) - chip.delay_us * 1000
        if times[0] <= self._last_ns:
            # A better fit lies before the last one: squeeze this batch in instead of stepping back in time.
            end = max(int(times[-1]), self._last_ns + 1000 * len(times))
            times = self._last_ns + (end - self._last_ns) * np.arange(1, len(times) + 1, dtype=np.int64) // len(times)
        self._last_ns = int(times[-1])
        values = to_si(counts, chip.accel_code, chip.gyro_code)
        sigma_ns = round(self._fit.sigma_ns)
        self.batches.append(ImuBatch(self._last_ns, sigma_ns, first, self.place.band, self._session, times, values))

    def _plan(self, now_ns: int) -> None:
        """Look again when the next batch is there; now a little before its last sample, now a little after it, as that tells
        the most about when samples are taken. Raises ChipError when nothing was measured for a second."""
        if now_ns - self._alive_ns > NS_PER_S:
            raise ChipError("it answers, but measures nothing.")
        if not self._fit.known:
            self._due_ns = now_ns + round(BATCH_S * NS_PER_S)
            return
        if self._astray is not None:
            # In the middle between two samples there is no doubt which one is the newest.
            self._due_ns = self._fit.time_ns(self._fit.index_at(now_ns) + 2) + round(self._fit.period_ns / 2)
            return
        self._side = -self._side
        aim_ns = self._fit.time_ns(self._next - 1 + self._batch()) + round(self._side * self._fit.room_ns / 4 - self._late_ns)
        self._due_ns = max(aim_ns, now_ns + _NEXT_POLL_NS)

    def _batch(self) -> int:
        return max(4, round(self._rate_hz * BATCH_S))

    def _fail(self, error: OSError | ChipError) -> int:
        if self._chip is not None:
            self._dropped += 1
        self._failures += 1
        problem = f"{self.place}: {_explain(error, self.place)}"
        if self._failures == 1 or self._failures >= MOST_FAILURES:
            log.warning("%s", problem)
        self.close()
        self.problem = problem
        if self._failures >= MOST_FAILURES:
            self.given_up = True
            self.problem += f" Given up after {self._failures} attempts; open it again once that is put right."
        return self._clock() + min(FIRST_REST_NS << (self._failures - 1), LONGEST_REST_NS)


class _TimedBus(Bus):
    """One address of an SMBus. `counted_ns`: when the last read of `count_register` was asked for and answered."""

    def __init__(self, smbus: SmBus, address: int, clock: Callable[[], int]) -> None:
        self.count_register = UNKNOWN
        self.counted_ns = (0, 0)
        self._smbus = smbus
        self._address = address
        self._clock = clock

    def read(self, register: int, n: int) -> bytes:
        asked_ns = self._clock()
        data = bytes(self._smbus.read_i2c_block_data(self._address, register, n))
        if register == self.count_register:
            self.counted_ns = (asked_ns, self._clock())
        if len(data) != n:
            raise OSError(5, f"register 0x{register:02x} gave {len(data)} of {n} bytes")
        return data

    def write(self, register: int, data: bytes) -> None:
        self._smbus.write_i2c_block_data(self._address, register, list(data))

    def close(self) -> None:
        self._smbus.close()


def parse_places(chips: dict[str, str]) -> list[Place]:
    """Where the chips are, in the order of `skeleton.BANDS`. Raises DriverUnavailable for none, ConfigError for nonsense."""
    if not chips:
        raise DriverUnavailable('imu.chips names no chip. Say where each is, such as left_wrist = "1:0x6a" (bus:address).')
    places = [_parse_place(limb, text) for limb, text in chips.items()]
    for place in places:
        if sum((each.bus, each.address) == (place.bus, place.address) for each in places) > 1:
            raise ConfigError(f"imu.chips: two limbs have the chip of bus {place.bus}, address 0x{place.address:02x}.")
    return sorted(places, key=lambda place: place.band)


def linux_bus() -> OpenBus:
    """What opens /dev/i2c-N. Raises DriverUnavailable where smbus2 is absent."""
    try:
        import smbus2
    except ImportError as error:
        raise DriverUnavailable("The i2c driver needs the package smbus2: pip install smbus2") from error

    def open_bus(number: int) -> SmBus:
        bus: SmBus = smbus2.SMBus(number)
        return bus

    return open_bus


def load_blob(name: str) -> bytes:
    """A file that a chip's maker gives to it; they lie beside the chips. Raises OSError."""
    return (Path(device.band.chips.__file__).parent / name).read_bytes()


def _parse_place(limb: str, text: str) -> Place:
    if limb not in BANDS:
        raise ConfigError(f"imu.chips.{limb}: there is no such limb; there are {', '.join(BANDS)}.")
    parts = text.split(":")
    try:
        bus, address = int(parts[0], 0), int(parts[1], 0)
    except (ValueError, IndexError):
        bus, address = -1, -1
    kind = parts[2] if len(parts) == 3 else ""
    names = [each.NAME for each in CHIPS]
    if bus < 0 or not 0x08 <= address <= 0x77 or len(parts) > 3 or kind not in ("", *names):
        raise ConfigError(
            f"imu.chips.{limb} = {text!r} is no place of a chip. Write bus:address or bus:address:chip, such as 1:0x6a or "
            f"1:0x68:bmi270; chips are {', '.join(names)}."
        )
    if not kind and not any(address in each.ADDRESSES for each in CHIPS):
        raise ConfigError(f"imu.chips.{limb} = {text!r}: no known chip has that address. Say which it is: {text}:{names[0]}")
    return Place(BANDS.index(limb), bus, address, kind)


def _explain(error: OSError | ChipError, place: Place) -> str:
    device_file = f"/dev/i2c-{place.bus}"
    if isinstance(error, FileNotFoundError) and error.errno == 2:
        return f"{device_file} is absent. Switch I2C on (sudo raspi-config nonint do_i2c 0) and check the bus in imu.chips."
    if isinstance(error, PermissionError):
        return f"{device_file} may not be used. Add the user to the group i2c: sudo usermod -aG i2c $USER"
    if isinstance(error, OSError):
        return f"the chip does not answer ({error.strerror or error}, errno {error.errno}). Check its wiring, power and address."
    return str(error)


def _run(reader: ChipReader, closing: threading.Event) -> None:
    try:
        while not closing.is_set():
            due_ns = reader.step()
            closing.wait(max(0.0, (due_ns - time.monotonic_ns()) / NS_PER_S))
    finally:
        reader.close()
