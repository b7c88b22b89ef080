"""A band in Python on the virtual radio: speaks the protocol as the firmware does, at a hundredth of its cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from bumble.core import UUID, AdvertisingData
from numpy.typing import NDArray

from device.band import protocol
from device.messages import NS_PER_S
from device.sim_radio.controller import VirtualController
from device.sim_radio.link import RadioLink
from device.sim_radio.peripheral import Listener, Peripheral, Served

Source = Callable[[NDArray[np.int64]], NDArray[np.int16]]
"""Counts (n, 6) at host times (n,) ns: ax ay az gx gy gz, full scale 32768 at 16 g and 2000 dps."""

_READ, _WRITE_QUIETLY, _WRITE, _NOTIFY = 0x02, 0x04, 0x08, 0x10
_REQUESTS_PER_S = 50
_BUFFERED_S = 2.0
IMU, CONTROL = UUID(protocol.IMU_UUID), UUID(protocol.CONTROL_UUID)


def at_rest(times_ns: NDArray[np.int64]) -> NDArray[np.int16]:
    """A band that lies still, z up, with the noise of its sensor."""
    counts = np.random.default_rng(int(times_ns[0]) % 2**32).normal(scale=2.0, size=(len(times_ns), 6))
    counts[:, 2] += 2048
    return counts.round().astype(np.int16)


class PythonBand(Listener):
    """`skew`: how fast its counter is (1e-6 is 1 ppm); `reading_us`: what the counter shows at boot. `identity`: 8 bytes.

    `mangle` alters each packet before it is sent, for the faults of a test. `requests`, `vibrations`: what it was asked for.
    """

    def __init__(
        self,
        name: str,
        address: str,
        *,
        source: Source = at_rest,
        identity: bytes = b"",
        skew: float = 0.0,
        reading_us: int = 0,
        session: int = 1,
        encrypted: bool = True,
        mangle: Callable[[bytes], bytes] = lambda packet: packet,
    ) -> None:
        self.name = name
        self.address = address
        self.identity = identity or name.encode()[:8].ljust(8, b"\0")
        self.session = session
        self.battery = 80
        self.self_test = protocol.TEST_ALL
        self.refuses_pairing = False
        self.mangle = mangle
        self.requests: list[protocol.Request] = []
        self.vibrations: list[int] = []
        self.sent = 0
        self._source = source
        self._skew = skew
        self._boot_us = reading_us
        self._encrypted = encrypted
        self._peripheral: Peripheral | None = None
        self._task: asyncio.Task[None] | None = None
        self._background: asyncio.Task[Any] | None = None
        self._boot(time.monotonic_ns())

    @property
    def controller(self) -> VirtualController:
        assert self._peripheral is not None
        return self._peripheral.controller

    def counter_us(self, host_ns: int) -> int:
        """The counter at `host_ns`, not wrapped."""
        return self._boot_us + round((host_ns - self._booted_ns) * (1 + self._skew) / 1000)

    def to_host(self, reading_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Host times at which the counter, not wrapped, read `reading_us`."""
        elapsed: NDArray[np.int64] = np.round((reading_us - self._boot_us) * 1000 / (1 + self._skew)).astype(np.int64)
        return self._booted_ns + elapsed

    async def start(self, link: RadioLink) -> None:
        self._boot(time.monotonic_ns())
        self._peripheral = peripheral = Peripheral(self.name, self.address, link, self)
        control = Served(CONTROL, _WRITE | _WRITE_QUIETLY | _NOTIFY, self._encrypted, bytes, self._asked)
        imu = Served(IMU, _NOTIFY, self._encrypted, bytes, lambda _data: None)
        peripheral.serve(UUID(protocol.SERVICE_UUID), [imu, control])
        battery = Served(UUID(protocol.BATTERY_LEVEL), _READ | _NOTIFY, False, lambda: bytes([self.battery]), lambda _data: None)
        peripheral.serve(UUID(protocol.BATTERY_SERVICE), [battery])
        peripheral.accepts_pairing = lambda: not self.refuses_pairing
        await self._advertise()
        self._task = asyncio.get_running_loop().create_task(self._stream())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._peripheral is not None:
            await self._peripheral.stop_advertising()

    async def reboot(self) -> None:
        """Off and on: another session, the counter from its start; the central hears nothing of it until data fails to come."""
        assert self._peripheral is not None
        await self._peripheral.disconnect()
        self.session = (self.session + 1) % (1 << 16)
        self._boot(time.monotonic_ns())

    async def hang_up(self) -> None:
        """End the connection from the band's side."""
        assert self._peripheral is not None
        await self._peripheral.disconnect()

    def connected(self) -> None:
        self._streams = False

    def disconnected(self) -> None:
        self._streams = False
        if self._task is not None:
            self._background = asyncio.get_running_loop().create_task(self._advertise())

    def _boot(self, now_ns: int) -> None:
        self._booted_ns = now_ns
        self._taken = 0
        self._streams = False
        self._rate_hz = 100
        self._overflow = False
        self._busy_until: list[int] = []

    async def _advertise(self) -> None:
        assert self._peripheral is not None
        data = AdvertisingData(
            [
                (AdvertisingData.FLAGS, bytes([6])),
                (AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, UUID(protocol.SERVICE_UUID).to_bytes()),
                (AdvertisingData.SHORTENED_LOCAL_NAME, self.name.encode()[:8]),
            ]
        )
        await self._peripheral.advertise(bytes(data))

    def _asked(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        try:
            request = protocol.decode_request(data)
        except protocol.ControlError as error:
            opcode, token = (data + b"\0\0")[:2]
            self._answer(bytes((opcode | protocol.ANSWER, token, error.status)))
            return
        self._busy_until = [moment for moment in self._busy_until if moment > now_ns]
        if len(self._busy_until) >= _REQUESTS_PER_S:
            self._answer(protocol.encode_answer(request.opcode, request.token, protocol.BUSY))
            return
        self._busy_until.append(now_ns + NS_PER_S)
        self.requests.append(request)
        self._answer(protocol.encode_answer(request.opcode, request.token, protocol.OK, *self._obey(request, now_ns)))

    def _obey(self, request: protocol.Request, now_ns: int) -> tuple[int | bytes, ...]:
        opcode, values = request.opcode, request.values
        if opcode == protocol.PING:
            received = self.counter_us(now_ns) & protocol.COUNTER_MASK
            return received, self.counter_us(time.monotonic_ns()) & protocol.COUNTER_MASK, self.session
        if opcode == protocol.SELF_TEST:
            return (self.self_test,)
        if opcode == protocol.IDENTITY:
            return protocol.VERSION, self.identity, 1, 1, 1, 0, 0, self._rate_hz
        if opcode == protocol.GET_CALIBRATION:
            return 0, 0, 0
        if opcode == protocol.VIBRATE:
            granted = min(int(values[0]), protocol.MAX_VIBRATION_MS)
            self.vibrations.append(granted)
            return (granted,)
        if opcode == protocol.SET_RATE:
            self._rate_hz = int(values[0])
        if opcode in (protocol.START, protocol.STOP):
            self._streams = opcode == protocol.START
        return ()

    def _answer(self, answer: bytes) -> None:
        assert self._peripheral is not None
        self._background = asyncio.get_running_loop().create_task(self._peripheral.notify(CONTROL, answer))

    async def _stream(self) -> None:
        while True:
            spacing_us = 1_000_000 // self._rate_hz
            n = protocol.samples_per_packet(self._rate_hz, self._mtu())
            newest_us = self.counter_us(time.monotonic_ns()) - self._boot_us
            behind = newest_us // spacing_us - self._taken - n
            if behind >= 0:
                await self._send(n, spacing_us, late=behind > _BUFFERED_S * self._rate_hz)
                continue
            await asyncio.sleep(-behind * spacing_us / 1e6)

    def _mtu(self) -> int:
        connection = self._peripheral.connection if self._peripheral is not None else None
        return connection.att_mtu if connection is not None else protocol.MIN_MTU

    async def _send(self, n: int, spacing_us: int, late: bool) -> None:
        """Send the next `n` samples, or lose them where nobody listens."""
        first, self._taken = self._taken, self._taken + n
        if not self._streams or late:
            self._overflow = True
            return
        readings = self._boot_us + (first + np.arange(n, dtype=np.int64)) * spacing_us
        samples = self._source(self.to_host(readings)).astype("<i2").tobytes()
        flags = (protocol.FLAG_OVERFLOW if self._overflow else 0) | (protocol.FLAG_LOW_BATTERY if self.battery < 10 else 0)
        self._overflow = False
        packet = protocol.Packet(
            flags, self.session, first & 0xFFFF, int(readings[0]) & protocol.COUNTER_MASK, spacing_us, 3, 4, samples
        )
        assert self._peripheral is not None
        size = protocol.notification_size(self._mtu())
        for part in protocol.fragments(self.mangle(protocol.encode_packet(packet)), size, first // n):
            await self._peripheral.notify(IMU, part)
        self.sent += n
