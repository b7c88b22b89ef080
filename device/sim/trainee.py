"""The virtual trainee: motion over a session, exact truth, and ears that put errors right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.exercises import Exercise, Habit, load_exercises
from device.messages import EXERCISES, NS_PER_S, Cue, Stage
from device.sim.body import Body, sample_body
from device.sim.kinematics import COLUMN, COLUMNS, RELAXED, Posture, posture
from device.sim.manner import Pace, in_manner, pace_of
from device.sim.motion import Knots, Motion, motion_of, repetition, shape, smooth
from device.sim.script import PlannedHabit, RestBlock, SessionPlan, SetBlock, plan_session
from device.sim.strange import Strange
from device.sim.transitions import OTHER_EXERCISES, Choreography
from device.skeleton import JOINT, joint_angles

Array = NDArray[np.float64]

REACTION_S = (0.4, 0.9)
CORRECTION_S = (0.6, 1.0)
RESIDUAL = (0.10, 0.25)
"""A heard cue is reacted to after the first, put right within the second, down to this share of the error."""


_SWAY: dict[str, float] = {
    "hips_x": 0.004, "hips_y": 0.005, "trunk": 0.6, "lean": 0.5, "twist": 0.8, "look": 2.0, "nod": 1.5,
    "left_flex": 0.8, "left_abduct": 0.8, "left_rotate": 1.5, "left_elbow": 0.8,
    "right_flex": 0.8, "right_abduct": 0.8, "right_rotate": 1.5, "right_elbow": 0.8,
}  # fmt: skip
_SWAY_BANDS_HZ = ((0.12, 0.3, 0.8), (0.3, 0.7, 0.35), (5.0, 9.0, 0.02))
"""Size of the sway of each parameter, in its unit; lowest and highest rate of each band and its share of that size."""


@dataclass(frozen=True, slots=True, eq=False)
class ActiveError:
    """An error as it is now. `joint`: full name; `sign`: +1 angle too large, -1 too small; `size_rad` >= 0."""

    error: str
    joint: str
    sign: int
    size_rad: float


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What the trainee really does. `landmarks` (33, 3) m, world; `angles` (12,) rad; `exercise` is `none` outside sets."""

    t_ns: int
    landmarks: Array
    angles: Array
    exercise: str
    variant: str
    stage: Stage
    phase: float
    errors: tuple[ActiveError, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TruthTrack:
    """Truth at many times: `landmarks` (n, 33, 3), `angles` (n, 12), `exercise` (n,) index into EXERCISES of the model class,
    `stage` (n,), `phase` (n,), `in_set` (n,) first repetition's start to last one's end."""

    landmarks: Array
    angles: Array
    exercise: NDArray[np.int64]
    stage: NDArray[np.int64]
    phase: Array
    in_set: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TrueRepetition:
    exercise: str
    variant: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class TrueSet:
    """`habits`: (habit, side, size rad, first repetition that has it)."""

    exercise: str
    start_ns: int
    end_ns: int
    repetitions: tuple[TrueRepetition, ...]
    habits: tuple[tuple[Habit, str, float, int], ...]


@dataclass(slots=True)
class _Fault:
    """A habit at work in one set; `heard_s` is when its cue takes effect (inf until then)."""

    set_index: int
    habit: Habit
    side: str
    size_rad: float
    change: float
    onset_s: float
    grown_s: float
    end_s: float
    correction_s: float
    reaction_s: float
    residual: float
    heard_s: float = np.inf


class VirtualTrainee:
    """A person who does `plan`: a pure function of seed, plan and the cues heard so far. Cues never change the timing."""

    def __init__(
        self,
        seed: int,
        plan: SessionPlan | None = None,
        *,
        deaf: bool = False,
        exercises: Mapping[str, Exercise] | None = None,
    ) -> None:
        self.exercises = dict(exercises) if exercises is not None else load_exercises()
        self.plan = plan if plan is not None else plan_session(seed, exercises=self.exercises)
        self.body: Body = sample_body(np.random.default_rng((seed, 2)))
        self.deaf = deaf
        self.start_ns = 0
        self._rng = np.random.default_rng((seed, 3))
        self._sets: list[TrueSet] = []
        self._faults: list[_Fault] = []
        self._warps: list[float] = []
        self._paces: list[Pace] = []
        self._between: list[tuple[int, int]] = []
        choreography = Choreography(self.plan.heading_rad)
        for block in self.plan.blocks:
            if isinstance(block, RestBlock):
                self._rest(choreography, block)
            else:
                self._set(choreography, block)
        choreography.hold(1.0)
        self._track: Knots = choreography.knots()
        self.duration_ns = _ns(choreography.now_s)
        self._sway = _Sway(self._rng)
        repetitions = [repetition for done in self._sets for repetition in done.repetitions]
        self._rep_start = np.array([r.start_ns for r in repetitions], dtype=np.int64)
        self._rep_end = np.array([r.end_ns for r in repetitions], dtype=np.int64)
        self._rep_lead = np.array([("both", "left", "right").index(r.variant) for r in repetitions], dtype=np.int64)
        self._rep_warp = np.array(self._warps)
        self._rep_times = np.array([pace.times for pace in self._paces]).reshape(-1, 2)
        self._rep_phases = np.array([pace.phases for pace in self._paces]).reshape(-1, 2)
        self._rep_ends = np.array([self.exercises[r.exercise].stage_ends for r in repetitions]).reshape(-1, 2)

    @property
    def sets(self) -> tuple[TrueSet, ...]:
        """All sets of the session; their times are known from the start."""
        return tuple(self._sets)

    @property
    def between(self) -> tuple[tuple[int, int], ...]:
        """Start and end (ns) of each time at which a stance is taken up or left, which may look like half of an exercise."""
        return tuple(self._between)

    def pose(self, times_ns: NDArray[np.int64]) -> Array:
        """Landmarks (n, 33, 3) m in the world at `times_ns` (n,)."""
        return self._posture(times_ns).landmarks

    def segments(self, times_ns: NDArray[np.int64]) -> tuple[Array, Array]:
        """Positions (n, 4, 3) m and rotations (n, 4, 3, 3) of the bands' mounting points, order of skeleton.BANDS."""
        solved = self._posture(times_ns)
        return solved.band_positions, solved.band_axes

    def track(self, times_ns: NDArray[np.int64]) -> TruthTrack:
        """Truth at `times_ns` (n,), any number at once."""
        times = np.asarray(times_ns, dtype=np.int64)
        landmarks = self.pose(times)
        rep, inside, phase = self._place(times)
        in_set = np.zeros(len(times), dtype=np.bool_)
        exercise = np.full(len(times), EXERCISES.index("none"), dtype=np.int64)
        for done in self._sets:
            now = (times >= done.start_ns) & (times < done.end_ns)
            in_set |= now
            exercise[now] = EXERCISES.index(self.exercises[done.exercise].model_class)
        stage = np.zeros(len(times), dtype=np.int64)
        if len(self._rep_start):
            ends = self._rep_ends[rep]
            running = 1 + (phase >= ends[:, 0]).astype(np.int64) + (phase >= ends[:, 1])
            stage = np.where(inside, running, int(Stage.REST))
        return TruthTrack(landmarks, joint_angles(landmarks), exercise, stage, np.where(inside, phase, 0.0), in_set)

    def truth(self, t_ns: int) -> Truth:
        """Truth at one time, with the errors that are at work then (1 degree or more)."""
        times = np.array([t_ns], dtype=np.int64)
        track = self.track(times)
        exercise, variant = "none", "both"
        for done in self._sets:
            if done.start_ns <= t_ns < done.end_ns:
                exercise = done.exercise
                variant = done.repetitions[_index(done, t_ns)].variant
        errors = []
        for fault in self._faults:
            size = fault.size_rad * float(self._share(fault, times)[0])
            for side, weight in self._fault_sides(fault, times):
                if weight[0] * size >= np.radians(1.0):
                    errors.append(ActiveError(fault.habit.error, f"{side}_{fault.habit.joint}", fault.habit.sign, size))
        stage = Stage(int(track.stage[0]))
        return Truth(t_ns, track.landmarks[0], track.angles[0], exercise, variant, stage, float(track.phase[0]), tuple(errors))

    def hear(self, cue: Cue) -> None:
        """A correction reached the trainee at `cue.t_ns`: the set's matching error shrinks after a reaction time."""
        if self.deaf or cue.kind != "correction":
            return
        side, _, kind = cue.joint.partition("_")
        heard_s = cue.t_ns / NS_PER_S
        for fault in self._faults:
            done = self._sets[fault.set_index]
            matches = fault.habit.joint == kind and fault.habit.sign == cue.sign and done.exercise == cue.exercise
            concerned = fault.side in ("both", "lead") or fault.side == side
            during = done.start_ns <= cue.t_ns <= done.end_ns
            if matches and concerned and during and heard_s < fault.heard_s:
                fault.heard_s = heard_s

    def _posture(self, times_ns: NDArray[np.int64]) -> Posture:
        times = np.asarray(times_ns, dtype=np.int64)
        seconds = times / NS_PER_S
        rep, inside, phase = self._place(times)
        warped = seconds
        if len(self._rep_start):
            start, end = self._rep_start[rep] / NS_PER_S, self._rep_end[rep] / NS_PER_S
            warped = np.where(inside, start + (end - start) * phase, seconds)
        parameters = self._track(warped) + self._sway(seconds)
        for fault in self._faults:
            self._disturb(parameters, fault, times)
        return posture(self.body, parameters)

    def _place(self, times: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_], Array]:
        """Index of the newest repetition, whether it is still going on, and its phase, each (n,)."""
        if not len(self._rep_start):
            return np.zeros(len(times), np.int64), np.zeros(len(times), np.bool_), np.zeros(len(times))
        rep = np.clip(np.searchsorted(self._rep_start, times, side="right") - 1, 0, None)
        start, end = self._rep_start[rep], self._rep_end[rep]
        inside = (times >= start) & (times < end)
        u = np.clip((times - start) / (end - start), 0.0, 1.0)
        # The movement stands still at both ends of its middle, so its time may go by at another rate in each of the three parts.
        (a, b), (p, q) = self._rep_times[rep].T, self._rep_phases[rep].T
        u = np.where(u < a, u / a * p, np.where(u < b, p + (u - a) / (b - a) * (q - p), 1 - (1 - u) / (1 - b) * (1 - q)))
        return rep, inside, u + self._rep_warp[rep] * np.sin(2 * np.pi * u) / (2 * np.pi)

    def _share(self, fault: _Fault, times: NDArray[np.int64]) -> Array:
        """Share (n,) of the fault's size that is there now: grown, spread over the phase, and put right as far as heard."""
        t = times / NS_PER_S
        grown = smooth((t - fault.onset_s) / (fault.grown_s - fault.onset_s)) * smooth(1 - (t - fault.end_s) / 0.8)
        _, inside, phase = self._place(times)
        spread = shape(fault.habit.shape, np.where(inside, phase, 0.0))
        left = 1.0 - (1.0 - fault.residual) * smooth((t - fault.heard_s - fault.reaction_s) / fault.correction_s)
        return np.asarray(grown * spread * left)

    def _fault_sides(self, fault: _Fault, times: NDArray[np.int64]) -> list[tuple[str, Array]]:
        """Each side with its weight (n,)."""
        ones = np.ones(len(times))
        if fault.side == "both":
            return [("left", ones), ("right", ones)]
        if fault.side != "lead":
            return [(fault.side, ones)]
        lead = self._rep_lead[self._place(times)[0]]
        return [("left", (lead != 2).astype(np.float64)), ("right", (lead != 1).astype(np.float64))]

    def _disturb(self, parameters: Array, fault: _Fault, times: NDArray[np.int64]) -> None:
        seconds = times / NS_PER_S
        near = (seconds > fault.onset_s) & (seconds < fault.end_s + 1.0)
        if not near.any():
            return
        change = fault.change * self._share(fault, times[near])
        for name, ratio in ((fault.habit.parameter, 1.0), *fault.habit.also):
            if name in COLUMN:
                parameters[near, COLUMN[name]] += ratio * change
                continue
            for side, weight in self._fault_sides(fault, times[near]):
                parameters[near, COLUMN[f"{side}_{name}"]] += ratio * change * weight

    def _rest(self, choreography: Choreography, block: RestBlock) -> None:
        until = choreography.now_s + block.duration_s
        choreography.hold(self._rng.uniform(0.3, 0.8))
        for activity in block.activities:
            if isinstance(activity, Strange):
                before = choreography.now_s
                begun, ended = choreography.exercise(activity)
                if activity.doubtful:
                    self._between += [(_ns(before), _ns(begun)), (_ns(ended), _ns(choreography.now_s))]
            elif activity in OTHER_EXERCISES:
                choreography.activity(activity, self._rng.uniform(0.6, 1.3), self._rng.uniform(0.8, 1.1))
            else:
                choreography.activity(activity)
            choreography.hold(self._rng.uniform(0.3, 0.8))
        choreography.hold(until - choreography.now_s)

    def _set(self, choreography: Choreography, block: SetBlock) -> None:
        rng = self._rng
        exercise = self.exercises[block.exercise]
        motion = in_manner(motion_of(exercise), block.manner)
        start = repetition(motion, block.variant).values[0]
        prone = start[COLUMN["prone"]] > 0.5
        choreography.turn(block.heading_rad)
        if prone:
            choreography.get_down(start)
        else:
            choreography.go(start, 1.2)
        choreography.hold(rng.uniform(0.9, 1.6))
        style = rng.normal(1.0, 0.008, len(COLUMNS)).clip(0.985, 1.015)
        repetitions = []
        lead = block.variant
        for i in range(block.repetitions):
            begin = choreography.now_s
            duration_s = motion.rep_s[block.tempo] * float(np.clip(rng.normal(1, 0.05), 0.88, 1.12))
            amplitude = style * float(np.clip(rng.normal(1.0, 0.01), 0.98, 1.02)) * block.manner.amplitude
            pace = pace_of(motion, block.manner, duration_s)
            choreography.repeat(repetition(motion, lead), pace.duration_s, amplitude)
            self._paces.append(pace)
            self._warps.append(float(rng.uniform(-0.15, 0.15)))
            repetitions.append(TrueRepetition(exercise.name, lead, _ns(begin), _ns(choreography.now_s)))
            if i + 1 < block.repetitions:
                choreography.hold(rng.uniform(*motion.pause_s))
            if exercise.alternates and not block.manner.split:
                lead = "right" if lead == "left" else "left"
        habits = tuple((_habit(exercise, p), p.side, p.size_rad, p.onset) for p in block.habits)
        self._sets.append(TrueSet(exercise.name, repetitions[0].start_ns, repetitions[-1].end_ns, tuple(repetitions), habits))
        for (habit, side, size, onset), planned in zip(habits, block.habits, strict=True):
            kept = repetitions[onset : planned.until]
            self._faults.append(self._fault(motion, block.variant, habit, side, size, kept, lasting=planned.until is None))
        choreography.hold(rng.uniform(0.5, 0.9))
        if prone:
            choreography.get_up()
        else:
            choreography.go(RELAXED, 1.2)

    def _fault(
        self,
        motion: Motion,
        variant: str,
        habit: Habit,
        side: str,
        size: float,
        repetitions: Sequence[TrueRepetition],
        *,
        lasting: bool,
    ) -> _Fault:
        """A habit that these `repetitions` have. A lasting one grows over the first of them, a passing one is there at once."""
        rng = self._rng
        begin, first_end = repetitions[0].start_ns / NS_PER_S, repetitions[0].end_ns / NS_PER_S
        return _Fault(
            set_index=len(self._sets) - 1,
            habit=habit,
            side=side,
            size_rad=size,
            change=parameter_change(self.body, motion, variant, habit, side, size),
            onset_s=begin,
            grown_s=begin + (first_end - begin) * (1.0 if lasting else 0.3),
            end_s=repetitions[-1].end_ns / NS_PER_S,
            correction_s=float(rng.uniform(*CORRECTION_S)),
            reaction_s=float(rng.uniform(*REACTION_S)),
            residual=float(rng.uniform(*RESIDUAL)),
        )


def parameter_change(body: Body, motion: Motion, variant: str, habit: Habit, side: str, size_rad: float) -> float:
    """Change of the habit's parameter with which this body's joint deviates by `size_rad` at the middle of a repetition."""
    middle = repetition(motion, variant)(np.array([0.5]))
    shown = side if side in ("left", "right") else "right" if variant == "right" else "left"
    changes = np.linspace(0.0, 2.5 * habit.gain * size_rad, 41)
    parameters = np.repeat(middle, len(changes), axis=0)
    affected = ("left", "right") if side in ("both", "lead") else (shown,)
    for name, ratio in ((habit.parameter, 1.0), *habit.also):
        for column in [COLUMN[name]] if name in COLUMN else [COLUMN[f"{s}_{name}"] for s in affected]:
            parameters[:, column] += ratio * changes
    angle = joint_angles(posture(body, parameters).landmarks)[:, JOINT[f"{shown}_{habit.joint}"]]
    deviation = np.maximum.accumulate(habit.sign * (angle - angle[0]))
    return float(np.interp(size_rad, deviation, changes))


class _Sway:
    """Small slow movement and tremor that never stops: a sum of sines per parameter; feet and planted hands stay put."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._columns = np.array([COLUMN[name] for name in _SWAY])
        n = len(self._columns)
        self._rates = np.stack([rng.uniform(low, high, n) for low, high, _ in _SWAY_BANDS_HZ])
        self._starts = rng.uniform(0, 2 * np.pi, (len(_SWAY_BANDS_HZ), n))
        self._sizes = np.array(list(_SWAY.values())) * np.array([[size] for _, _, size in _SWAY_BANDS_HZ])

    def __call__(self, seconds: Array) -> Array:
        moved = np.zeros((len(seconds), len(COLUMNS)))
        for rate, start, size in zip(self._rates, self._starts, self._sizes, strict=True):
            moved[:, self._columns] += size * np.sin(2 * np.pi * rate * seconds[:, None] + start)
        return moved


def _habit(exercise: Exercise, planned: PlannedHabit) -> Habit:
    return next(habit for habit in exercise.habits if habit.error == planned.error)


def _index(done: TrueSet, t_ns: int) -> int:
    return max(i for i, repetition in enumerate(done.repetitions) if repetition.start_ns <= t_ns)


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
