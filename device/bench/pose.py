"""The two pose estimators side by side, frame by frame: time, agreement, memory and start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from device.bench.processes import busy_s
from device.bench.progress import Progress
from device.config import CameraConfig, PoseConfig
from device.drivers.camera_virtual import VirtualCamera
from device.errors import DriverError
from device.messages import NS_PER_S, Frame, Pose
from device.rows import Report, Row, report, row
from device.runtime.pose_engine import make_estimator
from device.sim.scene import session_scene
from device.sim.trainee import VirtualTrainee

ENGINES = {
    "mediapipe": PoseConfig(estimator="mediapipe"),
    "litert_2_threads": PoseConfig(estimator="litert", threads=2),
    "litert_1_thread": PoseConfig(estimator="litert", threads=1),
}
MAX_RATIO = {"litert_2_threads": 0.5, "litert_1_thread": 0.65}
WARM_UP = 3
"""Frames at the start whose time does not count."""
MEMORY_FRAMES = 45
MEMORY_TIMEOUT_S = 120


class Disagreement(NamedTuple):
    """How far two estimators' landmarks (33,) of one frame are apart: in the picture px, in space mm, visibility."""

    pixels: NDArray[np.float64]
    world_mm: NDArray[np.float64]
    visibility: NDArray[np.float64]


class Usage(NamedTuple):
    """One estimator in a process of its own, set up as the eye is: until its first pose, memory after the last one, and the
    processor time of all poses."""

    first_pose_s: float
    resident_mb: float
    cpu_s: float


@dataclass(slots=True)
class Comparison:
    """What the estimators of `ENGINES` made of the same frames.

    Times of each frame by engine; `alike`: found by all or none; `taken`: share of the machine that other processes had.
    """

    wall_ms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in ENGINES})
    cpu_ms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in ENGINES})
    apart: list[Disagreement] = field(default_factory=list)
    alike: list[bool] = field(default_factory=list)
    taken: float | None = None


def measure(args: Namespace, progress: Progress) -> Report:
    """All figures, on the first `args.seconds` of every set."""
    progress.begin(2, "frames")
    return report(pose_rows(args.seed, args.seconds, progress.step), seed=args.seed)


def pose_rows(seed: int = 0, seconds: float = 3.0, on_step: Callable[[str], None] | None = None) -> list[Row]:
    """All figures, on the first `seconds` of every set of the session of `seed`. `on_step` hears what comes next."""
    say = on_step or (lambda _: None)
    comparison = compare(frames(seed, seconds))
    say("memory")
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "session.mp4"
        write_video(video, frames(seed, MEMORY_FRAMES / CameraConfig().rate_hz), MEMORY_FRAMES)
        usage = {engine: use(engine, video) for engine in ("litert", "mediapipe")}
    say("")
    return judged(comparison, usage)


def frames(seed: int, seconds: float) -> Iterator[Frame]:
    """The first `seconds` of every set of a session, at the camera's default size and rate."""
    trainee = VirtualTrainee(seed, deaf=True)
    with VirtualCamera(CameraConfig(type="virtual"), trainee, session_scene(seed)) as camera:
        for done in trainee.sets:
            camera.skip_to(done.start_ns)
            end_ns = min(done.end_ns, done.start_ns + round(seconds * NS_PER_S))
            while (frame := camera.read()).t_ns < end_ns:
                yield frame


def compare(pictures: Iterator[Frame]) -> Comparison:
    """Every estimator on every frame, each of them first in turn."""
    comparison = Comparison()
    threads = cv2.getNumThreads()
    start_s, before_s, own_s = time.perf_counter(), busy_s(), time.process_time()
    # As in the eye.
    cv2.setNumThreads(1)
    try:
        with ExitStack() as stack:
            estimators = {name: stack.enter_context(make_estimator(config)) for name, config in ENGINES.items()}
            for index, frame in enumerate(pictures):
                found: dict[str, Pose] = {}
                for place in range(len(ENGINES)):
                    name = tuple(ENGINES)[(index + place) % len(ENGINES)]
                    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
                    found[name] = estimators[name].estimate(frame)
                    if index >= WARM_UP:
                        comparison.cpu_ms[name].append((time.process_time_ns() - cpu_ns) / 1e6)
                        comparison.wall_ms[name].append((time.perf_counter_ns() - wall_ns) / 1e6)
                comparison.alike.append(len({pose.present for pose in found.values()}) == 1)
                if all(pose.present for pose in found.values()):
                    comparison.apart.append(disagreement(found["mediapipe"], found["litert_2_threads"]))
    finally:
        cv2.setNumThreads(threads)
    others_s = busy_s() - before_s - (time.process_time() - own_s)
    comparison.taken = max(others_s, 0.0) / (time.perf_counter() - start_s) / (os.cpu_count() or 1)
    return comparison


def disagreement(one: Pose, other: Pose) -> Disagreement:
    """How far two poses of one frame are apart, landmark by landmark."""
    image = np.abs(one.image.astype(np.float64) - other.image)
    return Disagreement(
        np.linalg.norm(image[:, :2] * (one.width, one.height), axis=1),
        np.linalg.norm(one.world.astype(np.float64) - other.world, axis=1) * 1e3,
        image[:, 3],
    )


def write_video(path: Path, pictures: Iterator[Frame], count: int) -> None:
    """The first `count` of `pictures` as a video file."""
    video = None
    for _, frame in zip(range(count), pictures, strict=False):
        height, width = frame.pixels.shape[:2]
        video = video or cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), CameraConfig().rate_hz, (width, height))
        video.write(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR))
    if video is not None:
        video.release()


def use(engine: str, video: Path) -> Usage:
    """Run `engine` over `video` in a fresh process. Raises DriverError where that fails."""
    command = [sys.executable, "-m", "device.bench.pose_process", engine, str(video), str(time.monotonic_ns())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MEMORY_TIMEOUT_S, check=False)
    if done.returncode:
        raise DriverError(f"The estimator {engine} failed in a process of its own: {done.stderr.strip()[-500:]}")
    return Usage(**json.loads(done.stdout))


def judged(comparison: Comparison, usage: dict[str, Usage]) -> list[Row]:
    """The figures of a comparison and of the processes, the ones with a target first."""
    wall, cpu = ({name: _median(values) for name, values in times.items()} for times in (comparison.wall_ms, comparison.cpu_ms))
    apart = comparison.apart
    pixels, world = [a.pixels for a in apart], [a.world_mm for a in apart]
    rows = [row(f"pose_{name}_ratio", _ratio(wall, name), at_most=limit) for name, limit in MAX_RATIO.items()]
    rows += [
        row("pose_agreement_px_median", _quantile(pixels, 0.5), "px", at_most=1.0),
        row("pose_agreement_px_p95", _quantile(pixels, 0.95), "px", at_most=3.0),
        row("eye_litert_mb", usage["litert"].resident_mb, "MB", at_most=250),
    ]
    rows += [row(f"pose_{name}_ms", value, "ms") for name, value in wall.items()]
    rows += [row(f"pose_{name}_cpu_ratio", _ratio(cpu, name)) for name in MAX_RATIO]
    rows += [
        # Threads gain nothing where others have the cores: this says how far the ratio for two threads can be trusted.
        row("machine_taken_by_others", comparison.taken),
        row("pose_found_alike", float(np.mean(comparison.alike)) if comparison.alike else None),
        row("pose_agreement_world_median", _quantile(world, 0.5), "mm"),
        row("pose_agreement_world_p95", _quantile(world, 0.95), "mm"),
        row("pose_agreement_visibility_p95", _quantile([a.visibility for a in apart], 0.95)),
        row("eye_mediapipe_mb", usage["mediapipe"].resident_mb, "MB"),
    ]
    return rows + [row(f"eye_{engine}_first_pose_s", used.first_pose_s, "s") for engine, used in usage.items()]


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _ratio(times: dict[str, float | None], name: str) -> float | None:
    one, base = times[name], times["mediapipe"]
    return None if one is None or not base else one / base


def _quantile(values: Sequence[NDArray[np.float64]], share: float) -> float | None:
    return float(np.quantile(np.concatenate(values), share)) if values else None
