"""In what manner somebody does an exercise, where nobody judges it: arms anywhere, bent knees, elbows out or in, no pause."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from device.exercises import Exercise
from device.sim.motion import Motion

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
ARM_SPREAD_DEG = 7.0
SPLIT_STANCE: dict[str, float] = {
    "lead_foot_x": 0.88, "hips_x": 0.5, "lead_knee": 155, "trail_knee": 155, "lead_support": 0.5, "trail_support": 0.5,
    "trail_heel": 15,
}  # fmt: skip
"""A lunge whose feet stay where they are."""


@dataclass(frozen=True, slots=True)
class Manner:
    """`pace`: a repetition's duration over the usual one. `rest`: the same of the pause after it. `amplitude`: of the movement.

    `knee`: degrees at which the knees stay at the start and the end, None as usual. `arms`: parameters of the arms at the
    start and in the middle, None as usual. `split`: the feet stay apart, so the same leg leads again and again. `prone`:
    parameters of planted hands, None as usual. `loose`: parameters of a prone body in the middle of a repetition, None as usual.
    """

    pace: float = 1.0
    rest: float = 1.0
    amplitude: float = 1.0
    knee: float | None = None
    arms: tuple[dict[str, float], dict[str, float]] | None = None
    split: bool = False
    prone: dict[str, float] | None = None
    loose: dict[str, float] | None = None


AS_USUAL = Manner()


def draw_manner(rng: np.random.Generator, exercise: Exercise, motion: Motion) -> Manner:
    """One of all manners that `exercise` allows."""
    free_arms = not any(joint.endswith(("elbow", "shoulder")) for joint in exercise.joints)
    prone = "prone" in motion.stance
    arms_only = not prone and all(joint.endswith(("elbow", "shoulder", "hip")) for joint in exercise.joints)
    stays = not any(name.endswith(("lift", "hop")) for key in motion.keys for name in key) and not prone
    steps = exercise.alternates and any("lead_foot_x" in key for key in motion.keys)
    return Manner(
        pace=float(np.exp(rng.uniform(np.log(0.45), np.log(1.6)))) if rng.random() < 0.5 else 1.0,
        rest=0.0 if rng.random() < 0.35 else float(rng.uniform(0.2, 1.5)),
        amplitude=float(rng.uniform(0.7, 1.25) if arms_only else rng.uniform(0.85, 1.07)) if rng.random() < 0.5 else 1.0,
        knee=float(rng.uniform(150, 172)) if stays and rng.random() < 0.5 else None,
        arms=_arms(rng) if free_arms and rng.random() < 0.6 else None,
        split=bool(steps and rng.random() < 0.4),
        prone=_planted(rng) if prone and rng.random() < 0.8 else None,
        loose=_loose(rng, motion) if prone and rng.random() < 0.7 else None,
    )


def in_manner(motion: Motion, manner: Manner) -> Motion:
    """`motion` as somebody with this `manner` does it."""
    stance, phases, keys = dict(motion.stance), motion.phases, [dict(key) for key in motion.keys]
    if manner.split:
        stance |= SPLIT_STANCE
        # The feet stay: what is left is the way from the split stance to the middle and back.
        middle = _turn(phases)
        turning = {name: value for name, value in keys[middle].items() if not name.endswith("foot_x")}
        keys = [{}, turning, {}, {}]
        phases = (0.0, phases[middle], phases[middle + 1], 1.0)
    if manner.knee is not None:
        stance["knee"] = manner.knee
    if manner.arms is not None:
        start, middle_arms = manner.arms
        stance |= start
        keys = [{name: value for name, value in key.items() if name not in start} for key in keys]
        keys[_turn(phases)] |= middle_arms
    if manner.prone is not None:
        stance |= manner.prone
    if manner.loose is not None:
        keys[_turn(phases)] |= manner.loose
    return dataclasses.replace(
        motion,
        stance=stance,
        phases=phases,
        keys=tuple(keys),
        rep_s={tempo: seconds * manner.pace for tempo, seconds in motion.rep_s.items()},
        pause_s=(motion.pause_s[0] * manner.rest, motion.pause_s[1] * manner.rest),
    )


def _turn(phases: tuple[float, ...]) -> int:
    """The key at which the middle of the repetition begins."""
    return max(i for i, phase in enumerate(phases) if phase <= 0.5)


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
    return _about(rng, ARMS[str(rng.choice(sorted(ARMS)))])


def _arms(rng: np.random.Generator) -> tuple[dict[str, float], dict[str, float]]:
    start = ARMS[str(rng.choice(sorted(ARMS)))]
    middle = ARMS[str(rng.choice(sorted(ARMS)))] if rng.random() < 0.35 else start
    return _about(rng, start), _about(rng, middle)


def _about(rng: np.random.Generator, arms: dict[str, float]) -> dict[str, float]:
    return {name: float(value + rng.normal(0, ARM_SPREAD_DEG)) for name, value in arms.items()}
