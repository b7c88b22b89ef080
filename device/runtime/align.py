"""Alignment of poses and bands onto one grid of ticks.

`Aligner` does it as messages come in (the appliance), `resample` for whole signals (training); on complete signals both
give the same values, because both go through the same interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from device.config import SignalsConfig
from device.messages import NS_PER_S, Array, ImuBatch, Pose, Tick
from device.runtime.interpolate import Floats, Times, interpolate, interpolated, interval_mean, interval_means
from device.skeleton import N_BANDS, N_NODES

MAX_ASTRAY_NS = 10 * NS_PER_S
"""A sample further ahead of the newest `now`, or further before the start, is a broken clock, not a measurement."""
POSES_KEPT = 256
SAMPLES_KEPT = 2048
"""Bounds of the buffers: 17 s of poses at 15 Hz and 10 s of a band at 200 Hz, should nobody ask for ticks."""


class Aligned(NamedTuple):
    """Signals on the grid, in the order that `features.node_features` takes them.

    `world` (T, 33, 3) m, `visibility` (T, 33), `pose_present` (T,), `imu` (T, 4, 6), `imu_present` (T, 4).
    """

    world: Array
    visibility: Array
    pose_present: NDArray[np.bool_]
    imu: Array
    imu_present: NDArray[np.bool_]


class PoseTrack(NamedTuple):
    """Poses of a whole signal: `times_ns` (n,) increasing, `world` (n, 33, 3), `visibility` (n, 33), `present` (n,)."""

    times_ns: Times
    world: NDArray[np.floating[Any]]
    visibility: NDArray[np.floating[Any]]
    present: NDArray[np.bool_]


class ImuTrack(NamedTuple):
    """One band's whole signal on host time: `times_ns` (n,) increasing, `values` (n, 6)."""

    times_ns: Times
    values: NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Grid:
    """Ticks at `start_ns` + k / `tick_hz`, each rounded to the nanosecond by itself, so that nothing drifts."""

    start_ns: int
    tick_hz: float

    def time_ns(self, k: int) -> int:
        """Host time of tick `k`."""
        ticks, seconds = _ratio(self.tick_hz)
        return self.start_ns + (2 * k * NS_PER_S * seconds + ticks) // (2 * ticks)

    def times_ns(self, count: int) -> Times:
        """Host times of the first `count` ticks."""
        return np.array([self.time_ns(k) for k in range(count)], dtype=np.int64)

    @property
    def half_ns(self) -> int:
        """Half a tick period."""
        return round(NS_PER_S / self.tick_hz / 2)


@dataclass(slots=True)
class AlignerCounters:
    """What was dropped, in samples, and how many ticks did not wait for a source that still delivers."""

    duplicate: int = 0
    out_of_order: int = 0
    future: int = 0
    not_finite: int = 0
    overflow: int = 0
    overdue_ticks: int = 0


def resample(
    signals: SignalsConfig, start_ns: int, count: int, pose: PoseTrack | None, imu: Sequence[ImuTrack | None]
) -> Aligned:
    """Whole signals on the first `count` ticks from `start_ns`; `imu` has one entry a band, None where there is none.

    Equals what `Aligner` gives for the same signals when none of them is late.
    """
    grid = Grid(start_ns, signals.tick_hz)
    times = grid.times_ns(count)
    max_gap_ns = _ns(signals.max_gap_ms)
    pose_values, pose_present = np.zeros((count, N_NODES, 4)), np.zeros(count, dtype=np.bool_)
    if pose is not None:
        values = np.concatenate([pose.world, np.asarray(pose.visibility)[..., None]], axis=-1).astype(np.float64)
        usable = np.asarray(pose.present, dtype=np.bool_) & np.isfinite(values).all(axis=(1, 2))
        pose_values, pose_present = interpolate(times, pose.times_ns, values, usable, max_gap_ns)
        _hold(pose_values, pose_present)
    smoothed, imu_present = np.zeros((count, N_BANDS, 6)), np.zeros((count, N_BANDS), dtype=np.bool_)
    for band, track in enumerate(imu):
        if track is None:
            continue
        means, imu_present[:, band] = interval_means(times, grid.half_ns, *track, max_gap_ns)
        for k in range(count):
            before = max(k - 1, 0)
            if not imu_present[k, band]:
                smoothed[k, band] = smoothed[before, band]
            elif k == 0 or not imu_present[before, band]:
                smoothed[k, band] = means[k]
            else:
                smoothed[k, band] = _smooth(signals.imu_smoothing, smoothed[before, band], means[k])
    return Aligned(
        pose_values[..., :3].astype(np.float32),
        pose_values[..., 3].astype(np.float32),
        pose_present,
        smoothed.astype(np.float32),
        imu_present,
    )


class Aligner:
    """Turns messages on host time into ticks, as soon as they are complete.

    A pose is interpolated linearly between its neighbours. A band is averaged over the tick period around the tick, on the
    line through its samples: interpolating 100 Hz at 30 Hz would fold everything between 15 and 50 Hz (impacts, tremor) into
    the motion, the mean suppresses it, and being centred it moves nothing in time. Then comes the smoothing of eq. 10.

    A tick waits for every live source (it delivered within the longer of `max_wait_ms` and `max_gap_ms`), at most
    `max_wait_ms`; where no source is live it waits that long too, for one may start. After that the last value is held, and
    counts as present until it is `max_gap_ms` old.
    """

    def __init__(self, signals: SignalsConfig, start_ns: int) -> None:
        self.counters = AlignerCounters()
        self._signals = signals
        self._grid = Grid(start_ns, signals.tick_hz)
        self._max_wait_ns = _ns(signals.max_wait_ms)
        self._max_gap_ns = _ns(signals.max_gap_ms)
        self._now_ns = start_ns
        self._k = 0
        self._next_ns = start_ns
        self._patience_ns = max(self._max_wait_ns, self._max_gap_ns)
        self._poses = _Buffer((N_NODES, 4), POSES_KEPT, start_ns - MAX_ASTRAY_NS)
        self._bands = [_Buffer((6,), SAMPLES_KEPT, start_ns - MAX_ASTRAY_NS) for _ in range(N_BANDS)]
        self._packets: list[tuple[int, int] | None] = [None] * N_BANDS
        self._pose = np.zeros((N_NODES, 4))
        self._imu = np.zeros((N_BANDS, 6))
        self._felt: NDArray[np.bool_] = np.zeros(N_BANDS, dtype=np.bool_)

    def push(self, message: Pose | ImuBatch) -> None:
        """Take one message on host time. Late, repeated, broken and far-future samples are dropped and counted."""
        if isinstance(message, Pose):
            values = np.concatenate([message.world, message.image[:, 3:4]], axis=1).astype(np.float64)[None]
            usable = np.array([message.present and bool(np.isfinite(values).all())])
            self._append(self._poses, np.array([message.t_ns], dtype=np.int64), values, usable)
            return
        times, values = message.times_ns, np.asarray(message.values, dtype=np.float64)
        times, values = self._without_repeats(message, times, values)
        numbers = np.isfinite(values)
        if not numbers.all():
            finite = numbers.all(axis=1)
            self.counters.not_finite += int((~finite).sum())
            times, values = times[finite], values[finite]
        self._append(self._bands[message.band], times, values, np.ones(len(times), dtype=np.bool_))

    def ticks(self, now_ns: int) -> list[Tick]:
        """Ticks that are complete or overdue at `now_ns`, in order, each one once."""
        self._now_ns = max(self._now_ns, now_ns)
        for buffer in (self._poses, *self._bands):
            if buffer.fresh:
                buffer.fresh, buffer.delivered_ns = False, self._now_ns
        if self._next_ns > self._now_ns:
            return []
        waited_for = [
            (buffer, reach)
            for buffer, reach in [(self._poses, 0), *((band, self._grid.half_ns) for band in self._bands)]
            if buffer.delivered_ns is not None and self._now_ns - buffer.delivered_ns <= self._patience_ns
        ]
        done: list[Tick] = []
        while (t_ns := self._next_ns) <= self._now_ns:
            behind = any(buffer.newest_ns < t_ns + reach for buffer, reach in waited_for)
            if (behind or not waited_for) and self._now_ns < t_ns + self._max_wait_ns:
                break
            self.counters.overdue_ticks += behind
            done.append(self._tick(t_ns))
            self._k += 1
            self._next_ns = self._grid.time_ns(self._k)
        return done

    def _tick(self, t_ns: int) -> Tick:
        self._poses.drop_before(t_ns)
        pose = interpolated(t_ns, *self._poses.content(), self._max_gap_ns)
        if pose is not None:
            self._pose = pose
        imu_present = self._feel(t_ns)
        return Tick(
            t_ns=t_ns,
            seq=self._k,
            world=self._pose[:, :3].astype(np.float32),
            visibility=self._pose[:, 3].astype(np.float32),
            pose_present=pose is not None,
            imu=self._imu.astype(np.float32),
            imu_present=imu_present,
        )

    def _feel(self, t_ns: int) -> NDArray[np.bool_]:
        """Take the bands' means around `t_ns` into what is smoothed. Returns (4,), where there are any."""
        half_ns = self._grid.half_ns
        means = np.zeros((N_BANDS, 6))
        present = np.zeros(N_BANDS, dtype=np.bool_)
        for i, buffer in enumerate(self._bands):
            buffer.drop_before(t_ns - half_ns)
            times, values, _ = buffer.content()
            mean = interval_mean(t_ns, half_ns, times, values, self._max_gap_ns)
            if mean is not None:
                means[i], present[i] = mean, True
        means /= 2 * half_ns
        smooth = _smooth(self._signals.imu_smoothing, self._imu, means)
        if not (self._felt & present).all():
            smooth = np.where(present[:, None], np.where(self._felt[:, None], smooth, means), self._imu)
        self._imu = smooth
        self._felt = present
        return present

    def _without_repeats(self, batch: ImuBatch, times: Times, values: Floats) -> tuple[Times, Floats]:
        last = self._packets[batch.band]
        repeated = 0
        if last is not None and last[0] == batch.session:
            repeated = min(max(last[1] - batch.seq, 0), len(times))
            self.counters.duplicate += repeated
        if repeated < len(times):
            self._packets[batch.band] = (batch.session, batch.seq + len(times))
        return times[repeated:], values[repeated:]

    def _append(self, buffer: _Buffer, times: Times, values: Floats, usable: NDArray[np.bool_]) -> None:
        # A packet's few times are compared faster one by one than in an array.
        at = times.tolist()
        ordered = len(at) > 0 and at[0] > buffer.newest_ns and all(a < b for a, b in pairwise(at))
        if ordered and at[-1] <= self._now_ns + MAX_ASTRAY_NS:
            self.counters.overflow += buffer.append(times, values, usable)
            return
        near = times <= self._now_ns + MAX_ASTRAY_NS
        newest = np.maximum.accumulate(np.concatenate([[buffer.newest_ns], np.where(near, times, buffer.newest_ns)]))
        in_order = times > newest[:-1]
        self.counters.future += int((~near).sum())
        self.counters.out_of_order += int((near & ~in_order).sum())
        keep = near & in_order
        if keep.any():
            self.counters.overflow += buffer.append(times[keep], values[keep], usable[keep])


@dataclass(slots=True)
class _Buffer:
    """The newest samples of one source, oldest first, in arrays that never grow."""

    shape: tuple[int, ...]
    capacity: int
    newest_ns: int
    first: int = 0
    end: int = 0
    fresh: bool = False
    delivered_ns: int | None = None
    times: Times = field(init=False)
    values: Floats = field(init=False)
    usable: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.times = np.zeros(self.capacity, dtype=np.int64)
        self.values = np.zeros((self.capacity, *self.shape))
        self.usable = np.zeros(self.capacity, dtype=np.bool_)

    def append(self, times: Times, values: Floats, usable: NDArray[np.bool_]) -> int:
        """Add samples newer than all before; returns how many old ones had to go."""
        n = min(len(times), self.capacity)
        lost = max(self.end - self.first + len(times) - self.capacity, 0)
        self.first = min(self.first + lost, self.end)
        if self.end + n > self.capacity:
            kept = slice(self.first, self.end)
            count = self.end - self.first
            for array in (self.times, self.values, self.usable):
                array[:count] = array[kept].copy()
            self.first, self.end = 0, count
        here = slice(self.end, self.end + n)
        self.times[here], self.values[here], self.usable[here] = times[-n:], values[-n:], usable[-n:]
        self.end += n
        self.newest_ns = int(times[-1])
        self.fresh = True
        return lost

    def drop_before(self, t_ns: int) -> None:
        """Forget all samples but the last one at or before `t_ns` and those after it."""
        older = int(self.times[self.first : self.end].searchsorted(t_ns, side="right"))
        self.first += max(older - 1, 0)

    def content(self) -> tuple[Times, Floats, NDArray[np.bool_]]:
        """Views of times, values and usability."""
        kept = slice(self.first, self.end)
        return self.times[kept], self.values[kept], self.usable[kept]


def _smooth(newest: float, previous: Floats, value: Floats) -> Floats:
    """Eq. 10. After a gap nothing is smoothed: what was before it says nothing of now."""
    return newest * value + (1 - newest) * previous


def _hold(values: Floats, present: NDArray[np.bool_]) -> None:
    """Where absent, put the last present value in place; zeros before the first."""
    last = np.maximum.accumulate(np.where(present, np.arange(len(present)), -1))
    values[:] = np.where((last >= 0).reshape(-1, *[1] * (values.ndim - 1)), values[np.maximum(last, 0)], 0.0)


@lru_cache(maxsize=8)
def _ratio(rate_hz: float) -> tuple[int, int]:
    return Fraction(rate_hz).limit_denominator(1000).as_integer_ratio()


def _ns(milliseconds: float) -> int:
    return round(milliseconds * 1e6)
