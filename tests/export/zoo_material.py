"""Sessions and clips of virtual trainees in a moment: the truth with a little noise, nothing rendered."""

from pathlib import Path

import numpy as np

from device.config import SignalsConfig
from device.messages import NS_PER_S
from device.runtime.align import PoseTrack
from device.sim.script import SessionPlan, plan_session
from device.sim.trainee import VirtualTrainee
from export.clips import clip_plan, clip_scene, clips_fingerprint
from export.dataset import Session, _session
from export.landmark_noise import true_pose


def made_poses(seed: int, trainee: VirtualTrainee) -> PoseTrack:
    """The trainee at 15 Hz from the place of `clip_scene`, each landmark 1 cm off."""
    times = np.round(np.arange(0, trainee.duration_ns / NS_PER_S, 1 / 15) * NS_PER_S).astype(np.int64)
    pose, _ = true_pose(trainee.track(times).landmarks, clip_scene(seed).camera.rotation, times / NS_PER_S)
    world = pose + np.random.default_rng(seed).normal(0, 0.01, pose.shape)
    return PoseTrack(times, world.astype(np.float32), np.full(world.shape[:2], 0.9, np.float32), np.ones(len(times), np.bool_))


def made_session(seed: int, plan: SessionPlan | None = None) -> Session:
    trainee = VirtualTrainee(seed, plan or plan_session(seed), deaf=True)
    return _session(seed, trainee, made_poses(seed, trainee), SignalsConfig())


def fill_clip_cache(cache: Path, seeds: list[int]) -> None:
    """Clips as `export.clips` would have rendered them."""
    folder = cache / clips_fingerprint()
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        poses = made_poses(seed, VirtualTrainee(seed, clip_plan(seed), deaf=True))
        np.savez(folder / f"{seed}.npz", **poses._asdict())
