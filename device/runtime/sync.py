"""How late the bands are against the camera, found while the trainee moves.

Both see the same limb turn: the camera as the direction from elbow to wrist or from knee to ankle, the band as its x axis, which
lies along the limb, in a level frame that gyro and gravity give it. Changes of the one are a linear image of changes of the
other (heading, the camera's tilt, flattened depth), if they are taken at the same time. For each delay the best such image is
fitted, and the logarithm of the determinant of what it leaves is the likelihood of that delay, for noise of unknown size and
shape; so each limb counts as much as its motion tells. Limbs that hardly move say nothing, and the uncertainty shows it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from device.messages import NS_PER_S, ImuBatch, Pose
from device.runtime.attitude import Quaternion, x_axis
from device.skeleton import N_BANDS, NODE

Floats = NDArray[np.float64]

MAX_OFFSET_S = 0.25
KNOWN_SIGMA_NS = 7_500_000
"""Above this the offset is not known yet."""
RIVAL_NATS = 5.0
"""How much less likely than the best every other offset must be that lies apart from it."""

GRAVITY = 9.80665
LEVELLING_S = 10.0
"""Slower than for posture: what acceleration does to the vertical follows the motion, and would shift it in time."""
FORCE_SPREAD = 1.5
STILL_RATE = 0.06
"""rad/s on each axis; a gyro's own bias is less. Averaging while it moves would shift slow motion in time."""
BIAS_S = 2.0
MAX_STEP_S = 0.1
"""A longer gap between two samples ends a band's attitude: its heading is another one after it."""

SPAN_S = 0.133
"""Time over which a change of direction is taken; the landmarks' errors are slower."""
MIN_VISIBILITY = 0.6
MIN_LIMB_M = 0.05
INDEPENDENT_S = 0.25
"""Time until a landmark's error is a new one."""
FLOOR = 1e-4
"""Variance of a change of direction that is left even by a perfect pose."""
SEGMENT_S = 30.0
"""A gyro's bias turns the level frame; after this long the image is fitted anew."""
MIN_SEGMENT_S = 3.0
FORGETTING_S = 120.0
EVALUATION_S = 0.5
SYSTEMATIC_NS = 2_500_000
"""Of the estimator's own smoothing and of the bands' times, which does not average out."""

_STEP_S = 0.02
_LAGS = np.arange(-round(MAX_OFFSET_S / _STEP_S), round(MAX_OFFSET_S / _STEP_S) + 1) * _STEP_S
_LAGS_NS = np.rint(_LAGS * NS_PER_S).astype(np.int64)
_REACH_NS = int(_LAGS_NS[-1])
_NEAR = [NODE[name] for name in ("left_elbow", "right_elbow", "left_knee", "right_knee")]
_FAR = [NODE[name] for name in ("left_wrist", "right_wrist", "left_ankle", "right_ankle")]
_AXES_KEPT = 512
_FIRST_ROWS = _AXES_KEPT * np.arange(N_BANDS)[:, None]
_NEVER_NS = -(2**62)
_POSES_KEPT = 32


@dataclass(frozen=True, slots=True)
class CameraOffset:
    """`offset_ns`: how late the bands' times are against the camera's; `sigma_ns`: its standard deviation. `known`: whether it is
    to be relied on."""

    offset_ns: int = 0
    sigma_ns: int = round(MAX_OFFSET_S * NS_PER_S)

    @property
    def known(self) -> bool:
        return self.sigma_ns <= KNOWN_SIGMA_NS


UNKNOWN = CameraOffset()


class OffsetCorrection:
    """Takes an offset out of the bands' times. It is taken over so slowly that their samples stay in order."""

    def __init__(self, offset_ns: int = 0) -> None:
        self.target_ns = offset_ns
        self._taken_ns = [offset_ns] * N_BANDS

    def apply(self, batch: ImuBatch) -> ImuBatch:
        """`batch` on the camera's time."""
        if self.target_ns == self._taken_ns[batch.band] == 0:
            return batch
        n = len(batch.times_ns)
        most_ns = int(batch.times_ns[-1] - batch.times_ns[0]) // (2 * n) if n else 0
        missing_ns = self.target_ns - self._taken_ns[batch.band]
        taken_ns = self._taken_ns[batch.band] + max(-most_ns, min(most_ns, missing_ns))
        self._taken_ns[batch.band] = taken_ns
        if taken_ns == 0:
            return batch
        return replace(batch, t_ns=batch.t_ns - taken_ns, times_ns=batch.times_ns - taken_ns)


class CameraSync:
    """Estimates the offset from poses and batches on host time, in constant memory.

    `before`: what was found in earlier sessions on this unit; the estimate begins with it.
    """

    def __init__(self, before: CameraOffset = UNKNOWN) -> None:
        self.estimate = before
        self._prior = _prior(before)
        self._axes = _Axes()
        self._limbs = _Limbs()
        self._poses: deque[_Seen] = deque(maxlen=_POSES_KEPT)
        self._evaluated_ns: int | None = None

    def push(self, message: Pose | ImuBatch) -> None:
        """Take one message; a batch's limb is its `band`, its times are not corrected by the offset."""
        if isinstance(message, ImuBatch):
            if self._axes.add(message):
                self._limbs.new_frame(message.band)
            return
        if not message.present:
            return
        if self._poses and message.t_ns <= self._poses[-1].t_ns:
            return
        limb = message.world[_FAR].astype(np.float64) - message.world[_NEAR]
        length = np.sqrt((limb * limb).sum(-1))
        visible = np.minimum(message.image[_FAR, 3], message.image[_NEAR, 3]) > MIN_VISIBILITY
        usable = visible & (length > MIN_LIMB_M) & np.isfinite(length)
        directions = np.where(usable[:, None], limb / np.maximum(length, MIN_LIMB_M)[:, None], 0.0)
        self._poses.append(_Seen(message.t_ns, directions, usable))
        self._compare(message.t_ns)

    def _compare(self, now_ns: int) -> None:
        """Compare the newest pose for which all delays have been felt by now with the one SPAN_S before it."""
        due_ns = now_ns - _REACH_NS - round(0.2 * NS_PER_S)
        for pose in list(self._poses):
            if pose.done or pose.t_ns > due_ns:
                continue
            pose.done = True
            before = self._nearest(pose.t_ns - round(SPAN_S * NS_PER_S))
            if not 0.5 * SPAN_S < (pose.t_ns - before.t_ns) / NS_PER_S < 1.5 * SPAN_S:
                continue
            self._compare_pair(before, pose)
        if self._evaluated_ns is None or now_ns - self._evaluated_ns >= EVALUATION_S * NS_PER_S:
            elapsed_s = 0.0 if self._evaluated_ns is None else (now_ns - self._evaluated_ns) / NS_PER_S
            self._evaluated_ns = now_ns
            self._evaluate(elapsed_s)

    def _nearest(self, t_ns: int) -> _Seen:
        after = bisect_left(self._poses, t_ns, key=lambda pose: pose.t_ns)
        earlier, later = self._poses[max(after - 1, 0)], self._poses[min(after, len(self._poses) - 1)]
        return later if later.t_ns - t_ns < t_ns - earlier.t_ns else earlier

    def _compare_pair(self, before: _Seen, pose: _Seen) -> None:
        usable = pose.usable & before.usable & self._axes.followed(before.t_ns - _REACH_NS, pose.t_ns + _REACH_NS)
        if not usable.any():
            return
        previous = max((p.t_ns for p in self._poses if p.t_ns < pose.t_ns), default=before.t_ns)
        weight_s = min((pose.t_ns - previous) / NS_PER_S, SPAN_S)
        felt = self._felt_at(pose) - self._felt_at(before)
        self._limbs.add(np.where(usable, weight_s, 0.0), pose.directions - before.directions, felt)

    def _felt_at(self, pose: _Seen) -> Floats:
        """The bands' axes (4, delays, 3) around `pose`; it is the later one of a pair first, and the earlier one after that."""
        if pose.felt is not None:
            return pose.felt
        felt = self._axes.at(pose.t_ns + _LAGS_NS)
        if self._axes.reached(pose.t_ns + _REACH_NS):
            pose.felt = felt
        return felt

    def _evaluate(self, elapsed_s: float) -> None:
        nats = self._prior.copy()
        for of_limb in self._limbs.nats(math.exp(-elapsed_s / FORGETTING_S)):
            nats += of_limb
        self.estimate = _peak(nats)


@dataclass(slots=True)
class _Seen:
    """Directions (4, 3) of the limbs in one pose, and which of them can be used. `felt`: the bands' axes around it."""

    t_ns: int
    directions: Floats
    usable: NDArray[np.bool_]
    done: bool = False
    felt: Floats | None = None


class _Axes:
    """The x axis of each band in its level frame over the last seconds."""

    def __init__(self) -> None:
        # What is not filled yet is older than anything.
        self._times = np.tile(np.arange(-_AXES_KEPT, 0, dtype=np.int64) + _NEVER_NS, (N_BANDS, 1))
        self._axes = np.zeros((N_BANDS, _AXES_KEPT, 3))
        self._bands = [_Axis(self._times[band], self._axes[band]) for band in range(N_BANDS)]

    def add(self, batch: ImuBatch) -> bool:
        """Follow the samples of `batch`. Returns whether the level frame is a new one."""
        return self._bands[batch.band].add(batch)

    def followed(self, first_ns: int, last_ns: int) -> NDArray[np.bool_]:
        """(4,), which bands were followed in one frame all the time."""
        return np.array([band.first_ns <= first_ns and last_ns <= band.newest_ns for band in self._bands])

    def reached(self, t_ns: int) -> bool:
        """Whether every band has samples up to `t_ns`."""
        return all(t_ns <= band.newest_ns for band in self._bands)

    def at(self, times_ns: NDArray[np.int64]) -> Floats:
        """The axes (4, n, 3) at `times_ns` (n,); without meaning where a band was not followed."""
        rows = [times[1:-1].searchsorted(times_ns) + 1 for times in self._times]
        right = np.array(rows) + _FIRST_ROWS
        left = right - 1
        times, axes = self._times.ravel(), self._axes.reshape(-1, 3)
        left_ns, left_axes = times[left], axes[left]
        share = (times_ns - left_ns) / (times[right] - left_ns)
        return np.asarray(left_axes + share[..., None] * (axes[right] - left_axes))


class _Axis:
    """One band's part of `_Axes`. `times` (n,), `axes` (n, 3): where its newest samples are kept. `first_ns`, `newest_ns`: since
    when it was followed in this frame, and up to when."""

    def __init__(self, times: NDArray[np.int64], axes: Floats) -> None:
        self.first_ns = self.newest_ns = _NEVER_NS
        self._times = times
        self._axes = axes
        self._count = 0
        self._session: int | None = None
        self._quaternion: Quaternion | None = None
        self._rate = (0.0, 0.0, 0.0)
        self._bias = (0.0, 0.0, 0.0)

    def add(self, batch: ImuBatch) -> bool:
        """Follow the samples of `batch`. Returns whether the level frame is a new one."""
        started, newest_ns = False, self.newest_ns
        axes: list[tuple[float, float, float]] = []
        kept: list[int] = []
        for t_ns, (fx, fy, fz, wx, wy, wz) in zip(batch.times_ns.tolist(), batch.values.tolist(), strict=True):
            if not math.isfinite(fx + fy + fz + wx + wy + wz) or t_ns <= newest_ns:
                continue
            dt = (t_ns - newest_ns) / NS_PER_S
            if self._quaternion is None or dt > MAX_STEP_S or batch.session != self._session:
                self._quaternion, self._session, self._rate = _levelled(fx, fy, fz), batch.session, (wx, wy, wz)
                self._count, started = 0, True
                axes, kept = [], []
            else:
                self._turn(dt, (fx, fy, fz), (wx, wy, wz))
            newest_ns = t_ns
            kept.append(t_ns)
            axes.append(x_axis(self._quaternion))
        n = len(kept)
        if n:
            self._times[:-n], self._axes[:-n] = self._times[n:].copy(), self._axes[n:].copy()
            self._times[-n:], self._axes[-n:] = kept, axes
            self._count = min(self._count + n, _AXES_KEPT)
            self.first_ns, self.newest_ns = int(self._times[-self._count]), newest_ns
        return started

    def _turn(self, dt: float, force: tuple[float, float, float], rate: tuple[float, float, float]) -> None:
        """Next sample: turn by the mean rate since the last one, and lean towards gravity (complementary filter, Mahony et al.,
        2008, section IV-B)."""
        assert self._quaternion is not None
        # 400 times a second: written out, this is three times as fast as in loops.
        w, x, y, z = self._quaternion
        (rx, ry, rz), (sx, sy, sz), (bx, by, bz) = rate, self._rate, self._bias
        tx, ty, tz = (0.5 * (rx + sx) - bx) * dt, (0.5 * (ry + sy) - by) * dt, (0.5 * (rz + sz) - bz) * dt
        if -STILL_RATE < rx < STILL_RATE and -STILL_RATE < ry < STILL_RATE and -STILL_RATE < rz < STILL_RATE:
            gain = dt / BIAS_S
            self._bias = (bx + (rx - bx) * gain, by + (ry - by) * gain, bz + (rz - bz) * gain)
        self._rate = rate
        fx, fy, fz = force
        size = math.sqrt(fx * fx + fy * fy + fz * fz)
        if size > 0.0:
            lean = math.exp(-(((size - GRAVITY) / FORCE_SPREAD) ** 2)) * dt / (LEVELLING_S * size)
            # Up in the band's axes, and its cross product with the force.
            ux, uy, uz = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)
            tx += lean * (fy * uz - fz * uy)
            ty += lean * (fz * ux - fx * uz)
            tz += lean * (fx * uy - fy * ux)
        a, b, c = 0.5 * tx, 0.5 * ty, 0.5 * tz
        d = 1 - 0.5 * (a * a + b * b + c * c)
        w, x, y, z = (
            w * d - x * a - y * b - z * c,
            w * a + x * d + y * c - z * b,
            w * b - x * c + y * d + z * a,
            w * c + x * b - y * a + z * d,
        )
        norm = 1 / math.sqrt(w * w + x * x + y * y + z * z)
        self._quaternion = (w * norm, x * norm, y * norm, z * norm)


class _Limbs:
    """Moments of the changes that camera and band saw of each limb, in this level frame, for every delay; and what earlier
    frames said."""

    def __init__(self) -> None:
        self._seconds = np.zeros(N_BANDS)
        self._seen = np.zeros((N_BANDS, 3, 3))
        self._felt = np.zeros((N_BANDS, len(_LAGS), 3, 3))
        self._both = np.zeros((N_BANDS, len(_LAGS), 3, 3))
        self._earlier = np.zeros((N_BANDS, len(_LAGS)))

    def add(self, weights_s: Floats, seen: Floats, felt: Floats) -> None:
        """`weights_s` (4,), 0 for a limb that is left out, `seen` (4, 3), `felt` (4, delays, 3)."""
        weighted = (weights_s[:, None, None] * felt)[..., None]
        self._seconds += weights_s
        self._seen += weights_s[:, None, None] * (seen[:, :, None] * seen[:, None, :])
        self._felt += weighted * felt[:, :, None, :]
        self._both += weighted * seen[:, None, None, :]

    def nats(self, kept: float) -> Floats:
        """Log likelihood (4, delays) that each limb gives each delay; what was before counts `kept` as much from now on."""
        self._earlier *= kept
        found = self._earlier + self._now()
        for limb in (self._seconds >= SEGMENT_S).nonzero()[0]:
            self.new_frame(limb)
        return found

    def new_frame(self, limb: int) -> None:
        """The level frame is another one: keep what this one said, and begin anew."""
        self._earlier[limb] += self._now()[limb]
        self._seconds[limb] = 0.0
        for moments in (self._seen, self._felt, self._both):
            moments[limb] = 0.0

    def _now(self) -> Floats:
        nats = np.zeros((N_BANDS, len(_LAGS)))
        known = self._seconds >= MIN_SEGMENT_S
        if not known.any():
            return nats
        seconds = self._seconds[known][:, None, None, None]
        felt = self._felt[known] / seconds + FLOOR * np.eye(3)
        both = self._both[known] / seconds
        seen = self._seen[known][:, None] / seconds
        left = seen - both.swapaxes(2, 3) @ _inverse(felt) @ both + FLOOR * np.eye(3)
        # Three of the independent samples go into the image itself.
        samples = np.maximum(seconds[..., 0, 0] / INDEPENDENT_S - 3, 0.0)
        nats[known] = -0.5 * samples * np.log(_determinant(left))
        return nats


def _inverse(symmetric: Floats) -> Floats:
    """Of symmetric matrices (..., 3, 3). A hundred small ones take LAPACK several times as long as their cofactors take."""
    (a, b, c), (_, d, e), (_, _, f) = np.moveaxis(symmetric, (-2, -1), (0, 1))
    x, y, z = d * f - e * e, c * e - b * f, b * e - c * d
    p, q, r = a * f - c * c, b * c - a * e, a * d - b * b
    cofactors = np.array([[x, y, z], [y, p, q], [z, q, r]])
    return np.moveaxis(cofactors / (a * x + b * y + c * z), (0, 1), (-2, -1))


def _determinant(symmetric: Floats) -> Floats:
    """Of symmetric matrices (..., 3, 3)."""
    (a, b, c), (_, d, e), (_, _, f) = np.moveaxis(symmetric, (-2, -1), (0, 1))
    return np.asarray(a * (d * f - e * e) + b * (c * e - b * f) + c * (b * e - c * d))


def _prior(before: CameraOffset) -> Floats:
    return np.asarray(-0.5 * ((_LAGS_NS - before.offset_ns) / before.sigma_ns) ** 2)


def _peak(nats: Floats) -> CameraOffset:
    """The likeliest delay between the grid's, and its standard deviation from how sharp the peak is."""
    k = int(nats.argmax())
    apart = np.abs(np.arange(len(nats)) - k) > 2
    if not 0 < k < len(nats) - 1 or nats[apart].max() > nats[k] - RIVAL_NATS:
        return UNKNOWN
    left, top, right = nats[k - 1 : k + 2]
    bend = 2 * top - left - right
    if bend <= 0:
        return UNKNOWN
    offset_s = _LAGS[k] + 0.5 * _STEP_S * (right - left) / bend
    sigma_ns = math.hypot(_STEP_S * NS_PER_S / math.sqrt(bend), SYSTEMATIC_NS)
    return CameraOffset(round(offset_s * NS_PER_S), min(round(sigma_ns), UNKNOWN.sigma_ns))


def _levelled(fx: float, fy: float, fz: float) -> Quaternion:
    """Of a frame in which the force points up, by the shortest turn."""
    size = math.sqrt(fx * fx + fy * fy + fz * fz) or 1.0
    x, y, z = fx / size, fy / size, fz / size
    if z < -0.999:
        return (0.0, 1.0, 0.0, 0.0)
    w = math.sqrt((1 + z) / 2)
    return (w, y / (2 * w), -x / (2 * w), 0.0)
