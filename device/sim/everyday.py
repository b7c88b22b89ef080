"""What people do in front of a camera beside exercising: getting up from a chair, talking with their hands, boxing the air."""

from __future__ import annotations

import dataclasses

import numpy as np

from device.sim.gym import draw_jogging, draw_lifting, draw_walking
from device.sim.manner import draw_arms
from device.sim.motion import plain
from device.sim.strange import SIDES, Changes, Step, Strange, cycled, draw_strange, hips_at, of_families

WAYS_S = (0.3, 1.6)
"""Shortest and longest way of the hands to where they play, and back."""


def draw_everyday(rng: np.random.Generator) -> Strange:
    """One of those, or of all that are like none of ours."""
    return of_families(rng, _FAMILIES, draw_strange)


def _rising(rng: np.random.Generator) -> Strange:
    """From a chair, on which somebody has sat for a while."""
    seat = hips_at(rng.uniform(0.35, 0.6), rng.uniform(0.3, 0.75))
    arms = draw_arms(rng) if rng.random() < 0.5 else {"flex": rng.uniform(0, 40), "elbow": rng.uniform(90, 165)}
    stance: Changes = {**seat, "trunk": rng.uniform(-10, 20), "spread": rng.uniform(2, 14), **arms}
    up = {"hips_x": seat["foot_x"] + 0.03, "knee": rng.uniform(165, 174), "trunk": rng.uniform(-2, 6)}
    if rng.random() < 0.6:
        up |= {"flex": rng.uniform(0, 20), "elbow": rng.uniform(145, 170)}
    cycle: list[Step] = [
        (rng.uniform(0.3, 3.0), {}),
        (rng.uniform(0.25, 0.7), {"trunk": rng.uniform(20, 55)}),
        (rng.uniform(0.4, 1.1), up),
        (rng.uniform(0.2, 2.5), {}),
    ]
    return cycled(stance, cycle, 1)


def _clapping(rng: np.random.Generator) -> Strange:
    """Hands before the body, together and apart."""
    stance: Changes = {
        "flex": rng.uniform(5, 80), "abduct": rng.uniform(0, 30), "rotate": rng.uniform(-95, -45), "elbow": rng.uniform(45, 115),
        "knee": rng.uniform(162, 175), "pronate": rng.uniform(40, 140),
    }  # fmt: skip
    far = {
        "flex": stance["flex"] + rng.uniform(-15, 15), "abduct": rng.uniform(-5, 45), "rotate": rng.uniform(-95, -10),
        "elbow": stance["elbow"] + rng.uniform(-15, 15),
    }  # fmt: skip
    return _hand_play(rng, stance, far)


def _waving(rng: np.random.Generator) -> Strange:
    """An arm, or both, held up anywhere, and what a hand does there."""
    stance: Changes = {
        "flex": rng.uniform(-20, 150), "abduct": rng.uniform(0, 120), "rotate": rng.uniform(-60, 100),
        "elbow": rng.uniform(40, 170), "pronate": rng.uniform(0, 180),
    }  # fmt: skip
    if stance["flex"] < 60 and stance["abduct"] < 40 and -25 < stance["rotate"] < 40:
        stance["abduct"] = rng.uniform(50, 120)
    far = {name: stance[name] + rng.normal(0, 25) for name in ("flex", "abduct", "rotate", "elbow") if rng.random() < 0.5}
    if rng.random() < 0.6:
        side = str(rng.choice(SIDES))
        stance, far = ({f"{side}_{name}": value for name, value in arm.items()} for arm in (stance, far))
    return _hand_play(rng, stance | {"knee": rng.uniform(162, 175)}, far)


def _boxing(rng: np.random.Generator) -> Strange:
    """Punches by turns, from a guard or from hanging arms."""
    stance: Changes = {
        "flex": rng.uniform(0, 60), "abduct": rng.uniform(5, 35), "rotate": rng.uniform(-35, 0), "elbow": rng.uniform(35, 165),
        "knee": rng.uniform(150, 175),
    }  # fmt: skip
    drawn_back = {"flex": rng.uniform(-30, 60), "elbow": rng.uniform(35, 90)}
    cycle: list[Step] = []
    for side, turn in zip(SIDES, (-1, 1), strict=True):
        out_s = rng.uniform(0.15, 0.4)
        hit = {f"{side}_flex": rng.uniform(65, 115), f"{side}_elbow": rng.uniform(140, 172), "twist": turn * rng.uniform(0, 30)}
        back = {f"{side}_{name}": value for name, value in drawn_back.items()} | {"twist": 0.0}
        cycle += [(out_s, hit), (out_s * rng.uniform(0.9, 1.4), back)]
    return cycled(stance, cycle, int(rng.integers(1, 5)), way_s=_way_s(rng), doubtful=False)


def _jogging(rng: np.random.Generator) -> Strange:
    """In place, with elbows that bend as the arms swing."""
    jog = draw_jogging(rng)
    bent = rng.uniform(0, 45)
    cycle = []
    for after_s, key in jog.cycle:
        ahead = {name: value > jog.stance["flex"] for name, value in key.items() if name.endswith("flex")}
        elbows = {name.replace("flex", "elbow"): jog.stance["elbow"] - bent * forwards for name, forwards in ahead.items()}
        cycle.append((after_s, key | plain(elbows)))
    return dataclasses.replace(jog, cycle=tuple(cycle), way_s=_way_s(rng), doubtful=False)


def _hand_play(rng: np.random.Generator, stance: Changes, far: Changes) -> Strange:
    out_s = float(np.exp(rng.uniform(np.log(0.15), np.log(0.9))))
    cycle = ((out_s, far), (out_s, {name: stance[name] for name in far}))
    return cycled(stance, cycle, int(rng.integers(1, 7)), way_s=_way_s(rng), doubtful=False)


def _way_s(rng: np.random.Generator) -> float:
    return float(rng.uniform(*WAYS_S))


_FAMILIES = (
    (0.10, _rising), (0.15, _clapping), (0.20, _waving), (0.08, _boxing), (0.09, _jogging), (0.05, draw_walking),
    (0.06, draw_lifting),
)  # fmt: skip
