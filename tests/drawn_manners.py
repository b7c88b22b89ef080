"""Manners of many people, for the tests of those who draw them."""

from collections.abc import Callable

from device.exercises import load_exercises
from device.sim.manner import AS_USUAL, Manner

ALL = load_exercises()
Drawn = Callable[[str, int], Manner]
"""The manner of an exercise's name that a seed gives."""


def exercises_with_any(drawn: Drawn, attribute: str) -> set[str]:
    """Names of the exercises in which `attribute` is not as usual for any of 60 people."""
    usual = getattr(AS_USUAL, attribute)
    return {name for name in ALL if any(getattr(drawn(name, seed), attribute) != usual for seed in range(60))}
