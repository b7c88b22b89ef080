"""What the firmware's tests share: a band on the real interpreter, in simulated time, with a central that asks it things."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from device.band import protocol
from device.sim_radio.firmware import INTERPRETER, BandCounter, FirmwareBand

SECOND = 1_000_000_000
ABSENT = "node is absent" if shutil.which("node") is None else "" if INTERPRETER.exists() else "MicroPython is absent"
needs_interpreter = pytest.mark.skipif(
    bool(ABSENT), reason=f"{ABSENT}; install nodejs and npm and run: npm ci --prefix tests/firmware"
)


def stamped(times_ns: NDArray[np.int64]) -> NDArray[np.int16]:
    """Samples whose accelerometer says at which host time (us) they were taken."""
    us = times_ns // 1000
    counts = np.zeros((len(times_ns), 6), np.int16)
    counts[:, 0], counts[:, 1], counts[:, 2] = us & 0x7FFF, us >> 15 & 0x7FFF, us >> 30 & 0x7FFF
    return counts


def resting(times_ns: NDArray[np.int64]) -> NDArray[np.int16]:
    """A band that lies still, z up."""
    counts = np.zeros((len(times_ns), 6), np.int16)
    counts[:, 2] = 2048
    return counts


class Central:
    """A central beside one band. `now_ns`: host time; `imu`: notifications, `answers`: decoded answers, both in order."""

    def __init__(self, source: Callable[[NDArray[np.int64]], NDArray[np.int16]] = stamped, **options: Any) -> None:
        counter = options.pop("counter", BandCounter(0))
        self.band = FirmwareBand("left", source, counter, **options)
        self.now_ns = counter.host_ns
        self.imu: list[bytes] = []
        self.answers: list[protocol.Answer] = []
        self.battery: list[int] = []
        self.hung_up = 0
        self.advertised: list[tuple[bytes, bytes]] = []
        self.offs: list[str] = []
        self.motor_ns = 0
        self.band.on_notify = self._notified
        self.band.on_advertise = lambda data, response: self.advertised.append((data, response))
        self.band.on_disconnect = self._hang_up
        self.band.on_off = self.offs.append

    async def switch_on(self) -> None:
        await self.band.start(self.now_ns)
        await self.wait(0.5)

    async def meet(self, mtu: int = protocol.WANTED_MTU) -> None:
        """Switch the band on, connect, encrypt with a bond, and exchange MTUs."""
        await self.switch_on()
        await self.connect(mtu)

    async def connect(self, mtu: int = protocol.WANTED_MTU) -> None:
        await self.band.connect(self.now_ns)
        await self.band.encrypt(self.now_ns)
        await self.band.set_mtu(mtu, self.now_ns)

    async def wait(self, seconds: float) -> None:
        """Let the time go by, in steps of 20 ms where the motor is watched."""
        end_ns = self.now_ns + round(seconds * SECOND)
        while self.now_ns < end_ns:
            step_ns = min(end_ns - self.now_ns, SECOND // 50 if self.band.motor_on else SECOND // 5)
            self.motor_ns += step_ns if self.band.motor_on else 0
            self.now_ns += step_ns
            await self.band.advance(self.now_ns)

    async def skip(self, seconds: float) -> None:
        """The band's counter jumps ahead: for the firmware so much time has gone by, and nothing has happened in it."""
        await self.band.set_counter(self.band.counter.at(self.now_ns) + round(seconds * 1e6))
        await self.wait(0.2)

    async def ask(self, opcode: int, *values: int | bytes) -> protocol.Answer:
        """Write a request; its answer comes back."""
        token = len(self.answers) & 0xFF
        await self.write(protocol.encode_request(opcode, token, *values))
        for _ in range(40):
            if self.answers and self.answers[-1].token == token and self.answers[-1].opcode == opcode:
                return self.answers[-1]
            await self.wait(0.05)
        raise AssertionError(f"No answer to request 0x{opcode:02x}.")

    async def write(self, data: bytes) -> None:
        await self.band.write_control(data, self.now_ns)

    async def stream(self, rate_hz: int, seconds: float) -> None:
        """Set the rate, start, and let it run."""
        assert (await self.ask(protocol.SET_RATE, rate_hz)).status == protocol.OK
        assert (await self.ask(protocol.START)).status == protocol.OK
        await self.wait(seconds)

    def packets(self) -> list[protocol.Packet]:
        reassembler = protocol.Reassembler()
        joined = [reassembler.feed(data) for data in self.imu]
        assert reassembler.dropped == 0
        return [protocol.decode_packet(data) for data in joined if data is not None]

    def _notified(self, name: str, data: bytes) -> None:
        if name == "imu":
            self.imu.append(data)
        elif name == "control":
            self.answers.append(protocol.decode_answer(data))
        else:
            self.battery.append(data[0])

    def _hang_up(self) -> None:
        self.hung_up += 1


def run(scene: Callable[[Central], Awaitable[None]], central: Central | None = None) -> Central:
    """Play `scene` with a band that is switched off at its end."""

    async def play(central: Central) -> None:
        try:
            await scene(central)
        finally:
            await central.band.stop()

    played = Central() if central is None else central
    asyncio.run(play(played))
    return played


def true_ns(packet: protocol.Packet) -> NDArray[np.int64]:
    """When the samples of a packet were taken: host time, as `stamped` wrote it."""
    rows = np.frombuffer(packet.samples, "<i2").reshape(-1, 6).astype(np.int64)
    stamped_us: NDArray[np.int64] = rows[:, 0] | rows[:, 1] << 15 | rows[:, 2] << 30
    return stamped_us * 1000


def said_ns(packet: protocol.Packet, counter: BandCounter, near_ns: int) -> NDArray[np.int64]:
    """When the packet says that they were taken, by its header and the band's counter, unwrapped near host time `near_ns`."""
    around = counter.at(near_ns)
    half = 1 << protocol.COUNTER_BITS - 1
    first = around + (packet.time_us - around + half) % (2 * half) - half
    return counter.to_host(first + np.arange(packet.n) * packet.spacing_us)
