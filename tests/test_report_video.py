"""The pictures of a video, as its film gets them."""

from __future__ import annotations

from pathlib import Path

import pytest
from videos import write_video

from device.config import CameraConfig
from device.drivers.camera_file import FileCamera
from device.errors import EndOfStream, MediaError
from device.report.video import MAX_HEIGHT_PX, VideoSource


@pytest.mark.parametrize(
    ("size", "shown"),
    [((160, 120), (160, 120)), ((270, 960), (202, 720))],
    ids=["small", "portrait"],
)
def test_pictures_have_the_times_of_the_eye_and_a_size_for_a_film(
    tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    path = tmp_path / "video.mp4"
    write_video(path, seconds=1, rate_hz=10, size=size)
    config = CameraConfig(type="file", device=str(path))
    pictures = VideoSource(config).open()
    with FileCamera(config, start_ns=0) as eye:
        for _ in range(10):
            picture = pictures.read()
            assert picture.t_ns == eye.read().t_ns
            assert picture.pixels.shape == (shown[1], shown[0], 3)
            assert shown[1] <= MAX_HEIGHT_PX
    with pytest.raises(EndOfStream):
        pictures.read()
    pictures.close()


def test_a_video_that_is_gone_is_a_media_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"none\.mp4"):
        VideoSource(CameraConfig(type="file", device=str(tmp_path / "none.mp4"))).open()
