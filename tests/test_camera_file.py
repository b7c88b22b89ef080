import logging
import shutil
import subprocess
import time

import cv2
import numpy as np
import pytest

from device.config import CameraConfig
from device.drivers.camera_file import FileCamera, FrameTimes
from device.errors import EndOfStream, MediaError, StaleFrame

MS = 1_000_000
RATE_HZ = 25


def write_video(file, frames=50, codec="mp4v"):
    """A video whose frame i is as bright as i."""
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*codec), RATE_HZ, (64, 48))
    assert writer.isOpened()
    for i in range(frames):
        writer.write(np.full((48, 64, 3), i * 4, np.uint8))
    writer.release()
    return file


def camera(file, start_ns=0, exposure_ms=0.0):
    return FileCamera(CameraConfig(type="file", device=str(file), exposure_ms=exposure_ms), start_ns)


def read_all(source):
    frames = []
    with source:
        while True:
            try:
                frames.append(source.read())
            except EndOfStream:
                return frames


def test_frames_come_with_the_times_of_the_file(tmp_path):
    frames = read_all(camera(write_video(tmp_path / "a.mp4"), start_ns=7_000))
    assert len(frames) == 50
    assert [frame.t_ns for frame in frames] == pytest.approx([7_000 + i * 40 * MS for i in range(50)], abs=MS)
    assert [frame.seq for frame in frames] == list(range(50))
    assert [frame.pixels.mean() for frame in frames] == pytest.approx([i * 4 for i in range(50)], abs=6)


def test_a_frame_is_timed_at_mid_exposure(tmp_path):
    frame = read_all(camera(write_video(tmp_path / "a.mp4"), exposure_ms=10.0))[0]
    assert frame.t_ns == 5 * MS
    assert frame.sigma_ns == pytest.approx(10 * MS / np.sqrt(12), rel=1e-3)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_pictures_that_are_to_be_turned_are_turned(tmp_path):
    lying, upright = write_video(tmp_path / "lying.mp4"), tmp_path / "upright.mp4"
    turn = ["-c", "copy", "-metadata:s:v", "rotate=90"]
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", lying, *turn, upright], check=True, stdin=subprocess.DEVNULL)
    assert {frame.pixels.shape for frame in read_all(camera(upright))} == {(64, 48, 3)}


def test_pixels_are_rgb(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "red.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))
    writer.release()
    red, green, blue = read_all(camera(tmp_path / "red.avi"))[0].pixels[24, 32]
    assert red > 200 > 100 > max(green, blue)


def test_reading_again_gives_the_same_frames(tmp_path):
    source = camera(write_video(tmp_path / "a.mp4", 10))
    first, second = read_all(source), read_all(source)
    assert [frame.t_ns for frame in first] == [frame.t_ns for frame in second]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg makes the video of varying rate and is not installed")
@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
def test_a_video_of_varying_rate_keeps_every_frames_own_time(tmp_path, name):
    # Frame i of 30 a second is kept where i < 10 or i is a multiple of 3.
    kept = [i for i in range(60) if i < 10 or i % 3 == 0]
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=30:duration=2", "-vf", "select='lt(n,10)+not(mod(n,3))'"]
    command = ["ffmpeg", "-loglevel", "error", *source, "-vsync", "vfr", "-c:v", "mpeg4", str(tmp_path / name)]
    subprocess.run(command, check=True)
    frames = read_all(camera(tmp_path / name))
    assert [frame.t_ns / 1e9 for frame in frames] == pytest.approx([i / 30 for i in kept], abs=0.0011)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg makes the stream without timestamps and is not installed")
def test_a_stream_without_timestamps_is_counted_at_its_rate(tmp_path):
    video = write_video(tmp_path / "a.mp4", 20)
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", str(video), "-f", "mjpeg", str(tmp_path / "a.mjpeg")], check=True)
    source = camera(tmp_path / "a.mjpeg")
    frames = read_all(source)
    assert len(frames) == 20
    assert [frame.t_ns for frame in frames] == pytest.approx([i * 1e9 / source.rate_hz for i in range(20)], abs=1.1 * MS)


def times(stated_ms, rate_hz=30.0):
    clock = FrameTimes(rate_hz)
    return [clock.advance(ms) for ms in stated_ms]


def test_stated_times_begin_at_zero():
    assert times([5000, 5040, 5120]) == [0, 40 * MS, 120 * MS]


def test_times_that_stand_still_are_counted_instead():
    assert times([0, 0, 0], 25.0) == [0, 40 * MS, 80 * MS]
    assert times([-3.7e20, -3.7e20], 25.0) == [0, 40 * MS]
    assert times([0, float("nan"), float("nan")], 25.0) == [0, 40 * MS, 80 * MS]


def test_a_frame_that_repeats_its_time_is_left_out():
    assert times([0, 40, 40, 80, 60, 120]) == [0, 40 * MS, None, 80 * MS, None, 120 * MS]


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_rate_that_can_not_be_is_taken_as_30_hz(rate_hz, caplog):
    from device.drivers.camera_file import _rate

    assert _rate(rate_hz, "video.mp4") == 30.0
    assert "30 Hz" in caplog.text


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such video"), (b"", "empty"), (b"this is no video\n" * 100, "truncated, or no video")],
)
def test_a_file_that_is_no_video_says_what_to_do(tmp_path, content, said):
    file = tmp_path / "video.mp4"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(MediaError, match=said):
        camera(file).open()


def test_a_folder_is_no_video(tmp_path):
    with pytest.raises(MediaError, match="no such video file"):
        camera(tmp_path).open()


def test_a_video_that_was_cut_before_its_index_says_so(tmp_path):
    data = write_video(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match="truncated"):
        camera(tmp_path / "cut.mp4").open()


def test_a_video_that_was_cut_gives_what_is_there_and_counts_the_rest(tmp_path, caplog):
    data = write_video(tmp_path / "a.avi", codec="MJPG").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    caplog.set_level(logging.WARNING)
    source = camera(tmp_path / "cut.avi")
    frames = read_all(source)
    assert 10 < len(frames) < 40
    assert source.skipped == 50 - len(frames)
    assert "truncated" in caplog.text


def test_frames_that_do_not_decode_are_skipped_and_the_rest_keep_their_times(tmp_path):
    data = bytearray(write_video(tmp_path / "a.avi", codec="MJPG").read_bytes())
    starts = [i for i in range(len(data) - 3) if data[i : i + 3] == b"\xff\xd8\xff"]
    for broken in range(20, 30):
        data[starts[broken] : starts[broken] + 200] = bytes(200)
    (tmp_path / "broken.avi").write_bytes(data)
    source = camera(tmp_path / "broken.avi")
    frames = read_all(source)
    assert len(frames) == 40
    assert source.skipped == 10
    assert frames[-1].t_ns == pytest.approx(49 * 40 * MS, abs=MS)
    assert frames[-1].pixels.mean() == pytest.approx(49 * 4, abs=6)


def test_without_a_start_the_file_plays_in_real_time(tmp_path):
    source = camera(write_video(tmp_path / "a.mp4", 8), start_ns=None)
    begin_ns = time.monotonic_ns()
    frames = read_all(source)
    assert time.monotonic_ns() - begin_ns >= 7 * 40 * MS
    assert frames[0].t_ns >= begin_ns
    with source:
        source.read()
        source.latest(1000 * MS)
        time.sleep(0.02)
        with pytest.raises(StaleFrame, match="ms old"):
            source.latest(10 * MS)
