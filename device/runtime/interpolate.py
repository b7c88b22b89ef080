"""Signals between their samples: poses on the line between two, bands as the mean of an interval.

Each for a whole signal at once, and for one instant with plain numbers, which is quicker; both give the same values.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.messages import NS_PER_S

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


def interpolate(
    at: Times, times: Times, values: Floats, usable: NDArray[np.bool_], max_gap_ns: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """Values at `at` (T, ...) on the line between the neighbours, and where both are usable and near each other.

    Past the last sample it holds, and is present until that one is `max_gap_ns` old.
    """
    if len(times) == 0:
        return np.zeros((len(at), *values.shape[1:])), np.zeros(len(at), dtype=np.bool_)
    left, right, near = _neighbours(at, times, max_gap_ns)
    trailing = (1,) * (values.ndim - 1)
    share = ((at - times[left]) / np.maximum(times[right] - times[left], 1)).reshape(-1, *trailing)
    safe = np.where(usable.reshape(-1, *trailing), values, 0.0)
    # With one neighbour only, left is right, and the share does not count.
    return safe[left] + share * (safe[right] - safe[left]), near & usable[left] & usable[right]


def interpolated(t_ns: int, times: Times, values: Floats, usable: NDArray[np.bool_], max_gap_ns: int) -> Floats | None:
    """`interpolate` at one instant, None where it is not present."""
    at = times.tolist()
    around = _around(t_ns, at, max_gap_ns)
    if around is None or not (usable[around[0]] and usable[around[1]]):
        return None
    left, right = around
    share = (t_ns - at[left]) / max(at[right] - at[left], 1)
    return np.asarray(values[left] + share * (values[right] - values[left]))


def interval_means(
    at: Times, half_ns: int, times: Times, values: NDArray[np.floating[Any]], max_gap_ns: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """Mean over `at` +- `half_ns` of the line through the samples (T, 6), and where the samples around `at` are near.

    The line is held before the first sample, after the last one, and from both sides into a longer gap.
    """
    if len(times) == 0:
        return np.zeros((len(at), 6)), np.zeros(len(at), dtype=np.bool_)
    _, _, near = _neighbours(at, times, max_gap_ns)
    times, line = _held_into_gaps(times, np.asarray(values, dtype=np.float64), max_gap_ns)
    seconds = (times - times[0]) / NS_PER_S
    area = np.zeros_like(line)
    np.cumsum((line[1:] + line[:-1]) * ((seconds[1:] - seconds[:-1]) / 2)[:, None], axis=0, out=area[1:])

    # The line's integral up to both ends of each interval.
    ends = (np.stack([at - half_ns, at + half_ns]) - times[0]) / NS_PER_S
    i = np.maximum(seconds.searchsorted(ends, side="right") - 1, 0)
    j = np.minimum(i + 1, len(times) - 1)
    ahead = ends - seconds[i]
    share = np.where(i < j, np.maximum(ahead, 0.0) / np.maximum(seconds[j] - seconds[i], 1e-9), 0.0)
    up_to = area[i] + ahead[..., None] * (line[i] + share[..., None] / 2 * (line[j] - line[i]))
    return (up_to[1] - up_to[0]) * (NS_PER_S / (2 * half_ns)), near


def interval_mean(t_ns: int, half_ns: int, times: Times, values: Floats, max_gap_ns: int) -> Floats | None:
    """`interval_means` of one instant (6,), times the interval's length, None where the samples around it are not near.

    It is a sum of the samples with weights that only their times give. A handful of plain numbers are faster than the
    same in arrays, and this is where an aligner spends its time.
    """
    start, end = t_ns - half_ns, t_ns + half_ns
    used = min(int(times.searchsorted(end)) + 1, len(times))
    at = times[:used].tolist()
    if _around(t_ns, at, max_gap_ns) is None:
        return None
    weights = [0.0] * used
    weights[0] += max(min(end, at[0]) - start, 0)
    weights[-1] += max(end - max(start, at[-1]), 0)
    first = at[0]
    for i, last in enumerate(at[1:]):
        u, v = first if first > start else start, last if last < end else end
        if u < v:
            if last - first > max_gap_ns:
                # Held from both sides up to the middle.
                middle = (first + last) // 2
                ahead: float = max(v - max(u, middle), 0)
            else:
                ahead = (v - u) * ((u + v) / 2 - first) / (last - first)
            weights[i] += v - u - ahead
            weights[i + 1] += ahead
        first = last
    return np.asarray(np.array(weights) @ values[:used])


def _neighbours(at: Times, times: Times, max_gap_ns: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Indices of the samples before and after each `at`, the same one where only that is known, and whether they are near.

    They are near within `max_gap_ns` of each other; past the end, where the last sample is that near. Before the first, never.
    """
    last = len(times) - 1
    after = times.searchsorted(at, side="left")
    right = np.minimum(after, last)
    left = np.where(times[right] == at, right, np.maximum(after - 1, 0))
    span = np.where(after > last, at, times[right]) - times[left]
    return left, right, (span <= max_gap_ns) & (times[left] <= at)


def _around(t_ns: int, times: list[int], max_gap_ns: int) -> tuple[int, int] | None:
    """`_neighbours` of one instant, None where they are not near."""
    after = bisect_left(times, t_ns)
    if after == len(times):
        return (after - 1, after - 1) if times and t_ns - times[-1] <= max_gap_ns else None
    if times[after] == t_ns:
        return after, after
    return (after - 1, after) if after and times[after] - times[after - 1] <= max_gap_ns else None


def _held_into_gaps(times: Times, values: Floats, max_gap_ns: int) -> tuple[Times, Floats]:
    """The samples, and two more in the middle of each gap that is too long, so that the line steps there."""
    wide = (times[1:] - times[:-1] > max_gap_ns).nonzero()[0]
    if len(wide) == 0:
        return times, values
    middle = (times[wide] + times[wide + 1]) // 2
    where = np.repeat(wide + 1, 2)
    steps = np.stack([values[wide], values[wide + 1]], axis=1).reshape(-1, values.shape[1])
    return np.insert(times, where, np.stack([middle, middle + 1], axis=1).ravel()), np.insert(values, where, steps, axis=0)
