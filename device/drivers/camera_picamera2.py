"""The Raspberry Pi's CSI cameras, through picamera2."""

from __future__ import annotations

import math
import time
from typing import Any

from device.config import CameraConfig
from device.drivers.camera_live import LiveCamera
from device.errors import DriverError, DriverUnavailable
from device.messages import NS_PER_S, Frame

MAX_AGE_NS = NS_PER_S
"""A frame whose timestamp is older than this when it is handed over is on another clock."""


class Picamera2Camera(LiveCamera):
    """Frames of the CSI camera, timed by its sensor. Raises DriverUnavailable without picamera2 or without a camera."""

    def __init__(self, config: CameraConfig) -> None:
        super().__init__("the CSI camera")
        self._config = config
        self._camera: Any = None
        self._offset_ns: int | None = None

    def _start(self) -> None:
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise DriverUnavailable(
                f"The picamera2 camera needs its library ({error}): apt install python3-picamera2, and make the virtual "
                "environment with --system-site-packages. For USB cameras set camera.type to v4l2."
            ) from error
        period_us = int(1e6 / self._config.rate_hz)
        try:
            self._camera = Picamera2()
            self._camera.configure(
                self._camera.create_video_configuration(
                    # libcamera names the order of bytes in a word: its BGR888 is R, G, B in memory.
                    main={"size": (self._config.width, self._config.height), "format": "BGR888"},
                    controls={"FrameDurationLimits": (period_us, period_us)},
                    buffer_count=3,
                )
            )
            self._camera.start()
        except (RuntimeError, IndexError, OSError) as error:
            self._stop()
            raise DriverUnavailable(
                f"The CSI camera can't be opened: {error}. Check its ribbon cable; `rpicam-hello --list-cameras` lists cameras."
            ) from error
        self._offset_ns = None

    def _grab(self, seq: int) -> Frame:
        request = self._camera.capture_request()
        try:
            metadata = request.get_metadata()
            pixels = request.make_array("main")
        finally:
            request.release()
        try:
            sensor_ns = int(metadata["SensorTimestamp"])
        except KeyError as error:
            raise DriverError(
                "The CSI camera gives no SensorTimestamp. Update libcamera: apt install --upgrade libcamera0."
            ) from error
        if self._offset_ns is None:
            self._offset_ns = clock_offset_ns(sensor_ns, time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        exposure_ns = int(metadata.get("ExposureTime", self._config.exposure_ms * 1000) * 1000)
        period_ns = int(metadata.get("FrameDuration", 1e6 / self._config.rate_hz) * 1000)
        t_ns, sigma_ns = mid_exposure_ns(sensor_ns + self._offset_ns, exposure_ns, period_ns)
        return Frame(t_ns, sigma_ns, seq, pixels)

    def _stop(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()


def clock_offset_ns(sensor_ns: int, monotonic_ns: int, boottime_ns: int) -> int:
    """What to add to a sensor's timestamp to get CLOCK_MONOTONIC; all three read at the same moment.

    Kernels and sensors differ in which clock they stamp with; CLOCK_BOOTTIME is ahead by the time that the device slept.
    Raises DriverError when the timestamp is on neither.
    """
    if 0 <= monotonic_ns - sensor_ns <= MAX_AGE_NS:
        return 0
    if 0 <= boottime_ns - sensor_ns <= MAX_AGE_NS:
        return monotonic_ns - boottime_ns
    raise DriverError(
        f"The CSI camera's timestamps ({sensor_ns} ns) are neither on CLOCK_MONOTONIC ({monotonic_ns} ns) nor on CLOCK_BOOTTIME "
        f"({boottime_ns} ns). Update the kernel and libcamera."
    )


def mid_exposure_ns(first_row_ns: int, exposure_ns: int, period_ns: int) -> tuple[int, int]:
    """Middle of the exposure and its standard uncertainty (ns).

    `first_row_ns`: when the read-out of the first row began, which is SensorTimestamp: its exposure ended then. The rows below
    follow within the read-out, which is a part of the period that libcamera does not tell.
    """
    return first_row_ns - exposure_ns // 2, int(period_ns / 2 / math.sqrt(12))
