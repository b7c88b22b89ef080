"""One device that advertises and serves a GATT table on the virtual radio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bumble import att, gatt
from bumble.core import UUID
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.keys import PairingKeys
from bumble.pairing import PairingDelegate

from device.sim_radio.controller import VirtualController
from device.sim_radio.link import RadioLink
from device.sim_radio.radio import just_works, new_device

ADVERTISING_MS = 30.0


@dataclass(frozen=True, slots=True)
class Served:
    """A characteristic. `properties`: Bluetooth 5.4, Vol 3, Part G, 3.3.1.1. `encrypted`: reading, writing and subscribing
    need an encrypted link."""

    uuid: UUID
    properties: int
    encrypted: bool
    read: Callable[[], bytes]
    write: Callable[[bytes], None]


class Peripheral:
    """A device at `address`. What happens to its one connection is told to `listener`.

    `accepts_pairing`: whether it bonds now. `on_bonded`: gets the keys of a new bond; `is_bonding` until then.
    """

    def __init__(self, name: str, address: str, link: RadioLink, listener: Listener) -> None:
        self.controller = VirtualController(name, link=link)
        self.device: Device = new_device(name, address, self.controller)
        self.connection: Connection | None = None
        self.accepts_pairing: Callable[[], bool] = lambda: True
        self.on_bonded: Callable[[PairingKeys], None] = lambda _keys: None
        self.is_bonding = False
        self._listener = listener
        self._served: dict[UUID, Characteristic[bytes]] = {}
        self.device.on("connection", self._connected)
        self.device.pairing_config_factory = lambda _connection: just_works(_Delegate(self))

    def serve(self, uuid: UUID, characteristics: Sequence[Served]) -> None:
        """Add a service before `power_on`."""
        for each in characteristics:
            self._served[each.uuid] = _characteristic(each)
        service = Service(uuid, [self._served[each.uuid] for each in characteristics])
        before = len(self.device.gatt_server.attributes)
        self.device.add_service(service)
        encrypted = iter([each.encrypted for each in characteristics if each.properties & _SUBSCRIBABLE])
        for attribute in self.device.gatt_server.attributes[before:]:
            if attribute.type == gatt.GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR and next(encrypted):
                attribute.permissions |= att.Attribute.WRITE_REQUIRES_ENCRYPTION

    async def advertise(self, data: bytes, scan_response: bytes = b"") -> None:
        """Power on where that is to do, and advertise; a connection ends it."""
        if not self.device.powered_on:
            await self.device.power_on()
        if self.device.is_advertising:
            await self.device.stop_advertising()
        await self.device.start_advertising(
            advertising_data=data,
            scan_response_data=scan_response,
            advertising_interval_min=ADVERTISING_MS,
            advertising_interval_max=ADVERTISING_MS,
        )

    async def stop_advertising(self) -> None:
        if self.device.is_advertising:
            await self.device.stop_advertising()

    async def notify(self, uuid: UUID, value: bytes) -> bool:
        """Notify the connected central; False when there is none that subscribed."""
        if self.connection is None:
            return False
        await self.device.notify_subscriber(self.connection, self._served[uuid], value)
        return True

    async def disconnect(self) -> None:
        if self.connection is not None:
            await self.connection.disconnect()

    def _connected(self, connection: Connection) -> None:
        self.connection = connection
        connection.on("disconnection", self._disconnected)
        self.is_bonding = False
        connection.on("pairing_start", self._pairing)
        connection.on("pairing", self._paired)
        connection.on("connection_encryption_change", self._listener.encrypted)
        connection.on("connection_att_mtu_update", lambda: self._listener.mtu_changed(connection.att_mtu))
        self._listener.connected()

    def _pairing(self) -> None:
        self.is_bonding = True

    def _paired(self, keys: PairingKeys) -> None:
        self.is_bonding = False
        self.on_bonded(keys)

    def _disconnected(self, _reason: int) -> None:
        self.connection = None
        self._listener.disconnected()


class _Delegate(PairingDelegate):
    def __init__(self, peripheral: Peripheral) -> None:
        super().__init__()
        self._peripheral = peripheral

    async def accept(self) -> bool:
        return self._peripheral.accepts_pairing()


class Listener:
    """What a device may want to know of its connection."""

    def connected(self) -> None: ...

    def disconnected(self) -> None: ...

    def encrypted(self) -> None: ...

    def mtu_changed(self, mtu: int) -> None: ...


_SUBSCRIBABLE = Characteristic.Properties.NOTIFY | Characteristic.Properties.INDICATE


def _characteristic(served: Served) -> Characteristic[bytes]:
    permissions = att.Attribute.READABLE | att.Attribute.WRITEABLE
    if served.encrypted:
        permissions |= att.Attribute.READ_REQUIRES_ENCRYPTION | att.Attribute.WRITE_REQUIRES_ENCRYPTION
    value = CharacteristicValue(read=lambda _connection: served.read(), write=lambda _connection, data: served.write(bytes(data)))
    return Characteristic(served.uuid, Characteristic.Properties(served.properties), permissions, value)
