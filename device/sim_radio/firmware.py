"""One band without its hardware: the firmware's own files on the real MicroPython, in a node process.

Time is the caller's: nothing runs until `advance` is called, so a band lives in real time (call it every few ms with
`time.monotonic_ns()`) or in simulated time alike.
"""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.band import protocol
from device.band.chips.bmi270 import Bmi270
from device.band_tools.flash import firmware_files
from device.errors import DriverUnavailable, FirmwareError
from device.sim_chips.bmi270 import Bmi270Model
from device.sim_chips.lsm6dsox import Lsm6dsoxModel
from device.sim_chips.model import ChipModel, Source
from device.sim_chips.mpu6050 import Mpu6050Model

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "firmware_wearable"
INTERPRETER = ROOT / "tests/firmware/node_modules/@micropython/micropython-webassembly-pyscript/micropython.mjs"
INTERRUPT_PINS = {"esp32s3": 4, "picow": 6}
RECEIVER_PINS = {"esp32s3": "44", "picow": "1"}
MOTOR_PIN = "7"

_CONNECT, _DISCONNECT, _MTU, _ENCRYPTED, _SET_SECRET = 1, 2, 21, 28, 30
"""Events of MicroPython's `bluetooth` module."""
_NAMES = {protocol.IMU_UUID: "imu", protocol.CONTROL_UUID: "control", f"{protocol.BATTERY_LEVEL:04x}": "battery"}
_POWER_ON, _WATCHDOG, _WOKEN = 1, 3, 4
_LINE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class BandCounter:
    """The band's microsecond counter before it wraps at 2^30: `reading_us` at `host_ns`, fast by `skew` (1e-6 is 1 ppm)."""

    host_ns: int
    reading_us: int = 0
    skew: float = 0.0

    def at(self, host_ns: int) -> int:
        """The counter (us, not wrapped) at `host_ns`."""
        return self.reading_us + round((host_ns - self.host_ns) * (1 + self.skew) / 1000)

    def to_host(self, reading_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Host times (ns) at which the counter, unwrapped, read `reading_us`."""
        elapsed: NDArray[np.int64] = np.round((reading_us - self.reading_us) * 1000 / (1 + self.skew)).astype(np.int64)
        return self.host_ns + elapsed


@dataclass(frozen=True, slots=True)
class GattCharacteristic:
    """A characteristic as the firmware registered it. `flags`: MicroPython's `bluetooth.FLAG_...`; `name`: imu, control, battery
    or the UUID."""

    handle: int
    uuid: str
    flags: int
    name: str


class FirmwareBand:
    """A band that runs the real firmware. Its methods wait for each other; the callbacks are called from within them.

    `on_notify`: gets imu, control or battery and the bytes. `on_advertise`: gets advertising data and scan response; both empty
    when advertising stops. `on_disconnect`: the firmware ends the connection. `on_off`: it is asleep, reset itself, or the
    watchdog did (asleep, reset, watchdog). `on_uart`: gets what it wrote to its UART.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        counter: BandCounter,
        *,
        unique_id: bytes = b"",
        sample_rate_error: float = 0.0,
        board: str = "esp32s3",
        chip: str = "lsm6dsox",
        wired: bool = False,
    ) -> None:
        """`source`: what the chip measures at host times. `unique_id`: 8 bytes, from `name` when empty. `sample_rate_error`: 0.01
        is a chip whose oscillator is 1 % fast. `board`: esp32s3 or picow. `chip`: lsm6dsox, bmi270 or mpu6050.
        `wired`: a serial line is plugged in, and the band uses that instead of its radio."""
        self.name = name
        self.counter = counter
        self.unique_id = unique_id or name.encode()[:8].ljust(8, b"\0")
        self.chip: ChipModel = _chip(chip, source, sample_rate_error)
        self.services: dict[str, list[GattCharacteristic]] = {}
        self.pins: dict[str, int] = {}
        self.printed: list[str] = []
        self.files: dict[str, str] = {}
        self.host_ns = counter.host_ns
        self.on_notify: Callable[[str, bytes], None] = lambda _name, _data: None
        self.on_advertise: Callable[[bytes, bytes], None] = lambda _data, _response: None
        self.on_disconnect: Callable[[], None] = lambda: None
        self.on_off: Callable[[str], None] = lambda _how: None
        self.on_uart: Callable[[bytes], None] = lambda _data: None
        self._board = board
        self._wired = wired
        self._volts = 4.0
        self._handles: dict[int, GattCharacteristic] = {}
        self._values: dict[int, bytes] = {}
        self._off = ""
        self._kept: Any = None
        self._interrupt_ns: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    @property
    def is_on(self) -> bool:
        """Whether the firmware runs: started, and neither asleep nor stopped."""
        return self._process is not None and not self._off

    @property
    def motor_on(self) -> bool:
        return self.pins.get(MOTOR_PIN, 0) > 0

    async def start(self, host_ns: int) -> None:
        """Switch the band on at `host_ns`. Raises DriverUnavailable naming node or the npm package when absent."""
        await self._start(host_ns, _POWER_ON)

    async def stop(self) -> None:
        """Take the battery out. Files that the firmware wrote stay for the next `start`."""
        if self._process is None:
            return
        async with self._turn:
            await self._command({"k": "files"})
            await self._kill()

    async def reboot(self, host_ns: int) -> None:
        """Off and on again: a new session id; the counter starts at 0."""
        await self.stop()
        self.chip.power_cycle(host_ns)
        self.counter = BandCounter(host_ns, 0, self.counter.skew)
        await self.start(host_ns)

    async def advance(self, host_ns: int) -> None:
        """Run the firmware up to `host_ns`: the chip samples, interrupts and timers come at their times.

        A band that sleeps wakes up when its chip says so. Earlier times do nothing.
        """
        while self._is_powered() and self.host_ns < host_ns:
            due_ns = self.due_ns(host_ns)
            moment = host_ns if due_ns is None else due_ns
            if due_ns is not None:
                self._interrupt_ns = None
            if self._off:
                self.host_ns = moment
                if due_ns is not None and self._off == "asleep":
                    await self._restart(_WOKEN)
                continue
            async with self._turn:
                await self._run(moment)
                if due_ns is not None:
                    await self._command({"k": "interrupt", "t": self.counter.at(moment)})
            if self._has_reset():
                await self._restart(_WATCHDOG)

    def due_ns(self, until_ns: int) -> int | None:
        """When the chip's interrupt comes next, if that is by `until_ns`: a good moment for the next `advance`."""
        if self._interrupt_ns is None:
            found_ns = self.chip.interrupt_ns(until_ns)
            self._interrupt_ns = None if found_ns is None else max(found_ns, self.host_ns)
        return self._interrupt_ns if self._interrupt_ns is not None and self._interrupt_ns <= until_ns else None

    async def connect(self, host_ns: int) -> None:
        """A central connected; MTU 23 and no encryption so far."""
        await self._event(host_ns, _CONNECT, 0, 0, "c0ffee000001")

    async def disconnect(self, host_ns: int) -> None:
        """The link is gone."""
        await self._event(host_ns, _DISCONNECT, 0, 0, "c0ffee000001")

    async def encrypt(self, host_ns: int, *, bonded: bool = True) -> None:
        """The link is encrypted, with a bond or without. The firmware sends and obeys nothing before it is, with a bond."""
        await self._event(host_ns, _ENCRYPTED, 0, 1, 0, int(bonded), 16)

    async def offer_bond(self, host_ns: int, key: bytes, value: bytes) -> bool:
        """The stack asks the firmware to keep a central's key (pairing); whether it does. It hangs up where it doesn't."""
        await self._event(host_ns, _SET_SECRET, 1, key.hex(), value.hex())
        return bool(self._kept)

    async def set_mtu(self, mtu: int, host_ns: int) -> None:
        """The MTU exchange settled on `mtu`."""
        await self._event(host_ns, _MTU, 0, mtu)

    async def write_control(self, data: bytes, host_ns: int) -> None:
        """The central's write to the control characteristic reached the band at `host_ns`; answers come through `on_notify`."""
        handle = next(handle for handle, each in self._handles.items() if each.name == "control")
        await self.advance(host_ns)
        async with self._turn:
            await self._command({"k": "written", "handle": handle, "data": data.hex(), "t": self._now(host_ns)})

    async def write_uart(self, data: bytes, host_ns: int) -> None:
        """Bytes reached the band's UART."""
        await self.advance(host_ns)
        async with self._turn:
            await self._command({"k": "uart", "data": data.hex()})

    def read(self, name: str) -> bytes:
        """What the central reads from battery, or from a Device Information characteristic by UUID ("2a25")."""
        handle = next(handle for handle, each in self._handles.items() if each.name == name)
        return self._values[handle]

    async def set_counter(self, reading_us: int) -> None:
        """The counter jumps to `reading_us` now, such as 2^30 - 5_000_000 to see it wrap in 5 s."""
        self.counter = BandCounter(self.host_ns, reading_us, self.counter.skew)
        async with self._turn:
            await self._command({"k": "counter", "t": reading_us})

    async def set_battery(self, volts: float) -> None:
        """The voltage that the firmware measures from now on."""
        self._volts = volts
        if self.is_on:
            async with self._turn:
                await self._command({"k": "battery", "volts": volts})

    async def set_room(self, notifications: int | None) -> None:
        """The Bluetooth stack takes this many notifications more before it says that it is full; None: it never does."""
        async with self._turn:
            await self._command({"k": "room", "n": notifications})

    async def run_python(self, code: str) -> list[str]:
        """Run `code` in the band's interpreter; what it printed comes back. For tests that look inside."""
        before = len(self.printed)
        async with self._turn:
            await self._command({"k": "python", "code": code})
        return self.printed[before:]

    def _is_powered(self) -> bool:
        return self._process is not None

    def _has_reset(self) -> bool:
        return self._off in ("reset", "watchdog")

    async def _start(self, host_ns: int, cause: int) -> None:
        node = shutil.which("node")
        if node is None:
            raise DriverUnavailable("The firmware of a band runs under node, which is absent; install the package nodejs.")
        if not INTERPRETER.exists():
            raise DriverUnavailable("MicroPython is not installed; run: npm ci --prefix tests/firmware")
        self.host_ns = host_ns
        self._interrupt_ns = None
        self._off = ""
        self.services, self._handles, self._values, self.pins = {}, {}, {}, {}
        script = Path(__file__).with_name("band.mjs")
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            node, str(script), str(INTERPRETER), stdin=pipe, stdout=pipe, limit=_LINE_LIMIT
        )
        message = {
            "k": "boot",
            "t": self.counter.at(host_ns),
            "id": self.unique_id.hex(),
            "cause": cause,
            "volts": self._volts,
            "pin": INTERRUPT_PINS[self._board],
            "levels": {RECEIVER_PINS[self._board]: int(self._wired)},
            "files": {target: data.hex() for target, data in _files(self._board)},
            "written": self.files,
        }
        async with self._turn:
            await self._command(message)

    async def _restart(self, cause: int) -> None:
        """The chip starts anew by itself: its files stay, its counter doesn't."""
        async with self._turn:
            await self._command({"k": "files"})
            await self._kill()
        self.counter = BandCounter(self.host_ns, 0, self.counter.skew)
        await self._start(self.host_ns, cause)

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()

    async def _event(self, host_ns: int, number: int, *values: int | str) -> None:
        await self.advance(host_ns)
        async with self._turn:
            await self._command({"k": "event", "number": number, "values": values, "t": self._now(host_ns)})

    async def _run(self, host_ns: int) -> None:
        self.host_ns = max(self.host_ns, host_ns)
        await self._command({"k": "run", "t": self.counter.at(host_ns)})

    def _now(self, host_ns: int) -> int:
        return self.counter.at(max(host_ns, self.host_ns))

    async def _command(self, message: dict[str, Any]) -> None:
        """Send one command and serve what the band asks for until it is done. Raises FirmwareError."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise FirmwareError(f"Band {self.name} is off; start it first.")
        process.stdin.write(json.dumps(message).encode() + b"\n")
        failure = ""
        while True:
            line = await process.stdout.readline()
            if not line:
                raise FirmwareError(f"The interpreter of band {self.name} ended; see its messages above.")
            event = json.loads(line)
            kind = event["k"]
            if kind == "done":
                break
            if kind in ("read", "write"):
                process.stdin.write(json.dumps(self._transfer(event)).encode() + b"\n")
            elif kind == "due":
                process.stdin.write(json.dumps({"at": self._due_us(event["until"])}).encode() + b"\n")
            elif kind == "error":
                failure = event["text"]
            else:
                self._heard(kind, event)
        if failure:
            raise FirmwareError(f"The firmware of band {self.name} failed: {failure}")

    def _transfer(self, event: dict[str, Any]) -> dict[str, Any]:
        """One transfer on the I2C bus, at the band's time."""
        if event["address"] != self.chip.address:
            return {"errno": errno.ENODEV}
        host_ns = self._host_of(event["t"])
        try:
            if event["k"] == "read":
                return {"data": self.chip.read(event["register"], event["n"], host_ns).hex()}
            self.chip.write(event["register"], bytes.fromhex(event["data"]), host_ns)
        except OSError as error:
            return {"errno": error.errno}
        return {}

    def _due_us(self, until_us: int) -> int | None:
        """The interrupt that comes while the firmware sleeps until `until_us`, if any; it is delivered with this."""
        due_ns = self.due_ns(self._host_of(until_us))
        if due_ns is None:
            return None
        self.chip.advance(due_ns)
        self._interrupt_ns = None
        return self.counter.at(due_ns)

    def _host_of(self, reading_us: int) -> int:
        return int(self.counter.to_host(np.array([reading_us]))[0])

    def _heard(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "notify":
            self.on_notify(self._handles[event["handle"]].name, bytes.fromhex(event["data"]))
        elif kind == "advertise":
            self.on_advertise(bytes.fromhex(event["data"]), bytes.fromhex(event["response"]))
        elif kind == "disconnect":
            self.on_disconnect()
        elif kind == "register":
            self._register(event)
        elif kind == "value":
            self._values[event["handle"]] = bytes.fromhex(event["data"])
        elif kind == "pin":
            self.pins[event["name"]] = int(event["value"])
        elif kind == "print":
            self.printed.append(event["line"])
        elif kind == "kept":
            self._kept = event["value"]
        elif kind == "files":
            self.files = event["files"]
        elif kind == "uart":
            self.on_uart(bytes.fromhex(event["data"]))
        elif kind == "off":
            self._off = event["how"]
            self.on_off(self._off)

    def _register(self, event: dict[str, Any]) -> None:
        uuid = event["uuid"]
        characteristic = GattCharacteristic(event["handle"], uuid, event["flags"], _NAMES.get(uuid, uuid))
        self._handles[characteristic.handle] = characteristic
        self.services.setdefault(event["service"], []).append(characteristic)


def _files(board: str) -> Iterator[tuple[str, bytes]]:
    """What lies on the band's flash, and the stand-ins of its hardware: path there and content."""
    for target, path in firmware_files().items():
        yield f"/{target}", path.read_bytes()
    for path in sorted((FIRMWARE / "standins").glob("*.py")):
        yield f"/standins/{path.name}", path.read_bytes()
    if board != "esp32s3":
        yield "/board.py", f"from boards import {board} as pins\n".encode()


def _chip(name: str, source: Source, rate_error: float) -> ChipModel:
    if name == "bmi270":
        return Bmi270Model(source, (ROOT / "device/band/chips" / Bmi270.BLOB).read_bytes(), rate_error)
    return (Mpu6050Model if name == "mpu6050" else Lsm6dsoxModel)(source, rate_error)
