"""Videos for tests."""

from pathlib import Path

import cv2
import numpy as np


def write_video(path: Path, *, seconds: int, rate_hz: int) -> None:
    """A black picture all along."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate_hz, (160, 120))
    for _ in range(seconds * rate_hz):
        video.write(np.zeros((120, 160, 3), np.uint8))
    video.release()
