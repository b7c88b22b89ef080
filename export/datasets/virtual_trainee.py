"""The virtual trainee as a set: sessions whose every moment is known, seen by the emulated estimator or really rendered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from device.messages import EXERCISES, NS_PER_S
from device.runtime.align import PoseTrack
from device.sim.bands import true_imu
from device.sim.trainee import VirtualTrainee
from export.clips import Clip as RenderedClip
from export.clips import clip_plan
from export.datasets.clip import Clip, Truth
from export.datasets.viewpoint import camera_rotation, seen

POSE_HZ, IMU_HZ = 15.0, 100.0


def emulated(seeds: Iterable[int]) -> Iterator[Clip]:
    """A session for each seed, its landmarks with simple errors; takes a moment, renders nothing."""
    for seed in seeds:
        trainee = VirtualTrainee(seed, clip_plan(seed), deaf=True)
        rng = np.random.default_rng((seed, 7))
        seconds = np.arange(0, trainee.duration_ns / NS_PER_S, 1 / POSE_HZ)
        times = np.round(seconds * NS_PER_S).astype(np.int64)
        landmarks = seen(rng, seconds, trainee.track(times).landmarks, camera_rotation(rng))
        yield _clip(seed, trainee, PoseTrack(times, landmarks[..., :3], landmarks[..., 3], np.ones(len(times), dtype=np.bool_)))


def rendered(found: Iterable[RenderedClip]) -> Iterator[Clip]:
    """Rendered clips (`export.clips.clips`) with what the real estimator found in them."""
    for clip in found:
        yield _clip(clip.seed, VirtualTrainee(clip.seed, clip_plan(clip.seed), deaf=True), clip.poses)


def _clip(seed: int, trainee: VirtualTrainee, poses: PoseTrack) -> Clip:
    imu_ns = np.arange(0, trainee.duration_ns, round(NS_PER_S / IMU_HZ), dtype=np.int64)
    imu = true_imu(trainee, imu_ns, seed)
    truth = trainee.track(poses.times_ns)
    landmarks = np.concatenate([poses.world, poses.visibility[..., None]], axis=-1).astype(np.float32)
    landmarks[~poses.present] = np.nan
    repetitions = [repetition for done in trainee.sets for repetition in done.repetitions]
    exercises = {repetition.exercise for repetition in repetitions}
    exercise = exercises.pop() if len(exercises) == 1 else None
    return Clip(
        "virtual_trainee", f"seed-{seed}", f"seed-{seed}", True, landmarks, poses.times_ns,
        imu, imu_ns, np.ones(imu.shape[:2], dtype=np.bool_),
        Truth(
            exercise if exercise in EXERCISES else None, exercise or "several", None, len(repetitions),
            np.array([(r.start_ns, r.end_ns) for r in repetitions], dtype=np.int64).reshape(-1, 2),
            poses.times_ns, truth.exercise.astype(np.int8), truth.stage.astype(np.int8),
            truth.phase.astype(np.float32), truth.angles.astype(np.float32),
        ),
    )  # fmt: skip
