"""How well the pose network sees the virtual trainee: `python -m device.sim.detectability --seeds 10`."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from device.config import CameraConfig, PoseConfig
from device.drivers.camera_virtual import VirtualCamera
from device.messages import NS_PER_S
from device.rows import Row, add_arguments, report, row, show
from device.runtime.pose import PoseEstimator
from device.runtime.pose_engine import make_estimator
from device.sim.scene import session_scene
from device.sim.trainee import TrueSet, VirtualTrainee
from device.skeleton import joint_angles

LYING = ("push_up",)


@dataclass(slots=True)
class Sightings:
    """One exercise's frames. `pixel_errors`: (33,) each, px; `angle_errors`: (12,) each, rad, estimate minus truth."""

    found: list[bool] = field(default_factory=list)
    pixel_errors: list[NDArray[np.float64]] = field(default_factory=list)
    angle_errors: list[NDArray[np.float64]] = field(default_factory=list)


@dataclass(slots=True)
class Detectability:
    """Sightings by exercise, and the time that each frame took."""

    exercises: dict[str, Sightings] = field(default_factory=dict)
    render_ms: list[float] = field(default_factory=list)
    pose_ms: list[float] = field(default_factory=list)


def measure(seeds: range, seconds: float = 6.0, *, smooth: bool = False) -> Detectability:
    """Look at the first `seconds` of every set of the sessions of `seeds`."""
    seen = Detectability()
    for seed in seeds:
        trainee = VirtualTrainee(seed, deaf=True)
        with VirtualCamera(CameraConfig(type="virtual"), trainee, session_scene(seed)) as camera:
            for done in trainee.sets:
                with make_estimator(PoseConfig(), smooth=smooth) as estimator:
                    _watch(seen, trainee, camera, estimator, done, seconds)
    return seen


def _watch(
    seen: Detectability, trainee: VirtualTrainee, camera: VirtualCamera, estimator: PoseEstimator, done: TrueSet, seconds: float
) -> None:
    sightings = seen.exercises.setdefault(done.exercise, Sightings())
    end_ns = min(done.end_ns, done.start_ns + round(seconds * NS_PER_S))
    camera.skip_to(done.start_ns)
    while True:
        # Processor time, so that others on the machine don't count.
        start = time.thread_time()
        frame = camera.read()
        seen.render_ms.append((time.thread_time() - start) * 1e3)
        if frame.t_ns >= end_ns:
            return
        drawn = time.perf_counter()
        pose = estimator.estimate(frame)
        seen.pose_ms.append((time.perf_counter() - drawn) * 1e3)
        sightings.found.append(pose.present)
        if not pose.present:
            continue
        landmarks = trainee.pose(np.array([frame.t_ns]))[0]
        pixels, _ = camera.view.project(landmarks)
        found = pose.image[:, :2] * (pose.width, pose.height)
        sightings.pixel_errors.append(np.linalg.norm(found - pixels, axis=1))
        error = joint_angles(pose.world) - joint_angles(landmarks)
        sightings.angle_errors.append(np.mod(error + np.pi, 2 * np.pi) - np.pi)


def rows(seen: Detectability) -> list[Row]:
    """The figures, the ones with a target first."""
    standing = [found for name, s in seen.exercises.items() if name not in LYING for found in s.found]
    lying = [found for name in LYING if name in seen.exercises for found in seen.exercises[name].found]
    figures = [
        row("pose_found_upright", _mean(standing), at_least=0.95),
        row("pose_found_push_up", _mean(lying), at_least=0.85),
        row("render_ms", float(np.median(seen.render_ms)), "ms", at_most=15),
        row("pose_ms", float(np.median(seen.pose_ms)), "ms"),
    ]
    for name, s in seen.exercises.items():
        if s.pixel_errors:
            figures.append(row(f"pixel_error_median_{name}", float(np.median(s.pixel_errors)), "px"))
            figures.append(row(f"angle_error_mean_{name}", float(np.degrees(np.mean(np.abs(s.angle_errors)))), "deg"))
    return figures


def _mean(found: list[bool]) -> float | None:
    return float(np.mean(found)) if found else None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m device.sim.detectability", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many sessions to look at")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one")
    parser.add_argument("--seconds", type=float, default=6.0, help="of every set")
    parser.add_argument("--smooth", action="store_true", help="with MediaPipe's own filter over time")
    add_arguments(parser)
    args = parser.parse_args(arguments)
    seen = measure(range(args.first, args.first + args.seeds), args.seconds, smooth=args.smooth)
    return show(report(rows(seen), seed=args.first), args)


if __name__ == "__main__":
    sys.exit(main())
