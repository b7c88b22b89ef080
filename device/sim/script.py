"""What a session consists of: sets, rests and what is done in them, drawn from a seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from device.exercises import Exercise, load_exercises
from device.sim.everyday import draw_everyday
from device.sim.free import freed
from device.sim.gym import draw_gym
from device.sim.lively import livened
from device.sim.manner import AS_USUAL, Manner, draw_manner
from device.sim.motion import TEMPOS, Motion, motion_of
from device.sim.strange import Family, Strange, draw_strange
from device.sim.transitions import ACTIVITIES, OTHER_EXERCISES

FROM_BEHIND = 0.08
"""Share of the sets in any manner that are done with the back to the camera."""
NEVER_NAMED = 0.6
"""Share of the other exercises that are drawn rather than taken from the list."""


@dataclass(frozen=True, slots=True)
class People:
    """Who does sessions that nobody judges. `manner`: theirs, given one that was drawn for anybody. `other`: draws what they do
    beside exercises of ours."""

    manner: Callable[[np.random.Generator, Manner, Exercise, Motion], Manner]
    other: Family


ANYBODY = People(lambda _rng, manner, _exercise, _motion: manner, draw_strange)
LIVELY = People(livened, draw_gym)
"""Whom only bands watch."""
FREE = People(freed, draw_everyday)
"""Whom a camera watches, and who do as people do."""


@dataclass(frozen=True, slots=True)
class PlannedHabit:
    """A habit in a set: name, side (both, left, right, lead), size of the joint's deviation, first repetition that has it.

    `until`: first repetition after it that hasn't, None where it stays to the end of the set.
    """

    error: str
    side: str
    size_rad: float
    onset: int
    until: int | None = None


@dataclass(frozen=True, slots=True)
class SetBlock:
    """A set. `variant`: both, left or right (the first lead where sides alternate); `heading_rad`: facing, 0 the camera."""

    exercise: str
    variant: str
    repetitions: int
    tempo: str
    habits: tuple[PlannedHabit, ...]
    heading_rad: float
    manner: Manner = AS_USUAL


@dataclass(frozen=True, slots=True)
class RestBlock:
    """Standing about for at least `duration_s`, doing `activities` (names from transitions.ACTIVITIES and OTHER_EXERCISES, or
    exercises without a name)."""

    duration_s: float
    activities: tuple[str | Strange, ...]


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """A session: walks in facing `heading_rad`, then does the blocks in order."""

    heading_rad: float
    blocks: tuple[SetBlock | RestBlock, ...]


def plan_session(
    seed: int,
    *,
    sets: Sequence[str] | None = None,
    reps: int | None = None,
    exercises: Mapping[str, Exercise] | None = None,
    variety: float = 0.0,
    brief: bool = False,
    people: People | None = None,
) -> SessionPlan:
    """A session from a seed: the named sets in order, by default each exercise once in random order.

    `reps`: repetitions of every set (default 6 to 8). `variety`: 0 a session as people do it (mostly one clear habit per set),
    up to 1 for training data: any heading, more kinds of rests, and habits of any size, up to two at a time, that change
    every repetition or two, so that nothing but the movement itself tells of them. `brief`: hardly any rest, and no
    turning before the first set. `people`: sets are done in their manners, also with the back to the camera, and the rests have
    exercises that the coach does not know.
    """
    rng = np.random.default_rng((seed, 1))
    known = exercises if exercises is not None else load_exercises()
    names = list(sets) if sets is not None else [str(name) for name in rng.permutation(sorted(known))]
    blocks: list[SetBlock | RestBlock] = [_rest(rng, variety, short=True, people=people)]
    for name in names:
        planned = _set(rng, known[name], reps, variety)
        blocks += [in_manner_of(people, rng, planned, known[name]) if people else planned]
        blocks += [_rest(rng, variety, short=brief, people=people)]
    heading_rad = float(np.radians(rng.uniform(-35, 35)))
    faced = [block.heading_rad for block in blocks if isinstance(block, SetBlock)]
    return SessionPlan(faced[0] if brief and faced else heading_rad, tuple(blocks))


def plan_others(seed: int, people: People = ANYBODY) -> SessionPlan:
    """A session of nothing but what the coach does not know and these `people` do, facing anywhere."""
    rng = np.random.default_rng((seed, 1))
    blocks = tuple(
        RestBlock(
            1.0,
            tuple(_other(rng, name, people) for name in rng.choice(sorted(OTHER_EXERCISES), size=3, replace=False).tolist()),
        )
        for _ in range(4)
    )
    return SessionPlan(float(rng.uniform(-np.pi, np.pi) if rng.random() < 0.3 else np.radians(rng.uniform(-90, 90))), blocks)


def _set(rng: np.random.Generator, exercise: Exercise, reps: int | None, variety: float) -> SetBlock:
    low, high = motion_of(exercise).turn
    heading = rng.uniform(low, min(high + 20 * variety, 100)) * rng.choice((-1, 1))
    count = reps if reps is not None else int(rng.integers(6, 9) if variety == 0 else rng.integers(3, 10))
    return SetBlock(
        exercise.name,
        str(rng.choice(exercise.variants)),
        count,
        str(rng.choice(TEMPOS)),
        _habits(rng, exercise, count, variety),
        float(np.radians(heading)),
    )


def in_manner_of(people: People, rng: np.random.Generator, block: SetBlock, exercise: Exercise) -> SetBlock:
    """`block` as these `people` might do it."""
    motion = motion_of(exercise)
    # Push-ups are seen from the side only; whoever stands may also turn the back on the camera.
    behind = motion.turn[0] == 0 and rng.random() < FROM_BEHIND
    away = float(block.heading_rad + np.pi * behind)
    manner = people.manner(rng, draw_manner(rng, exercise, motion), exercise, motion)
    return dataclasses.replace(block, heading_rad=away, manner=manner)


def _habits(rng: np.random.Generator, exercise: Exercise, reps: int, variety: float) -> tuple[PlannedHabit, ...]:
    if not exercise.habits:
        return ()
    if variety == 0:
        return _drawn(rng, exercise, (0.15, 0.85), variety, int(rng.integers(0, min(3, max(1, reps - 2)))), None)
    planned: list[PlannedHabit] = []
    onset = 0
    while onset < reps:
        until = min(onset + int(rng.integers(1, 3)), reps)
        planned += _drawn(rng, exercise, (0.3, 0.5, 0.2), variety, onset, until)
        onset = until
    return tuple(planned)


def _drawn(
    rng: np.random.Generator, exercise: Exercise, shares: Sequence[float], variety: float, onset: int, until: int | None
) -> tuple[PlannedHabit, ...]:
    """As many different habits as `shares` has them likely, from none on."""
    count = min(int(rng.choice(len(shares), p=shares)), len(exercise.habits))
    chosen = rng.choice(len(exercise.habits), size=count, replace=False)
    planned = []
    for habit in (exercise.habits[i] for i in chosen):
        size = float(rng.uniform(habit.sizes[0] * (1 - 0.5 * variety), habit.sizes[1] * (1 + 0.1 * variety)))
        planned.append(PlannedHabit(habit.error, str(rng.choice(habit.sides)), size, onset, until))
    return tuple(planned)


def _rest(rng: np.random.Generator, variety: float, *, short: bool, people: People | None) -> RestBlock:
    most = 1 if short or variety == 0 else 3
    count = int(rng.integers(0, most + 1))
    known = sorted({**ACTIVITIES, **OTHER_EXERCISES} if people else ACTIVITIES)
    names = [str(name) for name in rng.choice(known, size=count, replace=False)]
    done = tuple(_other(rng, name, people) if people and name in OTHER_EXERCISES else name for name in names)
    low, high = (1.0, 2.0) if short else (4.5, 7.0)
    return RestBlock(float(rng.uniform(low * (1 - 0.5 * variety), high)), done)


def _other(rng: np.random.Generator, name: str, people: People) -> str | Strange:
    return name if rng.random() >= NEVER_NAMED else people.other(rng)
