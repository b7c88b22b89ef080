import os
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")

from recorded_sets import trainee_frames

from device.errors import DatasetError
from device.messages import NS_PER_S, ImuBatch, Pose
from device.skeleton import MIRRORED_NODES
from export.datasets.clip import Clip, Truth, mirrored, only, played
from export.datasets.files import load_clip, save_clip


def landmarks_clip(rate_hz: float = 30.0, frames: np.ndarray | None = None, **changes: object) -> Clip:
    x = trainee_frames(2.0, rate_hz) if frames is None else frames
    times = np.round(np.arange(len(x)) / rate_hz * NS_PER_S).astype(np.int64)
    return Clip(**{"source": "test", "name": "one", "subject": "p", "trains": True, "landmarks": x, "pose_ns": times, **changes})


def imu_clip(**changes: object) -> Clip:
    imu = np.zeros((200, 4, 6), np.float32)
    imu[..., 0] = 9.8
    present = np.ones((200, 4), bool)
    times = np.arange(200, dtype=np.int64) * 10_000_000
    values = {"imu": imu, "imu_ns": times, "imu_present": present}
    return Clip(**{"source": "test", "name": "bands", "subject": "p", "trains": False, **values, **changes})


@pytest.mark.parametrize("rate_hz", [15.0, 240.0])
def test_fifteen_and_240_frames_a_second_are_fine(rate_hz: float) -> None:
    clip = landmarks_clip(rate_hz)
    assert clip.pose_hz == pytest.approx(rate_hz, rel=0.01)
    assert len(list(played(clip))) == len(clip.pose_ns)


@pytest.mark.parametrize(("rate_hz", "said"), [(2.0, "2 Hz"), (1000.0, "1e\\+03 Hz")])
def test_a_rate_that_can_not_be_is_refused(rate_hz: float, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        landmarks_clip(rate_hz, trainee_frames(2.0))


def test_a_clip_without_any_modality_is_refused() -> None:
    with pytest.raises(DatasetError, match="neither landmarks nor bands"):
        landmarks_clip(landmarks=None, pose_ns=np.zeros(0, np.int64))


def test_a_clip_of_no_length_is_refused() -> None:
    with pytest.raises(DatasetError, match="length is zero"):
        landmarks_clip(frames=np.zeros((0, 33, 4), np.float32))


def test_other_numbers_of_landmarks_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"shape \(60, 25, 4\)"):
        landmarks_clip(frames=trainee_frames(2.0)[:, :25])


def test_two_people_are_refused() -> None:
    with pytest.raises(DatasetError, match="holds 2 people"):
        landmarks_clip(frames=np.stack([trainee_frames(2.0)] * 2, axis=1))


def test_a_frame_with_some_nan_is_refused_and_one_without_a_person_is_not() -> None:
    frames = trainee_frames(2.0)
    frames[5] = np.nan
    poses = [message for message in played(landmarks_clip(frames=frames)) if isinstance(message, Pose)]
    assert [pose.present for pose in poses[4:7]] == [True, False, True]
    frames[7, 3, 0] = np.nan
    with pytest.raises(DatasetError, match="some landmarks of a frame are NaN"):
        landmarks_clip(frames=frames)


def test_a_clip_in_which_nobody_is_seen_is_refused() -> None:
    with pytest.raises(DatasetError, match="nobody was found"):
        landmarks_clip(frames=np.full((60, 33, 4), np.nan, np.float32))


def test_a_mirrored_person_is_refused_from_wherever_it_is_seen() -> None:
    frames = trainee_frames(2.0)
    for yaw in np.radians([0, 70, 180, 290]):
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        turned = np.concatenate([frames[..., :3] @ turn.T, frames[..., 3:]], axis=-1).astype(np.float32)
        assert not mirrored(turned)
        with pytest.raises(DatasetError, match="left and right are exchanged"):
            landmarks_clip(frames=turned * np.array([-1, 1, 1, 1], np.float32))
        # With the names exchanged as well it is a person in a mirror, as good as any.
        landmarks_clip(frames=(turned * np.array([-1, 1, 1, 1], np.float32))[:, list(MIRRORED_NODES)])


def test_times_must_rise_and_fit() -> None:
    clip = landmarks_clip()
    with pytest.raises(DatasetError, match="do not rise"):
        replace(clip, pose_ns=clip.pose_ns[::-1].copy())
    with pytest.raises(DatasetError, match="59 times"):
        replace(clip, pose_ns=clip.pose_ns[1:])


def test_bands_are_checked() -> None:
    clip = imu_clip()
    assert clip.imu is not None
    wrong = clip.imu.copy()
    wrong[3, 1, 2] = np.nan
    with pytest.raises(DatasetError, match="NaN where they are said to be there"):
        imu_clip(imu=wrong)
    masked = np.ones((200, 4), bool)
    masked[3, 1] = False
    assert imu_clip(imu=wrong, imu_present=masked).imu_hz == pytest.approx(100)
    with pytest.raises(DatasetError, match="no band is there"):
        imu_clip(imu_present=np.zeros((200, 4), bool))
    with pytest.raises(DatasetError, match="mask has shape"):
        imu_clip(imu_present=np.ones((200, 3), bool))


def test_labels_are_checked() -> None:
    with pytest.raises(DatasetError, match="the classes are"):
        landmarks_clip(truth=Truth("deadlift"))
    with pytest.raises(DatasetError, match="ending after it begins"):
        landmarks_clip(truth=Truth("squat", repetitions=np.array([[5, 5]])))
    with pytest.raises(DatasetError, match="other numbers of classes"):
        landmarks_clip(truth=Truth(times_ns=np.arange(3)))


def test_bands_play_as_packets_of_the_samples_that_are_there() -> None:
    present = np.zeros((200, 4), bool)
    present[:, 1] = True
    present[50:60, 1] = False
    batches = [message for message in played(imu_clip(imu_present=present)) if isinstance(message, ImuBatch)]
    assert {batch.band for batch in batches} == {1}
    assert sum(len(batch.times_ns) for batch in batches) == 190
    assert all(batch.t_ns == batch.times_ns[-1] for batch in batches)


def test_a_modality_can_be_left_out_but_not_both() -> None:
    bands = imu_clip()
    both = replace(landmarks_clip(), imu=bands.imu, imu_ns=bands.imu_ns, imu_present=bands.imu_present)
    assert only(both, bands=False).imu is None
    assert only(both, camera=False).landmarks is None
    with pytest.raises(DatasetError, match="neither"):
        only(both, camera=False, bands=False)


def test_a_clip_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    clip = landmarks_clip(
        truth=Truth("squat", "deep squat", False, 3, np.array([[0, NS_PER_S]], dtype=np.int64)), assumed="30 Hz"
    )
    save_clip(clip, tmp_path / "clip.npz")
    back = load_clip(tmp_path / "clip.npz")
    assert (back.name, back.trains, back.assumed) == ("one", True, "30 Hz")
    assert (back.truth.exercise, back.truth.correct, back.truth.count) == ("squat", False, 3)
    np.testing.assert_array_equal(back.landmarks, clip.landmarks)
    np.testing.assert_array_equal(back.truth.repetitions, clip.truth.repetitions)
    assert back.imu is None


def test_a_full_disk_leaves_the_old_clip_and_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "clip.npz"
    save_clip(landmarks_clip(), path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        with pytest.raises(DatasetError, match="can't be written"):
            save_clip(landmarks_clip(15.0), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["clip.npz"]


def test_files_that_are_no_clips_say_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="can't be read"):
        load_clip(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DatasetError, match=r"damaged|pickle|can't be read"):
        load_clip(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(DatasetError, match="is no clip of Spotter"):
        load_clip(tmp_path / "other.npz")
    np.savez(tmp_path / "pickle.npz", a=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match="damaged"):
        load_clip(tmp_path / "pickle.npz")
