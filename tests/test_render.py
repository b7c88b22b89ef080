"""Pictures of the virtual trainee."""

import dataclasses

import numpy as np
import pytest

from device.sim.render import Renderer
from device.sim.scene import Occluder, Scene, Sensor, session_scene
from device.sim.trainee import VirtualTrainee
from device.skeleton import NODE

SIZE = (320, 240)


@pytest.fixture(scope="module")
def trainee() -> VirtualTrainee:
    return VirtualTrainee(3)


@pytest.fixture(scope="module")
def standing(trainee: VirtualTrainee) -> np.ndarray:
    return trainee.pose(np.array([0]))


def plain(scene: Scene) -> Scene:
    """`scene` seen by a sensor without noise, with nothing in the way."""
    return dataclasses.replace(scene, sensor=Sensor(0.0, 0.5, 1.0, 0.0), occluder=None)


def test_the_same_seed_gives_the_same_picture_and_another_frame_other_noise(
    trainee: VirtualTrainee, standing: np.ndarray
) -> None:
    first = Renderer(session_scene(3), trainee.body, *SIZE)
    second = Renderer(session_scene(3), trainee.body, *SIZE)
    picture = first.render(standing, 5)
    assert picture.shape == (240, 320, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, second.render(standing, 5))
    assert not np.array_equal(picture, first.render(standing, 6))


def test_the_body_is_drawn_where_the_camera_projects_it(trainee: VirtualTrainee, standing: np.ndarray) -> None:
    renderer = Renderer(plain(session_scene(3)), trainee.body, *SIZE)
    far = standing + np.array([0.0, 30.0, 0.0])
    changed = np.abs(renderer.render(standing).astype(int) - renderer.render(far)).sum(axis=-1) > 12
    pixels, _ = renderer.camera.project(standing[0])
    for name in ("nose", "left_shoulder", "right_wrist", "left_hip", "right_knee", "left_ankle"):
        x, y = np.round(pixels[NODE[name]]).astype(int)
        assert changed[y - 2 : y + 3, x - 2 : x + 3].any(), name
    rows, columns = np.nonzero(changed)
    assert abs(rows.min() - pixels[:, 1].min()) < 30
    assert columns.min() > pixels[:, 0].min() - 60


def test_what_moves_during_the_exposure_is_blurred(trainee: VirtualTrainee, standing: np.ndarray) -> None:
    renderer = Renderer(plain(session_scene(3)), trainee.body, *SIZE)
    shift = np.array([0.0, 0.04, 0.0])
    blurred = renderer.render(np.concatenate([standing - shift, standing, standing + shift]))
    edges = [np.abs(np.diff(picture.astype(int), axis=1)).max() for picture in (blurred, renderer.render(standing))]
    assert edges[0] < 0.8 * edges[1]


def test_a_column_hides_what_is_behind_it(trainee: VirtualTrainee, standing: np.ndarray) -> None:
    scene = plain(session_scene(3))
    column = dataclasses.replace(scene, occluder=Occluder("column", 1.2, 0.0, (110, 112, 116)))
    renderer = Renderer(column, trainee.body, *SIZE)
    pixels, _ = renderer.camera.project(np.array([1.2, 0.0, 0.7]))
    x, y = np.round(pixels).astype(int)
    seen = [renderer.render(points)[y - 4 : y + 4, x - 4 : x + 4] for points in (standing, standing + np.array([0.0, 30.0, 0.0]))]
    assert np.array_equal(seen[0], seen[1])


def test_a_body_outside_the_picture_or_behind_the_camera_is_not_drawn(trainee: VirtualTrainee, standing: np.ndarray) -> None:
    renderer = Renderer(plain(session_scene(3)), trainee.body, *SIZE)
    behind = renderer.render(standing + np.array([8.0, 0.0, 0.0]))
    aside = renderer.render(standing + np.array([0.0, 30.0, 0.0]))
    assert np.array_equal(behind, aside)
