"""Recorded people as sequences to learn from: clips of sets that may train shipped weights, brought onto the tick grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.config import SignalsConfig
from device.errors import DatasetError
from device.exercises import Exercise, load_exercises
from device.messages import EXERCISES, NS_PER_S, Stage
from device.runtime.align import Aligned, ImuTrack, PoseTrack, resample
from device.skeleton import N_BANDS, N_JOINTS, as_read
from export.dataset import Labels, Session, from_standard
from export.datasets import ui_prmd
from export.datasets.catalogue import check_trains, set_folder
from export.datasets.clip import UNKNOWN, Clip
from export.datasets.splits import split_people
from export.landmark_noise import LandmarkNoise

VIEWS = 3
"""From how many places each recording is seen: camera, estimator's errors and bands are drawn anew."""


def people(data: Path, noise: LandmarkNoise, signals: SignalsConfig) -> list[Session]:
    """Sessions of the people in `data` who are trained on, 70 % of them. Raises DatasetError where they are not there."""
    check_trains("ui_prmd")
    folder = set_folder("ui_prmd", data)
    everybody = {clip.subject for clip in ui_prmd.clips(folder, movements=range(1, 2))}
    trained = split_people(everybody).train
    return [
        recorded(clip, signals)
        for view in range(VIEWS)
        for clip in ui_prmd.clips(folder, seed=1 + view, noise=noise, people=trained)
        if clip.truth.exercise is not None
    ]


def recorded(clip: Clip, signals: SignalsConfig) -> Session:
    """A clip of which every moment is known, as a session. Raises DatasetError where one is not."""
    if not len(clip.truth.times_ns) or (clip.truth.classes == UNKNOWN).any() or np.isnan(clip.truth.angles).any():
        raise DatasetError(f"{clip.source}/{clip.name}: not every moment of it is known. Leave it out of the training.")
    ticks, seen = on_ticks(clip, signals)
    return Session(seen, _labels(clip, ticks, load_exercises()))


def on_ticks(clip: Clip, signals: SignalsConfig) -> tuple[NDArray[np.int64], Aligned]:
    """The ticks (T,) ns of a clip, and its signals on them."""
    count = int(clip.seconds * signals.tick_hz)
    poses = None
    if clip.landmarks is not None:
        present = np.isfinite(clip.landmarks).all(axis=(1, 2))
        poses = PoseTrack(clip.pose_ns, clip.landmarks[..., :3], clip.landmarks[..., 3], present)
    bands: list[ImuTrack | None] = [None] * N_BANDS
    if clip.imu is not None:
        for band in range(N_BANDS):
            here = clip.imu_present[:, band]
            bands[band] = ImuTrack(clip.imu_ns[here], clip.imu[here, band]) if here.any() else None
    ticks = clip.start_ns + np.round(np.arange(count) / signals.tick_hz * NS_PER_S).astype(np.int64)
    return ticks, resample(signals, clip.start_ns, count, poses, bands)


def _labels(clip: Clip, ticks: NDArray[np.int64], exercises: Mapping[str, Exercise]) -> Labels:
    truth = clip.truth
    at = np.clip(np.searchsorted(truth.times_ns, ticks), 0, len(truth.times_ns) - 1)
    angles = truth.angles[at].astype(np.float64)
    phase, classes, stages = truth.phase[at], truth.classes[at].astype(np.int64), truth.stages[at].astype(np.int64)
    deviation = np.zeros((len(ticks), N_JOINTS), np.float32)
    for start, end in truth.repetitions:
        inside = np.flatnonzero((ticks >= start) & (ticks < end) & (stages != Stage.REST))
        done = next((e for e in exercises.values() if len(inside) and e.model_class == EXERCISES[classes[inside[0]]]), None)
        if done is not None:
            deviation[inside] = _deviation(done, phase[inside], angles[inside])
    read = as_read(angles).astype(np.float32)
    return Labels(classes, stages, phase.astype(np.float32), read, deviation, np.ones(len(ticks), dtype=np.bool_))


def _deviation(exercise: Exercise, phase: NDArray[np.float32], angles: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n, 12) rad from the standard of the variant that fits best; 0 where there is none."""
    found = [from_standard(np.asarray(exercise.standard(variant)), phase, angles) for variant in exercise.variants]
    return np.asarray(min(found, key=lambda difference: float(np.abs(difference).mean())), dtype=np.float32)
