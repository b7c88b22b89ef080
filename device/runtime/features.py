"""Node features: what the model sees of one tick.

`node_features` takes a whole sequence (training), `FeatureExtractor` one tick after the other (the appliance); both give
the same numbers. Camera axes are kept, so absolute posture is too: gravity is the camera's y.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.errors import BundleError
from device.messages import Array, Tick
from device.skeleton import N_BANDS, N_NODES, mid_hip, torso_length

SKELETON_CHANNELS = 11
"""p (3), v (3), alpha * a (3), visibility, present."""
INERTIAL_CHANNELS = 8
"""u (6), z, present."""

_HERE = np.ones(1, dtype=np.bool_)
_ZERO = np.zeros(1)


@dataclass(frozen=True, slots=True)
class FeatureConstants:
    """Numbers that the features of a bundle were made with; its manifest states them.

    A value of 1 in a feature is one `*_scale`: `velocity_scale` in torso lengths/s, `force_scale` in m/s^2, `rate_scale` in
    rad/s. `alpha` (eq. 3) is in s. `gamma` (eq. 4) weighs `force_typical` (m/s^2) against `rate_typical` (rad/s).
    `torso_smoothing_s` is the time constant of the torso length, `min_torso_m` its floor, `limit` clips every feature.
    """

    tick_hz: float = 30.0
    alpha: float = 0.1
    gamma: float = 0.5
    velocity_scale: float = 4.0
    force_scale: float = 20.0
    rate_scale: float = 6.0
    force_typical: float = 9.80665
    rate_typical: float = 3.0
    torso_smoothing_s: float = 1.0
    min_torso_m: float = 0.15
    limit: float = 4.0

    def to_dict(self) -> dict[str, float]:
        """The constants as they stand in a manifest."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FeatureConstants:
        """Constants of a manifest. Raises BundleError: a constant is missing, unknown, no number, or out of range."""
        names = {f.name for f in dataclasses.fields(cls)}
        wrong = sorted(names.symmetric_difference(data))
        if wrong:
            raise BundleError(
                f"manifest: feature constants {', '.join(wrong)} are missing or unknown. "
                "The bundle is for another version of Spotter: install the bundle that belongs to this one."
            )
        values: dict[str, float] = {}
        for name, value in data.items():
            lowest_is_zero = name in ("alpha", "gamma", "torso_smoothing_s")
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise BundleError(f"manifest: feature constant {name} must be a number, not {value!r}.")
            if value < 0 or (value == 0 and not lowest_is_zero) or (name == "gamma" and value > 1):
                raise BundleError(f"manifest: feature constant {name} = {value} is out of range.")
            values[name] = float(value)
        return cls(**values)


def node_features(
    constants: FeatureConstants,
    world: NDArray[np.floating[Any]],
    visibility: NDArray[np.floating[Any]],
    pose_present: NDArray[np.bool_],
    imu: NDArray[np.floating[Any]],
    imu_present: NDArray[np.bool_],
) -> tuple[Array, Array]:
    """Features of consecutive ticks (paper eq. 3 and 4).

    `world` (T, 33, 3) m in camera axes, `visibility` (T, 33), `pose_present` (T,), `imu` (T, 4, 6) m/s^2 and rad/s,
    `imu_present` (T, 4). Returns skeleton (T, 33, 11) = p, v, alpha * a, visibility, present, and inertial (T, 4, 8) = u, z,
    present. A modality that is absent, or not finite, is all zero; a difference across its gap is zero too.
    """
    points = np.asarray(world, dtype=np.float64)
    present = np.asarray(pose_present, dtype=np.bool_) & np.isfinite(points).all(axis=(1, 2))
    points = np.where(present[:, None, None], points, 0.0)
    scale = _smoothed_torso(constants, torso_length(points), present)
    p = (points - mid_hip(points)[:, None, :]) / scale[:, None, None]

    v = np.zeros_like(p)
    a = np.zeros_like(p)
    moving = present[1:] & present[:-1]
    v[1:] = np.where(moving[:, None, None], p[1:] - p[:-1], 0.0)
    accelerating = moving[1:] & moving[:-1]
    a[2:] = np.where(accelerating[:, None, None], v[2:] - v[1:-1], 0.0)

    skeleton = np.zeros((len(p), N_NODES, SKELETON_CHANNELS))
    _fill_skeleton(constants, skeleton, p, v, a, np.asarray(visibility, dtype=np.float64), present[:, None])
    return skeleton.astype(np.float32), _inertial(constants, imu, imu_present)


class FeatureExtractor:
    """`node_features` one tick at a time. State: the torso length and the last position and velocity."""

    def __init__(self, constants: FeatureConstants) -> None:
        self.constants = constants
        self.reset()

    def reset(self) -> None:
        """Forget everything, as at the start of a sequence."""
        self._torso = 0.0
        self._seen = 0
        self._p: NDArray[np.float64] | None = None
        self._v: NDArray[np.float64] | None = None

    def step(self, tick: Tick) -> tuple[Array, Array]:
        """Features of the next tick: skeleton (33, 11) and inertial (4, 8), float32."""
        skeleton = np.zeros((N_NODES, SKELETON_CHANNELS))
        points = np.asarray(tick.world, dtype=np.float64)
        if tick.pose_present and np.isfinite(points).all():
            self._seen += 1
            weight = _torso_weight(self.constants, self._seen)
            self._torso += weight * (float(torso_length(points)) - self._torso)
            p = (points - mid_hip(points)) / max(self._torso, self.constants.min_torso_m)
            v = None if self._p is None else p - self._p
            a = None if v is None or self._v is None else v - self._v
            visibility = np.asarray(tick.visibility, dtype=np.float64)
            _fill_skeleton(self.constants, skeleton, p, _or_zero(v), _or_zero(a), visibility, _HERE)
            self._p, self._v = p, v
        else:
            self._p = self._v = None
        return skeleton.astype(np.float32), _inertial_of_tick(self.constants, tick.imu, tick.imu_present)


def _or_zero(difference: NDArray[np.float64] | None) -> NDArray[np.float64]:
    return _ZERO if difference is None else difference


def _torso_weight(constants: FeatureConstants, seen: int) -> float:
    # A plain mean until the time constant is filled: one bad first frame does not set the scale for seconds.
    if constants.torso_smoothing_s == 0:
        return 1.0
    return max(1.0 / seen, 1.0 - math.exp(-1.0 / (constants.tick_hz * constants.torso_smoothing_s)))


def _smoothed_torso(constants: FeatureConstants, torso: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    smoothed = np.empty(len(torso))
    current, seen = 0.0, 0
    for i, (length, here) in enumerate(zip(torso.tolist(), present.tolist(), strict=True)):
        if here:
            seen += 1
            current += _torso_weight(constants, seen) * (length - current)
        smoothed[i] = current
    return np.maximum(smoothed, constants.min_torso_m)


def _fill_skeleton(
    constants: FeatureConstants,
    out: NDArray[np.float64],
    p: NDArray[np.float64],
    v: NDArray[np.float64],
    a: NDArray[np.float64],
    visibility: NDArray[np.float64],
    present: NDArray[np.bool_],
) -> None:
    per_second = constants.tick_hz / constants.velocity_scale
    out[..., 0:3] = p
    out[..., 3:6] = v * per_second
    out[..., 6:9] = a * (constants.alpha * per_second * constants.tick_hz)
    _limit(constants, out)
    # Of a number and NaN, fmax takes the number.
    out[..., 9] = np.minimum(np.fmax(visibility, 0.0), 1.0) * present
    out[..., 10] = present


def _limit(constants: FeatureConstants, out: NDArray[np.float64]) -> None:
    # On so few numbers np.clip spends its time on finding out what they are.
    np.minimum(out, constants.limit, out=out)
    np.maximum(out, -constants.limit, out=out)


def _inertial_of_tick(constants: FeatureConstants, imu: Array, imu_present: NDArray[np.bool_]) -> Array:
    """`_inertial` of one tick: so few numbers are faster one by one than in arrays."""
    limit, force_scale, rate_scale = constants.limit, constants.force_scale, constants.rate_scale
    bands = []
    for values, here in zip(imu.tolist(), imu_present.tolist(), strict=True):
        if not here or not math.isfinite(sum(values)):
            bands.append([0.0] * INERTIAL_CHANNELS)
            continue
        fx, fy, fz, wx, wy, wz = values
        force, rate = math.sqrt(fx * fx + fy * fy + fz * fz), math.sqrt(wx * wx + wy * wy + wz * wz)
        z = constants.gamma * force / constants.force_typical + (1 - constants.gamma) * rate / constants.rate_typical
        u = (fx / force_scale, fy / force_scale, fz / force_scale, wx / rate_scale, wy / rate_scale, wz / rate_scale)
        bands.append([*[limit if v > limit else -limit if v < -limit else v for v in (*u, z)], 1.0])
    return np.array(bands, dtype=np.float32)


def _inertial(constants: FeatureConstants, imu: NDArray[np.floating[Any]], imu_present: NDArray[np.bool_]) -> Array:
    signal = np.asarray(imu, dtype=np.float64)
    present = np.asarray(imu_present, dtype=np.bool_) & np.isfinite(signal).all(axis=-1)
    if not present.all():
        signal = np.where(present[..., None], signal, 0.0)
    out = np.empty((*signal.shape[:-2], N_BANDS, INERTIAL_CHANNELS))
    out[..., 0:3] = signal[..., 0:3] / constants.force_scale
    out[..., 3:6] = signal[..., 3:6] / constants.rate_scale
    sizes = np.sqrt((signal * signal).reshape(*signal.shape[:-1], 2, 3).sum(axis=-1))
    force, rate = sizes[..., 0], sizes[..., 1]
    out[..., 6] = constants.gamma * force / constants.force_typical + (1 - constants.gamma) * rate / constants.rate_typical
    _limit(constants, out[..., :7])
    out[..., 7] = present
    return out.astype(np.float32)
