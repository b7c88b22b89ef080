"""The camera in front of the virtual trainee: simulated time, the end of the session, and cues."""

import time

import numpy as np
import pytest

from device.config import CameraConfig
from device.drivers.camera_virtual import VirtualCamera
from device.errors import DriverError, EndOfStream, StaleFrame
from device.messages import Cue
from device.sim.scene import session_scene
from device.sim.script import plan_session
from device.sim.trainee import VirtualTrainee

CONFIG = CameraConfig(type="virtual", rate_hz=15.0, width=160, height=120)


def camera(**options: object) -> VirtualCamera:
    trainee = VirtualTrainee(4, plan_session(4, sets=["squat"], reps=2))
    return VirtualCamera(CONFIG, trainee, session_scene(4), **options)  # type: ignore[arg-type]


def test_frames_follow_each_other_at_the_rate_from_the_start_given() -> None:
    with camera(start_ns=1_000_000_000) as eye:
        frames = [eye.read() for _ in range(16)]
    assert [f.seq for f in frames] == list(range(16))
    assert frames[0].t_ns == 1_000_000_000
    assert frames[15].t_ns == 2_000_000_000
    assert frames[0].pixels.shape == (120, 160, 3)


def test_two_cameras_of_one_seed_see_the_same() -> None:
    with camera() as one, camera() as other:
        for _ in range(3):
            assert np.array_equal(one.read().pixels, other.read().pixels)


def test_the_stream_ends_with_the_session() -> None:
    with camera() as eye:
        eye.skip_to(VirtualTrainee(4, plan_session(4, sets=["squat"], reps=2)).duration_ns - 100_000_000)
        with pytest.raises(EndOfStream):
            [eye.read() for _ in range(5)]


def test_the_newest_frame_can_be_looked_at_again_without_going_on() -> None:
    with camera() as eye:
        with pytest.raises(StaleFrame):
            eye.latest(10**9)
        frame = eye.read()
        assert eye.latest(0) is frame
        assert eye.read().seq == frame.seq + 1


def test_a_closed_camera_says_that_it_must_be_opened() -> None:
    with pytest.raises(DriverError, match="open"):
        camera().read()


def test_in_real_time_frames_come_at_their_time_and_late_ones_are_skipped() -> None:
    start_ns = time.monotonic_ns()
    with camera(start_ns=start_ns, realtime=True) as eye:
        first = eye.read()
        assert time.monotonic_ns() >= first.t_ns
        time.sleep(0.4)
        late = eye.read()
        assert late.seq >= first.seq + 5
        assert late.t_ns > start_ns + 300_000_000
        time.sleep(0.02)
        with pytest.raises(StaleFrame):
            eye.latest(1_000_000)


def test_a_heard_cue_changes_what_is_seen_later_and_nothing_before() -> None:
    seed = next(seed for seed in range(50) if VirtualTrainee(seed, plan_session(seed, sets=["squat"], reps=4)).sets[0].habits)
    plan = plan_session(seed, sets=["squat"], reps=4)
    quiet = VirtualTrainee(seed, plan)
    done = quiet.sets[0]
    habit, side, _, onset = done.habits[0]
    joint = f"{side if side in ('left', 'right') else 'left'}_{habit.joint}"
    heard_ns = done.repetitions[onset].end_ns - 500_000_000
    cue = Cue(heard_ns + 5_000, 0, "correction", "squat", joint, habit.sign, "", (), 0.2, (), 0.5)
    told = VirtualTrainee(seed, plan)
    with VirtualCamera(CONFIG, told, session_scene(seed), start_ns=5_000) as eye:
        eye.hear(cue)
    times = np.arange(done.start_ns, done.end_ns, 10_000_000)
    same = (quiet.pose(times) == told.pose(times)).all(axis=(1, 2))
    assert same[times < heard_ns + 350_000_000].all()
    assert not same[times > heard_ns + 2_500_000_000].all()
