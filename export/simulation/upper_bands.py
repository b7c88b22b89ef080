"""Four more units for the dense setting: on upper arms and thighs, as a `device.sim.bands.Wearer`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.config import SignalsConfig
from device.errors import DatasetError
from device.messages import NS_PER_S
from device.runtime.align import ImuTrack, resample
from device.sim.bands import true_imu
from device.sim.script import plan_session
from device.sim.trainee import VirtualTrainee
from device.skeleton import N_BANDS, NODE
from export.dataset import IMU_HZ, Session

Floats = NDArray[np.float64]

LIMBS = (
    ("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow"), ("left_hip", "left_knee"), ("right_hip", "right_knee"),
)  # fmt: skip
_INSET_M = 0.06


class UpperWearer:
    """The trainee's upper arms and thighs. A unit sits above elbow or knee; x is along the limb, the other axes are turned with
    it the shortest way from the trunk's: from sideways for an arm, from downwards for a thigh; neither ever points back."""

    def __init__(self, trainee: VirtualTrainee) -> None:
        self._trainee = trainee
        self.start_ns, self.duration_ns = trainee.start_ns, trainee.duration_ns

    def segments(self, times_ns: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Positions (n, 4, 3) m and rotations (n, 4, 3, 3), columns the nominal axes."""
        x = self._trainee.pose(times_ns)
        left = _unit(x[:, 11] - x[:, 12] + x[:, 23] - x[:, 24])
        up = x[:, 11] + x[:, 12] - x[:, 23] - x[:, 24]
        up = _unit(up - (up * left).sum(-1, keepdims=True) * left)
        trunk = np.stack([left, up, np.cross(left, up)], -1)  # (n, 3, 3)
        places, axes = [], []
        for near, far in LIMBS:
            along = _unit(x[:, NODE[far]] - x[:, NODE[near]])
            side = 1.0 if near.startswith("left") else -1.0
            rest = np.array([side, 0.0, 0.0]) if near.endswith("shoulder") else np.array([0.0, -1.0, 0.0])
            turned = _shortest_turn(rest, np.einsum("nji,nj->ni", trunk, along))
            rest_axes = np.stack([rest, np.cross([0.0, 0.0, 1.0], rest), [0.0, 0.0, 1.0]], -1)
            axes.append(trunk @ turned @ rest_axes)
            places.append(x[:, NODE[far]] - _INSET_M * along)
        return np.stack(places, 1), np.stack(axes, 1)


def emulated_trainee(seed: int) -> VirtualTrainee:
    """Who is seen in `export.dataset.emulated(seed)`."""
    variety = float(np.random.default_rng((seed, 5)).integers(2))
    return VirtualTrainee(seed, plan_session(seed, variety=variety), deaf=True)


def with_upper_bands(seed: int, trainee: VirtualTrainee, session: Session, signals: SignalsConfig) -> Session:
    """The `session` of `trainee` with the four upper units in the place of the bands. Raises DatasetError where it is of
    somebody else."""
    ticks = np.round(np.arange(len(session)) / signals.tick_hz * NS_PER_S).astype(np.int64)
    if not np.array_equal(trainee.track(ticks).stage, session.labels.stage):
        raise DatasetError(f"The session of seed {seed} is another trainee's than the one who is given more units.")
    sampled = np.arange(0, trainee.duration_ns, round(NS_PER_S / IMU_HZ), dtype=np.int64)
    felt = true_imu(UpperWearer(trainee), sampled, seed + 500_000_000)
    upper = resample(signals, 0, len(session), None, [ImuTrack(sampled, felt[:, band]) for band in range(N_BANDS)])
    return Session(session.signals._replace(imu=upper.imu, imu_present=upper.imu_present), session.labels)


def _unit(vectors: NDArray[Any]) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9), dtype=np.float64)


def _shortest_turn(start: Floats, ends: Floats) -> Floats:
    """Rotations (n, 3, 3) that take the unit vector `start` to unit vectors `ends` (n, 3) without any twist (Rodrigues)."""
    x, y, z = np.cross(start, ends).T
    zero = np.zeros_like(x)
    cross = np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2)
    cosine = (ends @ start)[:, None, None]
    return np.asarray(np.eye(3) + cross + cross @ cross / np.maximum(1 + cosine, 1e-3))
