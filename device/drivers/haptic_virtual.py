"""Motors that only remember: for the virtual trainee and for tests."""

from __future__ import annotations

from collections.abc import Callable

from device.config import HapticConfig
from device.drivers.haptic_bounded import BoundedHaptic
from device.messages import Vibration


class VirtualHaptic(BoundedHaptic):
    """Keeps every granted vibration in `vibrations` and tells the listener of it. `offs`: how often all were turned off."""

    def __init__(self, config: HapticConfig, listener: Callable[[Vibration], None] | None = None) -> None:
        super().__init__(config)
        self.vibrations: list[Vibration] = []
        self.offs = 0
        self._listener = listener

    def off(self) -> None:
        self.offs += 1

    def close(self) -> None:
        if self.is_open:
            self.off()
        super().close()

    def _drive(self, vibration: Vibration) -> None:
        self.vibrations.append(vibration)
        if self._listener is not None:
            self._listener(vibration)
