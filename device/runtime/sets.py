"""Which exercise is being done, which repetitions count, and where sets begin and end."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.config import RepsConfig
from device.exercises import KINDS, EntryPose, Exercise
from device.messages import NS_PER_S, Deviation, Estimate, Repetition, SetEnded, SetStarted, Tick
from device.skeleton import BANDS, JOINT, JOINTS, N_BANDS, TRUNK_NODES

NONE = "none"

PLAUSIBLE = 0.55
"""Mean class probability from which the next repetition may come after a pause; below, it has to follow directly."""
DOUBTFUL, EVIDENCE = 0.4, 0.4
"""What repetitions of one exercise in a row say for a set of it: by how much the mean probability of each is above DOUBTFUL;
below that they say nothing. At EVIDENCE the set opens and has all of them: one sure one (0.8), two at 0.6, or many
doubtful ones. A model needs a moment to recognise an exercise, and a fast first repetition is over by then."""
ELSEWHERE = 0.5
"""Share of that which a repetition says whose joints did not begin in the exercise's entry pose: whoever is fast never quite
comes back to it. The trunk always does, and is asked for."""
OTHER = 0.85
"""Mean probability of another exercise that a repetition within a set needs to be taken for that one."""
NOTHING = 0.7
"""Mean probability of `none` at which a repetition within a set is none."""
TOO_SOON = 0.4
"""Share of the set's usual time from one repetition to the next after which nobody has done another one."""

TRUNK_SLACK = math.radians(15)
"""Slack of the entry pose's trunk: a tilted camera and the estimator's depth make an upright person lean by up to 30 degrees."""
JOINT_SLACK = math.radians(10)
"""Slack of the entry pose's joints, for the model's error."""

JOINTS_OF = {kind: (JOINT[f"left_{kind}"], JOINT[f"right_{kind}"]) for kind in KINDS}
"""Both sides' joints of each kind, left first."""

_ARM = ("elbow", "shoulder")
_LANDMARKS = [[(JOINTS[i].a, JOINTS[i].b, JOINTS[i].c) for i in JOINTS_OF[kind]] for kind in KINDS]
_ENTER, _LEAVE = 0.6, 0.4
_TIME_CONSTANT_S = 0.35
_GLITCH_NS = NS_PER_S
_ENTRY_NS = 800_000_000
_DIRECTLY_NS = 1_500_000_000
_FELT = 0.5
_LATEST, _UNNAMED = 5, 5

SetMessage = SetStarted | Repetition | SetEnded
Measure = Callable[[Exercise], tuple[str, tuple[Deviation, ...]]]
"""Variant and worst deviations of the repetition just done, taken for a given exercise."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a set keeper had heard at some moment: sums of the class probabilities (over all ticks) and of how well each kind of
    joint was seen (over ticks with a pose), how many ticks each band was felt, and the exercises in whose entry pose the trunk
    just was, and the joints, too: all of them where nobody was seen before."""

    ticks: int
    sums: tuple[float, ...]
    seen: int
    visibility: tuple[float, ...]
    felt: tuple[int, ...]
    held: frozenset[str]
    entered: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Done:
    start_ns: int
    end_ns: int
    exercise: str
    variant: str
    worst: tuple[Deviation, ...]
    confidence: float
    evidence: float


class SetKeeper:
    """Turns finished repetitions into sets.

    A repetition belongs to the class with the highest mean probability over it. The first one of a set must begin with the trunk
    as in the exercise's entry pose. It opens the set at once when the class is sure and the joints were in that pose, too, else
    the next ones of the same class confirm it (EVIDENCE), some repetitions late; what nobody could name between two that follow
    each other is one of them. Within a set a repetition counts unless it comes far sooner than the ones before it (TOO_SOON) or
    something else is clearly more likely (OTHER, NOTHING), so a short glitch neither splits the set nor loses a repetition;
    another exercise ends the set when its second repetition follows, or the set's pause runs out. The exercise's joints must be
    visible (best side, mean over the ticks with a pose). With bands alone that gate is open, but a set of an exercise whose sides
    do different things begins only where both sides' bands are felt: of a shin that leans, nobody knows what the other leg does.
    """

    def __init__(self, config: RepsConfig, tick_hz: float, classes: Sequence[str], exercises: Mapping[str, Exercise]) -> None:
        self._min_visibility = config.min_visibility
        self._set_end_ns = round(config.set_end_s * NS_PER_S)
        self._weight = 1 / (1 + _TIME_CONSTANT_S * tick_hz)
        by_class = {exercise.model_class: name for name, exercise in exercises.items()}
        self._names = tuple(by_class.get(name, NONE) for name in classes)
        self._exercises = {name: exercises[name] for name in self._names if name != NONE}
        self._order = (*self._exercises, NONE)
        self._columns = [self._order.index(name) for name in self._names]
        self._kinds = {name: kinds_of(exercise) for name, exercise in self._exercises.items()}
        self._bands = {name: bands_of(exercise) for name, exercise in self._exercises.items()}
        # Half a dozen plain numbers are faster than the same in an array.
        self._smooth = [0.0] * len(self._exercises) + [1.0]
        self._sums = [0.0] * len(self._order)
        self._ticks = 0
        self._seen = 0
        self._visibility = [0.0] * len(KINDS)
        self._felt = [0] * N_BANDS
        self._held_ns = dict.fromkeys(self._exercises, -_ENTRY_NS - 1)
        self._entry_ns = dict.fromkeys(self._exercises, -_ENTRY_NS - 1)
        self._last_ns = 0
        self._seen_ns = self._appeared_ns = -_ENTRY_NS - 1
        self._current = NONE
        self._strange_since: int | None = None
        self._set = NONE
        self._set_start_ns = 0
        self._set_end = 0
        self._count = 0
        self._ends: deque[int] = deque(maxlen=_LATEST)
        self._pending: list[_Done] = []
        self._between: deque[tuple[int, int, Mark]] = deque(maxlen=_UNNAMED)
        self._began = self.mark()

    @property
    def exercise(self) -> str:
        """Exercise being done, with hysteresis; `none` between sets."""
        return self._current

    @property
    def set_exercise(self) -> str:
        """Exercise of the open set; `none` where no set is open."""
        return self._set

    @property
    def repetitions(self) -> int:
        """Repetitions of the open set so far."""
        return self._count if self._set != NONE else 0

    def confidence(self, exercise: str) -> float:
        """Smoothed probability (0.35 s) of an exercise."""
        return self._smooth[self._order.index(exercise)] if exercise in self._order else 0.0

    def mark(self) -> Mark:
        """What is known now."""
        unknown = self._last_ns - self._seen_ns > _ENTRY_NS or self._last_ns - self._appeared_ns < _ENTRY_NS
        held, entered = (
            frozenset(n for n, t_ns in since.items() if unknown or self._last_ns - t_ns <= _ENTRY_NS)
            for since in (self._held_ns, self._entry_ns)
        )
        return Mark(self._ticks, tuple(self._sums), self._seen, tuple(self._visibility), tuple(self._felt), held, entered)

    def step(self, tick: Tick, estimate: Estimate) -> None:
        """Next tick."""
        now = [0.0] * len(self._order)
        for column, probability in zip(self._columns, estimate.exercise.tolist(), strict=True):
            now[column] += probability
        self._smooth = [before + self._weight * (newest - before) for before, newest in zip(self._smooth, now, strict=True)]
        self._sums = [total + newest for total, newest in zip(self._sums, now, strict=True)]
        self._ticks += 1
        self._felt = [ticks + felt for ticks, felt in zip(self._felt, tick.imu_present.tolist(), strict=True)]
        self._last_ns = tick.t_ns
        if tick.pose_present:
            if tick.t_ns - self._seen_ns > _ENTRY_NS:
                self._appeared_ns = tick.t_ns
            self._seen_ns = tick.t_ns
            seen = seen_kinds(tick.visibility)
            self._seen += 1
            self._visibility = [total + share for total, share in zip(self._visibility, seen, strict=True)]
            self._watch_entry(tick, estimate, [share >= self._min_visibility for share in seen])
        self._decide(tick.t_ns)

    def begin(self) -> None:
        """A repetition's excursion begins (or what was counted since then is void)."""
        self._began = self.mark()

    def complete(self, start_ns: int, end_ns: int, measure: Measure, *, began: Mark | None = None) -> list[SetMessage] | None:
        """A repetition is done. `began`: what was known at its beginning, by default at the last `begin`. Returns what it opens,
        counts and closes, in order, which may be nothing yet; None where it is none of ours."""
        began = self._began if began is None else began
        name, confidence = self.belongs(began)
        if name == NONE:
            if self._pending and self._means(began)[-1] < NOTHING:
                self._between.append((start_ns, end_ns, began))
            return None
        if not self._is_visible(name, began):
            return None
        if name != self._set and not self._may_begin(name, began):
            return None
        variant, worst = measure(self._exercises[name])
        evidence = (confidence - DOUBTFUL) * (1.0 if name in began.entered else ELSEWHERE)
        done = _Done(start_ns, end_ns, name, variant, worst, confidence, evidence)
        if name == self._set:
            self._forget_pending()
            return None if self._is_too_soon(end_ns) else [self._counted(done)]
        if self._pending and not self._goes_on(self._pending[-1], done):
            self._forget_pending()
        self._pending += [*self._done_between(done), done]
        if self._set != NONE and len(self._pending) == 1:
            return []
        return self._open_set() if self._evidence() >= EVIDENCE else []

    def idle(self, t_ns: int, moving: bool) -> list[SetMessage]:
        """Nothing was completed at this tick: ends the set whose pause is over. `moving`: a repetition is in progress."""
        if self._set == NONE or t_ns - self._set_end < self._set_end_ns:
            return []
        if moving and self._current == self._set:
            return []
        return self._time_out()

    def close(self) -> list[SetMessage]:
        """The stream is over."""
        messages = self._time_out() if self._set != NONE else []
        return [*messages, *self._end_set()]

    def _decide(self, t_ns: int) -> None:
        best = _largest(self._smooth)
        name = self._order[best] if self._smooth[best] >= _ENTER else NONE
        if self._current == NONE or name == self._current:
            self._current, self._strange_since = name, None
            return
        if self._smooth[self._order.index(self._current)] >= _LEAVE:
            self._strange_since = None
            return
        if self._strange_since is None:
            self._strange_since = t_ns
        if self._current != self._set or t_ns - self._strange_since >= _GLITCH_NS:
            self._current, self._strange_since = name, None

    def _watch_entry(self, tick: Tick, estimate: Estimate, seen: Sequence[bool]) -> None:
        lean, angles = trunk_lean(tick.world), estimate.angles.tolist()
        for name, exercise in self._exercises.items():
            if not trunk_held(exercise.entry, lean):
                continue
            self._held_ns[name] = tick.t_ns
            if joints_entered(exercise.entry, angles, seen):
                self._entry_ns[name] = tick.t_ns

    def belongs(self, began: Mark | None = None) -> tuple[str, float]:
        """Which exercise a repetition belongs to, and its mean probability since it `began`, by default at the last `begin`."""
        mean = self._means(self._began if began is None else began)
        best = _largest(mean)
        if self._set != NONE and mean[best] < (NOTHING if self._order[best] == NONE else OTHER):
            return self._set, mean[self._order.index(self._set)]
        if self._set == NONE:
            best = _largest(mean[:-1]) if len(mean) > 1 else best
            return (self._order[best], mean[best]) if mean[best] >= DOUBTFUL else (NONE, 0.0)
        return self._order[best], mean[best]

    def _means(self, began: Mark) -> list[float]:
        """Mean probabilities since then, in the order of `_order`."""
        ticks = max(self._ticks - began.ticks, 1)
        return [(total - before) / ticks for total, before in zip(self._sums, began.sums, strict=True)]

    def _goes_on(self, before: _Done, done: _Done) -> bool:
        longest_ns = self._set_end_ns if before.confidence >= PLAUSIBLE else _DIRECTLY_NS
        return before.exercise == done.exercise and done.start_ns - before.end_ns <= longest_ns

    def _done_between(self, done: _Done) -> list[_Done]:
        """Those that nobody could name between the last one pending and the one just `done`, where all follow directly."""
        found: list[_Done] = []
        for start_ns, end_ns, mark in self._between:
            last_ns = (found or self._pending)[-1].end_ns
            if 0 <= start_ns - last_ns <= _DIRECTLY_NS and end_ns <= done.start_ns and self._may_begin(done.exercise, mark):
                variant = self._exercises[done.exercise].variants[0]
                found.append(_Done(start_ns, end_ns, done.exercise, variant, (), 0.0, 0.0))
        self._between.clear()
        return found if found and done.start_ns - found[-1].end_ns <= _DIRECTLY_NS else []

    def _is_too_soon(self, end_ns: int) -> bool:
        apart = np.diff(self._ends)
        return len(apart) == _LATEST - 1 and end_ns - self._ends[-1] < TOO_SOON * float(np.median(apart))

    def _forget_pending(self) -> None:
        self._pending = []
        self._between.clear()

    def _evidence(self) -> float:
        return sum(done.evidence for done in self._pending) + 1e-9

    def _is_visible(self, name: str, began: Mark) -> bool:
        ticks = self._seen - began.seen
        seen = [total - before for total, before in zip(self._visibility, began.visibility, strict=True)]
        return ticks == 0 or seen_share(seen, self._kinds[name]) / ticks >= self._min_visibility

    def _may_begin(self, name: str, began: Mark) -> bool:
        """Whether a set of `name` may have begun then."""
        return name in began.held and self._is_felt(name, began)

    def _is_felt(self, name: str, began: Mark) -> bool:
        if self._seen > began.seen:
            return True
        needed = _FELT * (self._ticks - began.ticks)
        return all(self._felt[band] - began.felt[band] >= needed for band in self._bands[name])

    def _open_set(self) -> list[SetMessage]:
        """A set of the repetitions that are pending; one that was open ends."""
        ended = self._end_set()
        first, pending = self._pending[0], self._pending
        self._set = first.exercise
        self._set_start_ns = first.start_ns
        self._count = 0
        self._current, self._strange_since = first.exercise, None
        self._ends.clear()
        self._forget_pending()
        return [*ended, SetStarted(first.start_ns, 0, first.exercise), *(self._counted(done) for done in pending)]

    def _counted(self, done: _Done) -> Repetition:
        self._count += 1
        self._set_end = done.end_ns
        self._ends.append(done.end_ns)
        return Repetition(done.end_ns, 0, done.start_ns, done.end_ns, done.exercise, done.variant, self._count, done.worst)

    def _end_set(self) -> list[SetMessage]:
        if self._set == NONE:
            return []
        ended = SetEnded(self._set_end, 0, self._set_start_ns, self._set_end, self._set, self._count)
        self._set, self._count = NONE, 0
        return [ended]

    def _time_out(self) -> list[SetMessage]:
        messages = self._end_set()
        return [*messages, *self._open_set()] if self._evidence() >= EVIDENCE else messages


def trunk_lean(world: NDArray[np.floating[Any]]) -> float:
    """The trunk's angle from vertical, rad; NaN where there is no trunk. `world`: (33, 3) m, y down."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz), (dx, dy, dz) = world[TRUNK_NODES].tolist()
    x, y, z = ax + bx - cx - dx, ay + by - cy - dy, az + bz - cz - dz
    length = math.sqrt(x * x + y * y + z * z)
    return math.acos(max(-1.0, min(1.0, -y / length))) if length > 1e-6 else math.nan


def trunk_held(entry: EntryPose, lean: float) -> bool:
    """Whether the trunk's angle from vertical (`trunk_lean`) is as in the entry pose, with some slack."""
    return entry.trunk[0] - TRUNK_SLACK <= lean <= entry.trunk[1] + TRUNK_SLACK


def joints_entered(entry: EntryPose, angles: Sequence[float], seen: Sequence[bool]) -> bool:
    """Whether each joint is in range on at least one side, with some slack.

    `angles`: (12,) rad. `seen`: whether each kind of joint is seen; those that aren't are not asked.
    """
    for kind, low, high in entry.joints:
        if not seen[KINDS.index(kind)]:
            continue
        left, right = JOINTS_OF[kind]
        lowest, highest = low - JOINT_SLACK, high + JOINT_SLACK
        if not (lowest <= angles[left] <= highest or lowest <= angles[right] <= highest):
            return False
    return True


def kinds_of(exercise: Exercise) -> list[int]:
    """Kinds of the exercise's joints, each once, as `seen_kinds` orders them."""
    kinds = sorted({name.removeprefix("left_").removeprefix("right_") for name in exercise.joints})
    return [KINDS.index(kind) for kind in kinds]


def bands_of(exercise: Exercise) -> list[int]:
    """Bands that tell the exercise from others where nobody sees it: both of a pair where one side leads in every variant."""
    if "both" in exercise.variants:
        return []
    limbs = {"wrist" if KINDS[kind] in _ARM else "ankle" for kind in kinds_of(exercise)}
    return [i for i, band in enumerate(BANDS) if band.removeprefix("left_").removeprefix("right_") in limbs]


def seen_kinds(visibility: NDArray[np.floating[Any]]) -> list[float]:
    """How well each kind of joint is seen: the worst landmark of its better side. `visibility`: (33,)."""
    seen: list[float] = visibility.tolist()
    return [max(min(seen[a], seen[b], seen[c]) for a, b, c in sides) for sides in _LANDMARKS]


def seen_share(seen: list[float], kinds: list[int]) -> float:
    """Mean over `kinds`: one hidden wrist does not void a push-up, but with the legs out of the picture nothing of a squat is
    left."""
    return sum(seen[kind] for kind in kinds) / len(kinds) if kinds else 1.0


def _largest(values: list[float]) -> int:
    return values.index(max(values))
