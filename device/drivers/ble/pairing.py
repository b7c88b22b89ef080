"""Pairing of bands, and short visits to paired ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from device.band import protocol
from device.drivers.ble.backend import Backend, is_band, is_bonded
from device.drivers.ble.control import Control
from device.drivers.ble.trust import AllowList, PairingWindow, Trusted
from device.errors import BandError

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

LISTEN_S = 2.0
TRIES = 2


@dataclass(frozen=True, slots=True)
class Heard:
    """A band whose advertisement was heard."""

    device: BLEDevice
    name: str
    rssi_dbm: int
    bonded: bool


async def listen(backend: Backend, seconds: float) -> list[Heard]:
    """The bands that advertise, the strongest first. Raises BandError when the adapter can't scan."""
    found: dict[str, Heard] = {}

    def detected(device: BLEDevice, advertisement: AdvertisementData) -> None:
        if is_band(advertisement):
            name = advertisement.local_name or device.name or device.address
            found[device.address] = Heard(device, name, advertisement.rssi, is_bonded(device))

    adapter = "Bluetooth can't be used; check that the adapter is there and on (bluetoothctl power on)"
    async with _bleak_errors(adapter), backend.scanner(detected):
        await asyncio.sleep(seconds)
    return sorted(found.values(), key=lambda heard: -heard.rssi_dbm)


async def pair_bands(
    backend: Backend,
    allow_list: AllowList,
    window: PairingWindow,
    *,
    count: int = 1,
    limb: str = "",
    say: Callable[[str], None] = lambda _text: None,
) -> list[Trusted]:
    """Pair the `count` nearest bands that are not paired yet, as long as `window` is open; each vibrates when it is.

    `limb`: where the band is worn, for one band. `say` is told what happens. Raises BandError when the adapter can't be used.
    """
    done: list[Trusted] = []
    tried: dict[str, int] = {}
    while len(done) < count and window.left_s > 0:
        heard = await listen(backend, min(LISTEN_S, window.left_s))
        paired = {band.address for band in allow_list.bands}
        new = [each for each in heard if each.device.address not in paired or not each.bonded]
        for each in [each for each in new if tried.get(each.device.address, 0) < TRIES][: count - len(done)]:
            tried[each.device.address] = tried.get(each.device.address, 0) + 1
            try:
                band = await _pair(backend, allow_list, window, each, limb)
            except (BandError, protocol.VersionError) as error:
                say(f"{each.name} {each.device.address}: {error}")
                continue
            say(f"{band.name} {band.address} is paired; it vibrates now.")
            done.append(band)
    return done


@asynccontextmanager
async def visit(backend: Backend, band: Trusted) -> AsyncIterator[tuple[BleakClient, Control]]:
    """A connection to a paired band, to ask it something. Raises BandError."""
    heard = {each.device.address: each for each in await listen(backend, LISTEN_S)}
    found = heard.get(band.address)
    if found is None:
        raise BandError(f"{band.name} ({band.address}) was not heard. Switch it on, bring it close, and see that nothing has it.")
    if not found.bonded:
        raise BandError(f"{band.name}: its bond is gone. Pair it again: spotter band pair")
    client = backend.client(found.device)
    async with _bleak_errors(band.name):
        await client.connect()
        try:
            control = Control(client)
            await control.subscribe()
            identity = await control.identity()
            if identity.identity != band.identity:
                raise BandError(f"{band.name} has another identity than at pairing; it is not trusted. Pair it again.")
            yield client, control
        finally:
            await client.disconnect()


async def unpair(backend: Backend, band: Trusted) -> bool:
    """Delete the system's keys of a band that is no longer trusted; False where it is not in range to be told apart."""
    heard = {each.device.address: each for each in await listen(backend, LISTEN_S)}
    found = heard.get(band.address)
    if found is None:
        return False
    async with _bleak_errors(band.name):
        await backend.client(found.device).unpair()
    return True


async def _pair(backend: Backend, allow_list: AllowList, window: PairingWindow, heard: Heard, limb: str) -> Trusted:
    client = backend.client(heard.device)
    known = heard.bonded
    try:
        async with asyncio.timeout(window.left_s), _bleak_errors("not paired"):
            await client.connect()
            if not known:
                await client.pair()
            control = Control(client)
            await control.subscribe()
            identity = await control.identity()
            names = {band.name for band in allow_list.bands if band.address != heard.device.address}
            name = heard.name if heard.name not in names else f"{heard.name} {identity.identity[-4:]}"
            now = datetime.now(UTC).isoformat(timespec="seconds")
            band = Trusted(heard.device.address, identity.identity, name, limb, now)
            allow_list.add(band, window)
            known = True
            await control.ask(protocol.IDENTIFY)
            return band
    except TimeoutError:
        raise BandError("not paired: the window closed before it was done.") from None
    finally:
        with suppress(BandError):
            async with _bleak_errors("not disconnected"):
                # What was not trusted in the end must not keep a bond.
                await (client.disconnect() if known else client.unpair())


@asynccontextmanager
async def _bleak_errors(what: str) -> AsyncIterator[None]:
    """Bleak's errors as BandError."""
    from bleak.exc import BleakError

    try:
        yield
    except (BleakError, OSError, EOFError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise BandError(f"{what}: {error}") from error
