from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import recorded_sets as made

pytest.importorskip("torch", reason="the export extra is not installed")

from torch import nn

from device.config import SignalsConfig
from device.errors import DatasetError, TrainingRefused
from device.exercises import load_exercises
from device.messages import EXERCISES, NS_PER_S, Stage
from device.skeleton import JOINT
from export.datasets import ui_prmd
from export.datasets.catalogue import check_trains
from export.datasets.clip import Clip, Truth
from export.datasets.moments import with_moments
from export.datasets.virtual_trainee import emulated
from export.landmark_noise import LandmarkNoise
from export.recorded import people, recorded

SQUAT = EXERCISES.index("squat")


@pytest.fixture(scope="module")
def squats() -> Clip:
    """The virtual trainee as a recorded person of whom every moment is known."""
    seed = next(seed for seed in range(9, 60, 5) if next(emulated([seed])).truth.activity == "squat")
    return next(emulated([seed]))


def test_moments_follow_from_repetitions_and_the_bend_of_the_knees() -> None:
    seconds = np.arange(0, 8, 1 / 30)
    room = made.trainee_room(8.0)
    truth = Truth("squat", repetitions=np.array([[1, 3], [4, 7]]) * NS_PER_S, count=2)
    known = with_moments(truth, np.round(seconds * NS_PER_S).astype(np.int64), room, load_exercises()["squat"])
    inside = (seconds >= 1) & (seconds <= 7)
    assert (known.classes == np.where(inside, SQUAT, EXERCISES.index("none"))).all()
    resting = (seconds > 3.05) & (seconds < 3.95)
    assert (known.stages[resting] == Stage.REST).all()
    during = np.flatnonzero((seconds >= 4) & (seconds < 7))
    bend = np.minimum(known.angles[during, JOINT["left_knee"]], known.angles[during, JOINT["right_knee"]])
    assert known.phase[during][1:-1][np.argmin(bend[1:-1])] == pytest.approx(0.5, abs=1e-6)
    assert (np.diff(known.phase[during]) > 0).all()
    assert set(known.stages[during].tolist()) == {int(stage) for stage in Stage if stage != Stage.REST}


def test_what_is_none_stays_none_with_its_angles() -> None:
    room = made.trainee_room(2.0)
    known = with_moments(Truth("none"), np.arange(len(room)) * NS_PER_S // 30, room, None)
    assert (known.classes == EXERCISES.index("none")).all()
    assert not known.phase.any()
    assert np.isfinite(known.angles).all()


def test_a_recorded_clip_becomes_a_session_with_its_truth(squats: Clip) -> None:
    session = recorded(squats, SignalsConfig())
    assert len(session) == pytest.approx(squats.seconds * 30, abs=2)
    assert session.signals.imu_present.mean() > 0.9
    assert session.signals.pose_present.mean() > 0.9
    at = round((int(squats.truth.repetitions[0].mean()) - squats.start_ns) / NS_PER_S * 30)
    assert session.labels.exercise[at] == SQUAT
    assert session.labels.phase[at] == pytest.approx(0.5, abs=0.1)
    outside = session.labels.stage == Stage.REST
    assert not session.labels.deviation[outside].any()
    assert np.abs(session.labels.deviation[~outside]).max() > 0.1


def test_without_a_camera_or_without_bands_the_rest_is_learned_from(squats: Clip) -> None:
    blind = recorded(replace(squats, landmarks=None, pose_ns=np.zeros(0, np.int64)), SignalsConfig())
    assert not blind.signals.pose_present.any()
    assert blind.signals.imu_present.any()


def test_a_clip_with_an_unknown_moment_is_refused(squats: Clip) -> None:
    angles = squats.truth.angles.copy()
    angles[3, 1] = np.nan
    with pytest.raises(DatasetError, match="not every moment of it is known"):
        recorded(replace(squats, truth=replace(squats.truth, angles=angles)), SignalsConfig())


def test_motion_capture_knows_every_moment(tmp_path: Path) -> None:
    made.write_ui_prmd(tmp_path / "ui_prmd")
    for clip in ui_prmd.clips(tmp_path / "ui_prmd", movements=range(1, 2)):
        session = recorded(clip, SignalsConfig())
        assert (session.labels.exercise == SQUAT).mean() > 0.8
        assert np.isfinite(session.labels.angles).all()


def test_people_who_are_not_there_are_missed_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"ui_prmd: is absent\. Give the folder of the recordings with --data"):
        people(tmp_path, LandmarkNoise(nn.Identity(), []), SignalsConfig())


def test_sets_without_a_clear_licence_are_refused() -> None:
    check_trains("ui_prmd")
    with pytest.raises(TrainingRefused, match="for evaluation only"):
        check_trains("repcount_pose")
