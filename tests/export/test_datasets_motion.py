import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")

from recorded_sets import trainee_room

from device.errors import DatasetError
from device.messages import NS_PER_S
from device.sim.bands import perfect_sensors, true_imu
from device.sim.trainee import VirtualTrainee
from device.skeleton import JOINT, joint_angles
from export.datasets.splits import split_people
from export.datasets.viewpoint import camera_rotation, facing_x, seen
from export.datasets.virtual_bands import frames_of, virtual_bands
from export.datasets.windows import band_passed, smoothed_imu, standardised, window_indices

RATE_HZ = 100.0


def test_bands_of_recorded_motion_read_what_the_trainees_own_bands_read() -> None:
    trainee = VirtualTrainee(7, deaf=True)
    begin_s = 6.0
    seconds = np.arange(0, 8.0, 1 / RATE_HZ)
    times = np.round((begin_s + seconds) * NS_PER_S).astype(np.int64)
    inner = times[20:-20]
    own = true_imu(trainee, inner, 0, perfect_sensors())
    room = trainee.track(times).landmarks
    found = virtual_bands(frames_of(seconds, room), inner - round(begin_s * NS_PER_S), 0, perfect_sensors())
    for band in range(4):
        force = np.sqrt(((own - found)[:, band, :3] ** 2).mean())
        rate = np.sqrt(((own - found)[:, band, 3:] ** 2).mean())
        # The strip of skin that a band sits on is guessed from fingers and feet, so it may be turned a little about the limb.
        assert np.abs((own - found)[:, band, 0]).mean() < 0.5
        assert force < 3.0, band
        assert rate < 1.0, band


def test_a_body_at_rest_feels_gravity_only() -> None:
    room = np.tile(trainee_room(0.2)[:1], (200, 1, 1))
    times = np.arange(20, 180, dtype=np.int64) * 10_000_000
    imu = virtual_bands(frames_of(np.arange(200) / RATE_HZ, room), times, 0, perfect_sensors())
    np.testing.assert_allclose(np.linalg.norm(imu[..., :3], axis=-1), 9.80665, atol=0.01)
    np.testing.assert_allclose(imu[..., 3:], 0, atol=0.01)


def test_a_camera_keeps_people_upright_and_their_angles_whole() -> None:
    room = facing_x(trainee_room(2.0), np.array([1.0, 0.0, 0.0]))
    seconds = np.arange(len(room)) / 30
    for seed in range(5):
        rng = np.random.default_rng(seed)
        rotation = camera_rotation(rng)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(rotation) == pytest.approx(1)
        shown = seen(rng, seconds, room, rotation)
        assert shown[:, 0, 1].mean() < 0 < shown[:, 27, 1].mean()
        difference = np.abs(joint_angles(shown[..., :3]) - joint_angles(room))
        assert np.degrees(np.median(difference[:, JOINT["left_knee"]])) < 10
        assert ((shown[..., 3] > 0) & (shown[..., 3] < 1)).all()


def test_facing_x_turns_people_without_tilting_them() -> None:
    turned = facing_x(np.array([[0.0, 2.0, 1.0]]), np.array([0.0, 1.0, 0.3]))
    np.testing.assert_allclose(turned, [[2.0, 0.0, 1.0]], atol=1e-12)


def test_people_are_split_and_never_their_clips() -> None:
    people = [f"p{i}" for i in range(20)]
    split = split_people(people * 3, seed=1)
    assert (len(split.train), len(split.validation), len(split.test)) == (14, 4, 2)
    assert not split.train & split.held_back
    assert split.train | split.held_back == set(people)
    assert split == split_people(reversed(people), seed=1)
    assert split != split_people(people, seed=2)
    assert [len(part) for part in split_people("abcdefg")] == [5, 1, 1]


def test_people_who_can_not_be_split_are_refused() -> None:
    with pytest.raises(DatasetError, match="2 people"):
        split_people(["a", "b"])
    with pytest.raises(DatasetError, match="do not say who"):
        split_people(["a", "b", "c", ""])


def test_windows_are_truncated_or_filled_by_repeating() -> None:
    assert window_indices(3, 8)[0].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert window_indices(8, 8).tolist() == [list(range(8))]
    assert window_indices(11, 8).tolist() == [list(range(8))]
    assert window_indices(13, 8)[1].tolist() == [8, 9, 10, 11, 12, 8, 9, 10]
    assert window_indices(200).shape == (3, 64)
    with pytest.raises(DatasetError):
        window_indices(0)


def test_standardised_coordinates_have_no_mean_and_unit_spread() -> None:
    x = np.random.default_rng(0).normal(3, 5, (100, 33, 3))
    x[:, 0, 0] = 2.0
    x[4] = np.nan
    out = standardised(x)
    assert np.isnan(out[4]).all()
    np.testing.assert_allclose(np.nanmean(out, axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.nanstd(out, axis=0)[1:], 1)
    assert np.nanmax(np.abs(out[:, 0, 0])) == 0
    with pytest.raises(DatasetError):
        standardised(np.full((3, 2), np.nan))


def test_smoothing_is_equation_ten() -> None:
    np.testing.assert_allclose(smoothed_imu(np.array([1.0, 0.0, 1.0])), [1.0, 0.4, 0.6 + 0.4 * 0.4])


def test_the_band_pass_takes_drift_and_tremor_and_leaves_movement_in_place() -> None:
    t = np.arange(0, 20, 0.01)
    movement = np.sin(2 * np.pi * 1.0 * t)
    passed = band_passed(9.8 + movement + 0.5 * np.sin(2 * np.pi * 45 * t), 100.0)
    np.testing.assert_allclose(passed[300:-300], movement[300:-300], atol=0.1)
    with pytest.raises(DatasetError, match="can't be passed"):
        band_passed(movement, 30.0)
