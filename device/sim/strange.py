"""Exercises that nobody has named: drawn at random from what a body can repeat, and like none of ours.

What people do in gyms has no end, and a coach that has met a dozen other exercises takes the next one for one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from device.sim.kinematics import PLANK_ELBOW, PLANK_FOOT_X, PLANK_HEEL
from device.sim.manner import draw_arms
from device.sim.motion import at_rest, plain

Changes = dict[str, float]
Step = tuple[float, Changes]

TIMES = (4, 9)
"""Fewest and most cycles, the latter left out."""
HALF_S = (0.25, 1.3)
"""Duration of half a cycle."""
WAY_S = 1.6
"""Duration of the way into a stance, and of the way out of it."""
SIDES = ("left", "right")


@dataclass(frozen=True, slots=True)
class Strange:
    """`stance`: parameters that differ from a relaxed stance all along; `cycle`: seconds to each key of it and the parameters
    that change there, `times` in a row. `prone`: on hands and toes. `way_s`: seconds to the stance and back, for who stands.
    `doubtful`: whether those ways may be anything, one of ours, too."""

    stance: Changes
    cycle: tuple[Step, ...]
    times: int
    prone: bool = False
    way_s: float = WAY_S
    doubtful: bool = True


Family = Callable[[np.random.Generator], Strange]
"""Draws one of its kind."""


def draw_strange(rng: np.random.Generator) -> Strange:
    """One of all that are like none of ours."""
    return of_families(rng, _FAMILIES, _standing)


def of_families(rng: np.random.Generator, families: Sequence[tuple[float, Family]], otherwise: Family) -> Strange:
    """One of a family, which are met with their shares; of `otherwise` for what is left."""
    drawn = rng.random()
    for share, family in families:
        drawn -= share
        if drawn < 0:
            return family(rng)
    return otherwise(rng)


def _standing(rng: np.random.Generator) -> Strange:
    """On both feet, upright, bent over or with one foot ahead, moving arms or legs, the trunk, or one of them with it."""
    stance: Changes = {"knee": rng.uniform(150, 174), "spread": rng.uniform(2, 14), "trunk": rng.uniform(-2, 8), **draw_arms(rng)}
    bent = rng.random() < 0.25
    if bent:
        stance |= {"trunk": rng.uniform(35, 78), "hips_x": rng.uniform(-0.2, -0.08), "knee": rng.uniform(135, 165), "nod": -10.0}
    if rng.random() < 0.12:
        stance |= {"left_foot_x": rng.uniform(0.2, 0.5), "hips_x": 0.15, "knee": rng.uniform(140, 160)}
    # Arms and legs together would often be some kind of jumping jack or lunge.
    far = _legs(rng) if not bent and rng.random() < 0.25 else _arms(rng, stance) if rng.random() < 0.85 else {}
    if rng.random() < 0.3 or not far:
        far |= _trunk(rng, stance)
    return there_and_back(rng, stance, far)


def _seated(rng: np.random.Generator) -> Strange:
    """On a chair or a box, moving the arms or the trunk."""
    stance = {**hips_at(rng.uniform(0.4, 0.6), rng.uniform(0.3, 0.5)), "trunk": rng.uniform(-15, 25), **draw_arms(rng)}
    return there_and_back(rng, stance, _arms(rng, stance) if rng.random() < 0.7 else _trunk(rng, stance))


def _supine(rng: np.random.Generator) -> Strange:
    """On the back, on the floor or a bench: sit-ups, presses, raised legs, bridges."""
    height = rng.uniform(0.05, 0.12) if rng.random() < 0.6 else rng.uniform(0.3, 0.5)
    away = rng.uniform(0.5, 0.93)
    stance = {**hips_at(away, height), "trunk": rng.uniform(-92, -70), "nod": rng.uniform(-10, 30), **draw_arms(rng)}
    kind = int(rng.integers(4))
    if kind == 0:
        far = {"trunk": rng.uniform(-65, 50)}
        if rng.random() < 0.3:
            far |= _arms(rng, stance)
    elif kind == 1:
        low = {
            "flex": rng.uniform(30, 80),
            "abduct": rng.uniform(0, 70),
            "rotate": rng.uniform(-20, 20),
            "elbow": rng.uniform(45, 95),
        }
        stance |= low
        far = {"flex": rng.uniform(75, 110), "abduct": rng.uniform(0, 20), "elbow": rng.uniform(155, 172)}
    elif kind == 2:
        far = sided(rng, {"lift": rng.uniform(0.15, 0.6), "support": 0.3})
    else:
        far = hips_at(away, height + rng.uniform(0.15, 0.35))
    return there_and_back(rng, stance, far)


def _hanging(rng: np.random.Generator) -> Strange:
    """From a bar: pulled up, swinging, raising the legs; the shins hang, or are folded behind."""
    hop = rng.uniform(0.2, 0.4)
    stance: Changes = {
        "flex": rng.uniform(0, 45), "abduct": rng.uniform(130, 168), "rotate": rng.uniform(10, 60),
        "elbow": rng.uniform(155, 172), "hop": hop, "heel": rng.uniform(0, 40), "trunk": rng.uniform(-8, 8),
    }  # fmt: skip
    if rng.random() < 0.5:
        stance |= {"flex": rng.uniform(150, 175), "abduct": rng.uniform(0, 25), "rotate": rng.uniform(-20, 20)}
    if rng.random() < 0.6:
        stance |= {"lift": rng.uniform(0.1, 0.5), "foot_x": rng.uniform(-0.4, 0.0)}
    kind = int(rng.integers(4))
    if kind == 3:
        far = sided(rng, {"lift": rng.uniform(0.4, 0.9), "foot_x": rng.uniform(0.1, 0.5)})
    elif kind == 2:
        far = {"hips_x": rng.uniform(0.1, 0.3), "foot_x": rng.uniform(-0.3, 0.4), "trunk": rng.uniform(-25, 15)}
    else:
        far = {"hop": hop + rng.uniform(0.25, 0.45), "elbow": rng.uniform(35, 80)}
        far |= {"flex": rng.uniform(20, 60)} if stance["flex"] > 100 else {"abduct": rng.uniform(30, 75)}
        if rng.random() < 0.5:
            far |= {"foot_x": rng.uniform(-0.4, 0.4), "lift": rng.uniform(0.0, 0.5), "trunk": rng.uniform(-25, 15)}
    return there_and_back(rng, stance, far)


def _prone(rng: np.random.Generator) -> Strange:
    """On hands and toes with arms that stay as they are: planks, raised hips, knees drawn up."""
    flare = rng.uniform(10, 80)
    stance: Changes = {
        "prone": 1.0, "plant": 1.0, "foot_x": PLANK_FOOT_X, "heel": PLANK_HEEL, "knee": 174.0, "elbow": PLANK_ELBOW,
        "toe_out": 0.0, "spread": 3.0, "knees_out": 0.0, "hips_x": -0.3, "trunk": 70.0, "flare": flare,
        "pronate": 180.0 - flare * rng.uniform(0, 1.2),
    }  # fmt: skip
    kind = int(rng.integers(3))
    if kind == 0:
        return Strange(stance, ((float(rng.uniform(3, 8)), {"look": 3.0}),), 1, prone=True)
    if kind == 1:
        return there_and_back(rng, stance, {"hips": rng.uniform(-60, -25)}, prone=True)
    each_s, cycle = half_s(rng, HALF_S[0]), []
    drawn_up = {"foot_x": PLANK_FOOT_X + rng.uniform(0.3, 0.6), "lift": rng.uniform(0.05, 0.15)}
    for side in SIDES:
        cycle += [
            (each_s, {f"{side}_{name}": value for name, value in drawn_up.items()}),
            (each_s, {f"{side}_foot_x": PLANK_FOOT_X, f"{side}_lift": 0.0}),
        ]
    return Strange(stance, tuple(cycle), int(rng.integers(*TIMES)), prone=True)


_FAMILIES = ((0.15, _hanging), (0.2, _supine), (0.1, _prone), (0.1, _seated))


def hips_at(away: float, height: float) -> Changes:
    """Hips so far behind the feet and so far above the ankles (leg lengths), as if something held them."""
    knee = np.degrees(2 * np.arcsin(min(np.hypot(away, height), 0.995)))
    return {"hips_x": -0.5 * away, "foot_x": 0.5 * away, "knee": float(knee)}


def _arms(rng: np.random.Generator, stance: Changes) -> Changes:
    """Where the arms go, both, one, or by turns; never as in a curl, where the elbow alone bends beside the trunk."""
    while True:
        far = {
            "flex": rng.uniform(-30, 170),
            "abduct": rng.uniform(-5, 120),
            "rotate": rng.uniform(-80, 90),
            "elbow": rng.uniform(40, 172),
        }
        kept = [name for name in far if rng.random() < 0.5]
        changed = {name: far[name] for name in kept}
        ends = [{**{name: stance.get(name, 0.0) for name in far}, **changed}, {name: stance.get(name, 0.0) for name in far}]
        beside = all(end["flex"] < 60 and end["abduct"] < 50 for end in ends)
        if kept and not (beside and abs(ends[0]["elbow"] - ends[1]["elbow"]) > 30):
            return sided(rng, changed)


def _legs(rng: np.random.Generator) -> Changes:
    """What legs do without both knees bending: heels, raised knees, swings to the front, the back or the side, little jumps."""
    kind = int(rng.integers(5))
    if kind == 0:
        return {"heel": rng.uniform(15, 35)}
    if kind == 1:
        return _one_side(rng, {"lift": rng.uniform(0.15, 0.55), "foot_x": rng.uniform(-0.3, 0.25), "support": 0.0})
    if kind == 2:
        return _one_side(
            rng, {"foot_x": rng.uniform(0.25, 0.6) * rng.choice((-1, 1)), "lift": rng.uniform(0.05, 0.3), "support": 0.0}
        )
    if kind == 3:
        return _one_side(rng, {"spread": rng.uniform(18, 45), "lift": rng.uniform(0.03, 0.2), "support": 0.0})
    return {"hop": rng.uniform(0.04, 0.2), "heel": rng.uniform(10, 30)}


def _trunk(rng: np.random.Generator, stance: Changes) -> Changes:
    kind = int(rng.integers(3))
    if kind == 0 and stance["trunk"] < 30:
        return {"trunk": rng.uniform(25, 75), "hips_x": stance.get("hips_x", 0.03) - rng.uniform(0.08, 0.2)}
    if kind == 0:
        return {"trunk": stance["trunk"] - rng.uniform(25, 60)}
    if kind == 1:
        return {"lean": rng.uniform(10, 35) * rng.choice((-1, 1))}
    return {"twist": rng.uniform(15, 45) * rng.choice((-1, 1))}


def sided(rng: np.random.Generator, changes: Changes) -> Changes:
    """On both sides, or on one."""
    return changes if rng.random() < 0.6 else _one_side(rng, changes)


def _one_side(rng: np.random.Generator, changes: Changes) -> Changes:
    side = str(rng.choice(SIDES))
    return {f"{side}_{name}": value for name, value in changes.items()}


def there_and_back(
    rng: np.random.Generator,
    stance: Changes,
    far: Changes,
    *,
    prone: bool = False,
    fastest_s: float = HALF_S[0],
    rests: tuple[float, float] = (0.4, 0.5),
) -> Strange:
    """From the stance to `far` and back, each way in `fastest_s` or more; what one side did is now and then the other side's turn
    next. `rests`: share of those who rest after each, and for how long at most (s)."""
    stance, far = plain(stance), plain(far)
    out_s, back_s = half_s(rng, fastest_s), half_s(rng, fastest_s)
    if rng.random() < 0.7:
        back_s = out_s * float(rng.uniform(0.8, 1.4))
    rest_s = float(rng.uniform(0.05, rests[1])) if rng.random() < rests[0] else 0.0
    turns = [far]
    of_a_side = [name for name in far if name.startswith(("left_", "right_"))]
    if of_a_side and rng.random() < 0.6:
        turns.append({_mirrored(name): -value if name in ("twist", "lean") else value for name, value in far.items()})
    cycle: list[Step] = []
    for there in turns:
        cycle.append((out_s, there))
        cycle.append((back_s, {name: at_rest(stance, name) for name in there}))
        if rest_s:
            cycle.append((rest_s, {}))
    return Strange(stance, tuple(cycle), int(rng.integers(*TIMES)), prone=prone)


def cycled(stance: Changes, cycle: Sequence[Step], times: int, *, way_s: float = WAY_S, doubtful: bool = True) -> Strange:
    """Whatever is drawn of a cycle, from the stance on, in Python's own numbers."""
    steps = tuple((float(after_s), plain(key)) for after_s, key in cycle)
    return Strange(plain(stance), steps, times, way_s=way_s, doubtful=doubtful)


def half_s(rng: np.random.Generator, fastest_s: float) -> float:
    """Duration of half a cycle."""
    return float(np.exp(rng.uniform(np.log(fastest_s), np.log(HALF_S[1]))))


def _mirrored(name: str) -> str:
    side, _, plain = name.partition("_")
    return {"left": f"right_{plain}", "right": f"left_{plain}"}.get(side, name)
