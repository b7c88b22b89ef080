"""The pictures of a video file for its film: read a second time, at most as large as a film should be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from device.config import CameraConfig
from device.drivers.camera_file import FileCamera
from device.messages import Cue, Frame

MAX_HEIGHT_PX = 720


@dataclass(frozen=True, slots=True)
class VideoSource:
    """The video file of `camera`, its pictures timed as in the eye that reads it in lockstep."""

    camera: CameraConfig

    def open(self) -> VideoPictures:
        pictures = VideoPictures(FileCamera(self.camera, start_ns=0))
        pictures.open()
        return pictures


class VideoPictures:
    """Pictures of one size, that of the first, made smaller to `MAX_HEIGHT_PX` where it is higher."""

    def __init__(self, camera: FileCamera) -> None:
        self._camera = camera
        self._size: tuple[int, int] | None = None

    def open(self) -> None:
        """Raises MediaError where the file can't be read."""
        self._camera.open()

    def read(self) -> Frame:
        import cv2

        frame = self._camera.read()
        height, width = frame.pixels.shape[:2]
        if self._size is None:
            shown = min(height, MAX_HEIGHT_PX)
            self._size = max(1, round(width * shown / height)), shown
        if (width, height) == self._size:
            return frame
        return replace(frame, pixels=np.asarray(cv2.resize(frame.pixels, self._size, interpolation=cv2.INTER_AREA), np.uint8))

    def hear(self, cue: Cue) -> None:
        """People in a video have done already what they do."""

    def close(self) -> None:
        self._camera.close()
