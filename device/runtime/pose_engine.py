"""Which pose estimator runs."""

from __future__ import annotations

from device.config import PoseConfig
from device.runtime.pose import MediaPipePose, PoseEstimator


def make_estimator(config: PoseConfig, *, smooth: bool = False) -> PoseEstimator:
    """The estimator that `config.estimator` names, not yet open. `smooth`: filter the landmarks over time."""
    if config.estimator == "litert":
        from device.runtime.pose_litert.estimator import LitertPose

        return LitertPose(config, smooth=smooth)
    return MediaPipePose(config, smooth=smooth)
