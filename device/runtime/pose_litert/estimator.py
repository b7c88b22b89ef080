"""From frames to poses: a person is searched once and then followed from frame to frame."""

from __future__ import annotations

import numpy as np

from device.config import PoseConfig
from device.errors import DriverError
from device.messages import Frame, Pose
from device.runtime.pose import PoseEstimator
from device.runtime.pose_litert.detector import Detector
from device.runtime.pose_litert.landmarks import LandmarkReader, Landmarks
from device.runtime.pose_litert.region import MARGIN, Region, region_of_body
from device.runtime.pose_litert.smoothing import LowPass, OneEuro
from device.skeleton import N_NODES


class LitertPose(PoseEstimator):
    """BlazePose GHUM full on a TFLite runtime, without MediaPipe. The same frames in the same order give the same landmarks.

    `smooth`: MediaPipe's filter over time, tuned for the eye; it lags behind fast limbs.
    """

    def __init__(self, config: PoseConfig, *, smooth: bool = False) -> None:
        self._config = config
        self._smooth = smooth
        self._detector: Detector | None = None
        self._reader: LandmarkReader | None = None
        self._track: _Track | None = None

    def open(self) -> None:
        self.close()
        self._detector = Detector(self._config.threads, self._config.min_detection)
        self._reader = LandmarkReader(self._config.threads, self._config.min_tracking)

    def close(self) -> None:
        self._detector, self._reader, self._track = None, None, None

    def estimate(self, frame: Frame) -> Pose:
        if self._detector is None or self._reader is None:
            raise DriverError("The pose estimator is not open. Open it before estimating.")
        height, width = frame.pixels.shape[:2]
        if self._track is not None and self._track.size != (width, height):
            self._track = None
        region = self._track.region if self._track is not None else self._detector.find(frame.pixels)
        found = self._reader.read(frame.pixels, region) if region is not None else None
        image = np.full((N_NODES, 4), np.nan, dtype=np.float32)
        world = np.full((N_NODES, 3), np.nan, dtype=np.float32)
        if found is None:
            self._track = None
        else:
            self._track = self._track or _Track((width, height), smooth=self._smooth)
            found = self._track.follow(found)
            image[:, :3] = found.image / np.array([width, height, width], np.float32)
            image[:, 3], world[:] = found.visibility, found.world
            if self._track.region is None:
                self._track = None
        return Pose(frame.t_ns, frame.sigma_ns, frame.seq, image, world, width, height, found is not None)


class _Track:
    """One person, from when they are found until they are lost.

    `region`: where to look in the next frame. Its two points are smoothed whether or not the landmarks are.
    """

    def __init__(self, size: tuple[int, int], *, smooth: bool) -> None:
        self.size = size
        self.region: Region | None = None
        self._smooth = smooth
        self._circle = OneEuro(0.01, 10.0)
        self._image = OneEuro(0.05, 80.0)
        self._world = OneEuro(0.1, 40.0)
        self._visibility = LowPass(0.1)

    def follow(self, found: Landmarks) -> Landmarks:
        """What was found, smoothed where that is asked for; sets the region."""
        body = region_of_body(found.circle[0], found.circle[1])
        if body is None:
            self.region = None
            return found
        scale = MARGIN / body.side
        circle = self._circle(found.circle, scale)
        self.region = region_of_body(circle[0], circle[1])
        if not self._smooth:
            return found
        return Landmarks(
            self._image(found.image, scale), self._visibility(found.visibility), self._world(found.world), found.circle
        )
