"""Requests to a connected band, and its answers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device.band import protocol
from device.errors import BandError

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.characteristic import BleakGATTCharacteristic

ANSWER_S = 1.0
TRIES = 4
_BUSY_S = 0.25


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a band says that it is. `identity`: 16 hex digits."""

    identity: str
    chip: str
    board: str
    firmware: str


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer with the host times (ns) at which its request went out and it came."""

    values: tuple[int | bytes, ...]
    sent_ns: int
    received_ns: int


class Control:
    """Asks one connection. Answers find their requests by opcode and token, so late and doubled ones do no harm."""

    def __init__(self, client: BleakClient) -> None:
        self._client = client
        self._token = 0
        self._awaited: dict[tuple[int, int], asyncio.Future[tuple[protocol.Answer, int]]] = {}
        self.garbage = 0

    async def subscribe(self) -> None:
        """Have the answers come. Bleak's errors pass."""
        await self._client.start_notify(protocol.CONTROL_UUID, self._answered, bluez={"use_start_notify": True})

    async def ask(self, opcode: int, *values: int | bytes) -> tuple[int | bytes, ...]:
        """What the band answers; asked again where the answer is lost or the band is busy. Raises BandError."""
        for _ in range(TRIES):
            try:
                answer, _, _ = await self._exchange(opcode, values, response=True)
            except TimeoutError:
                continue
            if answer.status == protocol.OK:
                return answer.values
            if answer.status != protocol.BUSY:
                raise BandError(f"The band refuses request 0x{opcode:02x}: {protocol.STATUS_NAMES[answer.status]}.")
            await asyncio.sleep(_BUSY_S)
        raise BandError(f"The band does not answer request 0x{opcode:02x}. Move it closer; if that does not help, restart it.")

    async def ping(self) -> Answered | None:
        """One exchange of clocks, None when its answer did not come."""
        try:
            answer, sent_ns, received_ns = await self._exchange(protocol.PING, (), response=False)
        except TimeoutError:
            return None
        return Answered(answer.values, sent_ns, received_ns) if answer.status == protocol.OK else None

    async def identity(self) -> Identity:
        """Who the band is. Raises BandError, VersionError when it speaks another version of the protocol."""
        version, identity, chip, board, *firmware, _rate = await self.ask(protocol.IDENTITY)
        protocol.check_version(int(version))
        assert isinstance(identity, bytes)
        return Identity(
            identity.hex(),
            _named(protocol.CHIP_NAMES, chip),
            _named(protocol.BOARD_NAMES, board),
            ".".join(str(part) for part in firmware),
        )

    async def _exchange(
        self, opcode: int, values: tuple[int | bytes, ...], *, response: bool
    ) -> tuple[protocol.Answer, int, int]:
        self._token = (self._token + 1) % 256
        key = (opcode, self._token)
        answered = asyncio.get_running_loop().create_future()
        self._awaited[key] = answered
        try:
            sent_ns = time.monotonic_ns()
            request = protocol.encode_request(opcode, self._token, *values)
            await self._client.write_gatt_char(protocol.CONTROL_UUID, request, response=response)
            answer, received_ns = await asyncio.wait_for(answered, ANSWER_S)
        finally:
            del self._awaited[key]
        return answer, sent_ns, received_ns

    def _answered(self, _characteristic: BleakGATTCharacteristic, data: bytearray) -> None:
        received_ns = time.monotonic_ns()
        try:
            answer = protocol.decode_answer(bytes(data))
        except protocol.ProtocolError:
            self.garbage += 1
            return
        awaited = self._awaited.get((answer.opcode, answer.token))
        if awaited is not None and not awaited.done():
            awaited.set_result((answer, received_ns))


def _named(names: tuple[str, ...], code: int | bytes) -> str:
    return names[code] if isinstance(code, int) and code < len(names) else names[0]
