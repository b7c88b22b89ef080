"""Motors that write down what they were asked: for units without motors."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from device.config import HapticConfig
from device.drivers.haptic_bounded import BoundedHaptic
from device.errors import StoreError
from device.messages import Vibration
from device.skeleton import BANDS

log = logging.getLogger(__name__)


class LogHaptic(BoundedHaptic):
    """One JSON line for each granted vibration and each `off`, appended to `config.device` or to the program's log.

    Raises StoreError when the file can't be written.
    """

    def __init__(self, config: HapticConfig) -> None:
        super().__init__(config)
        self._path = Path(config.device).expanduser() if config.device else None
        self._file = -1

    def open(self) -> None:
        self.close()
        if self._path is not None:
            try:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            except OSError as error:
                raise StoreError(
                    f"{self._path}: can't be written ({error.strerror}). Set haptic.device to a file that can."
                ) from error
        super().open()

    def close(self) -> None:
        if not self.is_open:
            return
        super().close()
        try:
            self.off()
        except StoreError as error:
            log.warning("%s", error)
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def off(self) -> None:
        self._write({"event": "off"})

    def _drive(self, vibration: Vibration) -> None:
        self._write(
            {
                "event": "vibrate",
                "t_ns": vibration.t_ns,
                "band": BANDS[vibration.band],
                "intensity": round(vibration.intensity, 4),
                "duration_ms": round(vibration.duration_ns / 1e6, 3),
            }
        )

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line)
        if self._path is None:
            log.info("haptic %s", text)
        elif self._file >= 0:
            try:
                os.write(self._file, f"{text}\n".encode())
            except OSError as error:
                raise StoreError(f"{self._path}: can't be written ({error.strerror}). Make room on the disk.") from error
