"""bleak over the virtual radio: a scanner and a client that behave as bleak's own on BlueZ do.

bleak runs in the event loop of its user; Bumble in the radio's own thread. What crosses between them does so here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bleak.uuids import normalize_uuid_str
from bumble import att, core, hci
from bumble.core import UUID, AdvertisingData
from bumble.device import Advertisement, Connection, Peer

if TYPE_CHECKING:
    from device.sim_radio.radio import VirtualRadio

T = TypeVar("T")

_UUID_LISTS = (
    AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
    AdvertisingData.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
    AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
    AdvertisingData.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
)


class BumbleScanner(BaseBleakScanner):
    """A scanner of `radio`, which `VirtualRadio.scanner` fills in."""

    radio: ClassVar[VirtualRadio]

    def __init__(
        self,
        detection_callback: Callable[[BLEDevice, AdvertisementData], Any] | None,
        service_uuids: list[str] | None,
        scanning_mode: str = "active",  # noqa: ARG002
        **_: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        self.seen_devices = {}
        self._loop = asyncio.get_running_loop()
        await self.radio.across(self._start())

    async def stop(self) -> None:
        await self.radio.across(self._stop())

    async def _start(self) -> None:
        hub = self.radio.hub
        hub.on("advertisement", self._heard)
        if not hub.is_scanning:
            await hub.start_scanning(active=True, filter_duplicates=False)

    async def _stop(self) -> None:
        hub = self.radio.hub
        hub.remove_listener("advertisement", self._heard)
        if hub.is_scanning and not hub.listeners("advertisement"):
            await hub.stop_scanning()

    def _heard(self, advertisement: Advertisement) -> None:
        _post(self._loop, self._detect, advertisement)

    def _detect(self, heard: Advertisement) -> None:
        data: Any = heard.data
        # The virtual controller sends its advertising data as scan response too, so every list is there twice.
        uuids = list(dict.fromkeys(_uuid(uuid) for kind in _UUID_LISTS for listed in data.get_all(kind) for uuid in listed))
        name = data.get(AdvertisingData.COMPLETE_LOCAL_NAME) or data.get(AdvertisingData.SHORTENED_LOCAL_NAME)
        manufacturer = {company: bytes(rest) for company, rest in data.get_all(AdvertisingData.MANUFACTURER_SPECIFIC_DATA)}
        address = str(heard.address).split("/")[0]
        rssi = self.radio.rssi.get(address, heard.rssi)
        advertisement = AdvertisementData(name, manufacturer, {}, uuids, None, rssi, (heard,))
        if not self.is_allowed_uuid(uuids):
            return
        bonded = self.radio.is_bonded(address)
        # The shape of what bleak gives for BlueZ.
        details = {
            "path": f"/org/bluez/hci0/dev_{address.replace(':', '_')}",
            "props": {"Address": address, "Paired": bonded, "Bonded": bonded},
        }
        self.call_detection_callbacks(self.create_or_update_device(address, address, name, details, advertisement), advertisement)


class BumbleClient(BaseBleakClient):
    """A client of `radio`, which `VirtualRadio.client` fills in. Like BlueZ it encrypts the link to a bonded device at once."""

    radio: ClassVar[VirtualRadio]

    def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
        super().__init__(address_or_ble_device, **kwargs)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Connection | None = None
        self._peer: Peer | None = None
        self._subscribers: dict[int, Callable[[bytes], None]] = {}

    @property
    def name(self) -> str:
        return self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        return self._peer.gatt_client.mtu if self._peer is not None else 23

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def connect(self, pair: bool, **_: Any) -> None:
        if self.is_connected:
            raise BleakError("Client is already connected")
        self._loop = asyncio.get_running_loop()
        try:
            self.services = await self.radio.across(self._connect())
            if pair:
                await self.pair()
        except BaseException:
            await self.disconnect()
            raise

    async def disconnect(self) -> None:
        if self._connection is not None:
            await self.radio.across(self._disconnect())

    async def pair(self, *_: Any, **__: Any) -> None:
        await self.radio.across(self._pair())

    async def unpair(self) -> None:
        await self.disconnect()
        await self.radio.across(self.radio.forget(self.address))

    async def read_gatt_char(
        self,
        characteristic: BleakGATTCharacteristic,
        *,
        use_cached: bool = False,  # noqa: ARG002
        **_: Any,
    ) -> bytearray:
        return bytearray(await self._ask(lambda peer: peer.read_value(characteristic.obj)))

    async def read_gatt_descriptor(
        self,
        descriptor: BleakGATTDescriptor,
        *,
        use_cached: bool = False,  # noqa: ARG002
        **_: Any,
    ) -> bytearray:
        return bytearray(await self._ask(lambda peer: peer.read_value(descriptor.obj)))

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: Any, response: bool) -> None:
        value = bytes(data)
        await self._ask(lambda peer: peer.write_value(characteristic.obj, value, with_response=response))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: Any) -> None:
        value = bytes(data)
        await self._ask(lambda peer: peer.write_value(descriptor.obj, value, with_response=True))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: Callable[[bytearray], None], **_: Any
    ) -> None:
        copies = 2 if self.radio.doubles_callbacks else 1

        def arrived(value: bytes) -> None:
            for _ in range(copies):
                _post(self._loop, callback, bytearray(value))

        await self._ask(lambda peer: peer.subscribe(characteristic.obj, arrived))
        self._subscribers[characteristic.handle] = arrived

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        arrived = self._subscribers.pop(characteristic.handle)
        await self._ask(lambda peer: peer.unsubscribe(characteristic.obj, arrived))

    async def _connect(self) -> BleakGATTServiceCollection:
        radio = self.radio
        if radio.hub.is_scanning or radio.connecting.locked():
            raise BleakError("[org.bluez.Error.InProgress] Operation already in progress")
        async with radio.connecting:
            try:
                connection = await radio.hub.connect(hci.Address(self.address), timeout=self._timeout)
            except (core.TimeoutError, TimeoutError, core.ConnectionError, hci.HCI_Error) as error:
                raise BleakDeviceNotFoundError(self.address) from error
        self._connection = connection
        connection.on("disconnection", self._parted)
        if self.address in radio.phantoms:
            return BleakGATTServiceCollection()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._settle(connection)
        except (TimeoutError, core.BaseError, hci.HCI_Error, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and self._connection is not None:
                raise
            raise BleakError(f"[org.bluez.Error.Failed] le-connection-abort-by-local ({error})") from error

    async def _settle(self, connection: Connection) -> BleakGATTServiceCollection:
        if self.radio.is_bonded(self.address):
            await connection.encrypt()
        self._peer = peer = Peer(connection)
        if self.radio.mtu > 23:
            await peer.request_mtu(self.radio.mtu)
        await peer.discover_all()  # type: ignore[no-untyped-call]
        found = BleakGATTServiceCollection()
        for service in peer.services:
            of = BleakGATTService(service, service.handle, _uuid(service.uuid))
            found.add_service(of)
            for each in service.characteristics:
                properties = list(gatt_char_props_to_strs(int(each.properties)))
                characteristic = BleakGATTCharacteristic(
                    each, each.handle, _uuid(each.uuid), properties, lambda: self.mtu_size - 3, of
                )
                found.add_characteristic(characteristic)
                for descriptor in each.descriptors:
                    found.add_descriptor(
                        BleakGATTDescriptor(descriptor, descriptor.handle, _uuid(descriptor.type), characteristic)
                    )
        return found

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.disconnect()

    async def _pair(self) -> None:
        if self._connection is None:
            raise BleakError("Not connected")
        if self._connection.is_encrypted:
            return
        try:
            await asyncio.wait_for(self._connection.pair(), self._timeout)
        except (core.BaseError, TimeoutError, asyncio.CancelledError) as error:
            raise BleakError(f"[org.bluez.Error.AuthenticationFailed] {error}") from error

    def _parted(self, *_: Any) -> None:
        self._connection = self._peer = None
        self._subscribers.clear()
        _post(self._loop, self._lost)

    def _lost(self) -> None:
        self.services = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def _ask(self, request: Callable[[Peer], Awaitable[T]]) -> T:
        return await self.radio.across(self._exchange(request))

    async def _exchange(self, request: Callable[[Peer], Awaitable[T]]) -> T:
        if self._peer is None:
            raise BleakError("Not connected")
        try:
            return await request(self._peer)
        except att.ATT_Error as error:
            raise BleakGATTProtocolError(error.error_code) from error
        except core.BaseError as error:
            raise BleakError(str(error)) from error
        except asyncio.CancelledError as error:
            if self._peer is not None:
                raise
            raise BleakError("Not connected") from error


def _uuid(uuid: UUID) -> str:
    return normalize_uuid_str(uuid.to_hex_str("-"))


def _post(loop: asyncio.AbstractEventLoop | None, call: Callable[..., object], *arguments: Any) -> None:
    """Call in the loop of bleak's user, unless that is over."""
    if loop is None or loop.is_closed():
        return
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:
        # Closed since.
        return
