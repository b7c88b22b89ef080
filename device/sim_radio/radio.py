"""A Bluetooth neighbourhood in software: one central, which bleak drives, and any number of bands."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from bumble import hci
from bumble.device import Device
from bumble.host import Host
from bumble.keys import MemoryKeyStore
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport.common import AsyncPipeSink

from device.sim_radio.backend import BumbleClient, BumbleScanner
from device.sim_radio.controller import VirtualController
from device.sim_radio.link import RadioLink

T = TypeVar("T")

HUB_ADDRESS = "F0:F0:F0:F0:F0:F0"


class RadioBand(Protocol):
    """What the radio asks of a band on it."""

    @property
    def address(self) -> str: ...

    @property
    def controller(self) -> VirtualController: ...

    async def start(self, link: RadioLink) -> None:
        """Switch on and advertise."""

    async def stop(self) -> None:
        """Switch off; the radio takes the controller off the air."""


class VirtualRadio:
    """Runs in a thread of its own while it is entered; everything here may be called from any other.

    `client` and `scanner` are given to bleak as `backend=`. `doubles_callbacks`, `phantoms` (addresses whose connections have no
    services) and refusing to connect while scanning are BlueZ's ways. `rssi`: by address, dBm.
    """

    def __init__(
        self,
        *,
        interval_ms: float = 0.0,
        notification_loss: float = 0.0,
        supervision_s: float = 2.0,
        mtu: int = 247,
        seed: int = 0,
    ) -> None:
        self._link_settings = (interval_ms, notification_loss, supervision_s, seed)
        self.mtu = mtu
        self.rssi: dict[str, int] = {}
        self.phantoms: set[str] = set()
        self.doubles_callbacks = False
        self.client: type[BumbleClient] = type("RadioClient", (BumbleClient,), {"radio": self})
        self.scanner: type[BumbleScanner] = type("RadioScanner", (BumbleScanner,), {"radio": self})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="virtual radio", daemon=True)
        self._bands: list[RadioBand] = []
        self._keys = MemoryKeyStore()

    def __enter__(self) -> Self:
        self._thread.start()
        self.call(self._power_on())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.call(self._power_off())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` in the radio's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do `work` in the radio's loop without waiting, such as `outage`."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    async def across(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` in the radio's loop and await it in the caller's."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def add(self, *bands: RadioBand) -> None:
        """Switch bands on."""
        for band in bands:
            self.call(band.start(self.link))
            self._bands.append(band)

    def remove(self, band: RadioBand) -> None:
        """Switch a band off, as if its battery was taken out."""
        self._bands.remove(band)
        self.call(self._take_off(band))

    async def outage(self, band: RadioBand, seconds: float) -> None:
        """Take `band` out of range for `seconds`."""
        await self.link.outage(band.controller, seconds)

    def is_bonded(self, address: str) -> bool:
        """Whether the central has keys of the device."""
        return address in self._keys.all_keys

    async def forget(self, address: str) -> None:
        """Delete the central's keys of the device."""
        await self._keys.delete(address)

    async def _power_on(self) -> None:
        self.link = RadioLink(*self._link_settings)
        self.connecting = asyncio.Lock()
        controller = VirtualController("hub", link=self.link)
        self.hub = new_device("hub", HUB_ADDRESS, controller)
        self.hub.keystore = self._keys
        await self.hub.power_on()

    async def _power_off(self) -> None:
        for band in self._bands:
            await band.stop()
        await self.hub.power_off()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_off(self, band: RadioBand) -> None:
        self.link.leave(band.controller)
        await band.stop()


def new_device(name: str, address: str, controller: VirtualController) -> Device:
    """A device that bonds as a band without a display must."""
    device = Device(name=name, address=hci.Address(address), host=Host(controller, AsyncPipeSink(controller)))
    device.keystore = MemoryKeyStore()
    device.pairing_config_factory = lambda _connection: just_works()
    return device


def just_works(delegate: PairingDelegate | None = None) -> PairingConfig:
    """LE Secure Connections, bonding, and nobody to ask."""
    return PairingConfig(sc=True, mitm=False, bonding=True, delegate=delegate)
