from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")

import recorded_sets as made

from device.errors import DatasetError, TrainingRefused
from device.messages import NS_PER_S, Stage
from device.skeleton import JOINT, NODE, joint_angles
from export.datasets import crossfit_imu, exercise_correction, repcount_pose, ui_prmd, utd_mhad, virtual_trainee
from export.datasets.catalogue import ENVIRONMENT, SETS, data_folder, read_set, training_set
from export.datasets.clip import Clip

REAL = data_folder()
needs_recordings = pytest.mark.skipif(not REAL.is_dir(), reason=f"the recordings are not in {REAL} (set {ENVIRONMENT})")


def upright(clip: Clip) -> bool:
    assert clip.landmarks is not None
    found = clip.landmarks[np.isfinite(clip.landmarks).all(axis=(1, 2))]
    return bool(np.median(found[:, NODE["nose"], 1]) < 0 < np.median(found[:, NODE["left_ankle"], 1]))


def test_sets_without_a_licence_train_nothing(tmp_path: Path) -> None:
    for name in ("crossfit_imu", "repcount_pose", "utd_mhad", "video_pose"):
        assert not SETS[name].trains
        with pytest.raises(TrainingRefused, match="evaluation only"):
            training_set(name, tmp_path)
    assert {name for name, entry in SETS.items() if entry.trains} == {"ui_prmd", "exercise_correction", "virtual_trainee"}


def test_unknown_and_absent_sets_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such set"):
        read_set("imagenet", tmp_path)
    with pytest.raises(DatasetError, match=f"absent.*{ENVIRONMENT}"):
        read_set("ui_prmd", tmp_path)


def test_the_data_folder_is_what_is_given_else_what_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    assert data_folder() == tmp_path
    assert data_folder(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv(ENVIRONMENT)
    assert data_folder().parts[-2:] == ("shared", "data")


def test_motion_capture_becomes_upright_people_with_bands(tmp_path: Path) -> None:
    made.write_ui_prmd(tmp_path / "ui_prmd")
    clips = list(ui_prmd.clips(tmp_path / "ui_prmd", movements=range(1, 2)))
    assert [(c.subject, c.truth.correct, c.truth.count) for c in clips] == [
        ("s01", True, 2), ("s01", False, 2), ("s02", True, 2), ("s02", False, 2)
    ]  # fmt: skip
    for clip in clips:
        assert clip.trains
        assert clip.truth.exercise == "squat"
        assert upright(clip)
        assert len(clip.truth.repetitions) == 2
        assert clip.imu is not None
        # Standing on both feet: what an ankle feels points to the knee, against the band's x.
        assert np.median(clip.imu[:, 2:, 0]) < -7
        assert np.linalg.norm(clip.imu[:, 2, :3], axis=-1).mean() == pytest.approx(9.8, abs=1.0)


def test_the_same_seed_gives_the_same_camera_and_another_seed_another_one(tmp_path: Path) -> None:
    made.write_ui_prmd(tmp_path / "ui_prmd")
    first, again, other = (next(ui_prmd.clips(tmp_path / "ui_prmd", seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.landmarks, again.landmarks)
    assert not np.array_equal(first.landmarks, other.landmarks)


def test_mapped_markers_keep_the_angles_of_the_body() -> None:
    room = made.trainee_room(3.0)
    names, places = made.markers_of(room)
    body, _ = ui_prmd.body_of(places[:, [names.index(name) for name in ui_prmd.USED]])
    difference = np.degrees(np.abs(joint_angles(body) - joint_angles(room)))
    for joint in ("left_knee", "right_knee", "left_elbow", "right_hip"):
        assert np.median(difference[:, JOINT[joint]]) < 8, joint


def test_a_marker_that_was_never_seen_costs_the_repetition_and_a_gap_does_not() -> None:
    episode = np.cumsum(np.ones((50, 3, 3)), axis=0)
    gap = episode.copy()
    gap[10:20, 1] = np.nan
    filled = ui_prmd.filled(gap)
    assert filled is not None
    np.testing.assert_allclose(filled, episode)
    gap[:, 1] = np.nan
    assert ui_prmd.filled(gap) is None


def test_watches_are_turned_into_bands_of_a_right_wrist_and_ankle(tmp_path: Path) -> None:
    made.write_crossfit(tmp_path / "crossfit_imu", tuple(crossfit_imu.EXERCISES))
    clips = {clip.truth.activity: clip for clip in crossfit_imu.clips(tmp_path / "crossfit_imu")}
    squats = clips["squats"]
    assert squats.imu is not None
    np.testing.assert_allclose(squats.imu[100, 1, :3], [-9.8, 0, 0], atol=0.01)
    np.testing.assert_allclose(squats.imu[100, 3, :3], [-9.8, 0, 0], atol=0.01)
    assert not squats.imu_present[:, [0, 2]].any()
    assert not squats.imu_present[5, 1]
    assert (squats.truth.exercise, squats.truth.count, len(squats.truth.repetitions)) == ("squat", 3, 3)
    assert clips["burpees"].truth.exercise is None
    assert (clips["null"].truth.exercise, clips["null"].truth.count) == ("none", None)
    assert not any(clip.trains for clip in clips.values())


def test_scaled_frames_get_their_shape_back(tmp_path: Path) -> None:
    made.write_repcount(tmp_path / "repcount_pose", tuple(repcount_pose.EXERCISES))
    clips = [clip for clip in repcount_pose.clips(tmp_path / "repcount_pose") if clip.truth.activity == "jump_jack"]
    # In the second video nobody was found.
    (clip,) = clips
    assert (clip.truth.exercise, clip.truth.count, clip.truth.repetitions[1].tolist()) == (
        "jumping_jack", 2, [round(40 / 30 * NS_PER_S), round(80 / 30 * NS_PER_S)]
    )  # fmt: skip
    assert clip.landmarks is not None
    true = joint_angles(made.trainee_frames(3.0)[..., :3])
    found = joint_angles(clip.landmarks[..., :3])
    for joint in ("left_knee", "right_elbow", "left_hip"):
        assert np.degrees(np.median(np.abs(found - true)[:, JOINT[joint]])) < 4, joint
    assert upright(clip)


def test_kinect_skeletons_face_the_camera_and_only_the_wrist_s_imu_is_a_band(tmp_path: Path) -> None:
    made.write_utd(tmp_path / "utd_mhad")
    curl, squat = utd_mhad.clips(tmp_path / "utd_mhad")
    assert upright(curl)
    assert upright(squat)
    assert curl.pose_ns[-1] == curl.imu_ns[-1]
    assert np.flatnonzero(curl.imu_present[0]).tolist() == [utd_mhad.RIGHT_WRIST]
    assert squat.imu is None
    assert (curl.truth.exercise, squat.truth.exercise) == ("bicep_curl", "squat")


def test_a_kinects_hips_are_lowered_to_where_thighs_are_as_long_as_shanks(tmp_path: Path) -> None:
    made.write_utd(tmp_path / "utd_mhad")
    _, squat = utd_mhad.clips(tmp_path / "utd_mhad")
    assert squat.landmarks is not None
    x = squat.landmarks[..., :3]
    thigh, shank = (np.linalg.norm(x[:, [a, a + 1]] - x[:, [b, b + 1]], axis=-1).mean(axis=1) for a, b in ((23, 25), (25, 27)))
    upright = slice(0, 10)
    assert np.median(thigh[upright]) == pytest.approx(np.median(shank[upright]), rel=0.05)


def test_an_imu_on_the_limb_keeps_what_it_measures_along_it() -> None:
    inertial = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]], np.float32)
    wrist = utd_mhad.in_band_axes(inertial)
    assert wrist[0, [0, 3]].tolist() == [1.0, 4.0]
    # A curl turned the sensor about the middle of -y and -z; a band turns about its y.
    turned = utd_mhad.in_band_axes(np.array([[0, 0, 0, 0, -1, -1]], np.float32))
    np.testing.assert_allclose(turned[0, 3:], [0, 2**0.5, 0], atol=1e-6)


def test_videos_keep_the_frames_without_a_person(tmp_path: Path) -> None:
    made.write_videos(tmp_path / "video_pose")
    clips = list(read_set("video_pose", tmp_path))
    assert [clip.truth.exercise for clip in clips] == ["squat", "lunge", "jumping_jack", "bicep_curl", "push_up"]
    assert clips[0].landmarks is not None
    assert np.isnan(clips[0].landmarks[3]).all()


def test_labelled_frames_have_stages_or_correctness_but_no_times(tmp_path: Path) -> None:
    made.write_frames(tmp_path / "exercise_correction", exercise_correction.FILES)
    clips = {clip.name: clip for clip in read_set("exercise_correction", tmp_path)}
    squats = clips["squat__train"]
    assert not squats.timed
    assert set(squats.truth.stages.tolist()) == {Stage.REST, Stage.EXECUTION}
    assert (clips["bicep__test-C"].truth.correct, clips["bicep__test-L"].truth.correct) == (True, False)
    assert squats.landmarks is not None
    assert squats.landmarks[0, NODE["left_wrist"], 3] == 0
    assert squats.landmarks[0, NODE["left_knee"], 3] > 0
    assert upright(squats)


def test_a_virtual_trainee_knows_everything_of_itself() -> None:
    (clip,) = virtual_trainee.emulated([3])
    assert clip.truth.count == len(clip.truth.repetitions) > 0
    assert np.isfinite(clip.truth.angles).all()
    assert {int(s) for s in clip.truth.stages} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("name", "write", "file"),
    [
        ("ui_prmd", made.write_ui_prmd, "m01.npz"),
        ("utd_mhad", made.write_utd, "utd_mhad.npz"),
        ("video_pose", made.write_videos, "squat_front.npz"),
    ],
)
def test_damaged_and_incomplete_files_are_named(name: str, write: Callable[[Path], None], file: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    path = tmp_path / name / file
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=file):
        list(read_set(name, tmp_path))
    np.savez(path, other=np.zeros(2))
    with pytest.raises(DatasetError, match=file):
        list(read_set(name, tmp_path))


@needs_recordings
@pytest.mark.parametrize(
    ("name", "count"),
    [("utd_mhad", 160), ("crossfit_imu", 269), ("repcount_pose", 77), ("video_pose", 5), ("exercise_correction", 13)],
)
def test_the_recordings_are_read_whole(name: str, count: int) -> None:
    clips = list(read_set(name, REAL))
    assert len(clips) == count
    assert len({clip.name for clip in clips}) == count
    assert all(clip.trains == SETS[name].trains for clip in clips)


@needs_recordings
def test_real_squats_under_motion_capture_bend_knees_and_are_upright() -> None:
    clips = list(ui_prmd.clips(REAL / "ui_prmd", movements=range(1, 2)))
    assert len({clip.subject for clip in clips}) == 7
    for clip in clips:
        assert upright(clip)
        assert clip.landmarks is not None
        knee = np.degrees(joint_angles(clip.landmarks[..., :3])[:, JOINT["left_knee"]])
        assert knee.min() < 110 < 150 < knee.max()


@needs_recordings
def test_arms_hang_and_legs_stand_in_real_dead_lifts() -> None:
    lifts = [clip for clip in read_set("crossfit_imu", REAL) if clip.truth.activity == "dead_lifts"]
    for clip in lifts:
        assert clip.imu is not None
        assert np.nanmean(clip.imu[:, crossfit_imu.WRIST, 0]) < -8
        assert np.nanmean(clip.imu[:, crossfit_imu.ANKLE, 0]) < -8
