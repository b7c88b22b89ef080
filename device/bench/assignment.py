"""Trials of the assignment of bands to limbs: virtual trainees who put their bands on wrongly, seen with realistic noise."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from statistics import median

import numpy as np
from numpy.typing import NDArray

from device.bench.progress import Progress
from device.config import SignalsConfig
from device.messages import NS_PER_S, Tick
from device.rows import Report, Row, report, row
from device.runtime.align import Aligned, ImuTrack, PoseTrack, resample
from device.runtime.worn import BandWatch
from device.sim.bands import Sensor, sample_sensors, true_imu
from device.sim.scene import sample_scene
from device.sim.script import RestBlock, SessionPlan, SetBlock
from device.sim.trainee import VirtualTrainee
from device.skeleton import N_BANDS, NODE, mid_hip

Floats = NDArray[np.float64]

IDENTITY = tuple(range(N_BANDS))
ALLOWED_S = 10.0
TOLD_RATE, TOLD_COSINE = 0.5, 0.35
"""Two limbs are told apart while they turn this much faster than each other (rad/s), or are inclined that differently."""

POSE_HZ, IMU_HZ = 15.0, 100.0
ONE_HANDED = ("wave", "scratch_head", "drink", "arm_swings")
SYMMETRIC = (("squat", "both"), ("jumping_jack", "both"), ("push_up", "both"), ("bicep_curl", "both"))
SWAPS = ((1, 0, 2, 3), (0, 1, 3, 2), (1, 0, 3, 2), (2, 1, 0, 3), (0, 3, 2, 1), (3, 1, 2, 0), (0, 2, 1, 3), (2, 3, 0, 1))
"""Limb of each band, as bands are mixed up most: sides swapped, a wrist's with an ankle's, all wrists' with all ankles'."""

_ENDS = np.array([(NODE[f"{side}_{a}"], NODE[f"{side}_{b}"]) for a, b in (("elbow", "wrist"), ("knee", "ankle")) for side in
                  ("left", "right")])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trial:
    """`kind`: telling or symmetric motion. `limbs`: limb of each band. Returned figures: see `Outcome`."""

    seed: int
    kind: str
    limbs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`found_s`: seconds of telling motion until all bands were right, None where they never were. `told_s`: how many there
    were. `wrong`: whether a band was ever taken to be where it isn't, other than as expected, or upside down when it isn't.
    `unsure`: whether nothing was ever certain. `upside_down`: bands that are, and how many of them were found.
    `turn_errors_rad`: of the straps that were put right in the end."""

    kind: str
    limbs: tuple[int, ...]
    found_s: float | None
    told_s: float
    wrong: bool
    unsure: bool
    upside_down: tuple[int, int]
    turn_errors_rad: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Strap:
    turn_rad: float
    upside_down: bool


def measure(args: Namespace, progress: Progress) -> Report:
    """All figures of `args.trials`."""
    count = trial_count(args.trials)
    progress.begin(count, "trials")
    rows = assignment_rows(args.trials, args.seed, lambda done: progress.step(f"trial {done} of {count}"))
    return report(rows, seed=args.seed)


def assignment_rows(trials: int = 200, seed: int = 0, on_trial: Callable[[int], None] | None = None) -> list[Row]:
    """Figures of `trials` with wrong wearing, and of a quarter as many with right wearing and in symmetric motion.

    `on_trial` hears how many trials are done, of `trial_count(trials)`. Two processes.
    """
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(run_trial, trial) for trial in plan_trials(trials, seed)]):
            outcomes.append(done.result())
            if on_trial is not None:
                on_trial(len(outcomes))
    return judged(outcomes)


def judged(outcomes: Sequence[Outcome]) -> list[Row]:
    """The rows of `outcomes`."""
    telling = [o for o in outcomes if o.kind == "telling" and o.limbs != IDENTITY]
    symmetric = [o for o in outcomes if o.kind == "symmetric"]
    found = [o.found_s for o in telling if o.found_s is not None]
    downs = np.array([o.upside_down for o in telling]).reshape(-1, 2).sum(0)
    errors = [error for o in telling for error in o.turn_errors_rad]
    in_time = [s for s in found if s <= ALLOWED_S]
    return [
        row("assign_found_share", len(in_time) / max(len(telling), 1), "", at_least=0.98),
        row("assign_wrong_corrections", sum(o.wrong for o in outcomes), "", at_most=0),
        row("assign_symmetric_unsure_share", sum(o.unsure for o in symmetric) / max(len(symmetric), 1), "", at_least=0.98),
        row("strap_upside_down_found_share", downs[1] / downs[0] if downs[0] else None, "", at_least=0.9),
        row("strap_turn_error_p95_deg", float(np.degrees(np.quantile(errors, 0.95))) if errors else None, "deg"),
        row("assign_found_median_s", median(found) if found else None, "s"),
        row("assign_found_p95_s", float(np.quantile(found, 0.95)) if found else None, "s"),
    ]


def trial_count(trials: int) -> int:
    """How many trials `assignment_rows` runs in all."""
    return trials + 2 * (trials // 4)


def plan_trials(trials: int, seed: int) -> list[Trial]:
    """The trials of a seed: wrong wearing, right wearing, and symmetric motion with the sides swapped or not."""
    planned = []
    for i in range(trial_count(trials)):
        rng = np.random.default_rng((seed, i, 0))
        own = int(rng.integers(2**31))
        if i < trials:
            likely = rng.random() < 0.75
            order = SWAPS[int(rng.integers(len(SWAPS)))] if likely else _any_wrong(rng)
            planned.append(Trial(own, "telling", order))
        elif i < trials + trials // 4:
            planned.append(Trial(own, "telling", IDENTITY))
        else:
            planned.append(Trial(own, "symmetric", (IDENTITY, *SWAPS[:3])[int(rng.integers(4))]))
    return planned


def run_trial(trial: Trial) -> Outcome:
    """One trial in simulated time."""
    rng = np.random.default_rng((trial.seed, 5))
    trainee = VirtualTrainee(trial.seed, _plan(trial, rng), deaf=True)
    start_ns = trainee.sets[0].start_ns if trial.kind == "symmetric" else 0
    end_ns = trainee.sets[-1].end_ns if trial.kind == "symmetric" else trainee.duration_ns
    straps, config = _straps(rng), SignalsConfig()
    signals = _signals(trial, rng, trainee, straps, start_ns, end_ns)
    told = _told(trainee, start_ns, len(signals.world), config.tick_hz)
    clock = np.cumsum(_telling(told, trial.limbs), axis=0).min(-1) / config.tick_hz
    watch = BandWatch(config.tick_hz)
    found_s: float | None = None
    wrong, unsure = False, True
    for k in range(len(signals.world)):
        watch.step(_tick(signals, trial.limbs, k, config.tick_hz))
        worn = watch.worn
        right = worn.limbs == trial.limbs
        wrong |= any(limb not in (band, true) for band, (limb, true) in enumerate(zip(worn.limbs, trial.limbs, strict=True)))
        wrong |= any(c and limb != true for c, limb, true in zip(worn.certain, worn.limbs, trial.limbs, strict=True))
        unsure &= not any(worn.certain) and worn.limbs == IDENTITY
        if found_s is None and right and trial.limbs != IDENTITY:
            found_s = float(clock[k])
        wrong |= found_s is not None and not right
        wrong |= any(down and not straps[limb].upside_down for down, limb in zip(worn.upside_down, trial.limbs, strict=True))
    own = [straps[limb] for limb in trial.limbs]
    down = [found for strap, found in zip(own, watch.worn.upside_down, strict=True) if strap.upside_down]
    turned = [(strap.turn_rad, turn) for strap, turn in zip(own, watch.worn.turn_rad, strict=True) if turn]
    errors = tuple(abs(float(np.angle(np.exp(1j * (true - turn))))) for true, turn in turned)
    return Outcome(trial.kind, trial.limbs, found_s, float(clock[-1]), wrong, unsure, (len(down), sum(down)), errors)


def _any_wrong(rng: np.random.Generator) -> tuple[int, ...]:
    while True:
        order = tuple(rng.permutation(N_BANDS).tolist())
        if order != IDENTITY:
            return order


def _plan(trial: Trial, rng: np.random.Generator) -> SessionPlan:
    """Telling motion: in any order three one-handed things and lunges; symmetric motion: one set."""
    heading = float(np.radians(rng.uniform(-45, 45)))
    tempo = str(rng.choice(("slow", "normal", "fast")))
    if trial.kind == "symmetric":
        name, variant = SYMMETRIC[int(rng.integers(len(SYMMETRIC)))]
        facing = float(np.radians(rng.choice((-1, 1)) * rng.uniform(60, 90))) if name == "push_up" else heading
        return SessionPlan(facing, (SetBlock(name, variant, 6, tempo, (), facing),))
    chosen = rng.choice(ONE_HANDED, 3, replace=False)
    first, second = RestBlock(1.0, (str(chosen[0]), str(chosen[1]))), RestBlock(1.0, (str(chosen[2]),))
    lunges = SetBlock("lunge", str(rng.choice(("left", "right"))), 4, tempo, (), heading)
    return SessionPlan(heading, (first, lunges, second) if rng.random() < 0.5 else (lunges, first, second))


def _signals(
    trial: Trial,
    rng: np.random.Generator,
    trainee: VirtualTrainee,
    straps: tuple[_Strap, ...],
    start_ns: int,
    end_ns: int,
) -> Aligned:
    """What camera and bands sense, aligned; the IMU's second axis is the limb. They are apart by up to 100 ms."""
    pose = _seen(rng, trainee, start_ns, end_ns)
    times = np.arange(start_ns, end_ns, round(NS_PER_S / IMU_HZ), dtype=np.int64)
    imu = true_imu(trainee, times, trial.seed, _sensors(trial.seed, straps))
    late_ns = round(rng.uniform(-0.1, 0.1) * NS_PER_S)
    tracks = [ImuTrack(times + late_ns, imu[:, limb]) for limb in range(N_BANDS)]
    config = SignalsConfig()
    return resample(config, start_ns, int((end_ns - start_ns) / NS_PER_S * config.tick_hz), pose, tracks)


def _straps(rng: np.random.Generator) -> tuple[_Strap, ...]:
    """One strap in four is turned about the limb by any angle, one in ten is upside down."""
    turns = np.where(rng.random(N_BANDS) < 0.25, rng.uniform(-np.pi, np.pi, N_BANDS), 0.0)
    return tuple(_Strap(float(turn), bool(rng.random() < 0.1)) for turn in turns)


def _sensors(seed: int, straps: tuple[_Strap, ...]) -> tuple[Sensor, ...]:
    """Bands with the usual errors, strapped on like that."""
    sensors = []
    for sensor, strap in zip(sample_sensors(seed), straps, strict=True):
        cos, sin, flip = np.cos(strap.turn_rad), np.sin(strap.turn_rad), -1.0 if strap.upside_down else 1.0
        turned = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ np.diag([flip, flip, 1.0])
        sensors.append(replace(sensor, strap=turned @ sensor.strap))
    return tuple(sensors)


def _seen(rng: np.random.Generator, trainee: VirtualTrainee, start_ns: int, end_ns: int) -> PoseTrack:
    """Landmarks in camera axes with the errors that the estimator has on rendered pictures.

    Quick noise of 1 to 2 cm (0.25 s), slow error of the same size (4 s), both twice that in depth, of which the estimator
    shows too little; now and then a limb is hidden.
    """
    times = np.arange(start_ns, end_ns, round(NS_PER_S / POSE_HZ), dtype=np.int64)
    landmarks = trainee.pose(times)
    world = sample_scene(rng).camera.to_camera(landmarks - mid_hip(landmarks)[:, None])
    world[..., 2] *= rng.uniform(0.5, 1.0)
    size = rng.uniform(0.01, 0.02)
    for correlation_s in (0.25, 4.0):
        world += _noise(rng, world.shape, correlation_s) * size * np.array([1.0, 1.0, 2.0])
    visibility = np.full(world.shape[:2], 0.95)
    for _ in range(int(rng.integers(0, 3))):
        limb, begin = int(rng.integers(N_BANDS)), int(rng.integers(len(times)))
        hidden = slice(begin, begin + int(rng.integers(15, 60)))
        visibility[hidden, _ENDS[limb, 1]] = 0.3
        world[hidden, _ENDS[limb, 1]] += rng.normal(0, 0.1, 3)
    return PoseTrack(times, world, visibility, np.ones(len(times), dtype=np.bool_))


def _noise(rng: np.random.Generator, shape: tuple[int, ...], correlation_s: float) -> Floats:
    """First-order autoregressive noise (n, ...) of variance 1 at POSE_HZ."""
    kept = np.exp(-1 / (POSE_HZ * correlation_s))
    noise = rng.standard_normal(shape)
    for i in range(1, len(noise)):
        noise[i] = kept * noise[i - 1] + np.sqrt(1 - kept**2) * noise[i]
    return noise


def _told(trainee: VirtualTrainee, start_ns: int, count: int, tick_hz: float) -> NDArray[np.bool_]:
    """Whether limbs i and j truly move apart at each tick, (count, 4, 4)."""
    times = start_ns + (np.arange(count + 1) * NS_PER_S / tick_hz).astype(np.int64)
    landmarks = trainee.pose(times)
    limbs = landmarks[:, _ENDS[:, 1]] - landmarks[:, _ENDS[:, 0]]
    limbs /= np.linalg.norm(limbs, axis=-1, keepdims=True)
    rate = np.linalg.norm(np.diff(limbs, axis=0), axis=-1) * tick_hz
    rates, cosines = np.abs(rate[:, :, None] - rate[:, None]), np.abs(limbs[1:, :, None, 2] - limbs[1:, None, :, 2])
    return np.asarray((rates > TOLD_RATE) | (cosines > TOLD_COSINE))


def _telling(told: NDArray[np.bool_], limbs: tuple[int, ...]) -> NDArray[np.bool_]:
    """`told` of all pairs of limbs of which one wears a wrong band, (count, pairs)."""
    misplaced = {limb for band, limb in enumerate(limbs) if limb != band}
    pairs = [(i, j) for i in range(N_BANDS) for j in range(i) if not misplaced or misplaced & {i, j}]
    return np.stack([told[:, i, j] for i, j in pairs], axis=-1)


def _tick(signals: Aligned, limbs: tuple[int, ...], k: int, tick_hz: float) -> Tick:
    """Tick `k` of bands that are worn on `limbs`."""
    worn = list(limbs)
    return Tick(
        round(k * NS_PER_S / tick_hz),
        k,
        signals.world[k],
        signals.visibility[k],
        bool(signals.pose_present[k]),
        signals.imu[k][worn],
        signals.imu_present[k][worn],
    )
