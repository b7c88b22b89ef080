"""Repetitions from the phase alone."""

from __future__ import annotations

import numpy as np
import pytest
from scripted import HZ, TICK_NS

from device.config import RepsConfig
from device.runtime.reps import Move, RepetitionFinder

RESTING, ACTIVE = 0.9, 0.05


def find(phases: list[tuple[float, float]]) -> tuple[RepetitionFinder, list[tuple[Move, int]]]:
    finder = RepetitionFinder(RepsConfig())
    moves = [(finder.step(k * TICK_NS, phase % 1.0, rest), k) for k, (phase, rest) in enumerate(phases)]
    return finder, [(move, k) for move, k in moves if move not in (Move.STILL, Move.MOVING)]


def count(phases: list[tuple[float, float]]) -> int:
    return sum(move is Move.DONE for move, _ in find(phases)[1])


def cycles(n: int, seconds: float, noise: float = 0.0, seed: int = 0) -> list[tuple[float, float]]:
    random = np.random.default_rng(seed)
    ticks = round(n * seconds * HZ)
    return [((k + 0.5) / ticks * n + noise * random.normal(), ACTIVE) for k in range(ticks)]


def rest(seconds: float, seed: int = 0) -> list[tuple[float, float]]:
    random = np.random.default_rng(seed)
    return [(random.random(), RESTING) for _ in range(round(seconds * HZ))]


@pytest.mark.parametrize("seconds", [0.75, 1.0, 2.0, 5.0, 8.0])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.06])
def test_cycles_of_any_tempo_are_counted(seconds, noise):
    for seed in range(5):
        assert count([*rest(1), *cycles(6, seconds, noise, seed), *rest(1)]) == 6


def test_rest_with_a_meaningless_phase_counts_nothing():
    assert find(rest(60))[1] == []


def test_a_repetition_that_ends_in_rest_ends_when_rest_began():
    finder, moves = find([*rest(1), *cycles(1, 2.0), *rest(2)])
    assert [move for move, _ in moves] == [Move.BEGAN, Move.DONE]
    assert finder.end_ns == pytest.approx(3.0e9, abs=0.2e9)


def test_a_half_repetition_is_dropped():
    out_and_back = [0.02 + 0.28 * np.sin(np.pi * k / 60) for k in range(60)]
    _, moves = find([*rest(1), *((p, ACTIVE) for p in out_and_back), *rest(1)])
    assert [move for move, _ in moves] == [Move.BEGAN, Move.DROPPED]


def test_too_short_and_too_long_is_no_repetition():
    assert count([*rest(1), *cycles(1, 0.25), *rest(1)]) == 0
    assert count([*rest(1), *cycles(1, 14.0), *rest(1)]) == 0


def test_a_hold_at_the_far_end_is_one_repetition():
    held = [*cycles(1, 2.0)[:30], *[(0.5, ACTIVE)] * 90, *cycles(1, 2.0)[30:]]
    assert count([*rest(1), *held, *rest(1)]) == 1


@pytest.mark.parametrize("jump", [0.0, 0.3, 0.9])
def test_a_jump_of_the_phase_for_three_ticks_is_survived(jump):
    phases = [*rest(1), *cycles(4, 2.0), *rest(1)]
    for k in range(30 + 60 + 28, 30 + 60 + 31):
        phases[k] = (jump, ACTIVE)
    assert count(phases) == 4


def test_a_flicker_of_rest_within_a_repetition_is_survived():
    phases = [*rest(1), *cycles(4, 2.0), *rest(1)]
    for k in range(30 + 60 + 28, 30 + 60 + 31):
        phases[k] = (phases[k][0], RESTING)
    assert count(phases) == 4


def test_closing_counts_what_is_nearly_back_and_nothing_else():
    for share, expected in ((0.9, Move.DONE), (0.5, Move.DROPPED), (0.3, Move.DROPPED)):
        phases = [*rest(1), *cycles(1, 2.0)[: round(60 * share)]]
        assert find(phases)[0].close() is expected
    assert find(rest(1))[0].close() is Move.STILL
