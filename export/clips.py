"""Rendered clips: virtual trainees seen by the virtual camera and the real pose estimator, kept in a cache.

A clip is a pure function of its seed and of the code that draws it, whose fingerprint names the cache's folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import device
from device.config import CameraConfig, PoseConfig
from device.errors import EndOfStream
from device.messages import EXERCISES
from device.runtime.align import PoseTrack
from device.sim.scene import Scene, sample_scene
from device.sim.script import ANYBODY, SessionPlan, plan_session
from device.sim.trainee import VirtualTrainee
from export.kept import fingerprint
from export.seeds import ANY_MANNER

RATE_HZ = 15.0
DEFAULT_CACHE = Path("~/.cache/spotter/clips")


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """What the estimator found in one rendered session; the seed says what really happened."""

    seed: int
    poses: PoseTrack


def clip_plan(seed: int) -> SessionPlan:
    """One set of five to eight repetitions whose habits change all the time, with little before and after it.

    Exercises take turns from seed to seed; every second one faces any way at all. Seeds of `ANY_MANNER` do it in any manner.
    """
    exercise = sorted(EXERCISES[:-1])[seed % (len(EXERCISES) - 1)]
    return plan_session(
        seed,
        sets=[exercise],
        reps=5 + seed // 5 % 4,
        variety=(0.3, 1.0)[seed % 2],
        brief=True,
        people=ANYBODY if seed in ANY_MANNER else None,
    )


def clip_scene(seed: int) -> Scene:
    """Where the session of `seed` is seen."""
    return sample_scene(np.random.default_rng((seed, 4)))


def clips(seeds: Sequence[int], cache: Path = DEFAULT_CACHE, *, processes: int = 2) -> Iterator[Clip]:
    """Clips of `seeds` in any order, as each is done; those in the cache come at once."""
    folder = cache.expanduser() / clips_fingerprint()
    folder.mkdir(parents=True, exist_ok=True)
    missing = []
    for seed in seeds:
        if _path(folder, seed).exists():
            yield _load(folder, seed)
        else:
            missing.append(seed)
    if not missing:
        return
    # A fresh interpreter for each worker: the estimator's threads do not survive a fork.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(_make, folder, seed) for seed in missing]
        for done in as_completed(waiting):
            yield _load(folder, done.result())


def clips_fingerprint() -> str:
    """Hash of all that a clip follows from: the virtual trainee, the exercises, the virtual camera and the estimator."""
    root = Path(device.__file__).parent
    files = [
        *(root / "sim").glob("*.py"),
        *(root / "exercises").glob("*.toml"),
        root / "drivers" / "camera_virtual.py",
        *(root / "runtime" / "pose_litert").glob("*.py"),
        Path(__file__),
    ]
    return fingerprint(files)


def render(seed: int) -> PoseTrack:
    """Render the session of `seed` and find the landmarks in it; takes about a second a second."""
    from device.drivers.camera_virtual import VirtualCamera
    from device.runtime.pose_engine import make_estimator

    config = CameraConfig(type="virtual", rate_hz=RATE_HZ)
    found = []
    trainee = VirtualTrainee(seed, clip_plan(seed), deaf=True)
    with VirtualCamera(config, trainee, clip_scene(seed)) as camera, make_estimator(PoseConfig(threads=1)) as estimator:
        while True:
            try:
                found.append(estimator.estimate(camera.read()))
            except EndOfStream:
                break
    return PoseTrack(
        np.array([pose.t_ns for pose in found], dtype=np.int64),
        np.stack([pose.world for pose in found]),
        np.stack([pose.image[:, 3] for pose in found]),
        np.array([pose.present for pose in found]),
    )


def _make(folder: Path, seed: int) -> int:
    poses = render(seed)
    unfinished = folder / f".{seed}.npz"
    np.savez_compressed(
        unfinished, times_ns=poses.times_ns, world=poses.world, visibility=poses.visibility, present=poses.present
    )
    unfinished.replace(_path(folder, seed))
    return seed


def _load(folder: Path, seed: int) -> Clip:
    with np.load(_path(folder, seed)) as data:
        arrays: dict[str, NDArray[np.generic]] = dict(data)
    return Clip(seed, PoseTrack(**arrays))  # type: ignore[arg-type]


def _path(folder: Path, seed: int) -> Path:
    return folder / f"{seed}.npz"
