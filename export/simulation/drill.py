"""A virtual trainee in the loop: does sets with known errors, hears the corrections, and reacts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np

from device.config import Config, with_settings
from device.demo.loop import ObservedModel, lockstep
from device.demo.scores import (
    SessionTruth,
    angle_score,
    cue_hits,
    exercise_tick_accuracy,
    injected_errors,
    is_justified,
    right_cues,
)
from device.demo.stage import set_stage
from device.drivers.imu_virtual import VirtualImu
from device.exercises import Exercise, load_exercises
from device.messages import NS_PER_S, Advanced, Repetition
from device.report.log import LogBook
from device.runtime.coach import threshold_rad
from device.runtime.core import Core, Stepping
from device.runtime.pose_engine import make_estimator
from device.runtime.session import Heard, Session
from device.sim.motion import motion_of
from device.sim.script import PlannedHabit, RestBlock, SessionPlan, SetBlock
from device.sim.trainee import TrueSet, VirtualTrainee
from device.voice import load_prompts
from export.landmark_noise import LandmarkNoise
from export.simulation.eyes import EmulatedEye, RenderedEye, WordsHeard

T = TypeVar("T")

ROUNDS, REPS_PER_ROUND = 5, 2
"""A round is two repetitions of a set: with exercises that take turns, one of each side."""
SCANNED_S, SCANNED_REPS = 0.1, 3


@dataclass(frozen=True, slots=True)
class Drill:
    """One session. `tempo`: slow, normal, fast, or empty for a session as the demo has it. `threshold_deg`: deviation above which
    is corrected. `feedback`: both, or voice alone. `rendered`: by real pictures."""

    seed: int
    tempo: str = "normal"
    threshold_deg: float = 9.0
    feedback: str = "both"
    rendered: bool = False

    @property
    def key(self) -> str:
        """Name of what was measured of it."""
        kind = "rendered" if self.rendered else "emulated"
        return f"{self.tempo or 'demo'}-{self.threshold_deg:g}deg-{self.feedback}-{kind}-{self.seed}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`accuracy`, `angle_score`: of the session's ticks within sets. `injected` errors of at least the threshold, `hits` of
    them corrected; `corrections` said, `false` ones without cause. `feedback_s`: from when an error first passed the threshold
    until the trainee had its correction. `error_deg`, `decided_s`: by round, the size of each injected error at its largest,
    and the time from the end of each repetition until it was counted and judged."""

    accuracy: float | None
    angle_score: float | None
    injected: int
    hits: int
    corrections: int
    false: int
    feedback_s: list[float]
    error_deg: list[list[float]]
    decided_s: list[list[float]]


def drill_plan(seed: int, exercises: dict[str, Exercise], tempo: str) -> SessionPlan:
    """A set of ten repetitions of every exercise at `tempo`, in random order, each with one error from the first one on."""
    rng = np.random.default_rng((seed, 11))
    blocks: list[SetBlock | RestBlock] = [RestBlock(1.5, ())]
    for name in rng.permutation(sorted(exercises)):
        exercise = exercises[str(name)]
        low, high = motion_of(exercise).turn
        heading = float(np.radians(rng.uniform(low, high) * rng.choice((-1, 1))))
        habits: tuple[PlannedHabit, ...] = ()
        if exercise.habits:
            habit = exercise.habits[int(rng.integers(len(exercise.habits)))]
            habits = (PlannedHabit(habit.error, str(rng.choice(habit.sides)), float(rng.uniform(*habit.sizes)), 0),)
        reps = ROUNDS * REPS_PER_ROUND
        blocks += [
            SetBlock(exercise.name, str(rng.choice(exercise.variants)), reps, tempo, habits, heading),
            RestBlock(float(rng.uniform(4.5, 6.0)), ()),
        ]
    return SessionPlan(next(b.heading_rad for b in blocks if isinstance(b, SetBlock)), tuple(blocks))


def run_drill(config: Config, drill: Drill, model: Stepping, noise: LandmarkNoise | None) -> dict[str, Any]:
    """`Outcome` of a session as a mapping. `noise`: what the estimator's errors are drawn from where nothing is rendered."""
    coach = replace(
        config.coach,
        strictness=(11.0 - drill.threshold_deg) / 4.0,
        haptics=drill.feedback == "both",
        fast_path=drill.feedback == "both",
    )
    config = replace(with_settings(config, camera={"type": "virtual"}, imu={"type": "virtual"}), coach=coach)
    exercises = load_exercises(config.exercises.folder or None, config.exercises.enabled)
    staging = set_stage(drill.seed, config)
    plan = drill_plan(drill.seed, exercises, drill.tempo) if drill.tempo else staging.plan
    staging = replace(staging, plan=plan)
    trainee = staging.trainee()
    observed = ObservedModel(model)
    book, clock = LogBook(model.classes, raw=observed.raw), _Clock()
    ears = WordsHeard(load_prompts(config.speaker.language), by_words=drill.feedback != "both")
    core = Core(config, observed, trainee.exercises, 0)
    eye: RenderedEye | EmulatedEye
    if drill.rendered:
        eye = RenderedEye(staging.open(), make_estimator(replace(config.pose, threads=1)))
    else:
        assert noise is not None
        eye = EmulatedEye(staging.trainee(), drill.seed, noise)
    try:
        with VirtualImu(config.imu, trainee, seed=drill.seed) as bands, Session(core, [clock, book, ears]) as session:
            for _ in lockstep(session, eye, bands, ears, [trainee.hear]):
                pass
    finally:
        eye.close()
    log = book.log()
    truth = SessionTruth(
        duration_ns=trainee.duration_ns,
        sets=trainee.sets,
        classes=tuple(trainee.exercises[done.exercise].model_class for done in trainee.sets),
        errors=injected_errors(trainee.sets, trainee.truth),
        angles=trainee.track(log.times_ns).angles,
    )
    threshold = threshold_rad(coach)
    hits, injected = cue_hits(log.cues, truth, threshold)
    corrections = [cue for cue in log.cues if cue.kind == "correction"]
    deaf = VirtualTrainee(drill.seed, plan, deaf=True, exercises=exercises)
    feedback = []
    for error in hits:
        shown_ns = _first_shown_ns(deaf, truth.sets[error.set_index], error.error, threshold)
        delivered = right_cues(ears.delivered, error, truth)
        if shown_ns is not None and delivered:
            feedback.append((delivered[0].t_ns - shown_ns) / NS_PER_S)
    return asdict(
        Outcome(
            exercise_tick_accuracy(log, truth),
            angle_score(log.refined, log, truth),
            len(injected),
            len(hits),
            len(corrections),
            sum(not is_justified(cue, truth, threshold) for cue in corrections),
            feedback,
            _errors_by_round(truth),
            _decisions_by_round(clock.decided, truth.sets),
        )
    )


class _Clock:
    """A sink that notes when repetitions were counted: `decided` (time then, repetition)."""

    name = "clock"

    def __init__(self) -> None:
        self.decided: list[tuple[int, Repetition]] = []
        self._now_ns = 0

    def receive(self, message: Heard) -> None:
        if isinstance(message, Advanced):
            self._now_ns = message.t_ns
        elif isinstance(message, Repetition):
            self.decided.append((self._now_ns, message))

    def close(self) -> None:
        """Nothing is held open."""


def _first_shown_ns(deaf: VirtualTrainee, done: TrueSet, error: str, threshold: float) -> int | None:
    """When `error` first is as large as `threshold` (rad), within the first repetitions of its set."""
    last = done.repetitions[: max(h[3] for h in done.habits) + SCANNED_REPS][-1]
    for t_ns in np.arange(done.start_ns, last.end_ns, round(SCANNED_S * NS_PER_S)):
        if any(active.error == error and active.size_rad >= threshold for active in deaf.truth(int(t_ns)).errors):
            return int(t_ns)
    return None


def _errors_by_round(truth: SessionTruth) -> list[list[float]]:
    rounds: list[list[float]] = [[] for _ in range(ROUNDS)]
    for error in truth.errors:
        for k, sizes in enumerate(_in_rounds(error.sizes_rad)):
            rounds[k].append(math.degrees(max(sizes)))
    return rounds


def _decisions_by_round(decided: Sequence[tuple[int, Repetition]], sets: Sequence[TrueSet]) -> list[list[float]]:
    rounds: list[list[float]] = [[] for _ in range(ROUNDS)]
    for done in sets:
        for k, repetitions in enumerate(_in_rounds(done.repetitions)):
            for true in repetitions:
                for now_ns, counted in decided:
                    if (
                        counted.exercise == done.exercise
                        and true.start_ns < (counted.start_ns + counted.end_ns) / 2 <= true.end_ns
                    ):
                        rounds[k].append((now_ns - true.end_ns) / NS_PER_S)
    return rounds


def _in_rounds(items: Sequence[T]) -> list[Sequence[T]]:
    rounds = [items[k * REPS_PER_ROUND : (k + 1) * REPS_PER_ROUND] for k in range(ROUNDS)]
    return [one for one in rounds if one]
