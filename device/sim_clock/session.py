"""A virtual trainee's session as it reaches an appliance: poses with a pose estimator's errors, bands over simulated links."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from device.messages import NS_PER_S, ImuBatch, Pose, Sensed
from device.sim.bands import Wearer, true_imu
from device.sim.scene import SceneCamera, sample_scene
from device.sim.script import plan_session
from device.sim.trainee import VirtualTrainee
from device.sim_clock.band import Air, Heard, SimulatedBand
from device.skeleton import N_BANDS, mid_hip

Floats = NDArray[np.float64]

POSE_HZ = 15.0
POSE_LATENCY_NS = 60_000_000
AIRS = (Air(15.0, loss=0.05), Air(30.0, loss=0.05))
MAX_DRIFT = 50e-6
RATE_ERROR = 0.01


class Moving(Wearer, Protocol):
    """Somebody whom a camera sees and who wears bands."""

    def pose(self, times_ns: NDArray[np.int64]) -> NDArray[Any]:
        """Landmarks (n, 33, 3) m."""


@dataclass(frozen=True, slots=True, eq=False)
class SensedSession:
    """`poses`, timed as the camera's pictures, and `heard` in order of arrival: when, what, the truth of a batch's samples."""

    trainee: VirtualTrainee
    poses: tuple[Pose, ...]
    heard: tuple[tuple[int, Sensed, NDArray[np.int64]], ...]

    def messages(self, until_ns: int | None = None) -> Iterator[Sensed]:
        """Everything in order of arrival, as far as it was there at `until_ns`."""
        for t_ns, message in self.arrivals():
            if until_ns is not None and t_ns > until_ns:
                return
            yield message

    def arrivals(self) -> list[tuple[int, Sensed]]:
        """Everything with the host time of its arrival, in order."""
        return self._among_poses((t_ns, message) for t_ns, message, _ in self.heard)

    def left_late(self, late_ns: int) -> Iterator[Sensed]:
        """The same with the bands' samples on host time, all of them `late_ns` late: what a system has that takes some arrival
        for the time of the sample."""
        late = (
            (t_ns, replace(message, sigma_ns=0, t_ns=t_ns, times_ns=truth_ns + late_ns))
            for t_ns, message, truth_ns in self.heard
            if isinstance(message, ImuBatch)
        )
        yield from (message for _, message in self._among_poses(late))

    def _among_poses(self, heard: Iterable[tuple[int, Sensed]]) -> list[tuple[int, Sensed]]:
        """`heard` and the poses with the host times of their arrival, in order; a pose comes after what arrives with it."""
        arrivals: list[tuple[int, int, Sensed]] = [(p.t_ns + POSE_LATENCY_NS, 1, p) for p in self.poses]
        arrivals += [(t_ns, 0, message) for t_ns, message in heard]
        return [(t_ns, message) for t_ns, _, message in sorted(arrivals, key=lambda a: a[:2])]


def sensed_session(seed: int, exercise: str, *, repetitions: int = 10, late_ns: int = 0) -> SensedSession:
    """One set of `exercise`, and how the trainee gets there. All that the host does with the bands is `late_ns` later than its
    camera's clock says, so whatever finds out the bands' times finds them that late."""
    plan = plan_session(seed, sets=[exercise], reps=repetitions, variety=0.3, brief=True)
    return sensed(seed, VirtualTrainee(seed, plan, deaf=True), late_ns=late_ns)


def sensed(
    seed: int, trainee: VirtualTrainee, moving: Moving | None = None, *, late_ns: int = 0, airs: Sequence[Air] = AIRS
) -> SensedSession:
    """The session of `trainee`, who moves as `moving` says where that is given, over links of which each has one of `airs`."""
    rng = np.random.default_rng((seed, 7))
    moving = trainee if moving is None else moving
    poses = tuple(seen(rng, moving, sample_scene(rng).camera, moving.duration_ns))
    heard: list[tuple[int, Sensed, NDArray[np.int64]]] = []
    for band in range(N_BANDS):
        link = SimulatedBand(
            seed,
            band,
            seconds=moving.duration_ns / NS_PER_S,
            drift=float(rng.uniform(-MAX_DRIFT, MAX_DRIFT)),
            rate_error=float(rng.uniform(-RATE_ERROR, RATE_ERROR)),
            air=airs[int(rng.integers(len(airs)))],
        ).heard()
        for one in felt(link, moving, band, seed):
            message = one.message
            if isinstance(message, ImuBatch):
                message = replace(message, t_ns=message.t_ns + late_ns)
            else:
                message = replace(message, sent_ns=message.sent_ns + late_ns, received_ns=message.received_ns + late_ns)
            heard.append((message.t_ns, message, one.truth_ns))
    return SensedSession(trainee, poses, tuple(sorted(heard, key=lambda one: one[0])))


def felt(link: list[Heard], trainee: Moving, band: int, sensors: int) -> Iterator[Heard]:
    """`link` with what the band on `trainee` measured in its batches. `sensors`: seed of the bands' sensors and straps."""
    batches = [one for one in link if isinstance(one.message, ImuBatch)]
    values = iter(true_imu(trainee, np.concatenate([one.truth_ns for one in batches]), sensors)[:, band])
    for one in link:
        if isinstance(one.message, ImuBatch):
            yield replace(one, message=replace(one.message, values=np.array([next(values) for _ in one.truth_ns], np.float32)))
        else:
            yield one


def seen(rng: np.random.Generator, trainee: Moving, camera: SceneCamera, until_ns: int) -> list[Pose]:
    """The true landmarks with quick noise (0.25 s) and twice as much slow error (4 s), both doubled in depth, of which too little
    is shown. A limb's change of direction over 0.13 s is off by 0.04 rad then, as MediaPipe's is on rendered pictures."""
    times = np.arange(0, until_ns, round(NS_PER_S / POSE_HZ), dtype=np.int64)
    landmarks = trainee.pose(times)
    world = camera.to_camera(landmarks - mid_hip(landmarks)[:, None])
    world[..., 2] *= rng.uniform(0.5, 1.0)
    size_m = rng.uniform(0.005, 0.01)
    for correlation_s, share in ((0.25, 1.0), (4.0, 2.0)):
        world += _noise(rng, world.shape, correlation_s) * size_m * share * np.array([1.0, 1.0, 2.0])
    image = np.full((*world.shape[:2], 4), 0.95, np.float32)
    image[..., :2] = camera.project(landmarks)[0] / (camera.width, camera.height)
    image[..., 2] = world[..., 2]
    return [
        Pose(t_ns, 0, i, image[i], world[i].astype(np.float32), camera.width, camera.height, True)
        for i, t_ns in enumerate(times.tolist())
    ]


def _noise(rng: np.random.Generator, shape: tuple[int, ...], correlation_s: float) -> Floats:
    """First-order autoregressive noise (n, ...) of variance 1."""
    kept = np.exp(-1 / (POSE_HZ * correlation_s))
    noise = rng.standard_normal(shape)
    for i in range(1, len(noise)):
        noise[i] = kept * noise[i - 1] + np.sqrt(1 - kept**2) * noise[i]
    return noise
