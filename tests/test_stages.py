"""Stages with hysteresis, and boundaries that score and stage head agree on."""

from __future__ import annotations

import numpy as np
from scripted import HZ, TICK_NS

from device.messages import Stage, StageBoundary
from device.runtime.stages import StageTracker


def probabilities(stage: Stage, sureness: float = 0.85) -> np.ndarray:
    p = np.full(4, (1 - sureness) / 3)
    p[stage] = sureness
    return p


def follow(stages: list[Stage], scores: dict[int, float], sureness: float = 0.85) -> tuple[StageTracker, list[StageBoundary]]:
    tracker = StageTracker(HZ)
    found = [tracker.step(k * TICK_NS, scores.get(k, 0.1), probabilities(s, sureness)) for k, s in enumerate(stages)]
    return tracker, [boundary for boundary in found if boundary is not None]


CHANGE = [Stage.REST] * 30 + [Stage.BEGINNING] * 30


def test_a_peak_near_a_change_of_stage_is_a_boundary_at_the_peak():
    for peak in (25, 30, 35):
        _, found = follow(CHANGE, {peak: 8.0})
        assert [(b.t_ns, b.before, b.after, b.score) for b in found] == [(peak * TICK_NS, Stage.REST, Stage.BEGINNING, 8.0)]


def test_a_peak_far_from_the_change_is_no_boundary_but_the_stage_changes():
    tracker, found = follow(CHANGE, {10: 8.0, 50: 8.0})
    assert found == []
    assert tracker.stage is Stage.BEGINNING


def test_a_peak_alone_is_no_boundary():
    tracker, found = follow([Stage.REST] * 60, {30: 8.0})
    assert found == []
    assert tracker.stage is Stage.REST


def test_a_flicker_of_the_stage_head_changes_nothing():
    stages = [Stage.REST] * 60
    stages[30] = stages[31] = Stage.EXECUTION
    tracker, found = follow(stages, {30: 8.0})
    assert found == []
    assert tracker.stage is Stage.REST


def test_a_stage_that_leads_by_little_is_not_believed():
    tracker, _ = follow(CHANGE, {30: 8.0}, sureness=0.28)
    assert tracker.stage is Stage.REST
