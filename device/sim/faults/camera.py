"""A camera driver that fails on command, for the real eye process: a real driver in a real process, only the pictures are grey.

It obeys the file `camera.device`: one word, what is wrong now. `hang PID`: a read in that process never returns. `unplugged`: no
process finds the camera. `stale`: pictures come 2.5 s late. `slow`: every sixth picture comes. Anything else: it works. Beside
the file it leaves its process's id.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from device.config import CameraConfig
from device.drivers.base import Camera
from device.errors import DriverError, DriverUnavailable, StaleFrame
from device.messages import NS_PER_S, Frame

TYPE = "faulty"
STALE_NS = round(2.5 * NS_PER_S)
SLOWER = 6


class FaultyCamera(Camera):
    """Grey pictures at `config.rate_hz`, and what `config.device` says of them."""

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self._command = Path(config.device)
        self._seq = 0
        self._due_ns = 0

    def open(self) -> None:
        if self._told() == "unplugged":
            raise DriverUnavailable(_GONE)
        pid_file(self._command).write_text(str(os.getpid()))
        self._due_ns = time.monotonic_ns()

    def close(self) -> None:
        """Nothing to give back."""

    def read(self) -> Frame:
        told = self._told()
        while told == f"hang {os.getpid()}":
            time.sleep(0.05)
        if told == "unplugged":
            raise DriverError(_GONE)
        period_ns = round(NS_PER_S / self._config.rate_hz) * (SLOWER if told == "slow" else 1)
        self._due_ns = max(self._due_ns + period_ns, time.monotonic_ns())
        time.sleep(max(0, self._due_ns - time.monotonic_ns()) / NS_PER_S)
        self._seq += 1
        pixels = np.full((self._config.height, self._config.width, 3), 128, np.uint8)
        return Frame(time.monotonic_ns() - (STALE_NS if told == "stale" else 0), 0, self._seq, pixels)

    def latest(self, max_age_ns: int) -> Frame:
        frame = self.read()
        if time.monotonic_ns() - frame.t_ns > max_age_ns:
            raise StaleFrame(f"The newest frame is older than {max_age_ns / NS_PER_S:g} s.")
        return frame

    def _told(self) -> str:
        try:
            return self._command.read_text().strip()
        except OSError:
            return ""


def pid_file(command: Path) -> Path:
    """Where the camera of the file `command` leaves its process's id."""
    return command.with_name(command.name + ".pid")


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """The driver is installed as a package's would be, for this process and those that it starts."""
    with TemporaryDirectory() as folder:
        info = Path(folder) / "spotter_faulty_camera-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: spotter-faulty-camera\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[spotter.drivers]\ncamera.{TYPE} = {__name__}:FaultyCamera\n")
        sys.path.append(folder)
        invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(folder)
            invalidate_caches()


_GONE = "The camera gives no frames any more. Check that it is plugged in."
