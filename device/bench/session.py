"""A virtual session without pictures, as the input of benchmarks: what an eye and the bands see, and a core that is fed it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from device.config import Config
from device.drivers.imu_virtual import VirtualImu
from device.exercises import load_exercises
from device.messages import NS_PER_S, Pose, Sensed, StageTiming
from device.runtime.core import Core, Stepping
from device.runtime.live import play
from device.runtime.session import Session
from device.sim.scene import session_scene
from device.sim.trainee import VirtualTrainee
from device.skeleton import mid_hip

POSE_HZ = 15


def sensed(config: Config, seed: int, seconds: float) -> Iterator[Sensed]:
    """What a faultless eye and the bands see of the first `seconds` of a virtual session, in order of time."""
    trainee = VirtualTrainee(seed)
    camera = session_scene(seed).camera
    length_ns = min(round(seconds * NS_PER_S), trainee.duration_ns)
    times = np.arange(length_ns * POSE_HZ // NS_PER_S, dtype=np.int64) * NS_PER_S // POSE_HZ
    landmarks = trainee.pose(times)
    world = camera.to_camera(landmarks - mid_hip(landmarks)[:, None]).astype(np.float32)
    image = np.ones((len(times), world.shape[1], 4), np.float32)
    image[..., :2] = camera.project(landmarks)[0] / (camera.width, camera.height)
    image[..., 2] = world[..., 2]
    with VirtualImu(config.imu, trainee, seed=seed) as bands:
        for i, t_ns in enumerate(times.tolist()):
            yield from bands.read(t_ns)
            yield Pose(t_ns, 0, i, image[i], world[i], camera.width, camera.height, True)


def coached(config: Config, model: Stepping, messages: Iterable[Sensed]) -> list[StageTiming]:
    """Feed `messages`, in their order, to a core with `model`. Returns how long each section took."""
    timings: list[StageTiming] = []
    core = Core(config, model, load_exercises(), 0, on_timing=timings.append)
    with Session(core, []) as session:
        for _ in play(session, messages):
            pass
    return timings
