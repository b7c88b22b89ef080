"""The coach watches a clip, exactly as it would live: the shipped int8 model on the device's runtime, tick by tick."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.config import Config
from device.messages import EXERCISES, NS_PER_S, Advanced, Repetition, Sensed
from device.report.log import LogBook, SessionLog
from device.runtime.bundle import Bundle
from device.runtime.core import Core
from device.runtime.deviation import RepetitionMeter, Sample, Standards
from device.runtime.live import build_core, repeat
from device.runtime.session import Session
from device.skeleton import joint_angles
from export.datasets.clip import Clip, Truth, played

NONE = "none"
FAST_JOINT, FAST_BAND = math.radians(30.0), 0.5
"""Angular rate (rad/s) of the fastest joint, or of the fastest band, from which a person moves."""
MOVING_S = 0.5
MIN_MOVING_TICKS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the coach made of one clip.

    `part`: which modalities it had. `ticks`: (n,) class indices at `times_ns` (n,), with `phase` (n,), `rest` (n,) probability
    and `moving` (n,), whether the person moved. `counted`: its repetitions. `worst_rad`: (R,) largest deviation of each true
    repetition from the standard of the true exercise; NaN where there is none.
    """

    source: str
    name: str
    subject: str
    part: str
    seconds: float
    start_ns: int
    truth: Truth
    times_ns: NDArray[np.int64]
    ticks: NDArray[np.int64]
    phase: NDArray[np.float64]
    moving: NDArray[np.bool_]
    counted: tuple[Repetition, ...]
    worst_rad: NDArray[np.float64]

    @property
    def exercise(self) -> str:
        """What it was taken for: the class of most of the time in which the person moved."""
        return EXERCISES[int(np.bincount(self.ticks[self.moving], minlength=len(EXERCISES)).argmax())]

    @property
    def share(self) -> float:
        """Share of the moving time that was taken for the true exercise; NaN where that is open."""
        if self.truth.exercise is None:
            return math.nan
        return float((self.ticks[self.moving] == EXERCISES.index(self.truth.exercise)).mean())

    def count(self, exercise: str) -> int:
        """Repetitions of `exercise` that were counted."""
        return sum(repetition.exercise == exercise for repetition in self.counted)

    @property
    def has_count(self) -> bool:
        """Whether it is an exercise of ours whose repetitions are known."""
        return self.truth.exercise not in (None, NONE) and self.truth.count is not None

    @property
    def count_error(self) -> int:
        """Counted less true repetitions; those taken for another exercise err as well, whatever the sign of the rest."""
        assert self.truth.exercise is not None
        assert self.truth.count is not None
        right = self.count(self.truth.exercise)
        others = len(self.counted) - right
        wrong = right - self.truth.count
        return abs(wrong) + others if others else wrong


def watch(clip: Clip, config: Config, bundle: Bundle, part: str) -> Seen:
    """Play `clip` to a coach that knows nothing of it. Raises BundleError, ExerciseError."""
    core, log = streamed(clip, config, bundle)
    order = np.array([EXERCISES.index(name) for name in core.classes])
    standard = next((Standards(e) for e in core.exercises.values() if e.model_class == clip.truth.exercise), None)
    worst = [_worst(log, standard, int(start), int(end)) for start, end in clip.truth.repetitions]
    return Seen(
        clip.source, clip.name, clip.subject, part, clip.seconds, clip.start_ns, clip.truth, log.times_ns, order[log.exercise],
        log.phase, moving(clip, log.times_ns), log.repetitions, np.array(worst, dtype=np.float64),
    )  # fmt: skip


def streamed(clip: Clip, config: Config, bundle: Bundle) -> tuple[Core, SessionLog]:
    """A core that played `clip` from a cold start as it would live, and all that it said. Raises BundleError, ExerciseError."""
    core = build_core(config, clip.start_ns, bundle=bundle)
    book = LogBook(core.classes, clip.start_ns)
    session = Session(core, [book])
    for _ in repeat(session, live_events(clip, config.signals.tick_hz)):
        pass
    session.close(clip.end_ns)
    return core, book.log()


def live_events(clip: Clip, tick_hz: float) -> Iterator[Sensed | Advanced]:
    """The clip, with the core working once in a tick, as a live session makes it work."""
    period_ns = round(NS_PER_S / tick_hz)
    due_ns = clip.start_ns
    for message in played(clip):
        while message.t_ns > due_ns:
            yield Advanced(due_ns)
            due_ns += period_ns
        yield message
    yield Advanced(clip.end_ns)


def moving(clip: Clip, times_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether the person moved at `times_ns`: within repetitions where those are known, else by joints and bands.

    Where nobody moves for ten ticks, all of them count.
    """
    spans = clip.truth.repetitions
    if len(spans):
        inside = ((times_ns[:, None] >= spans[:, 0]) & (times_ns[:, None] <= spans[:, 1])).any(axis=1)
        return inside if inside.sum() >= MIN_MOVING_TICKS else np.ones(len(times_ns), dtype=np.bool_)
    fast = np.zeros(len(times_ns), dtype=np.bool_)
    if clip.landmarks is not None:
        found = np.isfinite(clip.landmarks).all(axis=(1, 2))
        angles = np.unwrap(joint_angles(clip.landmarks[found, :, :3]), axis=0)
        at = np.stack([np.interp(times_ns, clip.pose_ns[found], column) for column in angles.T], axis=1)
        width = max(round(MOVING_S * NS_PER_S / max(float(np.median(np.diff(times_ns))), 1.0)), 1)
        ahead, behind = np.roll(at, -(width // 2), axis=0), np.roll(at, width // 2, axis=0)
        fast |= np.abs(ahead - behind).max(axis=1) > FAST_JOINT * MOVING_S
    if clip.imu is not None:
        rate = np.linalg.norm(np.nan_to_num(clip.imu[..., 3:]), axis=-1).max(axis=1)
        width = max(round(MOVING_S * clip.imu_hz), 1)
        smooth = np.convolve(rate, np.ones(width) / width, mode="same")
        fast |= np.interp(times_ns, clip.imu_ns, smooth) > FAST_BAND
    return fast if fast.sum() >= MIN_MOVING_TICKS else np.ones(len(times_ns), dtype=np.bool_)


def _worst(log: SessionLog, standard: Standards | None, start_ns: int, end_ns: int) -> float:
    """Largest deviation (rad) between two times, as the coach would state it for one repetition; NaN where there is none."""
    if standard is None:
        return math.nan
    meter = RepetitionMeter(standard)
    for i in np.flatnonzero(log.within(start_ns, end_ns)):
        meter.add(Sample(int(log.times_ns[i]), float(log.phase[i]), log.refined[i], log.sigma[i]))
    worst = meter.worst()
    return abs(worst[0].deviation_rad) if worst else 0.0
