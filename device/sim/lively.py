"""How people do an exercise of which all that is known are a wrist and an ankle: fast, with pauses, arms thrown about.

What a camera shows of them is plain all the same, and a network that sees has no need of these; one of bands alone has. The
figures follow watches on a wrist and an ankle (`docs/people.md`).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from device.exercises import Exercise
from device.sim.manner import ALL_ARMS, Manner, both_arms, leeway, middle_of
from device.sim.motion import Motion, at_rest, plain

STEPPING_ARMS = [name for name in ALL_ARMS if name != "overhead"]
"""Hardly anybody steps with the hands up; whose hands are up while the legs swing hangs from a bar."""
UPRIGHT_DEG = 100.0
"""How many degrees more upright the trunk is for hips that stay a leg's length further ahead in a squat."""
PACES, STEPPED, HOPPED = (0.4, 1.2), (0.65, 1.3), (0.35, 1.15)
"""Shortest and longest duration of a repetition as a share of the usual one, of one with steps, and of one with jumps."""
SWUNG_INWARD = 0.4
"""Degrees by which the forearms of a swung curl turn in for each by which the upper arms come forward."""
SKIN_LAG_DEG = 40.0
"""Most by which the skin above a wrist stays behind a hand that lies flat on the floor."""


def livened(rng: np.random.Generator, manner: Manner, exercise: Exercise, motion: Motion) -> Manner:
    """`manner`, as lively as `exercise` allows."""
    free_arms, prone, arms_only, hops, stays, steps = leeway(exercise, motion)
    pace = float(np.exp(rng.uniform(*np.log(HOPPED if hops else STEPPED if steps else PACES)))) if rng.random() < 0.75 else 1.0
    return dataclasses.replace(
        manner,
        pace=pace,
        rest=float(rng.choice((0.0, rng.uniform(0.2, 1.5), rng.uniform(1.5, 4.5)), p=(0.35, 0.4, 0.25))),
        amplitude=float(rng.uniform(0.85, 1.3)) if prone and rng.random() < 0.5 else manner.amplitude,
        knee=float(rng.uniform(150, 178)) if stays and rng.random() < 0.5 else None,
        arms=thrown_arms(rng, steps=steps, stays=stays) if free_arms and rng.random() < 0.65 else None,
        early=float(rng.uniform(0.3, 1.0)) if free_arms and rng.random() < 0.65 else 1.0,
        prone=_lagging(rng, manner.prone),
        there=float(rng.uniform(0.3, 0.7)) if not hops and rng.random() < 0.6 else 0.5,
        hold_s=float(rng.uniform(0.1, 0.4 if steps else 1.2)) if not hops and rng.random() < 0.35 else 0.0,
        swing=float(rng.uniform(10, 90)) if arms_only and stays and rng.random() < 0.5 else 0.0,
        inward=SWUNG_INWARD,
        middle=sat(rng, motion) if stays and not arms_only and rng.random() < 0.8 else manner.middle,
        start=_raised(rng, motion) if hops and rng.random() < 0.4 else None,
        # Who has less time jumps lower.
        jump=min(pace, 1.0) ** 2,
    )


def thrown_arms(rng: np.random.Generator, *, steps: bool, stays: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Anywhere; or, of who stays where they are, thrown forward to keep the balance."""
    if steps or not stays or rng.random() < 0.5:
        return both_arms(rng, STEPPING_ARMS if steps else ALL_ARMS, 0.55)
    pronate = rng.uniform(40, 140)
    behind = {
        "flex": rng.uniform(-35, 20), "abduct": rng.uniform(4, 20), "rotate": rng.uniform(-25, 10),
        "elbow": rng.uniform(140, 172), "pronate": pronate,
    }  # fmt: skip
    ahead = {
        "flex": rng.uniform(60, 170), "abduct": rng.uniform(0, 20), "rotate": rng.uniform(-20, 20),
        "elbow": rng.uniform(110, 172), "pronate": pronate + rng.uniform(-30, 60),
    }  # fmt: skip
    return plain(behind), plain(ahead)


def _raised(rng: np.random.Generator, motion: Motion) -> dict[str, float]:
    """Arms that stay away from the trunk at the start."""
    return {"abduct": at_rest(motion.stance, "abduct") + float(rng.uniform(10, 60))}


def _lagging(rng: np.random.Generator, prone: dict[str, float] | None) -> dict[str, float] | None:
    """Planted hands whose wrists' skin does not turn as far as they do."""
    return None if prone is None else prone | {"pronate": prone["pronate"] - float(rng.uniform(0, SKIN_LAG_DEG))}


def sat(rng: np.random.Generator, motion: Motion) -> dict[str, float]:
    """Knees come forward, and the trunk stays the more upright, the less the hips go back."""
    usual = motion.keys[middle_of(motion.phases)]
    forward = rng.uniform(0.0, 0.22)
    return {
        "hips_x": float(usual["hips_x"] + forward),
        "trunk": float(usual["trunk"] - UPRIGHT_DEG * forward + rng.normal(0, 5)),
    }
