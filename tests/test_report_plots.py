"""Plots of made-up sets: which joints get a panel, and that a picture comes out whatever happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.errors import StoreError
from device.exercises import Exercise, load_exercises
from device.messages import EXERCISES, NS_PER_S, Cue, Repetition, SetEnded, Vibration
from device.report.log import SessionLog
from device.report.plots import TrueAngles, main_joints, plot_set, runs, standard_angles
from device.skeleton import JOINT

PERIOD_NS = 2 * NS_PER_S


@pytest.fixture(scope="module")
def exercises() -> dict[str, Exercise]:
    return dict(load_exercises())


def repetition(index: int, variant: str = "both") -> Repetition:
    start_ns = index * PERIOD_NS
    return Repetition(start_ns + PERIOD_NS, 0, start_ns, start_ns + PERIOD_NS, "squat", variant, index, ())


def cue(joint: str, kind: str = "correction") -> Cue:
    return Cue(3 * NS_PER_S, 0, kind, "squat", joint, 1, "Go deeper", ("go_deeper",), 0.2, (2, 3), 0.6)


def log_of(exercise: Exercise, cues: tuple[Cue, ...] = ()) -> SessionLog:
    times = np.arange(0, 12 * NS_PER_S, NS_PER_S // 30)
    phase = (times % PERIOD_NS) / PERIOD_NS
    curves = np.nan_to_num(exercise.standard(exercise.variants[0]), nan=1.0)
    angles = curves[np.rint(phase * 40).astype(int)]
    return SessionLog(
        classes=EXERCISES,
        times_ns=times,
        exercise=np.ones(len(times), np.int64),
        stage=1 + (phase > 0.3).astype(np.int64) + (phase > 0.7),
        phase=phase,
        refined=angles + 0.05,
        raw=angles,
        sigma=np.zeros_like(angles),
        sets=(SetEnded(12 * NS_PER_S, 0, PERIOD_NS, 5 * PERIOD_NS, exercise.name, 4),),
        repetitions=tuple(repetition(i, exercise.variants[0]) for i in range(1, 5)),
        boundaries=(),
        cues=cues,
        speeches=(),
        vibrations=tuple(Vibration(c.t_ns, 0, band, c.intensity, 300_000_000) for c in cues for band in c.bands),
    )


@pytest.mark.parametrize("name", [name for name in EXERCISES if name != "none"])
def test_every_exercise_gets_a_picture(name: str, exercises: dict[str, Exercise], tmp_path: Path) -> None:
    exercise = exercises[name]
    log = log_of(exercise, (cue("left_knee"),))
    plot_set(tmp_path / "set.png", log, log.sets[0], exercise, 1, TrueAngles(log.raw, 4))
    picture = cv2.imread(str(tmp_path / "set.png"))
    assert picture is not None
    assert picture.shape[1] > 1000
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_a_corrected_joint_has_a_panel_and_the_others_are_those_that_move(exercises: dict[str, Exercise]) -> None:
    squat = exercises["squat"]
    plain = main_joints(squat, [repetition(1)], [])
    assert "left_knee" in plain
    assert "right_knee" not in plain
    corrected = main_joints(squat, [repetition(1)], [cue("right_hip_spread"), cue("left_ankle", "praise")])
    assert "right_hip_spread" in corrected
    assert len(corrected) <= 4


def test_the_standard_follows_the_phase_and_stops_between_repetitions(exercises: dict[str, Exercise]) -> None:
    squat = exercises["squat"]
    log = log_of(squat)
    standard = standard_angles(squat, log, [repetition(1)])
    inside = log.within(PERIOD_NS, 2 * PERIOD_NS)
    knee = JOINT["left_knee"]
    assert np.isnan(standard[~inside]).all()
    assert standard[inside, knee].min() == pytest.approx(squat.standard("both")[:, knee].min(), abs=0.02)


def test_a_set_without_repetitions_or_ticks_is_drawn_too(exercises: dict[str, Exercise], tmp_path: Path) -> None:
    squat = exercises["squat"]
    log = replace(log_of(squat), repetitions=())
    plot_set(tmp_path / "set.png", log, log.sets[0], squat, 1)
    late = SetEnded(0, 0, 60 * NS_PER_S, 70 * NS_PER_S, "squat", 1)
    plot_set(tmp_path / "late.png", log, late, squat, 2)
    assert (tmp_path / "set.png").stat().st_size > 10_000 < 2 * (tmp_path / "late.png").stat().st_size


def test_a_picture_that_cannot_be_written_is_a_store_error(exercises: dict[str, Exercise], tmp_path: Path) -> None:
    log = log_of(exercises["squat"])
    with pytest.raises(StoreError, match="absent"):
        plot_set(tmp_path / "absent" / "set.png", log, log.sets[0], exercises["squat"], 1)


def test_stretches_of_equal_stages_cover_everything_once() -> None:
    values = np.array([0, 0, 1, 2, 2, 2])
    assert list(runs(values)) == [(0, 0, 2), (1, 2, 3), (2, 3, 6)]
    assert list(runs(np.array([], np.int64))) == []
