"""The figures about how well the pose network sees the virtual trainee."""

import importlib.util

import numpy as np
import pytest

from device.sim.detectability import Detectability, Sightings, measure, rows


@pytest.mark.skipif(importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed")
def test_the_trainee_is_found_in_every_exercise_of_a_session() -> None:
    seen = measure(range(20, 21), seconds=0.4)
    assert len(seen.exercises) == 5
    assert all(np.mean(s.found) > 0.8 for s in seen.exercises.values())
    assert all(np.median(s.pixel_errors) < 12 for s in seen.exercises.values())


def test_misses_count_against_the_exercise_they_belong_to() -> None:
    seen = Detectability(
        {"squat": Sightings(found=[True] * 19 + [False]), "push_up": Sightings(found=[True, False])}, [5.0], [20.0]
    )
    figures = {r.name: r for r in rows(seen)}
    assert figures["pose_found_upright"].value == pytest.approx(0.95)
    assert figures["pose_found_upright"].ok
    assert figures["pose_found_push_up"].value == pytest.approx(0.5)
    assert not figures["pose_found_push_up"].ok
