"""A band on the virtual radio whose firmware is the real one, in real time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable

from bumble.core import UUID
from bumble.keys import PairingKeys

from device.errors import FirmwareError
from device.messages import NS_PER_S
from device.sim_chips.model import Source
from device.sim_radio.controller import VirtualController
from device.sim_radio.firmware import BandCounter, FirmwareBand, GattCharacteristic
from device.sim_radio.link import RadioLink
from device.sim_radio.peripheral import Listener, Peripheral, Served

log = logging.getLogger(__name__)

STEP_S = 0.01
"""The firmware's timers run this much late at most; its chip's interrupts come in time."""
_READ_ENCRYPTED, _WRITE_ENCRYPTED = 0x0200, 0x1000
_PROPERTIES = 0x3E
"""MicroPython's flags below 0x100 are the properties of Bluetooth 5.4, Vol 3, Part G, 3.3.1.1."""


class HostedBand(Listener):
    """`source` gives what its chip measures; `reading_us`: what its counter shows when it starts; `skew`: 1e-6 is 1 ppm."""

    def __init__(
        self,
        name: str,
        address: str,
        source: Source,
        *,
        identity: bytes = b"",
        reading_us: int = 0,
        skew: float = 0.0,
        sample_rate_error: float = 0.0,
    ) -> None:
        self.name = name
        self.address = address
        counter = BandCounter(time.monotonic_ns(), reading_us, skew)
        self.firmware = FirmwareBand(name, source, counter, unique_id=identity, sample_rate_error=sample_rate_error)
        self.firmware.on_notify = self._notified
        self.firmware.on_advertise = self._advertised
        self.firmware.on_disconnect = self._hung_up
        self._reading_us = reading_us
        self._peripheral: Peripheral | None = None
        self._link: RadioLink | None = None
        self._served: dict[str, UUID] = {}
        self._out: deque[tuple[UUID, bytes]] = deque()
        self._advertising: tuple[bytes, bytes] | None = None
        self._hangs_up = False
        self._todo: asyncio.Queue[Callable[[], Awaitable[object]]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    @property
    def controller(self) -> VirtualController:
        assert self._peripheral is not None
        return self._peripheral.controller

    async def start(self, link: RadioLink) -> None:
        """Raises DriverUnavailable where node or MicroPython is absent."""
        self._link = link
        now_ns = time.monotonic_ns()
        self.firmware.counter = BandCounter(now_ns, self._reading_us, self.firmware.counter.skew)
        await self.firmware.start(now_ns)
        await self.firmware.advance(now_ns + NS_PER_S // 5)
        self._peripheral = Peripheral(self.name, self.address, link, self)
        for service, characteristics in self.firmware.services.items():
            self._peripheral.serve(UUID(service), [self._serve(each) for each in characteristics])
        self._peripheral.on_bonded = self._bonded
        await self._flush()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            # Not cancelled: Bumble does not get over a command whose answer nobody waits for.
            task, self._task = self._task, None
            await task
        if self._peripheral is not None:
            await self._peripheral.stop_advertising()
        await self.firmware.stop()

    async def reboot(self) -> None:
        """Its power fails for a moment: the central notices when nothing comes any more, and finds it advertising."""
        assert self._link is not None
        self._todo.put_nowait(lambda: self.firmware.reboot(time.monotonic_ns()))
        await self._link.outage(self.controller, self._link.supervision_s)

    async def set_counter(self, reading_us: int) -> None:
        """Let its counter jump, such as to shortly before it wraps."""
        self._todo.put_nowait(lambda: self.firmware.set_counter(reading_us))

    def connected(self) -> None:
        self._at_once(self.firmware.connect)

    def disconnected(self) -> None:
        self._at_once(self.firmware.disconnect)

    def encrypted(self) -> None:
        peripheral = self._peripheral
        assert peripheral is not None
        if not peripheral.is_bonding:
            self._at_once(self.firmware.encrypt)

    def mtu_changed(self, mtu: int) -> None:
        self._at_once(lambda host_ns: self.firmware.set_mtu(mtu, host_ns))

    def _bonded(self, keys: PairingKeys) -> None:
        """The stack asks the firmware to keep the central's key, then tells it that the link is encrypted."""
        key = keys.ltk.value if keys.ltk is not None else b""

        async def offered() -> None:
            now_ns = time.monotonic_ns()
            if await self.firmware.offer_bond(now_ns, b"central", key):
                await self.firmware.encrypt(now_ns)

        self._todo.put_nowait(offered)

    def _at_once(self, tell: Callable[[int], Awaitable[object]]) -> None:
        """Tell the firmware of something that happens now, after what happened before."""
        host_ns = time.monotonic_ns()
        self._todo.put_nowait(lambda: tell(host_ns))

    def _serve(self, characteristic: GattCharacteristic) -> Served:
        uuid = UUID(characteristic.uuid)
        self._served[characteristic.name] = uuid
        return Served(
            uuid,
            characteristic.flags & _PROPERTIES,
            bool(characteristic.flags & (_READ_ENCRYPTED | _WRITE_ENCRYPTED)),
            lambda: self.firmware.read(characteristic.name),
            self._written if characteristic.name == "control" else lambda _data: None,
        )

    def _written(self, data: bytes) -> None:
        self._at_once(lambda host_ns: self.firmware.write_control(data, host_ns))

    def _notified(self, name: str, data: bytes) -> None:
        self._out.append((self._served[name], data))

    def _advertised(self, data: bytes, response: bytes) -> None:
        self._advertising = (data, response)

    def _hung_up(self) -> None:
        self._hangs_up = True

    async def _run(self) -> None:
        while self._task is not None:
            now_ns = time.monotonic_ns()
            due_ns = self.firmware.due_ns(now_ns + round(STEP_S * NS_PER_S)) if self.firmware.is_on else None
            wait_s = STEP_S if due_ns is None else max(0.0, (due_ns - now_ns) / NS_PER_S)
            try:
                await self._next(wait_s)
                await self._flush()
            except FirmwareError as error:
                log.error("%s", error)
                return

    async def _next(self, wait_s: float) -> None:
        """Do what was asked, or let time pass where nothing was."""
        try:
            work = await asyncio.wait_for(self._todo.get(), wait_s)
        except TimeoutError:
            await self.firmware.advance(time.monotonic_ns())
            return
        await work()

    async def _flush(self) -> None:
        """What the firmware wants of its radio."""
        peripheral = self._peripheral
        assert peripheral is not None
        while self._out:
            await peripheral.notify(*self._out.popleft())
        if self._hangs_up:
            self._hangs_up = False
            await peripheral.disconnect()
        if self._advertising is not None and peripheral.connection is None:
            data, response = self._advertising
            self._advertising = None
            if data:
                await peripheral.advertise(data, response)
            else:
                await peripheral.stop_advertising()
