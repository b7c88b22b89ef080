"""The one owner of the adapter: scans for trusted bands, connects to one at a time, and keeps their links alive."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from device.band import protocol
from device.drivers.ble.backend import Backend, is_band, is_bonded
from device.drivers.ble.control import Control, Identity
from device.drivers.ble.states import Event, Link, Rests, State, follow, rested
from device.drivers.ble.trust import Trusted
from device.drivers.health import BandHealth
from device.drivers.packets import PacketStream
from device.errors import BandError
from device.messages import NS_PER_S, ClockPing, ImuBatch
from device.skeleton import BANDS

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.characteristic import BleakGATTCharacteristic
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

log = logging.getLogger(__name__)

SCAN_S = 5.0
SCAN_ON_S = 0.2
"""Listened on after the first band was heard: the others are often just as near."""
SCAN_REST_S = 1.0
FAST_PINGS_S = 3.0
FAST_PING_S = 0.25
PING_S = 1.0
DITHER_S = 0.05
_GOLDEN = 0.6180339887498949
BATTERY_S = 60.0
LOW_BATTERY = 15
KEPT = 4096
"""Batches held for a reader that does not come; the oldest go first."""

MOST_SAID = 256
"""Anybody can advertise under new addresses for ever; the log and the memory are not theirs to fill."""


@dataclass(slots=True)
class Band:
    """A trusted band, its link and what is known of it."""

    trusted: Trusted
    stream: PacketStream
    link: Link = field(default_factory=Link)
    device: BLEDevice | None = None
    identity: Identity | None = None
    rssi_dbm: int | None = None
    battery: int | None = None
    seen_ns: int | None = None
    data_ns: int = 0
    control: Control | None = None
    refused: str = ""

    @property
    def name(self) -> str:
        return f"{self.trusted.name} ({BANDS[self.stream.band]})"

    def health(self, now_ns: int) -> BandHealth:
        """How the band is; from any thread."""
        stream = self.stream
        return BandHealth(
            name=self.trusted.name,
            identity=self.trusted.identity,
            rate_hz=stream.rate_hz(now_ns),
            received=stream.received,
            lost=stream.lost,
            duplicated=stream.duplicated,
            overflows=stream.overflows,
            dropped=stream.garbage + stream.strange_times,
            saturated=stream.saturated,
            reconnects=self.link.reconnects,
            last_seen_ns=self.seen_ns,
            battery=self.battery,
            rssi_dbm=self.rssi_dbm,
            stuck=stream.stuck,
            problem=self._problem(),
        )

    def _problem(self) -> str:
        stream, state = self.stream, self.link.state
        low = (self.battery is not None and self.battery < LOW_BATTERY) or bool(stream.flags & protocol.FLAG_LOW_BATTERY)
        found = [
            (state is State.REFUSED, self.refused),
            (state is not State.STREAMING and not self.link.failures, "not heard yet: switch it on, bring it close"),
            (state is not State.STREAMING, "not connected: bring it close, charge it"),
            (stream.stuck, "its sensor is stuck: restart it"),
            (stream.saturated > 0.01 * stream.received, "its sensor is saturated: strap it tighter"),
            (low, "its battery is low: charge it"),
        ]
        return next((text for wrong, text in found if wrong), "")


class Central:
    """Runs in one event loop. `batches` and `pings` fill as data comes; any thread may take from their left.

    `worn`: address -> index into `skeleton.BANDS`. `silence_s`: how long a connection may bring nothing.
    """

    def __init__(
        self,
        backend: Backend,
        trusted: Mapping[str, Trusted],
        worn: Mapping[str, int],
        rate_hz: int,
        *,
        silence_s: float = 2.0,
        rests: Rests | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.bands = {address: Band(trusted[address], PacketStream(index)) for address, index in worn.items()}
        self.batches: deque[ImuBatch] = deque(maxlen=KEPT)
        self.pings: deque[ClockPing] = deque(maxlen=KEPT)
        self._backend = backend
        self._rate_hz = rate_hz
        self._silence_ns = round(silence_s * NS_PER_S)
        self._rests = rests or Rests()
        self._clock = clock
        self._said: set[str] = set()
        self._changed = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    async def run(self, listening: Callable[[], None]) -> None:
        """Work until cancelled. `listening` is called once the adapter scans; its first error is raised, later ones are logged
        and outlived."""
        try:
            await self._listen(listening)
            while True:
                await self._step()
        finally:
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def vibrate(self, index: int, duration_ms: int, intensity: int) -> int:
        """Vibrate the band on limb `index`; the granted ms, 0 when it is not connected. Raises BandError."""
        for band in self.bands.values():
            if band.stream.band == index and band.link.state is State.STREAMING and band.control is not None:
                (granted,) = await band.control.ask(protocol.VIBRATE, duration_ms, intensity)
                return int(granted)
        return 0

    async def _step(self) -> None:
        now_ns = self._clock()
        for band in self.bands.values():
            if rested(band.link, now_ns):
                self._follow(band, Event.RESTED)
        found = next((band for band in self.bands.values() if band.link.state is State.FOUND), None)
        if found is not None:
            await self._connect(found)
        elif any(band.link.state is State.SOUGHT for band in self.bands.values()):
            await self._scan()
        else:
            await self._wait()

    async def _wait(self) -> None:
        """Until a link changes or the next rest is over."""
        ends = [band.link.until_ns for band in self.bands.values() if band.link.state in (State.RESTING, State.REFUSED)]
        wait_s = max(0.0, (min(ends) - self._clock()) / NS_PER_S) if ends else None
        try:
            await asyncio.wait_for(self._changed.wait(), wait_s)
        except TimeoutError:
            return
        self._changed.clear()

    async def _scan(self) -> None:
        from bleak.exc import BleakError

        try:
            await self._listen()
        except (BleakError, OSError) as error:
            self._say("adapter", f"The Bluetooth adapter does not scan: {error}. It is tried again.")
            await asyncio.sleep(SCAN_REST_S)
            return
        if not any(band.link.state is State.FOUND for band in self.bands.values()):
            # The radio is one: what listens does not serve the bands that are connected.
            await asyncio.sleep(SCAN_REST_S)

    async def _listen(self, started: Callable[[], None] = lambda: None) -> None:
        """Scan until a trusted band was heard. The scan is stopped before anybody connects: BlueZ does not do both."""
        heard = asyncio.Event()

        def detected(device: BLEDevice, advertisement: AdvertisementData) -> None:
            if is_band(advertisement) and self._heard(device, advertisement):
                heard.set()

        async with self._backend.scanner(detected):
            started()
            try:
                await asyncio.wait_for(heard.wait(), SCAN_S)
                await asyncio.sleep(SCAN_ON_S)
            except TimeoutError:
                return

    def _heard(self, device: BLEDevice, advertisement: AdvertisementData) -> bool:
        band = self.bands.get(device.address)
        if band is None:
            self._say(device.address, f"The band {advertisement.local_name or ''} {device.address} is not paired; it is ignored.")
            return False
        band.rssi_dbm, band.seen_ns = advertisement.rssi, self._clock()
        if band.link.state is not State.SOUGHT:
            return False
        if not is_bonded(device):
            self._refuse(band, f"{band.name} is on the list, but its bond is gone. Pair it again: spotter band pair")
            return False
        band.device = device
        self._follow(band, Event.HEARD)
        return True

    async def _connect(self, band: Band) -> None:
        from bleak.exc import BleakError

        assert band.device is not None
        self._follow(band, Event.TURN)
        parted = asyncio.Event()
        client = self._backend.client(band.device, lambda _client: parted.set())
        try:
            await client.connect()
        except (BleakError, TimeoutError, OSError, EOFError) as error:
            log.debug("%s: not connected: %s", band.name, error)
            self._follow(band, Event.FAILED)
            return
        self._follow(band, Event.CONNECTED)
        task = asyncio.get_running_loop().create_task(self._serve(band, client, parted))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, band: Band, client: BleakClient, parted: asyncio.Event) -> None:
        """One connection from its services to its end."""
        from bleak.exc import BleakError

        event = Event.FAILED
        try:
            await self._subscribe(band, client)
            event = await self._keep(band, client, parted)
        except _Refused as error:
            event = Event.REFUSED
            band.refused = str(error)
            self._say(f"{band.trusted.address} {error}", str(error))
        except (BleakError, BandError, TimeoutError, OSError, EOFError) as error:
            log.debug("%s: %s", band.name, error)
        finally:
            band.control = None
            try:
                await client.disconnect()
            except (BleakError, TimeoutError, OSError, EOFError) as error:
                log.debug("%s: not disconnected: %s", band.name, error)
            self._follow(band, event)

    async def _subscribe(self, band: Band, client: BleakClient) -> None:
        services = client.services
        if services.get_characteristic(protocol.IMU_UUID) is None or services.get_characteristic(protocol.CONTROL_UUID) is None:
            raise BandError(f"{band.name}: connected, but without its services.")
        band.stream.connected()
        control = Control(client)
        await control.subscribe()
        try:
            identity = await control.identity()
        except protocol.VersionError as error:
            raise _Refused(f"{band.name}: {error}") from error
        self._check_identity(band, identity)
        band.identity = identity
        await client.start_notify(protocol.IMU_UUID, self._receiver(band), bluez={"use_start_notify": True})
        await control.ask(protocol.SET_RATE, self._rate_hz)
        await control.ask(protocol.START)
        band.control = control
        band.data_ns = self._clock()
        self._follow(band, Event.SUBSCRIBED)

    async def _keep(self, band: Band, client: BleakClient, parted: asyncio.Event) -> Event:
        """Ping and watch until the connection is over; why it is."""
        assert band.control is not None
        began_ns = self._clock()
        battery_ns = began_ns
        pinged_ns = 0
        pings = 0
        while not parted.is_set():
            now_ns = self._clock()
            if now_ns - band.data_ns > self._silence_ns:
                return Event.SILENT
            if band.link.state is State.REFUSED:
                return Event.REFUSED
            fast = now_ns - began_ns < FAST_PINGS_S * NS_PER_S
            if now_ns - pinged_ns >= (FAST_PING_S if fast else PING_S) * NS_PER_S:
                pinged_ns = now_ns
                pings += 1
                # A fixed rhythm would meet the connection's events at the same few phases for ever, and its shortest wait with
                # them. Multiples of the golden ratio come everywhere.
                await asyncio.sleep(pings * _GOLDEN % 1 * DITHER_S)
                await self._ping(band)
            if now_ns >= battery_ns:
                battery_ns = now_ns + round(BATTERY_S * NS_PER_S)
                band.battery = await _battery(client)
            rest_s = FAST_PING_S - (self._clock() - now_ns) / NS_PER_S
            try:
                await asyncio.wait_for(parted.wait(), max(0.01, rest_s))
            except TimeoutError:
                continue
        return Event.PARTED

    async def _ping(self, band: Band) -> None:
        assert band.control is not None
        answered = await band.control.ping()
        if answered is None:
            return
        asked_us, answered_us, session = (int(value) for value in answered.values)
        ping = band.stream.ping((asked_us, answered_us, session), answered.sent_ns, answered.received_ns)
        if ping is not None:
            self.pings.append(ping)

    def _receiver(self, band: Band) -> Callable[[BleakGATTCharacteristic, bytearray], None]:
        stream = band.stream

        def receive(_characteristic: BleakGATTCharacteristic, data: bytearray) -> None:
            now_ns = self._clock()
            before = stream.received
            try:
                batch = stream.feed(bytes(data), now_ns)
            except protocol.VersionError as error:
                self._refuse(band, f"{band.name}: {error}")
                return
            if stream.received > before:
                band.seen_ns = band.data_ns = now_ns
            if batch is not None:
                self.batches.append(batch)

        return receive

    def _check_identity(self, band: Band, identity: Identity) -> None:
        if identity.identity != band.trusted.identity:
            for other in self.bands.values():
                if other.trusted.identity == identity.identity:
                    raise _Refused(
                        f"{band.name} has the identity of {other.name}; it is refused. Restart or reflash one of them."
                    )
            raise _Refused(f"{band.name} has another identity than at pairing. If its board was changed, pair it again.")

    def _refuse(self, band: Band, text: str) -> None:
        band.refused = text
        self._follow(band, Event.REFUSED)
        self._say(f"{band.trusted.address} {text}", text)

    def _say(self, key: str, text: str) -> None:
        """Warn once of a thing."""
        if key not in self._said and len(self._said) < MOST_SAID:
            self._said.add(key)
            log.warning("%s", text)

    def _follow(self, band: Band, event: Event) -> None:
        before = band.link
        band.link = follow(before, event, self._clock(), self._rests)
        if band.link.state is not before.state:
            log.debug("%s: %s, %s -> %s", band.name, event.name, before.state.name, band.link.state.name)
            self._changed.set()


class _Refused(Exception):
    """What answers is not the band that was paired, or can't be understood."""


async def _battery(client: BleakClient) -> int | None:
    """The battery's level in per cent; None where the band does not tell."""
    from bleak.exc import BleakError
    from bleak.uuids import normalize_uuid_16

    try:
        value = await client.read_gatt_char(normalize_uuid_16(protocol.BATTERY_LEVEL))
    except BleakError:
        return None
    return min(100, value[0]) if value else None
