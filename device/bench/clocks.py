"""Figures of the one clock: bands' times against truth, the camera's offset, and what both are worth to the coach."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from device.bench.progress import Progress
from device.config import Config, load_config, with_settings
from device.demo.loop import ObservedModel
from device.demo.scores import SessionTruth, angle_score, exercise_tick_accuracy
from device.exercises import load_exercises
from device.messages import EXERCISES, NS_PER_S, ClockPing, ImuBatch, Pose, Sensed
from device.report.log import LogBook
from device.rows import Report, Row, report, row
from device.runtime.bundle import Bundle
from device.runtime.core import Core
from device.runtime.live import config_bundle, play
from device.runtime.model import StepModel
from device.runtime.session import Session
from device.runtime.sync import CameraOffset, CameraSync
from device.runtime.timebase import Timebase
from device.sim_clock.band import Air, Mishaps, SimulatedBand
from device.sim_clock.session import MAX_DRIFT, RATE_ERROR, SensedSession, sensed_session
from device.skeleton import N_BANDS

GROUPS = 2
OFFSET_TRIALS = 8
COACHED_SESSIONS = 4
EXERCISED_S = 10.0
MAX_OFFSET_S = 0.15
LEFT_NS = 80_000_000
USABLE_NS = 5_000_000
USABLE_WITHIN_S = 10.0


@dataclass(slots=True)
class ClockErrors:
    """Of every sample: `errors_ns`, and `sigma_ns` as stated. Of every connection: `usable_s` until no error was above
    USABLE_NS any more. `conversion_us`: of every batch."""

    errors_ns: list[float] = field(default_factory=list)
    sigma_ns: list[float] = field(default_factory=list)
    usable_s: list[float] = field(default_factory=list)
    conversion_us: list[float] = field(default_factory=list)


def measure(args: Namespace, progress: Progress) -> Report:
    """All figures; bands run `args.seconds`."""
    config = load_config(args.config)
    bundle = config_bundle(config)
    progress.begin(step_count(), "bands' clocks")
    rows = clock_rows(args.seed, args.seconds, lambda: progress.step("bands' clocks"))
    rows += offset_rows(args.seed, lambda: progress.step("camera against bands"))
    rows += coached_rows(config, bundle, args.seed, lambda: progress.step("coached sessions"))
    return report(rows, seed=args.seed, bundle=bundle.version)


def clock_bands(seed: int, seconds: float) -> list[SimulatedBand]:
    """Four bands at 15 and 30 ms, 5 % loss, +-50 ppm: one has an outage, one reboots, one's counter wraps, one's drift steps."""
    rng = np.random.default_rng((seed, 3))
    mishaps = (
        Mishaps(outage_s=0.3 * seconds),
        Mishaps(reboot_s=0.5 * seconds),
        Mishaps(wrap_s=0.6 * seconds),
        Mishaps(drift_step_s=0.4 * seconds, drift_step=10e-6),
    )
    return [
        SimulatedBand(
            seed,
            band,
            seconds=seconds,
            drift=MAX_DRIFT * (-1) ** (seed // 2 + band // 2),
            rate_error=float(rng.uniform(-RATE_ERROR, RATE_ERROR)),
            air=Air((15.0, 30.0)[(seed + band) % 2], loss=0.05),
            mishaps=mishaps[band],
        )
        for band in range(N_BANDS)
    ]


def follow(band: SimulatedBand, found: ClockErrors, *, pings: bool = True) -> None:
    """Convert everything of `band`, and add what comes out of it to `found`."""
    timebase = Timebase()
    arrivals: list[float] = []
    worst: list[float] = []
    for heard in band.heard():
        if isinstance(heard.message, ClockPing):
            if pings:
                timebase.ping(heard.message)
            continue
        began_ns = time.thread_time_ns()
        converted = timebase.convert(heard.message, heard.t_ns)
        found.conversion_us.append((time.thread_time_ns() - began_ns) / 1e3)
        errors = np.abs(converted.times_ns - heard.truth_ns[: len(converted.times_ns)])
        found.errors_ns += errors.tolist()
        found.sigma_ns += [converted.sigma_ns] * len(errors)
        arrivals.append(heard.t_ns / NS_PER_S)
        worst.append(float(errors.max(initial=0)))
    for connected_s in band.connected_s:
        late = [t_s for t_s, e in zip(arrivals, worst, strict=True) if e > USABLE_NS and 0 < t_s - connected_s < USABLE_WITHIN_S]
        found.usable_s.append(max(late, default=connected_s) - connected_s)


def clock_rows(seed: int, seconds: float, on_band: Callable[[], None]) -> list[Row]:
    """Errors of the bands' times over `GROUPS` of four bands of `seconds` each."""
    asked, received = ClockErrors(), ClockErrors()
    for group in range(GROUPS):
        for band in clock_bands(GROUPS * seed + group, seconds):
            follow(band, asked)
            on_band()
    for band in clock_bands(GROUPS * seed, min(seconds, 120.0)):
        follow(band, received, pings=False)
    errors = np.array(asked.errors_ns)
    inside = np.mean(errors <= 1.96 * np.array(asked.sigma_ns))
    return [
        row("time_error_p95_ms", float(np.percentile(errors, 95)) / 1e6, "ms", at_most=2),
        row("time_error_p99_ms", float(np.percentile(errors, 99)) / 1e6, "ms", at_most=5),
        row("time_inside_95_share", float(inside), "share", at_least=0.95),
        row("time_usable_s", max(asked.usable_s), "s", at_most=3),
        row("time_conversion_us", float(np.mean(asked.conversion_us)), "us", at_most=50),
        row("time_error_without_pings_p95_ms", float(np.percentile(received.errors_ns, 95)) / 1e6, "ms"),
    ]


@dataclass(frozen=True, slots=True)
class OffsetTrial:
    """`error_ns` of what was found; `sigma_ns` as stated; `known`: whether it was said at all."""

    exercise: str
    error_ns: float
    sigma_ns: float
    known: bool


def offset_trial(seed: int, exercise: str) -> OffsetTrial:
    """The offset that is found from the session's beginning until EXERCISED_S of `exercise` were done."""
    late_ns = round(np.random.default_rng((seed, 8)).uniform(-MAX_OFFSET_S, MAX_OFFSET_S) * NS_PER_S)
    session = sensed_session(seed, exercise, late_ns=late_ns)
    until_ns = session.trainee.sets[0].start_ns + round(EXERCISED_S * NS_PER_S)
    found = found_offset(session, until_ns)
    return OffsetTrial(exercise, found.offset_ns - late_ns, found.sigma_ns, found.known)


def found_offset(session: SensedSession, until_ns: int) -> CameraOffset:
    """What the timebase and the camera's offset make of everything until `until_ns`."""
    timebase, sync = Timebase(), CameraSync()
    for message in session.messages(until_ns):
        if isinstance(message, ClockPing):
            timebase.ping(message)
        elif isinstance(message, ImuBatch):
            sync.push(timebase.convert(message, message.t_ns))
        elif isinstance(message, Pose):
            sync.push(message)
    return sync.estimate


def step_count() -> int:
    """How often all rows together call their `on_...`."""
    return GROUPS * N_BANDS + OFFSET_TRIALS * len(EXERCISES[:-1]) + 2 * COACHED_SESSIONS


def offset_rows(seed: int, on_trial: Callable[[], None]) -> list[Row]:
    """Errors of the camera's offset for each exercise, where it is said to be known, and how often that is."""
    trials = []
    for exercise in EXERCISES[:-1]:
        for i in range(OFFSET_TRIALS):
            trials.append(offset_trial(1000 * seed + i, exercise))
            on_trial()
    return judged(trials)


def judged(trials: list[OffsetTrial]) -> list[Row]:
    """The rows of `trials`."""
    rows = []
    for exercise in dict.fromkeys(trial.exercise for trial in trials):
        own = [trial for trial in trials if trial.exercise == exercise]
        errors = [abs(trial.error_ns) / 1e6 for trial in own if trial.known]
        p95 = float(np.percentile(errors, 95)) if errors else None
        rows.append(row(f"camera_offset_{exercise}_p95_ms", p95, "ms", at_most=10))
        rows.append(row(f"camera_offset_{exercise}_known_share", len(errors) / len(own), "share"))
    everything = [abs(trial.error_ns) / 1e6 for trial in trials]
    rows.append(row("camera_offset_known_or_not_p95_ms", float(np.percentile(everything, 95)), "ms"))
    known = [abs(trial.error_ns) <= 1.96 * trial.sigma_ns for trial in trials if trial.known]
    rows.append(row("camera_offset_inside_95_share", float(np.mean(known)) if known else None, "share", at_least=0.95))
    return rows


def coached_rows(config: Config, bundle: Bundle, seed: int, on_session: Callable[[], None]) -> list[Row]:
    """Recognition and Angle-Score with the one clock, and with bands that are left LEFT_NS late."""
    fixed = with_settings(config, signals={"sync": "fixed", "camera_offset_ms": 0.0})
    auto = with_settings(config, signals={"sync": "auto"})
    scores: dict[str, list[tuple[float | None, float | None]]] = {"one_clock": [], "left_80_ms": []}
    for i in range(COACHED_SESSIONS):
        session = sensed_session(1000 * seed + 500 + i, EXERCISES[i % 5], late_ns=LEFT_NS)
        scores["one_clock"].append(_scores(auto, bundle, session, list(session.messages())))
        on_session()
        together = sensed_session(1000 * seed + 500 + i, EXERCISES[i % 5])
        scores["left_80_ms"].append(_scores(fixed, bundle, together, list(together.left_late(LEFT_NS))))
        on_session()
    rows = []
    for name, values in scores.items():
        accuracy = [a for a, _ in values if a is not None]
        angles = [s for _, s in values if s is not None]
        rows.append(row(f"exercise_tick_accuracy_{name}", float(np.mean(accuracy)) if accuracy else None, "share"))
        rows.append(row(f"angle_score_{name}", float(np.mean(angles)) if angles else None, "rad"))
    return rows


def _scores(config: Config, bundle: Bundle, session: SensedSession, messages: list[Sensed]) -> tuple[float | None, float | None]:
    model = ObservedModel(StepModel(bundle, config.model.runtime))
    book = LogBook(bundle.classes, raw=model.raw)
    with Session(Core(config, model, load_exercises(), 0), [book]) as coached:
        for _ in play(coached, messages):
            pass
    trainee, log = session.trainee, book.log()
    truth = SessionTruth(
        trainee.duration_ns,
        trainee.sets,
        tuple(trainee.exercises[done.exercise].model_class for done in trainee.sets),
        (),
        trainee.track(log.times_ns).angles,
    )
    return exercise_tick_accuracy(log, truth), angle_score(log.refined, log, truth)
