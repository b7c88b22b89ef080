"""What all haptic drivers share: a request is checked and bounded before a motor hears of it."""

from __future__ import annotations

import math
from abc import abstractmethod

from device.config import HapticConfig
from device.drivers.base import Haptic
from device.drivers.haptic_limits import OnTimeLimiter
from device.errors import DriverError
from device.messages import Vibration
from device.skeleton import BANDS, N_BANDS


class BoundedHaptic(Haptic):
    """A driver fills in `_drive`, which gets only what the bounds of the config (`max_on_ms`, `max_duty`) allow."""

    def __init__(self, config: HapticConfig) -> None:
        self.config = config
        self.is_open = False
        self._limiter = OnTimeLimiter(config.max_on_ms * 1_000_000, config.max_duty)
        self._seq = 0

    def open(self) -> None:
        # The bounds outlive a restart of the driver: the motors are as warm as they were.
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def vibrate(self, band: int, intensity: float, duration_ns: int, t_ns: int) -> int:
        if not self.is_open:
            raise DriverError(f"The haptic driver {self.config.type!r} is not open; open it before vibrating.")
        if not 0 <= band < N_BANDS:
            raise DriverError(f"There is no band {band} to vibrate; the bands are 0 to {N_BANDS - 1}: {', '.join(BANDS)}.")
        # A NaN is no intensity either.
        if not intensity > 0 or math.isinf(intensity) or duration_ns <= 0:
            return 0
        granted_ns = self._limiter.grant(band, duration_ns, t_ns)
        if granted_ns:
            self._drive(Vibration(t_ns, self._seq, band, min(intensity, 1.0), granted_ns))
            self._seq += 1
        return granted_ns

    @abstractmethod
    def _drive(self, vibration: Vibration) -> None:
        """Start `vibration`; it replaces the one that runs on that band. Raises DriverError when the motors are gone."""
