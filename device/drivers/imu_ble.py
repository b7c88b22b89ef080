"""The paired bands over Bluetooth as a source."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

from device.band import protocol
from device.config import ImuConfig
from device.drivers.base import ImuSource
from device.drivers.ble.backend import Backend, require_bleak
from device.drivers.ble.central import Band, Central
from device.drivers.ble.states import Rests
from device.drivers.ble.trust import AllowList, Trusted, sole_owner, worn
from device.drivers.health import BandHealth
from device.errors import DriverError, DriverUnavailable
from device.messages import ClockPing, ImuBatch

T = TypeVar("T")

OPEN_S = 30.0
CANCEL_AGAIN_S = 3.0
"""Where the driver's work goes on this long after it was cancelled, it is cancelled again: `asyncio.wait_for` of Python 3.11
loses a cancellation that comes just as what it waits for is done."""


class BleImu(ImuSource):
    """Connects to the bands on the list `config.trusted` as they come into range, in a thread with an event loop of its own.

    Batches are on the band's own clock, unwrapped; `t_ns` is their arrival. `backend`: what carries bleak, None is the system's
    Bluetooth. `rests`: how long a link that failed rests.
    """

    def __init__(self, config: ImuConfig, backend: Backend | None = None, rests: Rests | None = None) -> None:
        self._config = config
        self._backend = backend or Backend(adapter=config.adapter)
        self._rests = rests
        self._owned = ExitStack()
        self._central: Central | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._work: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    @property
    def bands(self) -> list[Band]:
        """The bands that are looked for, with their links; empty while the source is closed."""
        return list(self._central.bands.values()) if self._central is not None else []

    @property
    def thread(self) -> threading.Thread | None:
        """The driver's thread while it is open."""
        return self._thread

    def open(self) -> None:
        """Raises DriverUnavailable where bleak or the adapter is absent or no band is paired, BandError where the list is broken
        or another process has the bands. Does not wait for bands."""
        self.close()
        require_bleak()
        paired = AllowList(self._config.trusted).load().bands
        if not paired:
            raise DriverUnavailable(f"No band is paired ({self._config.trusted}). Pair them first: spotter band pair")
        if self._config.rate_hz not in protocol.RATES_HZ:
            rates = ", ".join(str(rate) for rate in protocol.RATES_HZ)
            raise DriverUnavailable(
                f"The bands measure at {rates} Hz, not at {self._config.rate_hz:g}. Set imu.rate_hz to one of these."
            )
        placed = worn(paired, self._config.bands)
        trusted = {band.address: band for band in paired}
        self._owned.enter_context(sole_owner(self._config.trusted))
        listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(trusted, placed, listening), name="bands", daemon=True)
        self._thread.start()
        listening.wait(OPEN_S)
        failure = self._stopped_by()
        if failure is not None:
            self.close()
            raise DriverUnavailable(
                f"Bluetooth can't be used: {failure}. Check that the adapter is there and on: bluetoothctl power on"
            ) from failure

    def close(self) -> None:
        thread, self._thread = self._thread, None
        while thread is not None and thread.is_alive():
            with contextlib.suppress(RuntimeError):
                # Its loop may have ended by itself.
                self._require_loop().call_soon_threadsafe(self._cancel)
            thread.join(CANCEL_AGAIN_S)
        self._central = self._loop = self._failure = None
        self._owned.close()

    def read(self, until_ns: int) -> list[ImuBatch]:
        return _until(self._require().batches, lambda batch: batch.t_ns <= until_ns)

    def pings(self, until_ns: int) -> list[ClockPing]:
        return _until(self._require().pings, lambda ping: ping.received_ns <= until_ns)

    def health(self) -> dict[int, BandHealth]:
        now_ns = time.monotonic_ns()
        return {band.stream.band: band.health(now_ns) for band in self.bands}

    def vibrate(self, index: int, duration_ms: int, intensity: int) -> None:
        """Ask the band on limb `index` to vibrate (intensity 0..255), without waiting; nothing where it is not connected."""
        asyncio.run_coroutine_threadsafe(
            self._quietly(self._require().vibrate(index, duration_ms, intensity)), self._require_loop()
        )

    async def _quietly(self, work: Coroutine[Any, Any, T]) -> T | None:
        from bleak.exc import BleakError

        try:
            return await work
        except (DriverError, BleakError):
            return None

    def _stopped_by(self) -> BaseException | None:
        return self._failure

    def _require(self) -> Central:
        if self._failure is not None:
            raise DriverError(f"The bands' driver has stopped: {self._failure}. Open it again.") from self._failure
        if self._central is None:
            raise DriverError("The bands are not open. Open the source before reading it.")
        return self._central

    def _require_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise DriverError("The bands are not open. Open the source before using it.")
        return self._loop

    def _cancel(self) -> None:
        if self._work is not None:
            self._work.cancel()

    def _run(self, trusted: dict[str, Trusted], placed: dict[str, int], listening: threading.Event) -> None:
        try:
            asyncio.run(self._main(trusted, placed, listening))
        except asyncio.CancelledError:
            return
        except BaseException as error:
            self._failure = error
        finally:
            listening.set()

    async def _main(self, trusted: dict[str, Trusted], placed: dict[str, int], listening: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.current_task()
        self._central = central = Central(
            self._backend, trusted, placed, round(self._config.rate_hz), silence_s=self._config.silence_s, rests=self._rests
        )
        await central.run(listening.set)


def _until(waiting: deque[T], due: Callable[[T], bool]) -> list[T]:
    """Take what is due from the left, while another thread appends on the right."""
    taken: list[T] = []
    while waiting and due(waiting[0]):
        taken.append(waiting.popleft())
    return taken
