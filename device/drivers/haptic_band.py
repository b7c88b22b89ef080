"""The vibration motors in the bands themselves, over the connection that brings their samples."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol, runtime_checkable

from device.config import HapticConfig
from device.drivers.haptic_bounded import BoundedHaptic
from device.errors import DriverError, DriverUnavailable
from device.messages import Vibration
from device.skeleton import N_BANDS

_NONE = 0
"""A vibration of this intensity ends the one that runs."""


@runtime_checkable
class Vibrating(Protocol):
    """What is asked of the bands' source; `device.drivers.imu_ble.BleImu` is the one."""

    def vibrate(self, index: int, duration_ms: int, intensity: int) -> None: ...


class BandHaptic(BoundedHaptic):
    """Vibrates the bands of `source`, the opened bands' driver, also where another source is put around it (`source.source`).

    A band bounds its motor's time itself too (1 s), and turns it off when the connection ends.
    """

    def __init__(self, config: HapticConfig, source: object) -> None:
        super().__init__(config)
        self._around = source
        self._source: Vibrating | None = None
        self._running = [False] * N_BANDS

    def open(self) -> None:
        source = self._around
        while source is not None and not isinstance(source, Vibrating):
            source = getattr(source, "source", None)
        if source is None:
            raise DriverUnavailable('These bands can\'t vibrate. Set imu.type = "ble", or haptic.type to pwm or log.')
        self._source = source
        super().open()

    def off(self) -> None:
        for band, running in enumerate(self._running):
            if running:
                # Bands that are gone have turned their motors off themselves.
                with suppress(DriverError):
                    self._vibrate(band, 1, _NONE)
        self._running = [False] * N_BANDS

    def close(self) -> None:
        if self.is_open:
            self.off()
        super().close()

    def _drive(self, vibration: Vibration) -> None:
        self._running[vibration.band] = True
        duration_ms = max(1, min(1000, vibration.duration_ns // 1_000_000))
        self._vibrate(vibration.band, duration_ms, round(vibration.intensity * 255))

    def _vibrate(self, band: int, duration_ms: int, intensity: int) -> None:
        if self._source is not None:
            self._source.vibrate(band, duration_ms, intensity)
