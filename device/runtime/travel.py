"""Repetitions from the joints' own travel: a second witness beside the network's phase.

People move in ways that the network has not met, and then its phase may not come back although the joints do. How far they are
from the entry pose (0) to the far end (1) of the standard movement can be measured: how far the angles have gone along the line
between both. Whatever the person's range, an excursion of PROMINENCE and back is a repetition. The phase is heard first, for it
knows where in the repetition the body is; what the joints alone have done counts when the phase had time to see it too. Where no
camera sees the joints, the bands' rhythm (`rhythm.py`) is the second witness.

Who moves something else does another exercise, whatever the network takes it for (`_Proportion`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from device.config import RepsConfig
from device.exercises import CURVE_POINTS, KINDS, Exercise
from device.messages import NS_PER_S, Tick
from device.runtime.rhythm import Rhythm
from device.runtime.sets import JOINTS_OF, Mark
from device.skeleton import JOINTS, NODE, as_read, joint_angles_now, mid_hip

PROMINENCE = 0.5
"""How far the joints have to go out and come back, as a share of the standard movement."""
SHOWN = 0.25
"""Share of the landmarks' own angles in what is followed. The network may draw towards the movements that it knows what people
do otherwise, and the landmarks don't."""
GATE, FAR = 0.45, 0.5
"""How far they must have gone in a repetition that anybody has found, and to which depth, where they are seen."""
SINKS = 0.05
"""Share of their height above the lower foot by which hips come down where one side leads and both knees bend: on a straight leg
a lunge is a step. The knees don't tell: from the front, landmarks show one of them nearly straight."""
FREE = 1.75
"""How many times as far as an exercise's own joints those may turn that it leaves free: in pull-ups arms turn, and legs swing."""

_SMOOTHED_TICKS = 3
_STILL = 0.1
_GAP_NS = NS_PER_S
_HOLD_NS, _HOLD_SHARE = 500_000_000, 0.5
_OVERLAP = 0.3
_WITHOUT_THE_END = 0.6
_MAIN = 0.5
_RANGE = (5, 95)
_KNEE = "knee"
_ANKLES = [NODE["left_ankle"], NODE["right_ankle"]]
_CORNERS = np.array([(joint.a, joint.b, joint.c) for joint in JOINTS])


@dataclass(frozen=True, slots=True)
class Travelled:
    """An excursion of an exercise's joints that is over; of none in particular where only bands tell of it (None). `mark`: what
    the set keeper knew when it began."""

    exercise: str | None
    start_ns: int
    end_ns: int
    mark: Mark

    @property
    def middle_ns(self) -> int:
        """Half-way."""
        return (self.start_ns + self.end_ns) // 2

    @property
    def due_ns(self) -> int:
        """Until then the phase may find it by itself."""
        return self.end_ns + max(_HOLD_NS, round(_HOLD_SHARE * (self.end_ns - self.start_ns)))


class _Look(NamedTuple):
    """A tick with a pose. `depths`: how far along its way each exercise is; `shown`: (12,) rad, as the landmarks have them, with
    `visibility` (33,) and `world` (33, 3) m."""

    t_ns: int
    depths: list[float]
    shown: NDArray[np.floating[Any]]
    visibility: NDArray[np.floating[Any]]
    world: NDArray[np.floating[Any]]


class TravelWatch:
    """Follows the joints of all `exercises`, tick by tick, and says which excursions the phase has missed."""

    def __init__(self, config: RepsConfig, tick_hz: float, exercises: Mapping[str, Exercise]) -> None:
        self._rhythm = Rhythm(tick_hz)
        self._marks: deque[tuple[int, Mark]] = deque()
        self._finders = {name: _Excursions(config) for name in exercises}
        lines = [_line(exercise.standard(variant)) for exercise in exercises.values() for variant in exercise.variants]
        self._directions = np.array([direction for direction, _ in lines]).reshape(len(lines), -1)
        self._offsets = np.array([offset for _, offset in lines])
        sizes = [len(exercise.variants) for exercise in exercises.values()]
        self._firsts = np.cumsum([0, *sizes[:-1]]) if sizes else np.zeros(0, dtype=np.int64)
        self._looks: deque[_Look] = deque()
        self._proportions = {name: _Proportion(exercise, config.min_visibility) for name, exercise in exercises.items()}
        self._min_ns = round(config.min_period_s * NS_PER_S)
        self._kept_ns = round(config.max_period_s * NS_PER_S)
        self._waiting: list[Travelled] = []
        self._taken_ns = 0

    def step(self, tick: Tick, angles: NDArray[np.floating[Any]], mark: Callable[[], Mark]) -> None:
        """Next tick. `angles`: (12,) rad, refined, which without a pose tell nothing."""
        t_ns = tick.t_ns
        if tick.pose_present:
            self._watch_joints(tick, angles, mark)
        elif self._seen(t_ns):
            self._rhythm.clear()
            self._marks.clear()
        else:
            self._watch_bands(tick, mark)

    def due(self, t_ns: int) -> list[Travelled]:
        """Excursions, oldest first, that nobody has found in the time that the phase had; each is returned once."""
        return self._released(lambda one: one.due_ns <= t_ns)

    def before(self, start_ns: int) -> list[Travelled]:
        """Excursions, oldest first, that the phase will not find any more, because what it has found now began after them."""
        return self._released(lambda one: one.end_ns - _OVERLAP * (one.end_ns - one.start_ns) <= start_ns)

    def _released(self, ready: Callable[[Travelled], bool]) -> list[Travelled]:
        released = [one for one in self._waiting if ready(one)]
        self._waiting = [one for one in self._waiting if not ready(one)]
        return [one for one in released if self._is_new(one.start_ns, one.end_ns)]

    def took(self, end_ns: int) -> None:
        """A repetition of ours that ended then was found, by whom ever: what went on at the same time is the same one."""
        self._taken_ns = max(self._taken_ns, end_ns)

    def knows(self, exercise: str, start_ns: int, end_ns: int) -> bool:
        """Whether a repetition that somebody has found is one: the joints went far enough, once, and nobody found it before."""
        if not self._is_new(start_ns, end_ns):
            return False
        if exercise not in self._finders:
            return True
        within = [one for one in self._waiting if one.exercise == exercise and start_ns <= one.middle_ns <= end_ns]
        if len(within) > 1:
            return False
        at = [*self._finders].index(exercise)
        looks = [look for look in self._looks if look.t_ns >= start_ns]
        if not looks or not self._seen(end_ns):
            return True
        depths = [look.depths[at] for look in looks]
        if max(depths) - min(depths) < GATE or max(depths) < FAR:
            return False
        return self._proportions[exercise].fits([look for look in looks if look.t_ns <= end_ns])

    def _is_new(self, start_ns: int, end_ns: int) -> bool:
        return self._taken_ns <= start_ns + _OVERLAP * (end_ns - start_ns)

    def _seen(self, t_ns: int) -> bool:
        """Whether the joints were just seen."""
        return len(self._looks) > 0 and self._looks[-1].t_ns >= t_ns - _GAP_NS

    def _watch_joints(self, tick: Tick, angles: NDArray[np.floating[Any]], mark: Callable[[], Mark]) -> None:
        t_ns = tick.t_ns
        shown = as_read(np.array(joint_angles_now(tick.world)))
        self._looks.append(_Look(t_ns, self._depths_of(angles), shown, tick.visibility, tick.world))
        depths = self._depths_of((1 - SHOWN) * angles + SHOWN * shown)
        while self._looks[0].t_ns < t_ns - self._kept_ns:
            self._looks.popleft()
        for (name, finder), depth in zip(self._finders.items(), depths, strict=True):
            done = finder.step(t_ns, depth, mark)
            if done is not None:
                self._waiting.append(Travelled(name, *done))

    def _depths_of(self, angles: NDArray[np.floating[Any]]) -> list[float]:
        """How far along its way each exercise is; of its variants the furthest counts."""
        depths: list[float] = np.maximum.reduceat(self._directions @ angles - self._offsets, self._firsts).tolist()
        return depths

    def _watch_bands(self, tick: Tick, mark: Callable[[], Mark]) -> None:
        self._marks.append((tick.t_ns, mark()))
        while self._marks[0][0] < tick.t_ns - self._kept_ns:
            self._marks.popleft()
        for start_ns, end_ns in self._rhythm.step(tick):
            began = next((known for t_ns, known in self._marks if t_ns >= start_ns), None)
            if began is not None and self._min_ns <= end_ns - start_ns <= self._kept_ns:
                self._waiting.append(Travelled(None, start_ns, end_ns, began))


class _Excursions:
    """Out and back by PROMINENCE, from wherever it begins."""

    def __init__(self, config: RepsConfig) -> None:
        self._min_ns = round(_WITHOUT_THE_END * config.min_period_s * NS_PER_S)
        self._max_ns = round(config.max_period_s * NS_PER_S)
        self._recent: deque[float] = deque(maxlen=_SMOOTHED_TICKS)
        self._mark: Mark | None = None
        self._out = False
        self._low = self._high = 0.0
        self._low_ns = self._last_ns = -_GAP_NS

    def step(self, t_ns: int, depth: float, mark: Callable[[], Mark]) -> tuple[int, int, Mark] | None:
        """Next tick; start, end and what was known at the start of an excursion that is over."""
        if t_ns - self._last_ns >= _GAP_NS:
            self._recent.clear()
            self._from(t_ns, depth)
        self._last_ns = t_ns
        self._recent.append(depth)
        depth = sum(self._recent) / len(self._recent)
        if not self._out:
            self._wait(t_ns, depth, mark)
            return None
        self._high = max(self._high, depth)
        if depth >= self._high - PROMINENCE:
            return None
        start_ns, began = self._low_ns, self._mark
        self._from(t_ns, depth)
        lasted = self._min_ns <= t_ns - start_ns <= self._max_ns
        return (start_ns, t_ns, began) if began is not None and lasted else None

    def _wait(self, t_ns: int, depth: float, mark: Callable[[], Mark]) -> None:
        if t_ns - self._low_ns > self._max_ns:
            self._from(t_ns, depth)
        elif depth <= self._low + _STILL:
            self._low, self._low_ns, self._mark = min(self._low, depth), t_ns, None
        elif self._mark is None:
            self._mark = mark()
        if depth > self._low + PROMINENCE:
            self._out, self._high = True, depth

    def _from(self, t_ns: int, depth: float) -> None:
        self._out, self._mark = False, None
        self._low, self._low_ns = depth, t_ns


class _Proportion:
    """Which joints an exercise turns far, which it leaves free, and whether the body sinks."""

    def __init__(self, exercise: Exercise, min_visibility: float) -> None:
        self._min_visibility = min_visibility
        turns: dict[str, list[float]] = {}
        for (kind, _), curve in exercise.curves.items():
            turns.setdefault(kind, []).append(float(np.ptp(curve)))
        far = _MAIN * max((max(roles) for roles in turns.values()), default=0.0)
        self._own = _joints(kind for kind, roles in turns.items() if max(roles) >= far)
        self._free = _joints(kind for kind in KINDS if kind not in turns)
        self._sinks = "both" not in exercise.variants and min(turns.get(_KNEE, [0.0])) >= far

    def fits(self, looks: Sequence[_Look]) -> bool:
        """Whether that may be a repetition; what is hidden says nothing, nor do no looks."""
        if not looks:
            return True
        seen = np.mean([look.visibility for look in looks], axis=0)[_CORNERS].min(axis=1) >= self._min_visibility
        if self._sinks and seen[_joints([_KNEE])].all():
            low, high = np.percentile([_height(look.world) for look in looks], _RANGE)
            if high - low < SINKS * high:
                return False
        low, high = np.percentile([look.shown for look in looks], _RANGE, axis=0)
        turned = high - low
        own, free = turned[self._own][seen[self._own]], turned[self._free][seen[self._free]]
        return not own.size or not free.size or bool(free.max() <= FREE * own.max())


def _height(world: NDArray[np.floating[Any]]) -> float:
    """Of the hips above the lower ankle, m. `world`: (33, 3) m, y down."""
    return float(world[_ANKLES, 1].max() - mid_hip(world)[1])


def _joints(kinds: Iterable[str]) -> list[int]:
    """Both sides' joints of `kinds`."""
    return [joint for kind in kinds for joint in JOINTS_OF[kind]]


def _line(standard: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], float]:
    """Direction (12,) and offset of the depth that angles (12,) have along a standard movement (41, 12)."""
    entry, far = np.asarray(standard[0], np.float64), np.asarray(standard[CURVE_POINTS // 2], np.float64)
    way = np.nan_to_num(far - entry)
    direction = way / (way @ way)
    return direction, float(np.nan_to_num(entry) @ direction)
