"""Videos for tests."""

from pathlib import Path

import cv2
import numpy as np


def write_video(path: Path, *, seconds: int, rate_hz: int, size: tuple[int, int] = (160, 120)) -> None:
    """A black picture all along. `size`: width and height."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate_hz, size)
    for _ in range(seconds * rate_hz):
        video.write(np.zeros((size[1], size[0], 3), np.uint8))
    video.release()
