"""`bluetooth` on a host: the GATT table, advertising and notifications go out, and the host raises the events."""

import hw


class UUID:
    def __init__(self, value):
        self.text = value if isinstance(value, str) else f"{value:04x}"


class BLE:
    _only = None

    def __new__(cls):
        if cls._only is None:
            cls._only = object.__new__(cls)
            cls._only._values = {}
            cls._only._handler = None
        return cls._only

    def active(self, on=None):
        if on is not None and not on:
            hw.advertise("", "")
        return True

    def config(self, **options):
        hw.configure(str(options))

    def irq(self, handler):
        self._handler = handler

    def gatts_register_services(self, services):
        handles = []
        for service, characteristics in services:
            row = []
            for characteristic in characteristics:
                handle = 3 * len(self._values) + 3
                self._values[handle] = b""
                hw.register(service.text, characteristic[0].text, characteristic[1], handle)
                row.append(handle)
            handles.append(tuple(row))
        return tuple(handles)

    def gatts_read(self, handle):
        return self._values[handle]

    def gatts_write(self, handle, data, send_update=False):
        self._values[handle] = bytes(data)
        hw.valueChanged(handle, bytes(data).hex())
        if send_update:
            hw.notify(handle, bytes(data).hex())

    def gatts_notify(self, connection, handle, data=None):
        if not hw.notify(handle, bytes(data).hex()):
            raise OSError(12)

    def gap_advertise(self, interval_us, adv_data=b"", *, resp_data=b""):
        hw.advertise(bytes(adv_data).hex(), bytes(resp_data).hex())

    def gap_disconnect(self, connection):
        hw.disconnect()
        return True


def event(number, *values):
    """The host raises an event; bytes go as hex."""
    result = BLE()._handler(number, tuple(bytes.fromhex(v) if isinstance(v, str) else v for v in values))
    return result.hex() if isinstance(result, bytes) else result


def written(handle, data):
    """A central wrote to a characteristic: its value is stored, then the firmware hears of it."""
    BLE()._values[handle] = bytes.fromhex(data)
    event(3, 0, handle)
