"""Landmarks that the pose estimator found in five web videos, one of each exercise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from device.errors import DatasetError, MediaError
from device.runtime.landmarks import read_landmarks, read_landmarks_meta
from export.datasets.clip import Clip, Truth

VIDEOS = ("squat_front", "lunge_side", "jumping_jack_front", "bicep_curl_front", "push_up_side")


def clips(folder: Path) -> Iterator[Clip]:
    """One clip for each video."""
    for name in VIDEOS:
        file = folder / f"{name}.npz"
        try:
            poses, meta = read_landmarks(file), read_landmarks_meta(file)
        except MediaError as error:
            raise DatasetError(str(error)) from error
        landmarks = np.stack([np.concatenate([pose.world, pose.image[:, 3:]], axis=1) for pose in poses])
        times = np.array([pose.t_ns for pose in poses], dtype=np.int64)
        truth = Truth(str(meta["exercise"]), name, None, int(meta["reps"]))
        yield Clip("video_pose", name, name, False, landmarks, times, truth=truth)
