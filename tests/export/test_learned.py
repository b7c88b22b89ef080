"""What a set of bands can tell to a network that learned from other people of it."""

from __future__ import annotations

import numpy as np
import pytest

from device.skeleton import N_BANDS
from export.datasets.clip import Clip, Truth
from export.people import learned
from export.people.learned import FOLDS, learned_rows

SECONDS, HZ = 5, 100
FORCES = {"push_up": (-9.0, 2.0, 3.0), "squat": (-7.0, 6.0, 2.0), "none": (0.0, -9.8, 0.0)}


def clip(person: str, exercise: str | None, pulls: str) -> Clip:
    """A person whose right wrist shows the force of `pulls`, swinging."""
    count = SECONDS * HZ
    swing = np.sin(2 * np.pi * np.arange(count) / HZ)[:, None]
    imu = np.full((count, N_BANDS, 6), np.nan, np.float32)
    imu[:, 1, :3] = np.array(FORCES[pulls]) + 0.5 * swing
    imu[:, 1, 3:] = swing
    present = np.zeros((count, N_BANDS), bool)
    present[:, 1] = True
    times = np.arange(count, dtype=np.int64) * (10**9 // HZ)
    return Clip("made", f"{pulls}-{person}", person, False, imu=imu, imu_ns=times, imu_present=present, truth=Truth(exercise))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "STEPS", 300)
    monkeypatch.setattr(learned, "BATCH", 6)
    monkeypatch.setattr(learned, "TICKS", 45)


def test_signals_that_differ_are_told_apart_in_people_who_were_not_learned_from() -> None:
    clips = [clip(f"P{i}", exercise, exercise) for i in range(FOLDS) for exercise in FORCES]
    said: list[tuple[int, int]] = []
    found = {row.name: row.value for row in learned_rows("made", clips, lambda *done: said.append(done))}
    assert set(found) == {"made_learned_exercise_macro", *(f"made_learned_{exercise}_accuracy" for exercise in FORCES)}
    assert found["made_learned_exercise_macro"] == 1.0
    assert said[-1] == (300 * FOLDS, 300 * FOLDS)


def test_nobody_is_learned_from_and_judged_at_once() -> None:
    # What the classes look like differs from person to person and can't be known from others: only one's own clips would tell.
    names = sorted(FORCES)
    clips = [clip(f"P{i}", names[k], names[(k + i) % 3]) for i in range(FOLDS) for k in range(3)]
    found = {row.name: row.value for row in learned_rows("made", clips, lambda *_: None)}
    assert found["made_learned_exercise_macro"] is not None
    assert found["made_learned_exercise_macro"] < 0.7


def test_what_is_open_and_too_few_people_say_nothing() -> None:
    clips = [clip(f"P{i}", exercise, exercise) for i in range(FOLDS - 1) for exercise in FORCES]
    assert learned_rows("made", [*clips, clip("P9", None, "squat")], lambda *_: None) == []
