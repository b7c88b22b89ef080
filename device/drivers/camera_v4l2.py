"""USB and other Video4Linux cameras, through OpenCV."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from device.config import CameraConfig
from device.drivers.camera_live import LiveCamera
from device.errors import DriverError, DriverUnavailable
from device.messages import NS_PER_S, Frame

MAX_TRANSFER_NS = NS_PER_S // 2
"""A driver's timestamp that is older than this when its frame arrives is on another clock."""


class V4l2Camera(LiveCamera):
    """Frames of the video device `config.device`, as close to the size and rate of the config as the camera allows.

    Raises DriverUnavailable when the device is absent, busy or no camera.
    """

    def __init__(self, config: CameraConfig) -> None:
        super().__init__(config.device)
        self._config = config
        self._capture: Any = None
        self._period_ns = 0

    def _start(self) -> None:
        check = "`v4l2-ctl --list-devices` (apt install v4l-utils) lists the cameras; set camera.device to one of them."
        if not Path(self.name).exists():
            raise DriverUnavailable(f"{self.name}: there is no such camera. Plug it in; {check}")
        import cv2

        capture = cv2.VideoCapture(self.name, cv2.CAP_V4L2)
        if not capture.isOpened():
            capture.release()
            raise DriverUnavailable(
                f"{self.name}: can't be opened as a camera. Close other programs that use it, put the user into the group video; "
                + check
            )
        # Compressed pictures: few USB cameras reach their rate with raw ones.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._config.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._config.height)
        capture.set(cv2.CAP_PROP_FPS, self._config.rate_hz)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        rate_hz = capture.get(cv2.CAP_PROP_FPS)
        self._period_ns = int(NS_PER_S / (rate_hz if rate_hz > 0 else self._config.rate_hz))
        self._capture = capture

    def _grab(self, seq: int) -> Frame:
        import cv2

        ok, pixels = self._capture.read()
        arrival_ns = time.monotonic_ns()
        if not ok:
            raise DriverError(f"{self.name}: gives no more frames. Check the cable; the camera has to be opened again.")
        driver_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        exposure_ns = reported_exposure_ns(self._capture.get(cv2.CAP_PROP_EXPOSURE), self._period_ns)
        t_ns, sigma_ns = mid_exposure_ns(
            arrival_ns, driver_ns, exposure_ns or int(self._config.exposure_ms * 1e6), self._period_ns
        )
        return Frame(t_ns, sigma_ns, seq, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))

    def _stop(self) -> None:
        if self._capture is not None:
            self._capture.release()
        self._capture = None


def reported_exposure_ns(control: float, period_ns: int) -> int:
    """Exposure that the control V4L2_CID_EXPOSURE_ABSOLUTE (100 us) states; 0 where it can't be true."""
    exposure_ns = control * 100_000
    return int(exposure_ns) if math.isfinite(control) and 0 < exposure_ns <= period_ns else 0


def mid_exposure_ns(arrival_ns: int, driver_ns: int, exposure_ns: int, period_ns: int) -> tuple[int, int]:
    """Middle of the exposure of a frame and its standard uncertainty (ns), on the clock of `arrival_ns` (monotonic).

    `driver_ns`: the driver's timestamp. USB cameras take it when the first packet of the frame comes, which is when its first
    rows have been read out; the last rows follow within a period. Where it is absent or on another clock, the frame's arrival
    counts, which is a transfer of up to a period later.
    """
    if 0 <= arrival_ns - driver_ns <= MAX_TRANSFER_NS:
        t_ns, spread_ns = driver_ns - exposure_ns // 2, period_ns // 4
    else:
        t_ns, spread_ns = arrival_ns - period_ns // 2 - exposure_ns // 2, period_ns
    # Uniform over the spread, and the exposure is known to about a half.
    return t_ns, int(math.hypot(spread_ns / math.sqrt(12), exposure_ns / 4))
