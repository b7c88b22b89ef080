"""The surface follows the landmarks."""

import numpy as np
import pytest

from device.sim.figure import BONES, girths_of
from device.sim.mannequin import Mannequin, bone_frames
from device.sim.scene import session_scene
from device.sim.trainee import VirtualTrainee
from device.skeleton import NODE


@pytest.fixture(scope="module")
def trainee() -> VirtualTrainee:
    return VirtualTrainee(5)


@pytest.fixture(scope="module")
def landmarks(trainee: VirtualTrainee) -> np.ndarray:
    """One instant of every set, (n, 33, 3)."""
    return trainee.pose(np.array([(s.repetitions[0].start_ns + s.repetitions[0].end_ns) // 2 for s in trainee.sets]))


def test_bones_start_and_end_at_their_joints_with_right_handed_axes(landmarks: np.ndarray) -> None:
    for points in landmarks:
        origins, axes = bone_frames(points)
        for name, start, end in (
            ("left_arm", "left_shoulder", "left_elbow"),
            ("right_forearm", "right_elbow", "right_wrist"),
            ("left_thigh", "left_hip", "left_knee"),
            ("right_shank", "right_knee", "right_ankle"),
        ):
            bone = BONES.index(name)
            assert np.allclose(origins[bone], points[NODE[start]])
            assert np.allclose(origins[bone] + axes[bone, :, 2], points[NODE[end]])
        unit = axes / np.linalg.norm(axes, axis=1, keepdims=True)
        assert np.allclose(np.linalg.det(unit), 1.0, atol=1e-6)
        assert np.allclose(np.einsum("bij,bik->bjk", unit, unit), np.eye(3), atol=1e-6)


def test_every_joint_lies_inside_the_skin_and_nothing_is_far_from_the_body(
    trainee: VirtualTrainee, landmarks: np.ndarray
) -> None:
    mannequin = Mannequin(girths_of(trainee.body), session_scene(5).outfit)
    for points in landmarks:
        surface = mannequin.vertices(points)
        away = np.linalg.norm(surface[:, None] - points[None], axis=-1)
        assert away.min(axis=0)[[11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]].max() < 0.13
        assert away.min(axis=1).max() < 0.36


def test_faces_are_seen_from_outside_in_one_sense_of_rotation(trainee: VirtualTrainee, landmarks: np.ndarray) -> None:
    mannequin = Mannequin(girths_of(trainee.body), session_scene(5).outfit)
    corners = mannequin.vertices(landmarks[0])[mannequin.faces]
    # Six times the volume under a closed surface, by the divergence theorem: positive where normals point outwards.
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    volume = (normals * (corners.mean(axis=1) - landmarks[0].mean(axis=0))).sum() / 6
    assert 0.04 < volume < 0.14
