"""How people do an exercise before a camera, where nobody corrects them: deeper, higher, with bent arms, held for a while.

What those show whom cameras have watched is wider than the standard and its habits (`docs/people.md`): elbows that bend to
90 degrees above the head in jumps, squats from a quarter to the heels, curls that end at the shoulder with the upper arms raised.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from device.exercises import Exercise
from device.sim.lively import sat, thrown_arms
from device.sim.manner import Manner, leeway, middle_of
from device.sim.motion import Motion, at_rest, plain
from device.sim.strange import Changes

KNEES = (40.0, 130.0)
"""Deepest and shallowest squat, degrees."""


def freed(rng: np.random.Generator, manner: Manner, exercise: Exercise, motion: Motion) -> Manner:
    """`manner`, as free as `exercise` allows."""
    free_arms, prone, arms_only, hops, stays, steps = leeway(exercise, motion)
    start: Changes = {}
    middle = dict(manner.middle or {})
    if hops:
        start |= {"elbow": rng.uniform(95, 168), "abduct": rng.uniform(5, 35)} if rng.random() < 0.5 else {}
        middle |= _thrown_up(rng)
    elif prone:
        middle |= {"elbow": rng.uniform(65, 110)} if rng.random() < 0.5 else {}
    elif arms_only:
        start |= _hanging(rng)
        middle |= {"lead_elbow": rng.uniform(8, 70)} if rng.random() < 0.7 else {}
    elif steps:
        middle |= {"lead_knee": rng.uniform(75, 125)} if rng.random() < 0.4 else {}
    elif stays:
        start |= _astride(rng) if rng.random() < 0.4 else {}
        middle |= _low(rng, motion) if rng.random() < 0.75 else {}
    squats = stays and not arms_only and not steps
    return dataclasses.replace(
        manner,
        start=plain(start) if start else None,
        middle=plain(middle) if middle else None,
        arms=thrown_arms(rng, steps=steps, stays=stays) if free_arms and rng.random() < 0.3 else manner.arms,
        early=float(rng.uniform(0.15, 1.0)) if free_arms and rng.random() < 0.65 else 1.0,
        there=float(rng.uniform(0.3, 0.7)) if not hops and rng.random() < 0.4 else 0.5,
        hold_s=float(rng.uniform(0.2, 3.0)) if squats and rng.random() < 0.25 else 0.0,
        swing=float(rng.uniform(10, 90)) if arms_only and stays and rng.random() < 0.5 else 0.0,
        inward=float(rng.uniform(-0.2, 0.3)),
    )


def _hanging(rng: np.random.Generator) -> Changes:
    """Arms at the start of a curl."""
    return {
        "flex": rng.uniform(-8, 20), "abduct": rng.uniform(3, 22), "rotate": rng.uniform(-20, 15), "elbow": rng.uniform(130, 172),
        "pronate": rng.uniform(0, 130),
    }  # fmt: skip


def _astride(rng: np.random.Generator) -> Changes:
    return {"spread": rng.uniform(2, 24), "toe_out": rng.uniform(5, 45), "knees_out": rng.uniform(4, 35)}


def _low(rng: np.random.Generator, motion: Motion) -> Changes:
    """Anywhere from a quarter squat to the heels; hips and trunk go as far as the knees bend."""
    knee, straight = rng.uniform(*KNEES), at_rest(motion.stance, "knee")
    share = min((straight - knee) / (straight - motion.keys[middle_of(motion.phases)]["knee"]), 1.0)
    return {name: value * share for name, value in sat(rng, motion).items()} | {"knee": knee}


def _thrown_up(rng: np.random.Generator) -> Changes:
    """Arms and legs in the middle of a jump: bent arms above the head, or raised to the sides only; a deep or a stiff landing."""
    middle: Changes = {}
    if rng.random() < 0.7:
        middle |= {
            "elbow": rng.uniform(70, 168), "abduct": rng.uniform(90, 170), "rotate": rng.uniform(30, 90),
            "flex": rng.uniform(0, 25),
        }  # fmt: skip
    if rng.random() < 0.6:
        middle |= {"spread": rng.uniform(8, 34)}
    if rng.random() < 0.4:
        middle |= {"knee": rng.uniform(95, 165), "trunk": rng.uniform(0, 20)}
    return middle
