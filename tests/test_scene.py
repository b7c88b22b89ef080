"""The scene's camera is the pinhole that renderer, truth and pose network agree on."""

import numpy as np
import pytest

from device.sim.scene import SceneCamera, sample_scene, session_scene
from device.sim.trainee import VirtualTrainee

LEVEL = SceneCamera(position=(3.0, 0.0, 1.0), azimuth_rad=0.0, tilt_rad=0.0, focal_px=500.0)


def test_a_level_camera_sees_the_world_with_x_right_y_down_z_away() -> None:
    assert np.allclose(LEVEL.rotation @ (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    assert np.allclose(LEVEL.rotation @ (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
    assert np.allclose(LEVEL.rotation @ (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def test_what_is_straight_ahead_lands_in_the_middle_and_its_size_follows_the_focal_length() -> None:
    pixels, depth = LEVEL.project(np.array([[0.0, 0.0, 1.0], [0.0, 0.3, 1.6]]))
    assert np.allclose(pixels, [[320.0, 240.0], [320.0 + 50.0, 240.0 - 100.0]])
    assert np.allclose(depth, 3.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_camera_only_turns_and_tilts(seed: int) -> None:
    rotation = session_scene(seed).camera.rotation
    assert np.allclose(rotation @ rotation.T, np.eye(3))
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert rotation[0, 2] == 0.0


def test_a_picture_of_another_size_shows_the_same_height() -> None:
    point = np.array([0.0, 0.2, 1.7])
    large, _ = LEVEL.project(point)
    small, _ = LEVEL.resized(320, 240).project(point)
    assert np.allclose(small, large / 2)


def test_scenes_follow_from_their_seed_alone() -> None:
    assert session_scene(7) == session_scene(7)
    assert session_scene(7) != session_scene(8)


@pytest.mark.parametrize("seed", range(4))
def test_the_trainee_is_in_the_picture_during_every_repetition(seed: int) -> None:
    trainee, camera = VirtualTrainee(seed), session_scene(seed).camera
    times = np.array([t for done in trainee.sets for t in range(done.start_ns, done.end_ns, 200_000_000)])
    pixels, _ = camera.project(trainee.pose(times))
    inside = ((pixels >= 0) & (pixels < (camera.width, camera.height))).all(axis=(1, 2))
    assert inside.mean() > 0.98


def test_some_scenes_have_something_in_the_way_and_most_have_not() -> None:
    rng = np.random.default_rng(0)
    blocked = [sample_scene(rng).occluder is not None for _ in range(200)]
    assert 0.05 < np.mean(blocked) < 0.3
