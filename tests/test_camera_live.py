import threading
import time

import numpy as np
import pytest

from device.config import CameraConfig
from device.drivers import camera_live, camera_picamera2, camera_v4l2
from device.drivers.camera_live import LiveCamera
from device.drivers.camera_picamera2 import Picamera2Camera, clock_offset_ns
from device.drivers.camera_v4l2 import V4l2Camera, reported_exposure_ns
from device.errors import DriverError, DriverUnavailable, StaleFrame
from device.messages import Frame

MS = 1_000_000


class HandCamera(LiveCamera):
    """Gives a frame whenever `give` is called; fails or hangs when told to."""

    def __init__(self):
        super().__init__("hand camera")
        self.waiting = threading.Semaphore(0)
        self.stopped = 0
        self.fails = False

    def give(self, frames=1):
        self.waiting.release(frames)

    def _start(self):
        pass

    def _grab(self, seq):
        while not self.waiting.acquire(timeout=0.05):
            if not self._running:
                raise DriverError("closed")
        if self.fails:
            raise OSError("cable pulled")
        return Frame(time.monotonic_ns(), 0, seq, np.zeros((2, 2, 3), np.uint8))

    def _stop(self):
        self.stopped += 1


@pytest.fixture
def hand():
    with HandCamera() as source:
        yield source


def test_a_frame_that_nobody_read_is_replaced_by_the_newer_one(hand):
    hand.give(5)
    while hand._newest is None or hand._newest.seq < 4:
        time.sleep(0.005)
    assert hand.read().seq == 4
    hand.give()
    assert hand.read().seq == 5


def test_the_same_frame_is_not_read_twice(hand, monkeypatch):
    monkeypatch.setattr(camera_live, "SILENCE_S", 0.1)
    hand.give()
    hand.read()
    with pytest.raises(DriverError, match="no frame for"):
        hand.read()
    assert hand.latest(1000 * MS).seq == 0


def test_a_stale_frame_is_not_the_latest(hand):
    with pytest.raises(StaleFrame, match="no frame has come"):
        hand.latest(1000 * MS)
    hand.give()
    hand.read()
    time.sleep(0.03)
    with pytest.raises(StaleFrame, match="ms old"):
        hand.latest(20 * MS)


def test_a_camera_that_fails_raises_in_the_reader(hand):
    hand.fails = True
    hand.give()
    with pytest.raises(DriverError, match="cable pulled"):
        hand.read()
    with pytest.raises(DriverError, match="cable pulled"):
        hand.latest(1000 * MS)


def test_closing_gives_the_camera_back_once():
    source = HandCamera()
    source.open()
    source.close()
    source.close()
    assert source.stopped == 1
    with pytest.raises(DriverError, match="not open"):
        source.read()


def test_an_absent_video_device_says_how_to_look_for_one():
    with pytest.raises(DriverUnavailable, match=r"/dev/video77.*v4l2-ctl --list-devices"):
        V4l2Camera(CameraConfig(device="/dev/video77")).open()


def test_a_file_that_is_no_video_device_is_refused(tmp_path):
    (tmp_path / "video0").write_text("")
    with pytest.raises(DriverUnavailable, match="can't be opened as a camera"):
        V4l2Camera(CameraConfig(device=str(tmp_path / "video0"))).open()


def test_a_driver_timestamp_on_the_host_clock_is_believed():
    t_ns, sigma_ns = camera_v4l2.mid_exposure_ns(1_000 * MS, 970 * MS, 10 * MS, 66 * MS)
    assert t_ns == 965 * MS
    assert 2 * MS < sigma_ns < 10 * MS


@pytest.mark.parametrize("driver_ns", [0, 2_000 * MS, 400 * MS])
def test_a_driver_timestamp_on_another_clock_is_not(driver_ns):
    t_ns, sigma_ns = camera_v4l2.mid_exposure_ns(1_000 * MS, driver_ns, 10 * MS, 66 * MS)
    assert t_ns == 1_000 * MS - 33 * MS - 5 * MS
    assert sigma_ns > 15 * MS


@pytest.mark.parametrize(("control", "expected_ms"), [(100, 10), (0, 0), (-1, 0), (5000, 0), (float("nan"), 0)])
def test_an_exposure_that_can_not_be_is_not_believed(control, expected_ms):
    assert reported_exposure_ns(control, 66 * MS) == expected_ms * MS


def test_the_clock_of_a_sensor_is_found_out():
    monotonic, boottime = 5_000 * MS, 905_000 * MS
    assert clock_offset_ns(4_960 * MS, monotonic, boottime) == 0
    assert clock_offset_ns(904_960 * MS, monotonic, boottime) == -900_000 * MS
    assert 904_960 * MS + clock_offset_ns(904_960 * MS, monotonic, boottime) == 4_960 * MS
    with pytest.raises(DriverError, match="neither"):
        clock_offset_ns(77 * MS, monotonic, boottime)


def test_a_csi_frame_is_timed_at_mid_exposure():
    t_ns, sigma_ns = camera_picamera2.mid_exposure_ns(1_000 * MS, 10 * MS, 66 * MS)
    assert t_ns == 995 * MS
    assert 5 * MS < sigma_ns < 15 * MS


def test_without_its_library_the_csi_camera_names_the_package():
    try:
        import picamera2  # noqa: F401
    except ImportError:
        with pytest.raises(DriverUnavailable, match="apt install python3-picamera2"):
            Picamera2Camera(CameraConfig(type="picamera2")).open()
    else:
        pytest.skip("picamera2 is installed")
