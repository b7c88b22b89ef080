"""How late the bands are against the camera, found while the trainee moves.

Both see the same limb turn: the camera as the direction from elbow to wrist or from knee to ankle, the band as its x axis, which
lies along the limb, in a level frame that gyro and gravity give it. Changes of the one are a linear image of changes of the
other (heading, the camera's tilt, flattened depth), if they are taken at the same time. For each delay the best such image is
fitted, and the logarithm of the determinant of what it leaves is the likelihood of that delay, for noise of unknown size and
shape; so each limb counts as much as its motion tells. Limbs that hardly move say nothing, and the uncertainty shows it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from device.messages import NS_PER_S, ImuBatch, Pose
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
_NEAR = [NODE[name] for name in ("left_elbow", "right_elbow", "left_knee", "right_knee")]
_FAR = [NODE[name] for name in ("left_wrist", "right_wrist", "left_ankle", "right_ankle")]
_AXES_KEPT = 512
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
        self._bands = [_Axis() for _ in range(N_BANDS)]
        self._limbs = [_Limb() for _ in range(N_BANDS)]
        self._poses: deque[_Seen] = deque(maxlen=_POSES_KEPT)
        self._compared = 0
        self._evaluated_ns: int | None = None

    def push(self, message: Pose | ImuBatch) -> None:
        """Take one message; a batch's limb is its `band`, its times are not corrected by the offset."""
        if isinstance(message, ImuBatch):
            if self._bands[message.band].add(message):
                self._limbs[message.band].new_frame()
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
        due_ns = now_ns - _LAGS_NS[-1] - round(0.2 * NS_PER_S)
        for pose in list(self._poses):
            if pose.done or pose.t_ns > due_ns:
                continue
            pose.done = True
            before = min(self._poses, key=lambda p: abs(pose.t_ns - round(SPAN_S * NS_PER_S) - p.t_ns))
            if not 0.5 * SPAN_S < (pose.t_ns - before.t_ns) / NS_PER_S < 1.5 * SPAN_S:
                continue
            self._compare_pair(before, pose)
        if self._evaluated_ns is None or now_ns - self._evaluated_ns >= EVALUATION_S * NS_PER_S:
            elapsed_s = 0.0 if self._evaluated_ns is None else (now_ns - self._evaluated_ns) / NS_PER_S
            self._evaluated_ns = now_ns
            self._evaluate(elapsed_s)

    def _compare_pair(self, before: _Seen, pose: _Seen) -> None:
        previous = max((p.t_ns for p in self._poses if p.t_ns < pose.t_ns), default=before.t_ns)
        weight_s = min((pose.t_ns - previous) / NS_PER_S, SPAN_S)
        for i, (band, limb) in enumerate(zip(self._bands, self._limbs, strict=True)):
            if not (pose.usable[i] and before.usable[i]):
                continue
            felt = band.change(before.t_ns + _LAGS_NS, pose.t_ns + _LAGS_NS)
            if felt is not None:
                limb.add(weight_s, pose.directions[i] - before.directions[i], felt)

    def _evaluate(self, elapsed_s: float) -> None:
        kept = math.exp(-elapsed_s / FORGETTING_S)
        nats = self._prior.copy()
        for limb in self._limbs:
            nats += limb.nats(kept)
        self.estimate = _peak(nats)


@dataclass(slots=True)
class _Seen:
    """Directions (4, 3) of the limbs in one pose, and which of them can be used."""

    t_ns: int
    directions: Floats
    usable: NDArray[np.bool_]
    done: bool = False


class _Axis:
    """One band's x axis in its level frame over the last seconds."""

    def __init__(self) -> None:
        self._times = np.zeros(_AXES_KEPT, np.int64)
        self._axes = np.zeros((_AXES_KEPT, 3))
        self._count = 0
        self._session: int | None = None
        self._quaternion: tuple[float, float, float, float] | None = None
        self._rate = (0.0, 0.0, 0.0)
        self._bias = (0.0, 0.0, 0.0)

    def add(self, batch: ImuBatch) -> bool:
        """Follow the samples of `batch`. Returns whether the level frame is a new one."""
        started = False
        newest = int(self._times[-1]) if self._count else None
        times, values = batch.times_ns.tolist(), batch.values.tolist()
        axes: list[tuple[float, float, float]] = []
        kept: list[int] = []
        for t_ns, (fx, fy, fz, wx, wy, wz) in zip(times, values, strict=True):
            if not math.isfinite(fx + fy + fz + wx + wy + wz) or (newest is not None and t_ns <= newest):
                continue
            dt = (t_ns - newest) / NS_PER_S if newest is not None else math.inf
            if self._quaternion is None or dt > MAX_STEP_S or batch.session != self._session:
                self._quaternion, self._session, self._rate = _levelled(fx, fy, fz), batch.session, (wx, wy, wz)
                self._count, started = 0, True
                axes, kept = [], []
            else:
                self._turn(dt, (fx, fy, fz), (wx, wy, wz))
            newest = t_ns
            kept.append(t_ns)
            axes.append(_x_axis(self._quaternion))
        n = len(kept)
        if n:
            self._times[:-n], self._axes[:-n] = self._times[n:].copy(), self._axes[n:].copy()
            self._times[-n:], self._axes[-n:] = kept, axes
            self._count = min(self._count + n, _AXES_KEPT)
        return started

    def change(self, before_ns: NDArray[np.int64], after_ns: NDArray[np.int64]) -> Floats | None:
        """Change of the axis (n, 3) between two rows of times, None where it was not followed all the time."""
        if self._count < 2:
            return None
        times, axes = self._times[-self._count :], self._axes[-self._count :]
        if before_ns[0] < times[0] or after_ns[-1] > times[-1]:
            return None
        wanted = np.concatenate([before_ns, after_ns])
        right = np.maximum(times.searchsorted(wanted), 1)
        left_ns = times[right - 1]
        share = ((wanted - left_ns) / (times[right] - left_ns))[:, None]
        left = axes[right - 1]
        found = left + share * (axes[right] - left)
        return np.asarray(found[len(before_ns) :] - found[: len(before_ns)])

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


@dataclass(slots=True)
class _Limb:
    """Moments of the changes that camera and band saw of one limb, in this level frame, for every delay; and what earlier frames
    said."""

    seconds: float = 0.0
    seen: Floats = field(default_factory=lambda: np.zeros((3, 3)))
    felt: Floats = field(default_factory=lambda: np.zeros((len(_LAGS), 3, 3)))
    both: Floats = field(default_factory=lambda: np.zeros((len(_LAGS), 3, 3)))
    earlier: Floats = field(default_factory=lambda: np.zeros(len(_LAGS)))

    def add(self, weight_s: float, seen: Floats, felt: Floats) -> None:
        """`seen` (3,), `felt` (delays, 3)."""
        self.seconds += weight_s
        self.seen += weight_s * np.outer(seen, seen)
        self.felt += weight_s * felt[:, :, None] * felt[:, None, :]
        self.both += weight_s * felt[:, :, None] * seen

    def nats(self, kept: float) -> Floats:
        """Log likelihood of each delay; what was before counts `kept` as much from now on."""
        self.earlier *= kept
        if self.seconds >= SEGMENT_S:
            self.new_frame()
        return self.earlier + self._now()

    def new_frame(self) -> None:
        """The level frame is another one: keep what this one said, and begin anew."""
        self.earlier += self._now()
        self.seconds = 0.0
        for moments in (self.seen, self.felt, self.both):
            moments[:] = 0.0

    def _now(self) -> Floats:
        if self.seconds < MIN_SEGMENT_S:
            return np.zeros(len(_LAGS))
        felt = self.felt / self.seconds + FLOOR * np.eye(3)
        both = self.both / self.seconds
        left = self.seen / self.seconds - both.swapaxes(1, 2) @ np.linalg.solve(felt, both) + FLOOR * np.eye(3)
        # Three of the independent samples go into the image itself.
        return np.asarray(-0.5 * max(self.seconds / INDEPENDENT_S - 3, 0.0) * np.linalg.slogdet(left)[1])


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


def _levelled(fx: float, fy: float, fz: float) -> tuple[float, float, float, float]:
    """Quaternion (w, x, y, z) of a frame in which the force points up, by the shortest turn."""
    size = math.sqrt(fx * fx + fy * fy + fz * fz) or 1.0
    x, y, z = fx / size, fy / size, fz / size
    if z < -0.999:
        return (0.0, 1.0, 0.0, 0.0)
    w = math.sqrt((1 + z) / 2)
    return (w, y / (2 * w), -x / (2 * w), 0.0)


def _x_axis(q: tuple[float, float, float, float]) -> tuple[float, float, float]:
    w, x, y, z = q
    return (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))
