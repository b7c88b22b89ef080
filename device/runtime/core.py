"""The core: what was sensed goes in, what is coached comes out. No input, no output, no clock of its own.

Time is what `advance` is handed, so the same messages give the same outputs live, in simulated time and from a recording.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.config import Config
from device.exercises import Exercise
from device.messages import (
    Array,
    ClockPing,
    Coached,
    Cue,
    Deviation,
    Estimate,
    ImuBatch,
    Pose,
    Repetition,
    Sensed,
    ServiceChanged,
    SetEnded,
    SetStarted,
    Stage,
    StageTiming,
    Tick,
)
from device.runtime.absence import Absences
from device.runtime.align import Aligner
from device.runtime.coach import Coach
from device.runtime.deviation import Measured, RepetitionMeter, Sample, Standards, expected_variant, sample_of
from device.runtime.energy import EnergyMeter
from device.runtime.evidence import Evidence, Response
from device.runtime.fast_path import FastPath
from device.runtime.features import FeatureConstants, FeatureExtractor
from device.runtime.reps import Move, RepetitionFinder
from device.runtime.sets import DOUBTFUL, NONE, Mark, Measure, SetKeeper, SetMessage
from device.runtime.stages import StageTracker
from device.runtime.sync import UNKNOWN, CameraOffset, CameraSync, OffsetCorrection
from device.runtime.timebase import Timebase
from device.runtime.travel import Travelled, TravelWatch
from device.runtime.worn import BandWatch, Worn
from device.skeleton import JOINTS, N_JOINTS
from device.voice import Prompts, load_prompts

_SURE = 0.5
_RESTING = 0.5
_VARIANT_PHASE = 0.25
_NO_DEVIATIONS: NDArray[np.float64] = np.full(N_JOINTS, np.nan)
_NO_DEVIATIONS.flags.writeable = False


class Stepping(Protocol):
    """What the core asks of a model; `device.runtime.model.StepModel` is the one."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def constants(self) -> FeatureConstants: ...

    @property
    def responses(self) -> Mapping[str, Mapping[str, Response]]: ...

    def reset(self) -> None: ...

    def step(self, skeleton: Array, inertial: Array, t_ns: int, seq: int) -> Estimate: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What a screen shows. `repetitions` and `worst` (largest deviation of the newest tick, None where there is none) are of the
    open set; `exercise` is `none` between sets. `worn`: how the bands are taken to be worn."""

    exercise: str
    stage: Stage
    repetitions: int
    phase: float
    worst: Deviation | None
    last_cue: Cue | None
    worn: Worn = Worn()


@dataclass(slots=True)
class _Measurement:
    """The repetition in progress, taken for one exercise."""

    meter: RepetitionMeter
    evidence: Evidence
    newest: Measured | None = None

    def add(self, sample: Sample) -> None:
        self.newest = self.meter.add(sample)
        self.evidence.add(sample.phase, self.newest)


class Core:
    """Aligns, extracts features, steps the model, and coaches; once a tick, in that order.

    `exercises`: by name; where two share a model class the later one is coached. `prompts`: None loads those of the
    configured language. `on_timing` hears how long each section of each tick took, and changes nothing. `offset`: what is
    known of the bands against the camera from earlier sessions; `camera_offset` is what is known now.
    """

    def __init__(
        self,
        config: Config,
        model: Stepping,
        exercises: Mapping[str, Exercise],
        start_ns: int,
        *,
        on_timing: Callable[[StageTiming], None] | None = None,
        prompts: Prompts | None = None,
        offset: CameraOffset = UNKNOWN,
    ) -> None:
        hz = config.signals.tick_hz
        self._config = config
        self.exercises = exercises
        self.classes = model.classes
        self._model = model
        self._on_timing = on_timing
        self.timebase = Timebase()
        fixed = CameraOffset(round(config.signals.camera_offset_ms * 1e6), 0)
        self._offset_before = offset
        self._sync = CameraSync(offset) if config.signals.sync == "auto" else None
        self.camera_offset = fixed if self._sync is None else offset
        self._correction = OffsetCorrection(self.camera_offset.offset_ns if self.camera_offset.known else 0)
        self._aligner = Aligner(config.signals, start_ns)
        self._watch = BandWatch(hz)
        self._absences = Absences()
        self._features = FeatureExtractor(model.constants)
        self._energy = EnergyMeter(hz)
        self._stages = StageTracker(hz)
        self._finder = RepetitionFinder(config.reps)
        self._keeper = SetKeeper(config.reps, hz, model.classes, exercises)
        self._travel = TravelWatch(config.reps, hz, exercises)
        self._coach = Coach(config.coach, load_prompts(config.speaker.language) if prompts is None else prompts)
        self._fast_path = FastPath() if config.coach.fast_path else None
        self._standards = {name: Standards(exercise) for name, exercise in exercises.items()}
        self._previous_variant: dict[str, str] = {}
        self._samples: list[Sample] = []
        self._measurement: _Measurement | None = None
        self._counts: Counter[type] = Counter()
        self._phase = 0.0
        self._last_cue: Cue | None = None
        self.last_tick: Tick | None = None
        self.deviations = _NO_DEVIATIONS
        model.reset()

    @property
    def progress(self) -> Progress:
        """The newest tick, for a screen."""
        return Progress(
            self._keeper.exercise,
            self._stages.stage,
            self._keeper.repetitions,
            self._phase,
            self._worst_now(),
            self._last_cue,
            self._watch.worn,
        )

    def push(self, message: Sensed) -> None:
        """Take in what was sensed; it is looked at by `advance`."""
        if isinstance(message, ClockPing):
            self.timebase.ping(message)
            return
        if isinstance(message, ServiceChanged):
            self._absences.push(message)
            return
        if not isinstance(message, ImuBatch):
            self._follow_offset(message)
            self._aligner.push(message)
            return
        batch = self.timebase.convert(message, message.t_ns) if message.sigma_ns < 0 else message
        placed = self._watch.placed(batch)
        if self._fast_path is not None:
            self._fast_path.push(placed)
        self._follow_offset(placed)
        self._aligner.push(self._correction.apply(batch))

    def advance(self, now_ns: int) -> list[Coached]:
        """Work through every tick that is complete or overdue at `now_ns`, then judge the bands' newest samples, which no tick
        has to wait for. Returns what comes out of them, in order."""
        began_ns = time.monotonic_ns()
        ticks = self._aligner.ticks(now_ns)
        if ticks:
            self._took("align", ticks[-1].t_ns, began_ns)
        coached: list[Coached] = []
        for tick in ticks:
            coached += self._step(tick)
        return coached + self._judge_bands(now_ns)

    def finish(self, now_ns: int) -> list[Coached]:
        """Work up to `now_ns`, count a repetition that is all but done, and close an open set with its summary."""
        coached = self.advance(now_ns)
        t_ns = self.last_tick.t_ns if self.last_tick is not None else now_ns
        last: list[Coached] = []
        if self._finder.close() is Move.DONE:
            last += self._complete(t_ns)
        last += self._announce(t_ns, self._keeper.close())
        last += self._coach.close(t_ns)
        return coached + self._numbered(last)

    def _step(self, tick: Tick) -> list[Coached]:
        t0 = time.monotonic_ns()
        notices = [*self._absences.step(tick.t_ns), *((prompt,) for prompt in self._watch_bands(tick))]
        tick = self._watch.corrected(tick)
        skeleton, inertial = self._features.step(tick)
        t1 = self._took("features", tick.t_ns, t0)
        estimate = self._model.step(skeleton, inertial, tick.t_ns, tick.seq)
        t2 = self._took("model", tick.t_ns, t1)
        coached = self._coach_tick(tick, estimate)
        for prompts in notices:
            coached += self._coach.notice(tick.t_ns, prompts)
        self._took("coach", tick.t_ns, t2)
        self.last_tick = tick
        return [estimate, *self._numbered(coached)]

    def _follow_offset(self, message: Pose | ImuBatch) -> None:
        """Compare camera and bands; what is known of their offset is what batches are corrected by."""
        if self._sync is None:
            return
        self._sync.push(message)
        self.camera_offset = self._sync.estimate
        if self.camera_offset.known:
            self._correction.target_ns = self.camera_offset.offset_ns

    def _judge_bands(self, now_ns: int) -> list[Coached]:
        """What the bands show by themselves, where the slow path is sure of the exercise."""
        if self._fast_path is None or not self._fast_path.waiting:
            return []
        began_ns = time.monotonic_ns()
        name = self._keeper.set_exercise
        sure = name != NONE and self._keeper.exercise == name and self._keeper.confidence(name) >= _SURE
        exercise = self.exercises[name] if sure else None
        shown = self._fast_path.judge(now_ns, exercise)
        felt = [said for one in shown for said in self._coach.felt(exercise, one)] if exercise is not None else []
        self._took("bands", now_ns, began_ns)
        return self._numbered(list(felt))

    def _watch_bands(self, tick: Tick) -> list[str]:
        """Look at how the bands are worn. Returns prompts."""
        limbs = self._watch.worn.limbs
        prompts = self._watch.step(tick)
        if self._sync is not None and self._watch.worn.limbs != limbs:
            # Until now each band was compared with another one's limb.
            self._sync = CameraSync(self._offset_before)
            self.camera_offset = self._offset_before
            self._correction.target_ns = self._offset_before.offset_ns if self._offset_before.known else 0
        return prompts

    def _coach_tick(self, tick: Tick, estimate: Estimate) -> list[Coached]:
        self._phase = estimate.phase
        coached: list[Coached] = []
        energy = self._energy.step(tick.world, tick.pose_present, estimate.angles)
        boundary = self._stages.step(tick.t_ns, energy.score, estimate.stage)
        if boundary is not None:
            coached.append(boundary)
        move = self._finder.step(tick.t_ns, estimate.phase, float(estimate.stage[Stage.REST]))
        if move is Move.BEGAN:
            self._begin()
        self._keeper.step(tick, estimate)
        self._measure(tick, estimate, move)
        self._travel.step(tick, estimate.angles, self._keeper.mark)
        if move is Move.DONE:
            coached += self._complete(tick.t_ns)
        elif move is Move.DROPPED:
            self._measurement = None
        elif self._finder.moving:
            coached += self._correct(tick.t_ns)
        for done in self._travel.due(tick.t_ns):
            coached += self._complete_travelled(tick.t_ns, done)
        coached += self._announce(tick.t_ns, self._keeper.idle(tick.t_ns, self._finder.moving))
        return coached + list(self._coach.idle(tick.t_ns))

    def _begin(self) -> None:
        self._keeper.begin()
        self._coach.repetition_began()
        self._measurement = None

    def _measure(self, tick: Tick, estimate: Estimate, move: Move) -> None:
        """Keeps samples from the earliest time at which a repetition can have begun: its beginning is known a little late.

        Ticks of rest, and those whose phase jumps, are left out: their phase means nothing.
        """
        self.deviations = _NO_DEVIATIONS
        if not self._finder.moving and move is Move.STILL:
            self._samples = [s for s in self._samples if s.t_ns > self._finder.start_ns]
        if estimate.stage[Stage.REST] > _RESTING or not self._finder.steady:
            return
        sample = sample_of(tick, estimate)
        self._samples.append(sample)
        name = self._keeper.exercise
        if not self._finder.moving or name == NONE:
            return
        if self._measurement is None or self._measurement.meter.exercise.name != name:
            self._measurement = self._measurement_of(name)
        else:
            self._measurement.add(sample)
        newest = self._measurement.newest
        self.deviations = self.deviations if newest is None else newest.deviation

    def _measurement_of(self, name: str) -> _Measurement:
        standards = self._standards[name]
        expected = expected_variant(standards.exercise, self._previous_variant.get(name))
        responses = self._model.responses.get(standards.exercise.model_class, {})
        evidence = Evidence(standards, self._config.signals.tick_hz, responses)
        measurement = _Measurement(RepetitionMeter(standards, expected), evidence)
        for sample in self._samples:
            measurement.add(sample)
        return measurement

    def _correct(self, t_ns: int) -> list[Coached]:
        measurement = self._measurement
        name = self._keeper.set_exercise
        if measurement is None or measurement.newest is None or measurement.meter.exercise.name != name:
            return []
        if not measurement.meter.settled or self._keeper.confidence(name) < _SURE:
            return []
        if len(measurement.meter.standards.variants) > 1 and not self._finder.far and self._phase < _VARIANT_PHASE:
            return []
        windows = measurement.evidence.windows(measurement.newest.variant)
        return list(self._coach.during(t_ns, measurement.meter.exercise, windows))

    def _complete(self, t_ns: int) -> list[Coached]:
        """A repetition is done: count it, and let the coach learn from it."""
        measured: list[_Measurement] = []

        def measure(exercise: Exercise) -> tuple[str, tuple[Deviation, ...]]:
            known = self._measurement
            fits = known is not None and known.meter.exercise.name == exercise.name
            measurement = known if known is not None and fits else self._measurement_of(exercise.name)
            measurement.evidence.end()
            measured.append(measurement)
            self._previous_variant[exercise.name] = measurement.meter.variant
            return measurement.meter.variant, measurement.meter.worst()

        coached: list[Coached] = []
        for missed in self._travel.before(self._finder.start_ns):
            coached += self._complete_travelled(t_ns, missed)
        messages = self._take(self._finder.start_ns, self._finder.end_ns, measure)
        coached += self._announce(t_ns, messages)
        self._measurement = None
        self._samples = []
        counted = [message for message in messages if isinstance(message, Repetition)]
        if counted and measured and measured[0].newest is not None:
            exercise = measured[0].meter.exercise
            windows = measured[0].evidence.windows(measured[0].newest.variant)
            coached += self._coach.repetition_done(t_ns, exercise, counted[-1], windows)
        return coached

    def _complete_travelled(self, t_ns: int, done: Travelled) -> list[Coached]:
        """The joints did a repetition that the phase has missed: count it. Its form isn't judged, for its phase isn't known."""
        exercise, confidence = self._keeper.belongs(done.mark)
        if done.exercise not in (None, exercise) or confidence < DOUBTFUL:
            return []
        return self._announce(t_ns, self._take(done.start_ns, done.end_ns, lambda e: (e.variants[0], ()), done.mark))

    def _take(self, start_ns: int, end_ns: int, measure: Measure, began: Mark | None = None) -> list[SetMessage]:
        """What a repetition opens, counts and closes that one of the two witnesses has found, where neither speaks against it."""
        if not self._travel.knows(self._keeper.belongs(began)[0], start_ns, end_ns):
            return []
        messages = self._keeper.complete(start_ns, end_ns, measure, began=began)
        if messages is None:
            return []
        self._travel.took(end_ns)
        return messages

    def _announce(self, t_ns: int, messages: list[SetMessage]) -> list[Coached]:
        coached: list[Coached] = []
        for message in messages:
            if isinstance(message, SetStarted):
                self._coach.set_started()
                coached.append(message)
                continue
            coached.append(dataclasses.replace(message, t_ns=t_ns))
            if isinstance(message, SetEnded):
                coached += self._coach.set_ended(t_ns, self.exercises[message.exercise], message)
        return coached

    def _numbered(self, coached: list[Coached]) -> list[Coached]:
        numbered: list[Coached] = []
        for message in coached:
            numbered.append(dataclasses.replace(message, seq=self._counts[type(message)]))
            self._counts[type(message)] += 1
            if isinstance(message, Cue):
                self._last_cue = message
        return numbered

    def _worst_now(self) -> Deviation | None:
        newest = self._measurement.newest if self._measurement is not None else None
        if newest is None or not np.nan_to_num(self.deviations).any():
            return None
        j = int(np.nanargmax(np.abs(self.deviations)))
        return Deviation(JOINTS[j].name, float(self.deviations[j]), float(newest.deviation_sigma[j]))

    def _took(self, section: str, t_ns: int, began_ns: int) -> int:
        now_ns = time.monotonic_ns()
        if self._on_timing is not None:
            self._on_timing(StageTiming(t_ns, section, now_ns - began_ns, began_ns))
        return now_ns
