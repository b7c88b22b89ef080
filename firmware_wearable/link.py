"""The band as a Bluetooth peripheral: advertising, bonding, notifications that wait where the stack is full.

Nothing is sent and no request is taken before the link is encrypted with a bonded central.
"""

import binascii
import time

import bluetooth
from micropython import const

from device.band import protocol

_IRQ_CENTRAL_CONNECT = const(1)
_IRQ_CENTRAL_DISCONNECT = const(2)
_IRQ_GATTS_WRITE = const(3)
_IRQ_MTU_EXCHANGED = const(21)
_IRQ_ENCRYPTION_UPDATE = const(28)
_IRQ_GET_SECRET = const(29)
_IRQ_SET_SECRET = const(30)

_FLAG_READ = const(0x0002)
_FLAG_WRITE_NO_RESPONSE = const(0x0004)
_FLAG_WRITE = const(0x0008)
_FLAG_NOTIFY = const(0x0010)
_FLAG_READ_ENCRYPTED = const(0x0200)
_FLAG_WRITE_ENCRYPTED = const(0x1000)
_NO_INPUT_NO_OUTPUT = const(3)

ADVERTISING_US = 100_000
INTERVAL_UNITS = 12
"""The connection interval that the band asks for: 12 x 1.25 ms = 15 ms."""
PAIRING_MS = 60_000
"""A central without a bond can pair this long after the band was switched on."""
STRANGER_MS = 10_000
"""A central that hasn't encrypted the link by then is in the way of the one that belongs here."""
QUEUE = 8
MAX_SECRETS = 12


class PairingUnavailable(Exception):
    """This build of MicroPython has no pairing; a band without it would obey anybody."""


class Bonds:
    """The keys that the Bluetooth stack asks the application to keep. A new one is accepted only while `is_open()`."""

    def __init__(self, record, is_open):
        self._record = record
        self._is_open = is_open
        self._secrets = []
        self._changed = False
        try:
            for kind, key, value in record.values["secrets"]:
                self._secrets.append((kind, binascii.unhexlify(key), binascii.unhexlify(value)))
        except (TypeError, ValueError) as error:
            print("The stored bonds are damaged:", error)

    def get(self, kind, index, key):
        found = [(k, v) for t, k, v in self._secrets if t == kind]
        if key is None:
            return found[index][1] if index < len(found) else None
        for stored, value in found:
            if stored == key:
                return value
        return None

    def set(self, kind, key, value):
        """Whether it was done."""
        known = self.get(kind, 0, key) is not None
        if not known and (value is None or not self._is_open()):
            return False
        self._secrets = [entry for entry in self._secrets if entry[0] != kind or entry[1] != key]
        if value is not None:
            self._secrets.append((kind, key, value))
            self._secrets = self._secrets[-MAX_SECRETS:]
        self._changed = True
        return True

    def save(self):
        """Write them when they changed; not from within the stack's callback, which must be quick."""
        if not self._changed:
            return
        self._changed = False
        self._record.values["secrets"] = [
            [kind, binascii.hexlify(key).decode(), binascii.hexlify(value).decode()] for kind, key, value in self._secrets
        ]
        self._record.save()


class Link:
    """`mtu`: of the connection. `refused`: requests that came faster than they could be queued."""

    def __init__(self, name, serial, firmware, model, bonds_record, switched_on):
        self.name = name
        self.mtu = protocol.MIN_MTU
        self.refused = 0
        self._connection = None
        self._connected_ms = 0
        self._encrypted = False
        self._advertise_soon = True
        self._switched_on = switched_on
        self._started_ms = time.ticks_ms()
        self._requests = []
        self._number = 0
        self._fragment = 0
        self._buffer = bytearray(protocol.notification_size(protocol.WANTED_MTU))
        self._bonds = Bonds(bonds_record, self.is_pairable)
        self._ble = bluetooth.BLE()
        self._ble.active(True)
        self._ble.irq(self._irq)
        try:
            self._ble.config(bond=True, le_secure=True, mitm=False, io=_NO_INPUT_NO_OUTPUT)
        except (ValueError, OSError) as error:
            raise PairingUnavailable("This MicroPython was built without Bluetooth pairing (see README.md).") from error
        self._ble.config(gap_name=name, mtu=protocol.WANTED_MTU)
        self._register(serial, firmware, model)

    def is_open(self):
        """Whether a bonded central is connected and the link is encrypted."""
        return self._connection is not None and self._encrypted

    def is_connected(self):
        return self._connection is not None

    def is_pairable(self):
        return self._switched_on and time.ticks_diff(time.ticks_ms(), self._started_ms) < PAIRING_MS

    def take_request(self):
        """(counter in us when it came, bytes) of the oldest request, or None."""
        return self._requests.pop(0) if self._requests else None

    def answer(self, data):
        """Notify the answer to a request. One that the stack has no room for is lost; the other end asks again."""
        if self.is_open():
            self._notify(self._control, data)

    def send_packet(self, packet, length):
        """Send `packet[:length]` (a memoryview), in fragments where it must be. False: call again with the same packet later."""
        if not self.is_open():
            return False
        size = protocol.notification_size(self.mtu)
        count = protocol.fragment_count(length, size)
        if count == 1:
            return self._notify(self._imu, packet[:length])
        while self._fragment < count:
            n = protocol.fragment_into(self._buffer, packet, length, self._number, self._fragment, size)
            if not self._notify(self._imu, memoryview(self._buffer)[:n]):
                return False
            self._fragment += 1
        self._fragment = 0
        self._number += 1
        return True

    def show_battery(self, percent):
        self._ble.gatts_write(self._battery, bytes((percent,)), self.is_open())

    def service(self):
        """Advertise when nobody is connected, show strangers the door, store new bonds."""
        self._bonds.save()
        if self._advertise_soon:
            self._advertise_soon = False
            self._ble.gap_advertise(ADVERTISING_US, _advertising(), resp_data=_field(0x09, self.name.encode()))
        if (
            self._connection is not None
            and not self._encrypted
            and time.ticks_diff(time.ticks_ms(), self._connected_ms) > STRANGER_MS
        ):
            self._connected_ms = time.ticks_ms()
            self._ble.gap_disconnect(self._connection)  # pyright: ignore[reportArgumentType]: a handle is an int

    def close(self):
        """Radio off."""
        self._ble.active(False)

    def _register(self, serial, firmware, model):
        read = _FLAG_READ | _FLAG_READ_ENCRYPTED
        handles = self._ble.gatts_register_services(
            (
                (
                    bluetooth.UUID(protocol.SERVICE_UUID),
                    (
                        (bluetooth.UUID(protocol.IMU_UUID), _FLAG_NOTIFY | _FLAG_READ_ENCRYPTED),
                        (
                            bluetooth.UUID(protocol.CONTROL_UUID),
                            _FLAG_WRITE | _FLAG_WRITE_NO_RESPONSE | _FLAG_NOTIFY | _FLAG_WRITE_ENCRYPTED,
                        ),
                    ),
                ),
                (bluetooth.UUID(protocol.BATTERY_SERVICE), ((bluetooth.UUID(protocol.BATTERY_LEVEL), read | _FLAG_NOTIFY),)),
                (
                    bluetooth.UUID(protocol.DEVICE_INFORMATION_SERVICE),
                    (
                        (bluetooth.UUID(protocol.MANUFACTURER_NAME), read),
                        (bluetooth.UUID(protocol.MODEL_NUMBER), read),
                        (bluetooth.UUID(protocol.SERIAL_NUMBER), read),
                        (bluetooth.UUID(protocol.FIRMWARE_REVISION), read),
                    ),
                ),
            )
        )
        ((self._imu, self._control), (self._battery,), information) = handles
        for handle, text in zip(information, (protocol.NAME_PREFIX, model, serial, firmware)):  # noqa: B905
            self._ble.gatts_write(handle, text.encode())

    def _notify(self, handle, data):
        try:
            self._ble.gatts_notify(self._connection, handle, data)  # pyright: ignore[reportCallIssue]: the stub lacks conn_handle
        except OSError:
            return False
        return True

    def _irq(self, event, data):
        if event == _IRQ_GATTS_WRITE:
            now_us = time.ticks_us()
            if data[1] == self._control and self.is_open():
                self._queue(now_us, self._ble.gatts_read(self._control))
        elif event == _IRQ_CENTRAL_CONNECT:
            self._connection = data[0]
            self._connected_ms = time.ticks_ms()
            self._forget_connection()
        elif event == _IRQ_CENTRAL_DISCONNECT:
            self._connection = None
            self._forget_connection()
            self._advertise_soon = True
        elif event == _IRQ_MTU_EXCHANGED:
            self.mtu = min(data[1], protocol.WANTED_MTU)
        elif event == _IRQ_ENCRYPTION_UPDATE:
            _, encrypted, _, bonded, _ = data
            self._encrypted = bool(encrypted and bonded)
        elif event == _IRQ_GET_SECRET:
            kind, index, key = data
            return self._bonds.get(kind, index, None if key is None else bytes(key))
        elif event == _IRQ_SET_SECRET:
            kind, key, value = data
            kept = self._bonds.set(kind, bytes(key), None if value is None else bytes(value))
            if value is not None and not kept:
                self._encrypted = False
                self._ble.gap_disconnect(self._connection)  # pyright: ignore[reportArgumentType]: a handle is an int
            return kept
        return None

    def _forget_connection(self):
        self._encrypted = False
        self._requests = []
        self._fragment = 0
        self.mtu = protocol.MIN_MTU

    def _queue(self, now_us, data):
        if len(self._requests) < QUEUE:
            self._requests.append((now_us, data))
        else:
            self.refused += 1


def _field(kind, data):
    return bytes((len(data) + 1, kind)) + data


def _advertising():
    """Flags, our service, and the wanted connection interval (Core Specification Supplement part A, 1.3, 1.1, 1.9)."""
    uuid = binascii.unhexlify(protocol.SERVICE_UUID.replace("-", ""))
    interval = bytes((INTERVAL_UNITS, 0, INTERVAL_UNITS, 0))
    return _field(0x01, b"\x06") + _field(0x07, bytes(reversed(uuid))) + _field(0x12, interval)
