"""What people do in gyms that a wrist and an ankle take for one of ours: a bar from the floor, jumps onto a box, pull-ups,
sit-ups with thrown arms, running in place, and walking about in between. `strange` has what nobody has named.
"""

from __future__ import annotations

import numpy as np

from device.sim.motion import at_rest
from device.sim.strange import (
    HALF_S,
    SIDES,
    TIMES,
    Changes,
    Step,
    Strange,
    cycled,
    draw_strange,
    hips_at,
    of_families,
    sided,
    there_and_back,
)

PULLED_S = 0.6
"""Shortest time in which anybody is pulled up."""
THROWN_S = 0.45
"""Shortest time in which arms are thrown from behind the head to the front."""
LIFTED_S = 0.5
"""Shortest time in which anything is lifted from the floor."""
STEP_S, WALKED_S = (0.16, 0.5), (0.2, 0.45)
"""Half of the time of a step of who runs in place, and of who walks."""
RESTS = (0.5, 1.8)
"""Share of those who rest after each repetition, and for how long at most (s)."""
ON_THE_FLOOR = 0.6
"""Share of those who put down what they lift, and rest there."""
UPPER_ARM = 0.345
"""Its usual length in leg lengths."""


def draw_gym(rng: np.random.Generator) -> Strange:
    """One of those, or of all that are like none of ours."""
    return of_families(rng, _FAMILIES, draw_strange)


def draw_jogging(rng: np.random.Generator) -> Strange:
    """In place, or marching: knee by knee, with arms that swing along."""
    stance = {"knee": 172.0, "flex": rng.uniform(-5, 25), "abduct": rng.uniform(5, 20), "elbow": rng.uniform(60, 165)}
    raised, behind = rng.uniform(0.06, 0.45), rng.uniform(-0.3, 0.2)
    swung = rng.uniform(5, 45)
    each_s, cycle = float(np.exp(rng.uniform(*np.log(STEP_S)))), list[Step]()
    for side, other in (SIDES, SIDES[::-1]):
        step = {"lift": raised, "foot_x": behind, "support": 0.0, "flex": stance["flex"] - swung}
        cycle += [
            (each_s, {f"{side}_{name}": value for name, value in step.items()} | {f"{other}_flex": stance["flex"] + swung}),
            (each_s, {f"{side}_{name}": at_rest(stance, f"{side}_{name}") for name in ("lift", "foot_x", "support")}),
        ]
    return Strange(stance, tuple(cycle), int(rng.integers(2 * TIMES[0], 2 * TIMES[1])))


def draw_walking(rng: np.random.Generator) -> Strange:
    """As on a belt: one foot swings ahead while the other goes back with the ground, and arms swing against legs or hang."""
    stance: Changes = {
        "knee": rng.uniform(165, 175), "flex": rng.uniform(-5, 20), "abduct": rng.uniform(4, 16), "rotate": rng.uniform(-25, 10),
        "elbow": rng.uniform(110, 172), "pronate": rng.uniform(50, 130),
    }  # fmt: skip
    stride, lifted, heel = rng.uniform(0.08, 0.35), rng.uniform(0.03, 0.14), rng.uniform(5, 35)
    swung, each_s = rng.uniform(0, 30), float(np.exp(rng.uniform(*np.log(WALKED_S))))
    cycle: list[Step] = []
    for side, other in (SIDES, SIDES[::-1]):
        passing = {"foot_x": 0.0, "lift": lifted, "support": 0.0, "heel": heel}
        ahead = {"foot_x": stride, "lift": 0.0, "support": 0.5, "heel": 0.0, "flex": stance["flex"] - swung}
        behind = {"foot_x": -stride, "support": 0.5, "heel": heel, "flex": stance["flex"] + swung}
        cycle += [
            (
                each_s,
                {f"{side}_{name}": value for name, value in passing.items()} | {f"{other}_foot_x": 0.0, f"{other}_support": 1.0},
            ),
            (
                each_s,
                {f"{side}_{name}": value for name, value in ahead.items()}
                | {f"{other}_{name}": value for name, value in behind.items()},
            ),
        ]
    return cycled(stance, cycle, int(rng.integers(2 * TIMES[0], 2 * TIMES[1])))


def draw_lifting(rng: np.random.Generator) -> Strange:
    """Something from the floor: the hips go back, and the arms hang, however far the trunk bends."""
    low = float(rng.uniform(35, 85))
    stance: Changes = {
        "knee": rng.uniform(160, 176), "spread": rng.uniform(2, 16), "flex": rng.uniform(-5, 25), "abduct": rng.uniform(4, 16),
        "rotate": rng.uniform(-25, 10), "elbow": rng.uniform(150, 174), "pronate": rng.uniform(60, 180),
    }  # fmt: skip
    far = {
        "trunk": low, "hips_x": rng.uniform(-0.32, -0.08), "knee": rng.uniform(80, 160), "flex": low + rng.normal(4, 10),
        "nod": rng.uniform(-25, 5),
    }  # fmt: skip
    if rng.random() < ON_THE_FLOOR:
        stance, far = stance | far, {name: at_rest(stance, name) for name in far}
    return there_and_back(rng, stance, far, fastest_s=LIFTED_S, rests=RESTS)


def _jumping(rng: np.random.Generator) -> Strange:
    """Onto a box: a dip with the arms behind, up with the arms to the front, and down again."""
    stance: Changes = {"knee": 172.0, "spread": rng.uniform(2, 12), "abduct": rng.uniform(5, 20), "elbow": rng.uniform(110, 168)}
    box = rng.uniform(0.2, 0.6)
    dip = {
        "knee": rng.uniform(105, 145), "trunk": rng.uniform(15, 50), "hips_x": rng.uniform(-0.18, -0.06),
        "flex": rng.uniform(-45, 5),
    }  # fmt: skip
    up = {"knee": rng.uniform(110, 172), "trunk": rng.uniform(0, 20), "flex": rng.uniform(40, 130), "heel": rng.uniform(15, 40)}
    landed = {
        "knee": rng.uniform(95, 155), "trunk": rng.uniform(10, 40), "hips_x": rng.uniform(-0.15, 0.0),
        "flex": up["flex"] * rng.uniform(0.55, 0.95), "heel": 0.0,
    }  # fmt: skip
    tall = {name: at_rest(stance, name) for name in dip}
    cycle: list[Step] = [
        (rng.uniform(0.3, 0.7), dip),
        (rng.uniform(0.3, 0.5), up | {"hop": box + rng.uniform(0.06, 0.25)}),
        (rng.uniform(0.2, 0.3), landed | {"hop": box}),
        (rng.uniform(0.35, 0.7), tall),
        (rng.uniform(0.3, 0.6), {"hop": 0.0, "knee": rng.uniform(120, 165)}),
        (rng.uniform(0.2, 0.5), tall),
        (rng.uniform(0.1, 1.5), {}),
    ]
    return cycled(stance, cycle, int(rng.integers(*TIMES)))


def _sitting_up(rng: np.random.Generator) -> Strange:
    """From the back, on the floor, throwing the arms to the front."""
    stance: Changes = {
        **hips_at(rng.uniform(0.5, 0.93), rng.uniform(0.05, 0.12)), "trunk": rng.uniform(-92, -70), "nod": rng.uniform(-10, 30),
        "flex": rng.uniform(140, 178), "abduct": rng.uniform(0, 30), "elbow": rng.uniform(120, 172),
    }  # fmt: skip
    far = {"trunk": rng.uniform(-65, 50), "flex": rng.uniform(10, 110), "elbow": rng.uniform(100, 172)}
    return there_and_back(rng, stance, far, fastest_s=THROWN_S, rests=RESTS)


def _hanging(rng: np.random.Generator) -> Strange:
    """From a bar: pulled up, swinging, raising the legs; the shins hang, or are folded behind."""
    hop = rng.uniform(0.2, 0.4)
    hang, wide = rng.uniform(150, 172), rng.random() < 0.5
    stance: Changes = {**_at_the_bar(rng, hang, wide), "hop": hop, "heel": rng.uniform(0, 40), "trunk": rng.uniform(-8, 8)}
    if rng.random() < 0.35:
        stance |= {"lift": rng.uniform(0.1, 0.5), "foot_x": rng.uniform(-0.4, 0.1)}
    kind, fastest_s = int(rng.integers(5)), HALF_S[0]
    if kind == 0:
        far = sided(rng, {"lift": rng.uniform(0.4, 0.9), "foot_x": rng.uniform(0.1, 0.5)})
    elif kind == 1:
        far = {"hips_x": rng.uniform(0.1, 0.3), "foot_x": rng.uniform(-0.3, 0.4), "trunk": rng.uniform(-25, 15)}
    else:
        pulled, fastest_s = rng.uniform(35, 80), PULLED_S
        rise = UPPER_ARM * (np.cos(np.radians(pulled)) - np.cos(np.radians(hang)))
        far = {name: stance[name] + pulled - hang for name in ("elbow", "abduct" if wide else "flex")} | {"hop": hop + rise}
        if rng.random() < 0.7:
            far |= {"foot_x": rng.uniform(-0.4, 0.4), "lift": rng.uniform(0.0, 0.3), "trunk": rng.uniform(-25, 15)}
    return there_and_back(rng, stance, far, fastest_s=fastest_s, rests=RESTS)


def _at_the_bar(rng: np.random.Generator, raised: float, wide: bool) -> Changes:
    """Arms on a bar, `raised` by so many degrees to the sides or to the front: an elbow as wide open as that holds the forearm
    upright, as the bar does however far one is pulled up."""
    raised_by = {"elbow": raised + rng.normal(0, 6), "pronate": rng.uniform(0, 180)}
    if wide:
        return {**raised_by, "abduct": raised, "flex": rng.uniform(-10, 25), "rotate": rng.uniform(70, 100)}
    return {**raised_by, "flex": raised, "abduct": rng.uniform(0, 25), "rotate": rng.uniform(-15, 25)}


_FAMILIES = (
    (0.15, _hanging),
    (0.13, draw_lifting),
    (0.06, _sitting_up),
    (0.05, _jumping),
    (0.03, draw_jogging),
    (0.12, draw_walking),
)
