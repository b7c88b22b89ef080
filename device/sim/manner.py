"""In what manner somebody does an exercise, where nobody judges it: arms anywhere, bent knees, elbows out or in, no pause."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from device.exercises import Exercise
from device.sim.motion import Motion, at_rest

ARMS: dict[str, dict[str, float]] = {
    "hanging": {"flex": 4, "abduct": 8, "rotate": -12, "elbow": 165, "pronate": 80},
    "forwards": {"flex": 90, "abduct": 6, "rotate": 0, "elbow": 168, "pronate": 120},
    "at_the_chest": {"flex": 28, "abduct": 6, "rotate": -32, "elbow": 52, "pronate": 60},
    "at_the_shoulders": {"flex": 30, "abduct": 16, "rotate": 0, "elbow": 42, "pronate": 60},
    "crossed": {"flex": 42, "abduct": -4, "rotate": -70, "elbow": 74, "pronate": 120},
    "on_the_hips": {"flex": -14, "abduct": 48, "rotate": -62, "elbow": 78, "pronate": 140},
    "behind_the_head": {"flex": 55, "abduct": 78, "rotate": 60, "elbow": 42, "pronate": 90},
    "overhead": {"flex": 160, "abduct": 16, "rotate": 0, "elbow": 168, "pronate": 90},
}
"""Where arms may be that the exercise leaves free."""
ALL_ARMS = sorted(ARMS)
ARM_SPREAD_DEG = 7.0
SWING_EARLY = 1.15
"""How far forward the arms of a swung curl are half-way, as a share of the middle."""
SPLIT_STANCE: dict[str, float] = {
    "lead_foot_x": 0.88, "hips_x": 0.5, "lead_knee": 155, "trail_knee": 155, "lead_support": 0.5, "trail_support": 0.5,
    "trail_heel": 15,
}  # fmt: skip
"""A lunge whose feet stay where they are."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How the time of a repetition goes by: after the shares `times` of its `duration_s` its middle begins, and ends, which are
    `phases` of the movement."""

    duration_s: float
    times: tuple[float, float]
    phases: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Manner:
    """`pace`: a repetition's duration over the usual one. `rest`: the same of the pause after it. `amplitude`: of the movement.

    `knee`: degrees at which the knees stay at the start and the end, None as usual. `arms`: parameters of the arms at the
    start and in the middle, None as usual. `early`: share of the way to the middle after which free arms are where they will be,
    and of the way back during which they return. `split`: the feet stay apart, so the same leg leads again and again. `prone`:
    parameters of planted hands, None as usual. `there`: share of the moving time that the way to the middle takes. `hold_s`: how
    much longer the middle is held than usual. `swing`: degrees by which the upper arms come forward, before the elbows close;
    the forearms turn in by `inward` for each of them. `start`, `middle`: other parameters at the start and the end of a
    repetition, and in its middle; None as usual. `jump`: how high somebody jumps, as a share of the usual height.
    """

    pace: float = 1.0
    rest: float = 1.0
    amplitude: float = 1.0
    knee: float | None = None
    arms: tuple[dict[str, float], dict[str, float]] | None = None
    early: float = 1.0
    split: bool = False
    prone: dict[str, float] | None = None
    there: float = 0.5
    hold_s: float = 0.0
    swing: float = 0.0
    inward: float = 0.0
    start: dict[str, float] | None = None
    middle: dict[str, float] | None = None
    jump: float = 1.0


AS_USUAL = Manner()


class Leeway(NamedTuple):
    """What an exercise is about, and so what it leaves open."""

    free_arms: bool
    prone: bool
    arms_only: bool
    hops: bool
    stays: bool
    steps: bool


def leeway(exercise: Exercise, motion: Motion) -> Leeway:
    """What `exercise`, done as `motion`, leaves open."""
    prone = "prone" in motion.stance
    moved = [name for key in motion.keys for name in key]
    return Leeway(
        free_arms=not any(joint.endswith(("elbow", "shoulder")) for joint in exercise.joints),
        prone=prone,
        arms_only=not prone and all(joint.endswith(("elbow", "shoulder", "hip")) for joint in exercise.joints),
        hops=any(name.endswith("hop") for name in moved),
        stays=not any(name.endswith(("lift", "hop")) for name in moved) and not prone,
        steps=exercise.alternates and "lead_foot_x" in moved,
    )


def draw_manner(rng: np.random.Generator, exercise: Exercise, motion: Motion) -> Manner:
    """One of all manners that `exercise` allows."""
    free_arms, prone, arms_only, _, stays, steps = leeway(exercise, motion)
    return Manner(
        pace=float(np.exp(rng.uniform(np.log(0.45), np.log(1.6)))) if rng.random() < 0.5 else 1.0,
        rest=0.0 if rng.random() < 0.35 else float(rng.uniform(0.2, 1.5)),
        amplitude=float(rng.uniform(0.7, 1.25) if arms_only else rng.uniform(0.85, 1.07)) if rng.random() < 0.5 else 1.0,
        knee=float(rng.uniform(150, 172)) if stays and rng.random() < 0.5 else None,
        arms=both_arms(rng, ALL_ARMS, 0.35) if free_arms and rng.random() < 0.6 else None,
        split=bool(steps and rng.random() < 0.4),
        prone=_planted(rng) if prone and rng.random() < 0.8 else None,
        middle=_loose(rng, motion) if prone and rng.random() < 0.7 else None,
    )


def in_manner(motion: Motion, manner: Manner) -> Motion:
    """`motion` as somebody with this `manner` does it."""
    stance, phases, keys = dict(motion.stance), motion.phases, [dict(key) for key in motion.keys]
    if manner.split:
        stance |= SPLIT_STANCE
        # The feet stay: what is left is the way from the split stance to the middle and back.
        middle = middle_of(phases)
        turning = {name: value for name, value in keys[middle].items() if not name.endswith("foot_x")}
        keys = [{}, turning, {}, {}]
        phases = (0.0, phases[middle], phases[middle + 1], 1.0)
    if manner.knee is not None:
        stance["knee"] = manner.knee
    if manner.arms is not None:
        start, middle_arms = manner.arms
        stance |= start
        keys = [{name: value for name, value in key.items() if name not in start} for key in keys]
        keys[middle_of(phases)] |= middle_arms
    if manner.early < 1:
        phases, keys = _with_early_arms(phases, keys, manner.early)
    if manner.prone is not None:
        stance |= manner.prone
    keys = [{name: v * manner.jump if name.endswith("hop") else v for name, v in key.items()} for key in keys]
    if manner.start is not None:
        stance |= manner.start
    if manner.middle is not None:
        i = middle_of(phases)
        keys[i] |= manner.middle
        if keys[i + 1]:
            keys[i + 1] |= manner.middle
    if manner.swing:
        phases, keys = _swung(stance, phases, keys, manner.swing, manner.inward)
    return dataclasses.replace(
        motion,
        stance=stance,
        phases=phases,
        keys=tuple(keys),
        rep_s={tempo: seconds * manner.pace for tempo, seconds in motion.rep_s.items()},
        pause_s=(motion.pause_s[0] * manner.rest, motion.pause_s[1] * manner.rest),
    )


def pace_of(motion: Motion, manner: Manner, duration_s: float) -> Pace:
    """When a repetition that moves for `duration_s` in this manner is where."""
    i = middle_of(motion.phases)
    phases = (motion.phases[i], motion.phases[i + 1])
    if (manner.there, manner.hold_s) == (AS_USUAL.there, AS_USUAL.hold_s):
        return Pace(duration_s, phases, phases)
    moving_s = duration_s * (1 - phases[1] + phases[0])
    total_s = duration_s + manner.hold_s
    return Pace(total_s, (moving_s * manner.there / total_s, 1 - moving_s * (1 - manner.there) / total_s), phases)


def middle_of(phases: tuple[float, ...]) -> int:
    """The key at which the middle of the repetition begins."""
    return max(i for i, phase in enumerate(phases) if phase <= 0.5)


def _with_early_arms(
    phases: tuple[float, ...], keys: list[dict[str, float]], early: float
) -> tuple[tuple[float, ...], list[dict[str, float]]]:
    """Phases and keys with arms that are there before the middle, and go back only after it."""
    i = middle_of(phases)
    there = {name: keys[i][name] for name in ARMS["hanging"] if name in keys[i]}
    keyed = [*zip(phases, keys, strict=True), (phases[i] * early, there), (1 - (1 - phases[i + 1]) * early, there)]
    keyed.sort(key=lambda at: at[0])
    return tuple(phase for phase, _ in keyed), [key for _, key in keyed]


def _swung(
    stance: dict[str, float], phases: tuple[float, ...], keys: list[dict[str, float]], swing: float, inward: float
) -> tuple[tuple[float, ...], list[dict[str, float]]]:
    """Phases and keys with upper arms that come forward before the elbows close, and forearms that turn in."""
    i = middle_of(phases)
    forward = {name: value + swing for name, value in keys[i].items() if name.endswith("flex")}
    turned = {
        name.replace("flex", "rotate"): at_rest(stance, name.replace("flex", "rotate")) - inward * swing for name in forward
    }
    early = {name: at_rest(stance, name) + SWING_EARLY * (value - at_rest(stance, name)) for name, value in forward.items()}
    keyed = [*zip(phases, keys, strict=True), (phases[i] / 2, early), ((1 + phases[i + 1]) / 2, early)]
    keyed[i] = (phases[i], keys[i] | forward | turned)
    keyed.sort(key=lambda at: at[0])
    return tuple(phase for phase, _ in keyed), [key for _, key in keyed]


def _planted(rng: np.random.Generator) -> dict[str, float]:
    """Hands nearer or wider, elbows along the body or out to the sides; wrists turn with the hand rather than the elbow."""
    flare = rng.uniform(15, 95)
    return {
        "flare": float(flare),
        "pronate": float(180 - flare * rng.uniform(0.5, 1.2)),
        "hand_y": float(rng.uniform(1.0, 2.1)),
        "hand_x": float(rng.uniform(-0.05, 0.05)),
    }


def _loose(rng: np.random.Generator, motion: Motion) -> dict[str, float]:
    """A body that is no plank: feet roll over the toes, knees give way, hips lag behind or go first."""
    return {
        "heel": motion.stance["heel"] + float(rng.uniform(-20, 20)),
        "knee": motion.stance["knee"] - float(rng.uniform(0, 35)),
        "hips": float(rng.uniform(-15, 20)),
    }


def draw_arms(rng: np.random.Generator) -> dict[str, float]:
    """Arms somewhere."""
    return _about(rng, ARMS[str(rng.choice(ALL_ARMS))])


def both_arms(rng: np.random.Generator, names: Sequence[str], moved: float) -> tuple[dict[str, float], dict[str, float]]:
    """Arms at the start and in the middle, among `names` of `ARMS`; a share `moved` of them are drawn anew for the middle."""
    start = ARMS[str(rng.choice(names))]
    middle = ARMS[str(rng.choice(names))] if rng.random() < moved else start
    return _about(rng, start), _about(rng, middle)


def _about(rng: np.random.Generator, arms: dict[str, float]) -> dict[str, float]:
    return {name: float(value + rng.normal(0, ARM_SPREAD_DEG)) for name, value in arms.items()}
