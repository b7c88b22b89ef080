"""The eye process: what leaves it, in which order, and what happens when it dies or its parent does."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from device.config import CameraConfig, PoseConfig
from device.drivers.camera_virtual import VirtualCamera
from device.errors import EndOfStream, EyeError, MediaError
from device.messages import Cue, Pose, StageTiming
from device.runtime.eye import MOST_GIVEN_UP, RECORD, Eye, EyeSpec, VirtualSubject
from device.runtime.pose_engine import make_estimator
from device.sim.motion import TEMPOS
from device.sim.scene import session_scene
from device.sim.script import PlannedHabit, SessionPlan, SetBlock, plan_session
from device.sim.trainee import VirtualTrainee

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed")

CAMERA = CameraConfig(type="virtual", width=320, height=240)
PLAN = plan_session(3, sets=["squat"], reps=1)
SUBJECT = VirtualSubject(3, PLAN)


def equal(one: Pose, other: Pose) -> bool:
    return (
        (one.t_ns, one.seq, one.present, one.width) == (other.t_ns, other.seq, other.present, other.width)
        and np.array_equal(one.image, other.image, equal_nan=True)
        and np.array_equal(one.world, other.world, equal_nan=True)
    )


@pytest.fixture
def eye() -> Iterator[Eye]:
    with Eye(EyeSpec(CAMERA, virtual=SUBJECT, lockstep=True)) as eye:
        yield eye


def test_lockstep_gives_every_frame_just_as_without_a_process(eye: Eye) -> None:
    got = [eye.next() for _ in range(8)]
    trainee = VirtualTrainee(3, PLAN)
    with VirtualCamera(CAMERA, trainee, session_scene(3)) as camera, make_estimator(PoseConfig()) as estimator:
        assert all(equal(pose, estimator.estimate(camera.read())) for pose in got)


def test_each_pose_comes_with_the_times_that_camera_and_pose_took() -> None:
    timings: list[StageTiming] = []
    with Eye(EyeSpec(CAMERA, virtual=SUBJECT, lockstep=True), on_timing=timings.append) as eye:
        poses = [eye.next() for _ in range(2)]
    assert [(t.section, t.t_ns) for t in timings[:4]] == [(s, p.t_ns) for p in poses for s in ("camera", "pose")]
    assert all(0 < t.duration_ns < 10**10 for t in timings)


def test_what_leaves_the_eye_is_too_small_for_a_picture() -> None:
    # Landmarks, times and an error's text; the smallest camera's smallest grey picture would be 64 x 64.
    assert RECORD.itemsize < 64 * 64


def test_the_end_of_the_session_is_the_end_of_the_stream() -> None:
    short = VirtualSubject(3, PLAN)
    duration_s = VirtualTrainee(3, PLAN).duration_ns / 1e9
    camera = CameraConfig(type="virtual", rate_hz=1.0, width=64, height=64)
    with Eye(EyeSpec(camera, virtual=short, lockstep=True)) as eye:
        poses = []
        with contextlib.suppress(EndOfStream):
            poses += [eye.next() for _ in range(int(duration_s) + 1)]
        assert [pose.seq for pose in poses] == list(range(int(duration_s) + 1))
        with pytest.raises(EndOfStream):
            eye.next()


def test_a_cue_heard_in_the_eye_changes_the_frames_as_it_would_without_running_ahead() -> None:
    leaning = PlannedHabit("forward_lean", "both", 0.4, 0)
    seed, plan = 1, SessionPlan(0.0, (SetBlock("squat", "both", 2, TEMPOS[0], (leaning,), 0.0),))
    quiet, told = VirtualTrainee(seed, plan), VirtualTrainee(seed, plan)
    done = quiet.sets[0]
    habit = done.habits[0][0]
    told_ns = done.start_ns + 200_000_000
    camera = CameraConfig(type="virtual", rate_hz=5.0, width=160, height=120)
    moved = 0.0
    with (
        Eye(EyeSpec(camera, virtual=VirtualSubject(seed, plan), lockstep=True)) as eye,
        VirtualCamera(camera, told, session_scene(seed)) as own,
        make_estimator(PoseConfig()) as estimator,
    ):
        heard = False
        for _ in range(int((told_ns * 1e-9 + 3.0) * 5)):
            frame, pose = own.read(), eye.next()
            assert equal(pose, estimator.estimate(frame)), frame.seq
            if frame.t_ns >= told_ns and not heard:
                heard = True
                cue = Cue(frame.t_ns, 0, "correction", "squat", f"left_{habit.joint}", habit.sign, "", (), 0.2, (), 0.5)
                eye.hear(cue)
                own.hear(cue)
            at = np.array([frame.t_ns])
            moved = max(moved, float(np.abs(told.pose(at) - quiet.pose(at)).max()))
    assert moved > 0.02


def test_live_poses_are_the_newest_and_asking_never_waits() -> None:
    camera = CameraConfig(type="virtual", rate_hz=120.0, width=320, height=240)
    subject = VirtualSubject(3, PLAN, start_ns=time.monotonic_ns() + 3 * 10**9, realtime=True)
    with Eye(EyeSpec(camera, virtual=subject)) as eye:
        eye.wait_ready()
        asked = time.monotonic()
        eye.poses()
        assert time.monotonic() - asked < 0.2
        poses: list[Pose] = []
        until = time.monotonic() + 20
        while len(poses) < 10 and time.monotonic() < until:
            poses += eye.poses()
            time.sleep(0.02)
    assert len(poses) >= 10
    assert np.all(np.diff([p.seq for p in poses]) >= 1)
    # No processor here finds 120 poses a second: some frames must have been passed over rather than queued.
    assert poses[-1].seq - poses[0].seq > len(poses) - 1


def test_an_eye_that_is_killed_is_an_error_and_can_be_started_again(eye: Eye) -> None:
    first = eye.next()
    assert eye.alive
    os.kill(eye._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
    with pytest.raises(EyeError, match="SIGKILL"):
        [eye.next() for _ in range(8)]
    assert not eye.alive
    eye.start()
    assert equal(eye.next(), first)


def test_an_eye_that_hangs_is_an_error_and_stop_ends_it() -> None:
    with Eye(EyeSpec(CAMERA, virtual=SUBJECT, lockstep=True), timeout_s=0.5) as eye:
        eye.wait_ready()
        process = eye._process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(EyeError, match="did not answer"):
            [eye.next() for _ in range(8)]
        eye.stop()
        assert process.poll() is not None


def test_an_eye_that_hangs_is_let_go_without_waiting_and_is_then_killed(eye: Eye) -> None:
    eye.wait_ready()
    process = eye._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    eye.dismiss()
    assert not eye.dismissed
    assert process.poll() is None
    until = time.monotonic() + 10
    while not eye.dismissed and time.monotonic() < until:
        time.sleep(0.01)
    assert process.poll() == -signal.SIGKILL


class Unkillable:
    """A process that the kernel holds."""

    pid = 4711

    def __init__(self) -> None:
        self.kills, self.gone = 0, False

    def poll(self) -> int | None:
        return -9 if self.gone else None

    def kill(self) -> None:
        self.kills += 1


def test_a_process_that_can_not_be_killed_is_given_up_and_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.runtime.eye.END_S", 0.0)
    monkeypatch.setattr("device.runtime.eye.KILLED_S", 0.02)
    eye, process = Eye(EyeSpec(CAMERA)), Unkillable()
    eye._process = process  # type: ignore[assignment]
    eye.stop()
    assert eye.dismissed
    assert process.kills == 1
    assert len(caplog.records) == 1
    assert "4711" in caplog.text
    process.gone = True
    assert eye.dismissed


def test_no_more_eyes_are_started_when_several_can_not_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.runtime.eye.END_S", 0.0)
    monkeypatch.setattr("device.runtime.eye.KILLED_S", 0.0)
    eye = Eye(EyeSpec(CAMERA))
    for _ in range(MOST_GIVEN_UP):
        eye._process = Unkillable()  # type: ignore[assignment]
        eye.stop()
    with pytest.raises(EyeError, match="Restart the computer"):
        eye.start()


def test_a_camera_that_cannot_be_opened_is_the_cameras_own_error() -> None:
    with (
        Eye(EyeSpec(CameraConfig(type="file", device="/nowhere/video.mp4"), lockstep=True)) as eye,
        pytest.raises(MediaError, match=r"video\.mp4"),
    ):
        eye.next()


def test_an_eye_that_was_not_started_says_so() -> None:
    with pytest.raises(EyeError, match="start"):
        Eye(EyeSpec(CAMERA)).poses()


def test_the_eye_dies_with_its_parent() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, signal\n"
            "from device.config import CameraConfig\n"
            "from device.runtime.eye import Eye, EyeSpec, VirtualSubject\n"
            "eye = Eye(EyeSpec(CameraConfig(type='virtual', width=64, height=64), virtual=VirtualSubject(3), lockstep=True))\n"
            "eye.start(); eye.wait_ready()\n"
            "print(eye._process.pid, flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.wait()
    until = time.monotonic() + 10
    while time.monotonic() < until and _runs(child):
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_video_is_seen_frame_by_frame_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "squat.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 15.0, (320, 240))
    with VirtualCamera(CAMERA, VirtualTrainee(3, PLAN), session_scene(3)) as camera:
        for _ in range(7):
            writer.write(cv2.cvtColor(camera.read().pixels, cv2.COLOR_RGB2BGR))
    writer.release()
    poses = []
    with Eye(EyeSpec(CameraConfig(type="file", device=str(path)), lockstep=True)) as eye:
        with contextlib.suppress(EndOfStream):
            poses += [eye.next() for _ in range(7)]
        with pytest.raises(EndOfStream):
            eye.next()
    assert [pose.seq for pose in poses] == list(range(7))
    assert np.allclose(np.diff([pose.t_ns for pose in poses]), 1e9 / 15, atol=2e6)
    assert all(pose.present for pose in poses)
