"""Manners of many people, for the tests of those who draw them."""

from collections.abc import Callable

import numpy as np

from device.exercises import load_exercises
from device.sim.manner import AS_USUAL, Manner, draw_manner
from device.sim.motion import motion_of
from device.sim.script import People

ALL = load_exercises()
Drawn = Callable[[str, int], Manner]
"""The manner of an exercise's name that a seed gives."""


def drawn_of(people: People) -> Drawn:
    """How manners of these `people` are drawn."""

    def drawn(name: str, seed: int) -> Manner:
        rng = np.random.default_rng(seed)
        motion = motion_of(ALL[name])
        return people.manner(rng, draw_manner(rng, ALL[name], motion), ALL[name], motion)

    return drawn


def exercises_with_any(drawn: Drawn, attribute: str) -> set[str]:
    """Names of the exercises in which `attribute` is not as usual for any of 60 people."""
    usual = getattr(AS_USUAL, attribute)
    return {name for name in ALL if any(getattr(drawn(name, seed), attribute) != usual for seed in range(60))}
