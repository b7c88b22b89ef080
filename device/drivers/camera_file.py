"""A video file as a camera."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from device.config import CameraConfig
from device.drivers.base import Camera
from device.errors import DriverError, EndOfStream, MediaError, StaleFrame
from device.messages import NS_PER_S, Frame

ASSUMED_RATE_HZ = 30.0
MOST_BROKEN = 300
"""Frames in a row that may fail to decode."""

log = logging.getLogger(__name__)


class FileCamera(Camera):
    """Frames of the video `config.device`, in its own size, every frame at its own time in the file.

    With `start_ns` the first frame is shown at `start_ns` and reading goes as fast as the file decodes. Without it the
    file plays in real time from `open` on, as a camera would. `skipped`: frames that did not decode (known when the file
    is read to its end) or whose time did not advance. Raises MediaError when the file is absent, empty or no video.
    """

    def __init__(self, config: CameraConfig, start_ns: int | None = None) -> None:
        self.path = Path(config.device).expanduser()
        self.skipped = 0
        self.rate_hz = 0.0
        self._half_exposure_ns = int(config.exposure_ms * 5e5)
        self._fixed_start_ns = start_ns
        self._start_ns = 0
        self._capture: Any = None
        self._times = FrameTimes(0.0)
        self._seq = 0
        self._newest: Frame | None = None
        self._first: NDArray[np.uint8] | None = None

    def open(self) -> None:
        _check_file(self.path)
        import cv2  # takes 0.2 s to import

        self.close()
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        # A telephone held upright writes lying pictures and that they are to be turned; some builds don't by themselves.
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        first = _next_picture(capture, MOST_BROKEN) if capture.isOpened() else None
        if first is None:
            capture.release()
            raise MediaError(
                f"{self.path}: no frame can be decoded. It is truncated, or no video; `ffprobe {self.path.name}` says more. "
                f"Copy the file again, or convert it: ffmpeg -i {self.path.name} -c:v libx264 video.mp4"
            )
        self.rate_hz = _rate(capture.get(cv2.CAP_PROP_FPS), self.path)
        self._capture, self._first = capture, first
        self._times = FrameTimes(self.rate_hz)
        self._seq, self.skipped, self._newest = 0, 0, None
        self._start_ns = time.monotonic_ns() if self._fixed_start_ns is None else self._fixed_start_ns

    def read(self) -> Frame:
        if self._capture is None:
            raise DriverError(f"{self.path}: the file camera is not open. Open it before reading.")
        import cv2

        pixels, elapsed_ns = self._decode()
        t_ns = self._start_ns + elapsed_ns + self._half_exposure_ns
        if self._fixed_start_ns is None:
            time.sleep(max(0, t_ns - time.monotonic_ns()) / NS_PER_S)
        # How long the shutter was open is not in the file: anywhere within the assumed exposure.
        sigma_ns = int(2 * self._half_exposure_ns / math.sqrt(12))
        rgb: NDArray[np.uint8] = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        self._newest = Frame(t_ns, sigma_ns, self._seq, rgb)
        self._seq += 1
        return self._newest

    def latest(self, max_age_ns: int) -> Frame:
        newest = self._newest
        if newest is None:
            raise StaleFrame(f"{self.path}: no frame was read yet.")
        now_ns = time.monotonic_ns() if self._fixed_start_ns is None else newest.t_ns
        if now_ns - newest.t_ns > max_age_ns:
            raise StaleFrame(f"{self.path}: the newest frame is {(now_ns - newest.t_ns) / 1e6:.0f} ms old.")
        return newest

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
        self._capture = self._first = None

    def _decode(self) -> tuple[NDArray[np.uint8], int]:
        import cv2

        while True:
            pixels, self._first = self._first, None
            if pixels is None:
                left = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)) - self._seq - self.skipped
                pixels = _next_picture(self._capture, min(left, MOST_BROKEN))
            if pixels is None:
                self._end()
            elapsed_ns = self._times.advance(self._capture.get(cv2.CAP_PROP_POS_MSEC))
            if elapsed_ns is not None:
                return pixels, elapsed_ns
            self.skipped += 1

    def _end(self) -> NoReturn:
        import cv2

        declared = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        lost = declared - self._seq - self.skipped
        # Some containers state a length instead of a number of frames: a handful more or less means nothing.
        if lost > max(2, declared // 20):
            self.skipped += lost
            log.warning("%s: %d of %d frames did not decode; the file is damaged or truncated.", self.path, lost, declared)
        raise EndOfStream(f"{self.path}: all {self._seq} frames were read.")


class FrameTimes:
    """Time of each frame after the first one, from the times that the file states, or from its rate where it states none."""

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = NS_PER_S / rate_hz if rate_hz > 0 else 0.0
        self._origin_ms: float | None = None
        self._last_ns = -1
        self._count = 0
        self._stated = True

    def advance(self, stated_ms: float) -> int | None:
        """Time (ns) of the next frame, `stated_ms` being what the file says; None for a frame that repeats its time."""
        if self._origin_ms is None:
            self._origin_ms = stated_ms
        elapsed_ms = stated_ms - self._origin_ms
        # A stream without timestamps says the same time for every frame: from its second frame on, count.
        if not math.isfinite(elapsed_ms) or (self._count == 1 and elapsed_ms <= 0):
            self._stated = False
        elapsed_ns = round(elapsed_ms * 1e6) if self._stated else round(self._count * self._period_ns)
        if elapsed_ns <= self._last_ns:
            return None
        self._last_ns = elapsed_ns
        self._count += 1
        return elapsed_ns


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise MediaError(f"{path}: there is no such video file. Set camera.device (or the argument) to an existing one.")
    try:
        empty = path.stat().st_size == 0
        path.open("rb").close()
    except OSError as error:
        raise MediaError(f"{path}: can't be read ({error.strerror}). Check its permissions.") from error
    if empty:
        raise MediaError(f"{path}: the video file is empty (0 bytes). Copy or record it again.")


def _next_picture(capture: Any, broken: int) -> Any:
    """The next frame that decodes, (height, width, 3) BGR, past up to `broken` that do not; None at the end."""
    # OpenCV says the same at a frame that does not decode and at the end.
    for _ in range(max(broken, 0) + 1):
        ok, pixels = capture.read()
        if ok and pixels is not None:
            return pixels
    return None


def _rate(stated_hz: float, path: Path) -> float:
    if math.isfinite(stated_hz) and 0 < stated_hz <= 1000:
        return stated_hz
    log.warning("%s: states no frame rate; frames without a time of their own are taken as %g Hz.", path, ASSUMED_RATE_HZ)
    return ASSUMED_RATE_HZ
