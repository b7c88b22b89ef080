"""From frames to landmarks."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np

from device.config import PoseConfig
from device.errors import DriverError, DriverUnavailable
from device.messages import Frame, Pose
from device.skeleton import N_NODES


class PoseEstimator(ABC):
    """Finds one person's landmarks, frame after frame. Closing twice is harmless; nothing happens at construction."""

    @abstractmethod
    def open(self) -> None:
        """Load the network. Raises DriverUnavailable with what to install."""

    @abstractmethod
    def close(self) -> None:
        """Let the network go."""

    @abstractmethod
    def estimate(self, frame: Frame) -> Pose:
        """Landmarks of `frame`; NaN and `present` False where nobody was found. Frames are taken as consecutive."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class MediaPipePose(PoseEstimator):
    """MediaPipe Pose (BlazePose GHUM full). The same frames in the same order give the same landmarks.

    `smooth`: MediaPipe's own filter over time, tuned for the eye; it lags behind fast limbs.
    """

    def __init__(self, config: PoseConfig, *, smooth: bool = False) -> None:
        self._config = config
        self._smooth = smooth
        self._network: Any = None
        self._met = False

    def open(self) -> None:
        os.environ.setdefault("GLOG_minloglevel", "2")
        try:
            import mediapipe
        except ImportError as error:
            raise DriverUnavailable(
                f"pose.estimator = mediapipe needs the package mediapipe, which can't be imported ({error}). "
                "Install it with: pip install 'spotter[mediapipe]', or take the estimator litert."
            ) from error
        self.close()
        with _without_chatter():
            self._network = mediapipe.solutions.pose.Pose(
                static_image_mode=False,
                model_complexity=1,
                smooth_landmarks=self._smooth,
                min_detection_confidence=self._config.min_detection,
                min_tracking_confidence=self._config.min_tracking,
            )
            # Its threads go on loading and talking until the first picture is through.
            self._network.process(np.zeros((64, 64, 3), dtype=np.uint8))

    def close(self) -> None:
        if self._network is not None:
            self._network.close()
        self._network = None

    def estimate(self, frame: Frame) -> Pose:
        if self._network is None:
            raise DriverError("The pose estimator is not open. Open it before estimating.")
        # The last note comes when the landmark network runs for the first time.
        with contextlib.nullcontext() if self._met else _without_chatter():
            found = self._network.process(frame.pixels)
        height, width = frame.pixels.shape[:2]
        present = found.pose_landmarks is not None and found.pose_world_landmarks is not None
        self._met = self._met or present
        image = np.full((N_NODES, 4), np.nan, dtype=np.float32)
        world = np.full((N_NODES, 3), np.nan, dtype=np.float32)
        if present:
            image[:] = [(p.x, p.y, p.z, p.visibility) for p in found.pose_landmarks.landmark]
            world[:] = [(p.x, p.y, p.z) for p in found.pose_world_landmarks.landmark]
        return Pose(frame.t_ns, frame.sigma_ns, frame.seq, image, world, width, height, present)


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Send what native code writes to standard error nowhere: MediaPipe's start-up notes pass by every logging switch."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
