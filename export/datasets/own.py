"""Own recordings, as `spotter record` writes them, with the labels that a person has checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.messages import EXERCISES, NS_PER_S, ClockPing, ImuBatch, Pose
from device.runtime.recording import Recording, read_recording
from device.runtime.timebase import UNCONVERTED, Timebase
from device.skeleton import N_BANDS, N_JOINTS
from export.datasets.clip import UNKNOWN, Clip, Truth
from export.datasets.labels import Label

_Grid = tuple[NDArray[np.float32] | None, NDArray[np.int64], NDArray[np.bool_]]

IMU_HZ = 100.0
MAX_GAP_NS = 250_000_000
"""Longest gap in a band's samples that is bridged."""


def recorded_clip(path: Path | str, labels: Sequence[Label] | None = None, *, subject: str = "") -> Clip:
    """The recording in `path` as one clip. `labels`: None where nobody has looked at it yet; all outside them is none.

    Raises RecordingError, and DatasetError where it holds neither a person nor bands.
    """
    recording = read_recording(path)
    name = recording.path.parent.name
    poses, bands = _sensed(recording)
    start_ns = min([recording.meta.start_ns, *[p.t_ns for p in poses[:1]]])
    landmarks = np.stack([_frame(pose) for pose in poses]) if poses else None
    if landmarks is not None and not np.isfinite(landmarks).any():
        landmarks = None
    pose_ns = np.array([pose.t_ns for pose in poses], dtype=np.int64) - start_ns
    imu, imu_ns, present = _on_grid(bands, start_ns)
    clip = Clip(
        "own",
        name,
        subject or name,
        True,
        landmarks,
        pose_ns if landmarks is not None else np.zeros(0, np.int64),
        imu,
        imu_ns,
        present,
    )
    if labels is None:
        return clip
    return Clip(
        clip.source, clip.name, clip.subject, True, clip.landmarks, clip.pose_ns, imu, imu_ns, present, truth_of(labels, clip)
    )


def truth_of(labels: Sequence[Label], clip: Clip) -> Truth:
    """What labels say of every moment of a clip."""
    times = clip.pose_ns if len(clip.pose_ns) else clip.imu_ns
    classes = np.full(len(times), EXERCISES.index("none"), dtype=np.int8)
    for label in labels:
        inside = (times >= label.start_s * NS_PER_S) & (times <= label.end_s * NS_PER_S)
        classes[inside] = EXERCISES.index(label.exercise)
    spans = np.array([(label.start_s, label.end_s) for label in labels]).reshape(-1, 2)
    exercises = {label.exercise for label in labels}
    rights = {label.correct for label in labels}
    return Truth(
        (exercises or {"none"}).pop() if len(exercises) < 2 else None, ", ".join(sorted(exercises)) or "none",
        rights.pop() if len(rights) == 1 else None, len(labels), np.round(spans * NS_PER_S).astype(np.int64),
        times, classes, np.full(len(times), UNKNOWN, dtype=np.int8), np.full(len(times), np.nan, dtype=np.float32),
        np.full((len(times), N_JOINTS), np.nan, dtype=np.float32),
    )  # fmt: skip


def _sensed(recording: Recording) -> tuple[list[Pose], list[list[ImuBatch]]]:
    """Poses, and each band's batches on the host's time."""
    timebase = Timebase()
    poses: list[Pose] = []
    bands: list[list[ImuBatch]] = [[] for _ in range(N_BANDS)]
    for message in recording:
        if isinstance(message, ClockPing):
            timebase.ping(message)
        elif isinstance(message, Pose):
            if not poses or message.t_ns > poses[-1].t_ns:
                poses.append(message)
        elif isinstance(message, ImuBatch):
            batch = timebase.convert(message, message.t_ns) if message.sigma_ns == UNCONVERTED else message
            bands[batch.band].append(batch)
    return poses, bands


def _frame(pose: Pose) -> NDArray[np.float32]:
    frame = np.concatenate([pose.world, pose.image[:, 3:]], axis=1)
    return frame if pose.present and np.isfinite(frame).all() else np.full_like(frame, np.nan)


def _on_grid(bands: Sequence[Sequence[ImuBatch]], start_ns: int) -> _Grid:
    """All bands' samples (U, 4, 6) on one grid of 100 Hz, its times, and where they are there."""
    tracks = []
    for batches in bands:
        times = np.concatenate([b.times_ns for b in batches]) - start_ns if batches else np.zeros(0, np.int64)
        values = np.concatenate([b.values for b in batches]) if batches else np.zeros((0, 6))
        times, first = np.unique(times, return_index=True)
        values = values[first]
        usable = np.isfinite(values).all(axis=1)
        tracks.append((times[usable], values[usable]))
    nothing = np.zeros(0, dtype=np.int64), np.zeros((0, N_BANDS), dtype=np.bool_)
    if not any(len(times) for times, _ in tracks):
        return None, *nothing
    first_ns = min(int(times[0]) for times, _ in tracks if len(times))
    last_ns = max(int(times[-1]) for times, _ in tracks if len(times))
    grid = np.arange(first_ns, last_ns + 1, round(NS_PER_S / IMU_HZ), dtype=np.int64)
    imu = np.full((len(grid), N_BANDS, 6), np.nan, dtype=np.float32)
    present = np.zeros((len(grid), N_BANDS), dtype=np.bool_)
    for band, (times, values) in enumerate(tracks):
        if not len(times):
            continue
        after = np.clip(np.searchsorted(times, grid), 0, len(times) - 1)
        before = np.maximum(after - (times[after] > grid), 0)
        inside = (grid >= times[0]) & (grid <= times[-1])
        present[:, band] = inside & (times[after] - times[before] <= MAX_GAP_NS)
        columns = np.stack([np.interp(grid, times, column) for column in values.T], axis=1)
        imu[:, band] = np.where(present[:, band, None], columns, np.nan)
    return imu, grid, present
