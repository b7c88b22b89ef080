"""A session's files on a plain video: what can't be made is warned of, and the rest is made."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted import CATALOGUE, PROMPTS, ScriptedModel, reps, rest, standing
from videos import write_video

from device.config import CameraConfig, Config
from device.messages import NS_PER_S, Pose
from device.report.files import SessionFiles
from device.report.folder import ReportFolder
from device.report.log import LogBook
from device.report.video import VideoSource
from device.runtime.core import Core
from device.runtime.live import play
from device.runtime.session import Session
from device.skeleton import N_NODES

SECONDS = 12
RATE_HZ = 10
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> ReportFolder:
    made = ReportFolder(tmp_path / "out")
    made.prepare({"status": "running"})
    return made


@pytest.fixture
def video(tmp_path: Path) -> VideoSource:
    path = tmp_path / "black.mp4"
    write_video(path, seconds=SECONDS, rate_hz=RATE_HZ)
    return VideoSource(CameraConfig(type="file", device=str(path)))


@pytest.fixture
def nearly_full_disk(video: VideoSource) -> Iterator[None]:
    """From now on no file may grow past 4 kB."""
    assert Path(video.camera.device).is_file()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def session(folder: ReportFolder, video: VideoSource, seconds: float = SECONDS) -> list[str]:
    """A session of three squats before the video; what went wrong."""
    script = [*rest(1), *reps("squat", 3, 2.0, errors={"left_hip_spread": -25}), *rest(SECONDS)]
    core = Core(Config(), ScriptedModel(script), CATALOGUE, 0, prompts=PROMPTS)
    image = np.full((N_NODES, 4), 0.5, np.float32)
    period_ns = NS_PER_S // RATE_HZ
    times = [5_000_000 + k * period_ns for k in range(round(seconds * RATE_HZ))]
    poses = [Pose(t_ns, 0, k, image, standing(), 160, 120, True) for k, t_ns in enumerate(times)]
    files = SessionFiles(folder, Config(), core.exercises, LogBook(core.classes))
    with files:
        files.start_film(video, RATE_HZ)
        with Session(core, files.sinks()) as running:
            for _ in play(running, poses):
                files.show(core)
        files.plot()
    return files.warnings


def frames_of(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


@needs_ffmpeg
def test_film_with_sound_voice_and_plot_are_made(folder: ReportFolder, video: VideoSource) -> None:
    assert session(folder, video) == []
    assert frames_of(folder.film) == SECONDS * RATE_HZ
    assert b"mp4a" in folder.film.read_bytes()
    assert folder.plot(1, "squat").is_file()
    assert {line.split()[-1] for line in folder.listing().splitlines()[1:]} == {"film.mp4", "voice.wav", "set-*.png"}


def test_without_ffmpeg_the_film_is_silent(
    folder: ReportFolder, video: VideoSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (warning,) = session(folder, video)
    assert "no sound" in warning
    assert frames_of(folder.film) == SECONDS * RATE_HZ


@pytest.mark.usefixtures("nearly_full_disk")
def test_a_disk_that_fills_up_costs_the_film_and_the_plots_and_no_more(folder: ReportFolder, video: VideoSource) -> None:
    warnings = session(folder, video)
    assert any("film.mp4" in warning for warning in warnings)
    assert any("set-01-squat.png" in warning for warning in warnings)
    assert not folder.film.exists()
    assert not folder.plot(1, "squat").exists()
    folder.write_result({"sets": []})


def test_a_video_that_ends_or_vanishes_before_the_session_holds_nothing_up(folder: ReportFolder, video: VideoSource) -> None:
    assert session(folder, video, SECONDS + 2) == []
    assert frames_of(folder.film) == SECONDS * RATE_HZ
    Path(video.camera.device).unlink()
    (warning,) = session(folder, video)
    assert "no such video" in warning
