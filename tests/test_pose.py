"""The pose estimators on pictures of the virtual trainee: one body of tests for all of them."""

import importlib.util
import sys

import numpy as np
import pytest

from device.config import CameraConfig, PoseConfig
from device.drivers.camera_virtual import VirtualCamera
from device.errors import DriverError, DriverUnavailable
from device.messages import Frame, Pose
from device.runtime.model import available_runtimes
from device.runtime.pose import MediaPipePose
from device.runtime.pose_engine import make_estimator
from device.sim.scene import session_scene
from device.sim.trainee import VirtualTrainee
from device.skeleton import NODE, joint_angles

SEED = 3
needs_mediapipe = pytest.mark.skipif(importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed")
needs_runtime = pytest.mark.skipif(not available_runtimes(), reason="no TFLite runtime: pip install ai-edge-litert")
ENGINES = [pytest.param("mediapipe", marks=needs_mediapipe), pytest.param("litert", marks=needs_runtime)]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> PoseConfig:
    return PoseConfig(estimator=request.param)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    with VirtualCamera(CameraConfig(type="virtual"), VirtualTrainee(SEED), session_scene(SEED)) as camera:
        return [camera.read() for _ in range(6)]


def poses(engine: PoseConfig, frames: list[Frame]) -> list[Pose]:
    with make_estimator(engine) as estimator:
        return [estimator.estimate(frame) for frame in frames]


def test_landmarks_are_where_the_body_is(engine: PoseConfig, frames: list[Frame]) -> None:
    last, trainee = poses(engine, frames)[-1], VirtualTrainee(SEED)
    truth = trainee.pose(np.array([frames[-1].t_ns]))[0]
    camera = session_scene(SEED).camera
    pixels, _ = camera.project(truth)
    assert last.present
    assert np.median(np.linalg.norm(last.image[:, :2] * (640, 480) - pixels, axis=1)) < 8.0
    seen, true = last.world, camera.to_camera(truth)
    assert seen.shape == (33, 3)
    assert np.abs((seen[NODE["left_hip"]] + seen[NODE["right_hip"]]) / 2).max() < 0.05
    up = seen[NODE["nose"]] - seen[NODE["left_ankle"]], true[NODE["nose"]] - true[NODE["left_ankle"]]
    assert up[0] @ up[1] / np.linalg.norm(up[0]) / np.linalg.norm(up[1]) > 0.95
    assert np.degrees(np.abs(joint_angles(seen) - joint_angles(true))).mean() < 20.0


def test_the_time_of_a_pose_is_its_frames(engine: PoseConfig, frames: list[Frame]) -> None:
    for frame, pose in zip(frames, poses(engine, frames), strict=True):
        assert (pose.t_ns, pose.seq, pose.width, pose.height) == (frame.t_ns, frame.seq, 640, 480)


def test_the_same_frames_in_the_same_order_give_the_same_landmarks(engine: PoseConfig, frames: list[Frame]) -> None:
    for one, other in zip(poses(engine, frames), poses(engine, frames), strict=True):
        assert np.array_equal(one.image, other.image, equal_nan=True)
        assert np.array_equal(one.world, other.world, equal_nan=True)


def test_nobody_is_found_in_the_dark(engine: PoseConfig) -> None:
    dark = Frame(5, 0, 1, np.zeros((480, 640, 3), dtype=np.uint8))
    with make_estimator(engine) as estimator:
        pose = estimator.estimate(dark)
    assert not pose.present
    assert np.isnan(pose.image).all()
    assert np.isnan(pose.world).all()
    assert (pose.t_ns, pose.seq) == (5, 1)


def test_an_estimator_that_is_not_open_says_so(engine: PoseConfig, frames: list[Frame]) -> None:
    with pytest.raises(DriverError, match="open"):
        make_estimator(engine).estimate(frames[0])


def test_without_mediapipe_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(DriverUnavailable, match=r"spotter\[mediapipe\]"):
        MediaPipePose(PoseConfig()).open()


def test_opening_leaves_the_terminal_quiet(engine: PoseConfig, capfd: pytest.CaptureFixture[str], frames: list[Frame]) -> None:
    poses(engine, frames[:2])
    assert capfd.readouterr().err == ""


def test_of_two_people_one_is_followed_all_along(engine: PoseConfig) -> None:
    pictures = []
    for seed in (SEED, SEED + 1):
        # Both stand where their walk in has led them to, cut out of the middle of their pictures.
        with VirtualCamera(CameraConfig(type="virtual"), VirtualTrainee(seed), session_scene(seed)) as camera:
            camera.skip_to(9_000_000_000)
            pictures.append([camera.read().pixels[:, 160:480] for _ in range(8)])
    both = [np.concatenate(halves, axis=1) for halves in zip(*pictures, strict=True)]
    found = poses(engine, [Frame(i * 66_000_000, 0, i, np.ascontiguousarray(p)) for i, p in enumerate(both)])
    assert all(pose.present for pose in found)
    middles = np.array([pose.image[[NODE["left_hip"], NODE["right_hip"]], 0].mean() for pose in found])
    assert (middles < 0.5).all() or (middles > 0.5).all()


def test_who_leaves_the_picture_is_lost_and_who_comes_back_is_found(engine: PoseConfig, frames: list[Frame]) -> None:
    empty = np.full_like(frames[0].pixels, 120)
    pixels = [f.pixels for f in frames] + [empty] * 6 + [f.pixels for f in frames]
    found = poses(engine, [Frame(i * 66_000_000, 0, i, p) for i, p in enumerate(pixels)])
    present = [pose.present for pose in found]
    assert all(present[:6])
    assert not any(present[8:12])
    assert all(present[14:])
