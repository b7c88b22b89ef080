"""What carries bleak: the system's Bluetooth, or whatever is put in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from device.errors import DriverUnavailable

if TYPE_CHECKING:
    from bleak import BleakClient, BleakScanner
    from bleak.backends.client import BaseBleakClient
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Backend:
    """Classes that bleak is given as `backend=`; None is the system's own. `adapter`: such as hci1, empty is the default one."""

    client_class: type[BaseBleakClient] | None = None
    scanner_class: type[BaseBleakScanner] | None = None
    adapter: str = ""

    def scanner(self, heard: Any = None) -> BleakScanner:
        """A scanner for bands; `heard(device, advertisement)` is called with each advertisement."""
        from bleak import BleakScanner

        from device.band import protocol

        return BleakScanner(heard, [protocol.SERVICE_UUID], backend=self.scanner_class, **self._options())

    def client(self, device: BLEDevice, parted: Any = None, *, timeout_s: float = CONNECT_TIMEOUT_S) -> BleakClient:
        """A client of a device that was heard; `parted(client)` is called when the connection has ended."""
        from bleak import BleakClient

        return BleakClient(device, parted, timeout=timeout_s, backend=self.client_class, **self._options())

    def _options(self) -> dict[str, Any]:
        return {"bluez": {"adapter": self.adapter}} if self.adapter else {}


def require_bleak() -> None:
    """Raises DriverUnavailable where bleak is absent."""
    try:
        import bleak  # noqa: F401
    except ImportError as error:
        raise DriverUnavailable("Bands over Bluetooth need the package bleak. Install it with: pip install bleak") from error


def is_bonded(device: BLEDevice) -> bool:
    """Whether the system has keys of the device, as BlueZ tells with what it heard."""
    properties = device.details.get("props", {}) if isinstance(device.details, dict) else {}
    return bool(properties.get("Bonded", properties.get("Paired", False)))


def is_band(advertisement: AdvertisementData) -> bool:
    """Whether an advertisement names the bands' service. Others' scans may let through what was not asked for."""
    from device.band import protocol

    return protocol.SERVICE_UUID in advertisement.service_uuids
