"""Figures of being on time, in simulated time: from a motion to the motor's command, and from an error to its cue.

The third figure, from the camera to the voice, takes real time and is in `device.bench.camera_path`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from device.config import Config, with_settings
from device.demo.scores import joint_kind
from device.exercises import BandCue, CueRule, Exercise, load_exercises
from device.messages import EXERCISES, NS_PER_S, Advanced, Cue, Vibration
from device.rows import Row, row
from device.runtime.bundle import Bundle
from device.runtime.coach import threshold_rad
from device.runtime.core import Core
from device.runtime.live_runner import LOOK_NS
from device.runtime.model import StepModel
from device.runtime.session import Heard, Session
from device.sim.bands import Wearer, perfect_sensors, true_imu
from device.sim.script import SetBlock, plan_session
from device.sim.trainee import TrueRepetition, VirtualTrainee
from device.sim_clock.band import Air
from device.sim_clock.hurry import Hurried
from device.sim_clock.session import SensedSession, sensed, sensed_session
from device.skeleton import BANDS, JOINT

RADIO = Air(30.0, loss=0.05)
HURRY = 2.5
"""How many times as fast a hurried repetition is; well past every exercise's limit."""
HURRIED = (3, 6, 9)
REPETITIONS = 12
STEP_NS = 1_000_000
PROBES_PER_S = 100
ANSWERED_NS = NS_PER_S // 2

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Said:
    """A sink that keeps cues and vibrations with the time at which the core put them out."""

    cues: list[tuple[int, Cue]] = field(default_factory=list)
    vibrations: list[tuple[int, Vibration]] = field(default_factory=list)
    now_ns: int = 0

    def receive(self, message: Heard) -> None:
        if isinstance(message, Advanced):
            self.now_ns = message.t_ns
        elif isinstance(message, Cue):
            self.cues.append((self.now_ns, message))
        elif isinstance(message, Vibration):
            self.vibrations.append((self.now_ns, message))

    def close(self) -> None: ...


def coach(config: Config, bundle: Bundle, session: SensedSession) -> Said:
    """Coach a session in simulated time, looking at eye and bands as often as the appliance does."""
    said = Said()
    model = StepModel(bundle, config.model.runtime)
    with Session(Core(config, model, load_exercises(), 0), [said]) as coached:
        now_ns = 0
        for t_ns, message in session.arrivals():
            while now_ns < t_ns:
                coached.advance(now_ns)
                now_ns += LOOK_NS
            coached.push(message)
    return said


# --- from a motion to the motor's command -----------------------------------------------------------------------------------


@dataclass(slots=True)
class BandsPath:
    """`latencies_ms` from the true passing of a limit to the motor command that answered it, of each command; `passed`: hurried
    repetitions in which a limit was truly passed; `answered`: those of them with a command."""

    latencies_ms: list[float] = field(default_factory=list)
    passed: int = 0
    answered: int = 0


def hurried_session(seed: int, exercise: str) -> tuple[SensedSession, Hurried, tuple[TrueRepetition, ...]]:
    """A faultless set but for some repetitions that are HURRY times as fast, over radios of 30 ms."""
    plan = plan_session(seed, sets=[exercise], reps=REPETITIONS, brief=True)
    blocks = tuple(replace(block, habits=()) if isinstance(block, SetBlock) else block for block in plan.blocks)
    trainee = VirtualTrainee(seed, replace(plan, blocks=blocks), deaf=True)
    reps = tuple(trainee.sets[0].repetitions[i] for i in HURRIED)
    hurried = Hurried(trainee, reps, HURRY)
    return sensed(seed, trainee, hurried, airs=(RADIO,)), hurried, reps


def bands_path(config: Config, bundle: Bundle, seed: int, exercise: str, found: BandsPath) -> None:
    """Add one session's answers to hurried repetitions to `found`.

    From the instant at which the limb's true angular rate passes the exercise's limit, without sensor, packet and radio, to the
    look at which the core puts the vibration out. The coach's rests are short here, and it doesn't speak, so that there is
    something to measure.
    """
    quick = with_settings(config, coach={"min_between_s": 0.5, "repeat_after_s": 1.0, "voice": False, "haptics": True})
    session, hurried, reps = hurried_session(seed, exercise)
    rules = [rule for rule in load_exercises()[exercise].band_cues if rule.measure == "rate"]
    felt = [(now_ns, v) for now_ns, v in coach(quick, bundle, session).vibrations if v.path == "bands"]
    for rep in reps:
        start_ns, end_ns = hurried.host_ns(rep.start_ns), hurried.host_ns(rep.end_ns)
        passings = [(t_ns, band) for rule in rules for t_ns, band in _passings(hurried, rule, start_ns, end_ns)]
        found.passed += bool(passings)
        answers = []
        for now_ns, vibration in felt:
            # A repetition passes its limit up to four times, there and back on both sides: it is the newest that is answered.
            before = [t_ns for t_ns, band in passings if band == vibration.band and 0 <= now_ns - t_ns <= ANSWERED_NS]
            answers += [(now_ns - max(before)) / 1e6] if before else []
        found.latencies_ms += answers
        found.answered += bool(answers)


def _passings(wearer: Wearer, rule: BandCue, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """(when, band) each time that the true rate comes to be past the limit."""
    times = np.arange(start_ns, end_ns, STEP_NS, dtype=np.int64)
    rates = np.linalg.norm(true_imu(wearer, times, 0, perfect_sensors())[..., 3:], axis=2)
    return [
        (int(times[i + 1]), band)
        for band, name in enumerate(BANDS)
        if name.endswith(rule.bands)
        for i in np.flatnonzero((rates[:-1, band] <= rule.limit) & (rates[1:, band] > rule.limit))
    ]


# --- from an error to its cue -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Decisions:
    """Of each correction that names a true error, in s: `delays_s` from the onset in its repetition, `from_threshold_s` from the
    first instant past the threshold there. `earlier`: repetitions that had shown the error before it was said."""

    delays_s: list[float] = field(default_factory=list)
    from_threshold_s: list[float] = field(default_factory=list)
    earlier: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Onset:
    """When an error was there in one repetition: `past_ns`, the joint's true angle first past the threshold in the rule's phases;
    `t_ns`, the onset."""

    past_ns: int
    t_ns: int


def decisions(config: Config, bundle: Bundle, seed: int, exercise: str, found: Decisions) -> None:
    """Add one session's corrections to `found`.

    An error is judged by its mean over the phases that its rule names (docs/latency.md). Its onset is the instant when the true
    angles alone settle that: the difference from the standard, added up since the phases began, has reached the threshold times
    their whole length. A coach that saw everything at once and without error could say it then and not before.
    """
    session = sensed_session(seed, exercise)
    trainee = session.trainee
    done = trainee.sets[0]
    definition = load_exercises()[exercise]
    threshold = threshold_rad(config.coach)
    for now_ns, cue in coach(config, bundle, session).cues:
        rule = _rule(definition, cue)
        if rule is None or not cue.prompts:
            continue
        limit = max(threshold, definition.tolerance.get(rule.joint, 0.0))
        begun = [rep for rep in done.repetitions if rep.start_ns < now_ns]
        onsets = [onset(trainee, definition, rep, rule, cue.joint, limit) for rep in begun]
        known = [one for one in onsets if one is not None and one.t_ns <= now_ns]
        # A correction of a repetition comes before the next one is half done; one without such a repetition is a false one.
        recent = [one for one in onsets[-2:] if one is not None and one.t_ns <= now_ns]
        if recent:
            found.delays_s.append((now_ns - recent[-1].t_ns) / NS_PER_S)
            found.from_threshold_s.append((now_ns - recent[-1].past_ns) / NS_PER_S)
            found.earlier.append(len(known) - 1)


def onset(
    trainee: VirtualTrainee, exercise: Exercise, rep: TrueRepetition, rule: CueRule, joint: str, limit_rad: float
) -> Onset | None:
    """The onset of the error of `rule` at `joint` in one repetition; None where its mean stays below `limit_rad`."""
    times = np.arange(rep.start_ns, rep.end_ns, NS_PER_S // PROBES_PER_S, dtype=np.int64)
    track = trainee.track(times)
    inside = (track.phase >= rule.phases[0]) & (track.phase <= rule.phases[1])
    standard = exercise.standard(rep.variant)[:, JOINT[joint]]
    expected = np.interp(track.phase, np.linspace(0, 1, len(standard)), standard)
    difference: Floats = rule.sign * (track.angles[:, JOINT[joint]] - expected)
    times, difference = times[inside], difference[inside]
    if not len(times) or not np.isfinite(difference).all() or difference.mean() < limit_rad:
        return None
    settled = int(np.argmax(np.cumsum(difference) >= limit_rad * len(times)))
    return Onset(int(times[np.argmax(difference > limit_rad)]), int(times[settled]))


def _rule(exercise: Exercise, cue: Cue) -> CueRule | None:
    if cue.kind != "correction":
        return None
    rules = [rule for rule in exercise.cues if rule.joint == joint_kind(cue.joint) and rule.sign == cue.sign]
    return rules[0] if rules else None


def simulated_rows(config: Config, bundle: Bundle, seed: int, sessions: int, on_session: Callable[[str], None]) -> list[Row]:
    """The rows in simulated time over `sessions` of every exercise."""
    felt, said = BandsPath(), Decisions()
    for exercise in EXERCISES[:-1]:
        for i in range(sessions):
            bands_path(config, bundle, 1000 * seed + i, exercise, felt)
            on_session(f"hurried {exercise}")
            decisions(config, bundle, 1000 * seed + i, exercise, said)
            on_session(f"errors of {exercise}")
    return judged(felt, said)


def session_count(sessions: int) -> int:
    """How often `simulated_rows` calls its `on_session`."""
    return 2 * sessions * len(EXERCISES[:-1])


def judged(felt: BandsPath, said: Decisions) -> list[Row]:
    """The rows of what was found."""
    return [
        row("bands_path_p95_ms", percentile(felt.latencies_ms, 95), "ms", at_most=80),
        row("bands_path_median_ms", percentile(felt.latencies_ms, 50), "ms"),
        row("bands_path_answered_share", felt.answered / felt.passed if felt.passed else None, "share"),
        row("decision_delay_median_s", median(said.delays_s) if said.delays_s else None, "s", at_most=0.5),
        row("decision_delay_from_threshold_median_s", median(said.from_threshold_s) if said.from_threshold_s else None, "s"),
        row("decision_earlier_repetitions_mean", fmean(said.earlier) if said.earlier else None, "repetitions"),
        row("decisions", len(said.delays_s), "corrections"),
    ]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The percentile, or None of nothing."""
    return float(np.percentile(values, share)) if values else None
