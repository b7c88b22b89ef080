"""The air between controllers: connection events, lost notifications, and devices that go out of range."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field

from bumble import hci, ll
from bumble.controller import Connection, Controller
from bumble.core import PhysicalTransport
from bumble.link import LocalLink

PACKETS_PER_EVENT = 6
"""Notifications of 247 bytes that a controller gets into one connection event, with data length extension at 2 Mbit/s."""
_ATT_CHANNEL = 4
_NOTIFICATION = 0x1B


class RadioLink(LocalLink):
    """Data waits for the next connection event of its connection; 0 ms sends it at once.

    `notification_loss`: share of notifications that never reach the central, as a full buffer in either host loses them (the
    link layer itself repeats what is lost). A connection that has no contact for `supervision_s` ends on both sides.
    """

    def __init__(
        self, interval_ms: float = 0.0, notification_loss: float = 0.0, supervision_s: float = 2.0, seed: int = 0
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.interval_s = interval_ms / 1e3
        self.notification_loss = notification_loss
        self.supervision_s = supervision_s
        self.lost_notifications = 0
        self._random = random.Random(seed)
        self._away: set[Controller] = set()
        self._phases: dict[frozenset[str], float] = {}
        self._ways: dict[tuple[str, str], _Way] = {}

    def send_acl_data(
        self, sender_controller: Controller, destination_address: hci.Address, transport: PhysicalTransport, data: bytes
    ) -> None:
        receiver = self.find_le_controller(destination_address)
        connection = sender_controller.le_connections.get(destination_address)
        if receiver is None or connection is None:
            return
        if self._loses(data):
            self.lost_notifications += 1
            return
        ends = (str(connection.self_address), str(destination_address))
        way = self._ways.setdefault(ends, _Way())
        way.waiting.append(data)
        if way.timer is None:
            self._await_event(way, ends, connection, receiver, transport)

    def send_advertising_pdu(self, sender_controller: Controller, packet: ll.AdvertisingPdu) -> None:
        if sender_controller in self._away:
            return
        if isinstance(packet, ll.AdvInd):
            # A scanner asks for the scan response, and hosts show both as one.
            response = sender_controller.le_legacy_advertiser.scan_response_data
            packet = ll.AdvInd(packet.advertiser_address, packet.data + response)
        loop = asyncio.get_running_loop()
        for controller in self.controllers - self._away - {sender_controller}:
            loop.call_soon(controller.on_ll_advertising_pdu, packet)

    def send_ll_control_pdu(self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu) -> None:
        sender, receiver = self.find_le_controller(sender_address), self.find_le_controller(receiver_address)
        if receiver is None or sender in self._away or receiver in self._away:
            return
        super().send_ll_control_pdu(sender_address, receiver_address, packet)

    async def outage(self, controller: Controller, seconds: float) -> None:
        """Take `controller` out of range for a while; what is on the way waits, and is lost when the connection is."""
        self._away.add(controller)
        try:
            await asyncio.sleep(min(seconds, self.supervision_s))
            if seconds >= self.supervision_s:
                self.part(controller)
                await asyncio.sleep(seconds - self.supervision_s)
        finally:
            self._away.discard(controller)

    def leave(self, controller: Controller) -> None:
        """`controller` is switched off: it is never heard again, which its peers notice after the supervision time."""
        self._away.add(controller)
        asyncio.get_running_loop().call_later(self.supervision_s, self._remove, controller)

    def part(self, controller: Controller) -> None:
        """End all connections of `controller` with a supervision timeout, on both sides."""
        for connection in list(controller.le_connections.values()):
            peer = self.find_le_controller(connection.peer_address)
            for end, controls in ((connection, controller), (_far_end(peer, connection), peer)):
                if end is not None and controls is not None:
                    controls.on_le_disconnected(end, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)
            ends = {str(connection.self_address), str(connection.peer_address)}
            for key in [key for key in self._ways if set(key) == ends]:
                self._ways.pop(key).cancel()

    def _remove(self, controller: Controller) -> None:
        self.part(controller)
        self.controllers.discard(controller)

    def _loses(self, data: bytes) -> bool:
        """`data` is an L2CAP PDU: length u16, channel u16, then ATT's opcode."""
        is_notification = data[2:5] == bytes((_ATT_CHANNEL, 0, _NOTIFICATION))
        return is_notification and self._random.random() < self.notification_loss

    def _await_event(
        self, way: _Way, ends: tuple[str, str], connection: Connection, receiver: Controller, transport: PhysicalTransport
    ) -> None:
        loop = asyncio.get_running_loop()

        def event() -> None:
            way.timer = None
            if connection.self_address not in receiver.le_connections:
                way.waiting.clear()
                return
            if connection.controller not in self._away and receiver not in self._away:
                for _ in range(min(PACKETS_PER_EVENT, len(way.waiting)) if self.interval_s else len(way.waiting)):
                    receiver.on_link_acl_data(connection.self_address, transport, way.waiting.popleft())
            if way.waiting:
                self._await_event(way, ends, connection, receiver, transport)

        away = connection.controller in self._away or receiver in self._away
        if not self.interval_s:
            way.timer = loop.call_later(0.01, event) if away else loop.call_soon(event)
            return
        # Both ends of a connection meet at its events, and each connection has its own.
        phase = self._phases.setdefault(frozenset(ends), self._random.random())
        due = (int(loop.time() / self.interval_s - phase) + 1 + phase) * self.interval_s
        way.timer = loop.call_at(due, event)


@dataclass(slots=True)
class _Way:
    """What waits in one direction of a connection."""

    waiting: deque[bytes] = field(default_factory=deque)
    timer: asyncio.Handle | None = None

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


def _far_end(peer: Controller | None, connection: Connection) -> Connection | None:
    return peer.le_connections.get(connection.self_address) if peer is not None else None
