"""Sequences to learn from: signals on the tick grid with the truth beside them, made from virtual trainees.

`emulated` sequences draw the pose estimator's errors from `LandmarkNoise`, `rendered` ones hold what it really found.
Both go through `align.resample` and `features.node_features`, as on the appliance. `Sampler` draws batches and
augments them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from device.config import SignalsConfig
from device.messages import EXERCISES, NS_PER_S, Stage
from device.runtime.align import Aligned, ImuTrack, PoseTrack, resample
from device.runtime.features import FeatureConstants, node_features
from device.sim import script
from device.sim.bands import true_imu
from device.sim.trainee import VirtualTrainee
from device.skeleton import N_BANDS, N_JOINTS, N_NODES, as_read
from export.augment import augmented, cut_off, spoiled
from export.clips import Clip, clip_plan, clip_scene
from export.landmark_noise import LandmarkNoise, Observed, true_pose
from export.seeds import ANY_MANNER, EVERYDAY, FREE, LIVELY, LIVELY_OTHERS, OTHERS

IMU_HZ = 100.0
MAX_ASYNCHRONY_S = 0.03
"""What may be left between camera and bands after alignment."""
CHUNK = 4
"""Sessions that a process makes in one go."""
NO_POSES = PoseTrack(np.zeros(0, np.int64), np.zeros((0, N_NODES, 3)), np.zeros((0, N_NODES)), np.zeros(0, np.bool_))
POSE_RATES_HZ = (10.0, 12.0, 15.0, 15.0, 15.0, 20.0, 30.0)


NONE = EXERCISES.index("none")
WITHOUT_LEGS = {"bicep_curl", "none"}
"""Those that are what they are with legs that nobody sees."""
ARM_EXERCISES = ("bicep_curl", "push_up")
"""Those that the arms do; with still arms nothing is left of them."""


class Labels(NamedTuple):
    """Truth on the ticks: `exercise`, `stage` (T,) indices, `phase` (T,) 0..1, `angles` (T, 12) rad, in (-pi/2, 3 pi/2].

    `deviation`: (T, 12) rad, true angle less the standard movement's; 0 outside repetitions. `clear`: (T,) whether anybody could
    say which exercise it is; whoever lies down begins as if to squat.
    """

    exercise: NDArray[np.int64]
    stage: NDArray[np.int64]
    phase: NDArray[np.float32]
    angles: NDArray[np.float32]
    deviation: NDArray[np.float32]
    clear: NDArray[np.bool_]

    def at(self, index: Any) -> Labels:
        """The labels of some ticks: each array indexed by `index`."""
        return Labels(*(label[index] for label in self))


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One session: its signals on the tick grid and the truth."""

    signals: Aligned
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels.stage)


class Batch(NamedTuple):
    """`skeleton` (B, T, 33, 11), `inertial` (B, T, 4, 8) float32 and the labels with leading (B, T)."""

    skeleton: NDArray[np.float32]
    inertial: NDArray[np.float32]
    labels: Labels


def emulated(seed: int, noise: LandmarkNoise | None, signals: SignalsConfig) -> Session:
    """A session over all exercises, seen by the emulated estimator from a drawn place at a drawn rate; without its `noise`
    nobody sees it. Those of `ANY_MANNER` are done as anybody might do them, those of `LIVELY` and `FREE` in such manners, and in
    those of `OTHERS`, `LIVELY_OTHERS` and `EVERYDAY` something else is done."""
    rng = np.random.default_rng((seed, 5))
    variety = float(rng.integers(2))
    others = next((people for seeds, people in _OTHERS if seed in seeds), None)
    if others:
        plan = script.plan_others(seed, others)
    else:
        people = next((people for seeds, people in _IN_MANNERS if seed in seeds), None)
        plan = script.plan_session(seed, variety=variety, people=people)
    trainee = VirtualTrainee(seed, plan, deaf=True)
    return _session(seed, trainee, NO_POSES if noise is None else _poses(seed, rng, trainee, noise), signals)


_IN_MANNERS = ((ANY_MANNER, script.ANYBODY), (LIVELY, script.LIVELY), (FREE, script.FREE))
_OTHERS = ((OTHERS, script.ANYBODY), (LIVELY_OTHERS, script.LIVELY), (EVERYDAY, script.FREE))


def _poses(seed: int, rng: np.random.Generator, trainee: VirtualTrainee, noise: LandmarkNoise) -> PoseTrack:
    period = 1 / rng.choice(POSE_RATES_HZ)
    seconds = np.arange(rng.uniform(0, period), trainee.duration_ns / NS_PER_S, period)
    times = np.round(seconds * NS_PER_S).astype(np.int64)
    truth = trainee.track(times)
    pose, velocity = true_pose(truth.landmarks, clip_scene(seed).camera.rotation, seconds)
    share = float(rng.uniform()) if seed in FREE or seed in EVERYDAY else 1.0
    world, visibility, present = noise.emulate(rng, seconds, pose, velocity, truth.exercise, share)
    return PoseTrack(times, world, visibility, present)


def emulated_sessions(
    seeds: range, noise: LandmarkNoise | None, signals: SignalsConfig, *, processes: int
) -> Iterator[list[Session]]:
    """The sessions of `seeds` in their order, some at a time, made by so many processes."""
    chunks = [seeds[i : i + CHUNK] for i in range(0, len(seeds), CHUNK)]
    if processes == 1:
        yield from (_chunk(chunk, noise, signals) for chunk in chunks)
        return
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        waiting = [pool.submit(_chunk, chunk, noise, signals) for chunk in chunks]
        yield from (done.result() for done in waiting)


def _chunk(seeds: range, noise: LandmarkNoise | None, signals: SignalsConfig) -> list[Session]:
    return [emulated(seed, noise, signals) for seed in seeds]


def rendered(clip: Clip, signals: SignalsConfig) -> Session:
    """The session of a rendered clip."""
    return _session(clip.seed, VirtualTrainee(clip.seed, clip_plan(clip.seed), deaf=True), clip.poses, signals)


def observed(clip: Clip) -> Observed:
    """A rendered clip beside its truth, to fit the landmark noise on."""
    trainee = VirtualTrainee(clip.seed, clip_plan(clip.seed), deaf=True)
    seconds = clip.poses.times_ns / NS_PER_S
    truth = trainee.track(clip.poses.times_ns)
    pose, velocity = true_pose(truth.landmarks, clip_scene(clip.seed).camera.rotation, seconds)
    return Observed(
        seconds, pose, velocity, np.asarray(clip.poses.world, np.float64), np.asarray(clip.poses.visibility, np.float64),
        clip.poses.present, truth.exercise,
    )  # fmt: skip


def _session(seed: int, trainee: VirtualTrainee, poses: PoseTrack, signals: SignalsConfig) -> Session:
    rng = np.random.default_rng((seed, 6))
    count = int(trainee.duration_ns * signals.tick_hz / NS_PER_S)
    sampled = np.arange(0, trainee.duration_ns, round(NS_PER_S / IMU_HZ), dtype=np.int64)
    imu = true_imu(trainee, sampled, seed)
    late = round(rng.uniform(-MAX_ASYNCHRONY_S, MAX_ASYNCHRONY_S) * NS_PER_S)
    bands = [ImuTrack(sampled + late, imu[:, band]) for band in range(N_BANDS)]
    ticks = np.round(np.arange(count) / signals.tick_hz * NS_PER_S).astype(np.int64)
    return Session(resample(signals, 0, count, poses, bands), _labels(trainee, ticks))


def _labels(trainee: VirtualTrainee, times_ns: NDArray[np.int64]) -> Labels:
    truth = trainee.track(times_ns)
    deviation = np.zeros((len(times_ns), N_JOINTS), np.float32)
    for repetition in (repetition for done in trainee.sets for repetition in done.repetitions):
        standard = trainee.exercises[repetition.exercise].standard(repetition.variant)
        inside = (times_ns >= repetition.start_ns) & (times_ns <= repetition.end_ns)
        deviation[inside] = from_standard(standard, truth.phase[inside], truth.angles[inside])
    clear = np.ones(len(times_ns), dtype=np.bool_)
    for start_ns, end_ns in trainee.between:
        clear &= (times_ns < start_ns) | (times_ns >= end_ns)
    phase, angles = truth.phase.astype(np.float32), as_read(truth.angles).astype(np.float32)
    return Labels(truth.exercise, truth.stage, phase, angles, deviation, clear)


def from_standard(
    standard: NDArray[np.floating[Any]], phase: NDArray[np.floating[Any]], angles: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n, 12) rad that `angles` (n, 12) are from the `standard` movement (41, 12) at `phase` (n,); 0 where that has no angle."""
    at = np.round(phase * (len(standard) - 1)).astype(np.int64)
    return np.asarray(np.nan_to_num(angles - standard[at]))


def whole(session: Session, constants: FeatureConstants) -> Batch:
    """A whole session as it is, as a batch of one."""
    skeleton, inertial = node_features(constants, *session.signals)
    return Batch(skeleton[None], inertial[None], session.labels.at(None))


Befall = Callable[[np.random.Generator, Aligned, NDArray[np.float32]], tuple[Aligned, NDArray[np.float32]]]
"""Changes the signals of a stretch; gives them and what is true of the joints (..., T, 12) then."""


class Sampler:
    """Draws augmented stretches of `ticks` ticks.

    A stretch ends on a tick whose exercise was drawn by inverse frequency (eq. 8): every exercise of a pool is met equally
    often. `pools`: sequences with the share of the stretches that come from them; an empty one leaves its share to the others.
    `longest`: ticks from which on a set is not met more often for being longer, so that who is fast is met as often as who takes
    long; 0 where every tick counts as much.
    `befall`: what happens to a stretch, as `augmented`. `cut_off_share`: how many of those in which legs don't matter lose them.
    """

    def __init__(
        self,
        pools: Sequence[tuple[float, Sequence[Session]]],
        constants: FeatureConstants,
        *,
        ticks: int,
        seed: int,
        befall: Befall = augmented,
        longest: int = 0,
        cut_off_share: float = 0.0,
    ) -> None:
        filled = [(share, sessions) for share, sessions in pools if sessions]
        self._pools = [_Pool(sessions, ticks, longest) for _, sessions in filled]
        shares = np.array([share for share, _ in filled])
        self._shares = shares / shares.sum()
        self._constants = constants
        self._ticks = ticks
        self._befall = befall
        self._cut_off_share = cut_off_share
        self._rng = np.random.default_rng(seed)

    @property
    def state(self) -> dict[str, Any]:
        """Where its chance is, to go on from there later."""
        return dict(self._rng.bit_generator.state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._rng.bit_generator.state = state

    def batch(self, size: int) -> Batch:
        """`size` stretches."""
        drawn = [self._stretch() for _ in range(size)]
        skeleton, inertial, labels = zip(*drawn, strict=True)
        return Batch(np.stack(skeleton), np.stack(inertial), Labels(*map(np.stack, zip(*labels, strict=True))))

    def _stretch(self) -> tuple[NDArray[np.float32], NDArray[np.float32], Labels]:
        rng = self._rng
        session, end = self._pools[int(rng.choice(len(self._pools), p=self._shares))].draw(rng)
        span = slice(end - self._ticks, end)
        signals, labels = _stretch_of(session.signals, span), session.labels.at(span)
        ours = labels.exercise[labels.exercise != NONE]
        if len(ours):
            moved = spoiled(rng, signals, labels.angles, arms=EXERCISES[ours[-1]] in ARM_EXERCISES)
            if moved is not None:
                labels = nothing(labels)._replace(angles=moved)
        # Where nothing is cut off no chance is used up, so that nobody else's stretches depend on it.
        if self._cut_off_share and {EXERCISES[i] for i in labels.exercise} <= WITHOUT_LEGS and rng.random() < self._cut_off_share:
            labels = labels._replace(angles=cut_off(rng, signals, labels.angles))
        signals, (angles, deviation) = self._befall(rng, signals, np.stack((labels.angles, labels.deviation)))
        labels = labels._replace(angles=angles, deviation=deviation)
        return *node_features(self._constants, *signals), labels


def nothing(labels: Labels) -> Labels:
    """The labels of a movement that isn't ours."""
    return Labels(
        np.full_like(labels.exercise, NONE), np.full_like(labels.stage, Stage.REST), np.zeros_like(labels.phase), labels.angles,
        np.zeros_like(labels.deviation), labels.clear,
    )  # fmt: skip


def _stretch_of(signals: Aligned, span: slice) -> Aligned:
    return Aligned(
        signals.world[span].copy(),
        signals.visibility[span].copy(),
        signals.pose_present[span].copy(),
        signals.imu[span].copy(),
        signals.imu_present[span].copy(),
    )


class _Pool:
    """Where stretches may end: by exercise, in spans of one exercise after the other."""

    def __init__(self, sequences: Sequence[Session], ticks: int, longest: int) -> None:
        self._sequences = sequences
        spans: list[list[tuple[int, int, int]]] = [[] for _ in EXERCISES]
        for owner, session in enumerate(sequences):
            exercise = session.labels.exercise
            changes = np.flatnonzero(np.diff(exercise)) + 1
            for start, end in itertools.pairwise([0, *changes.tolist(), len(exercise)]):
                if end > max(start, ticks):
                    spans[exercise[start]].append((owner, max(start, ticks), end))
        self._spans = spans
        # P_k = (1 / n_k) / sum(1 / n) for each tick of class k (eq. 8) gives each class as a whole the same share.
        self._classes = [k for k, of_class in enumerate(spans) if of_class]
        counted = [np.array([min(end - start, longest or end) for _, start, end in of_class]) for of_class in spans]
        self._until = [lengths.cumsum() for lengths in counted]

    def draw(self, rng: np.random.Generator) -> tuple[Session, int]:
        """A sequence and the tick after the stretch's last one."""
        exercise = self._classes[int(rng.integers(len(self._classes)))]
        until = self._until[exercise]
        place = int(rng.integers(until[-1]))
        span = int(np.searchsorted(until, place, side="right"))
        owner, start, end = self._spans[exercise][span]
        before = until[span - 1] if span else 0
        tick = start + place - before if end - start == until[span] - before else rng.integers(start, end)
        return self._sequences[owner], int(tick) + 1


def in_repetition(labels: Labels) -> NDArray[np.bool_]:
    """Ticks within a repetition, where the phase means something."""
    return np.asarray(labels.stage != Stage.REST)
