"""What `spotter replay --out` writes, of a rendered video through the real eye, and of landmarks and a recording."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import wave
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted import CATALOGUE, PROMPTS, START_NS, ScriptedModel, poses, reps, rest
from videos import write_video

from device.cli import main
from device.config import CameraConfig, Config
from device.drivers.camera_virtual import VirtualCamera
from device.errors import EndOfStream
from device.messages import NS_PER_S
from device.runtime.core import Core
from device.runtime.recording import Recorder, RecordingMeta
from device.sim.scene import session_scene
from device.sim.script import RestBlock, SessionPlan
from device.sim.trainee import VirtualTrainee

RATE_HZ = 10
SEED = 3


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coach with a model that sees two squats with caved knees, whoever stands there."""

    def core(config: Config, start_ns: int, **_: object) -> Core:
        script = [*rest(0.5), *reps("squat", 2, 2.0, errors={"left_hip_spread": -25}), *rest(9)]
        return Core(config, ScriptedModel(script), CATALOGUE, start_ns, prompts=PROMPTS)

    monkeypatch.setattr("device.runtime.live.build_core", core)
    monkeypatch.setattr("device.runtime.live.config_bundle", lambda _: None)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The virtual trainee walks in and stands there for six seconds, ten in all."""
    path = tmp_path_factory.mktemp("video") / "standing.mp4"
    trainee = VirtualTrainee(SEED, SessionPlan(0.0, (RestBlock(6.0, ()),)))
    config = CameraConfig(type="virtual", rate_hz=RATE_HZ, width=320, height=240)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE_HZ, (320, 240))
    with VirtualCamera(config, trainee, session_scene(SEED)) as camera:
        try:
            while True:
                writer.write(camera.read().pixels[..., ::-1].copy())
        except EndOfStream:
            writer.release()
    return path


def frames_of(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(read[1])
    return found


@pytest.mark.usefixtures("scripted")
def test_a_video_gives_a_film_the_voice_a_plot_and_the_same_sets_each_time(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert main(["replay", str(video), "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    assert "spotter:" not in printed.err, "nothing went wrong"
    assert json.loads((out / "sets.json").read_text()) == json.loads(printed.out)
    (done,) = json.loads(printed.out)["sets"]
    assert (done["exercise"], done["reps"]) == ("squat", 2)
    original, film = frames_of(video), frames_of(out / "film.mp4")
    assert len(film) == len(original)
    # The same picture, with the skeleton and the panels on top of it.
    changed = [np.abs(a.astype(int) - b).max(axis=2) > 60 for a, b in zip(original, film, strict=True)]
    assert all(0.01 < share.mean() < 0.5 for share in changed)
    assert (out / "set-01-squat.png").is_file()
    with wave.open(str(out / "voice.wav")) as voice:
        assert voice.getnframes() > 0
    again = tmp_path / "again"
    assert main(["replay", str(video), "--out", str(again), "--no-film"]) == 0
    assert re.search(r"of 0:1\d ", capsys.readouterr().err), "progress, with the length of the video"
    assert not (again / "film.mp4").exists()
    assert (again / "sets.json").read_bytes() == (out / "sets.json").read_bytes()


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize("kind", ["landmarks", "recording"])
def test_landmarks_and_recordings_give_all_but_the_film(kind: str, tmp_path: Path) -> None:
    seen, source, out = poses(12), tmp_path / "source.npz", tmp_path / "report"
    if kind == "recording":
        with Recorder(source, RecordingMeta(start_ns=START_NS)) as recorder:
            for pose in seen:
                recorder.write(pose)
    else:
        times = np.array([(pose.t_ns - START_NS) / NS_PER_S for pose in seen])
        np.savez(source, norm=np.stack([p.image for p in seen]), world=np.stack([p.world for p in seen]), t=times)
    assert main(["replay", f"--{kind}", str(source), "--out", str(out)]) == 0
    assert sorted(file.name for file in out.iterdir()) == ["set-01-squat.png", "sets.json", "voice.wav"]


@pytest.mark.usefixtures("scripted")
def test_a_replay_never_replaces_what_it_replays(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(video.read_bytes())
    assert main(["replay", str(film), "--out", str(tmp_path)]) == 1
    assert "its own film" in capsys.readouterr().err
    assert film.read_bytes() == video.read_bytes()


def test_ctrl_c_finishes_all_files(tmp_path: Path) -> None:
    video, out = tmp_path / "long.mp4", tmp_path / "report"
    write_video(video, seconds=200, rate_hz=30)
    command = [sys.executable, "-m", "device.cli", "replay", str(video), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any(line.startswith("0:0") for line in process.stderr)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads((out / "sets.json").read_text()) == {"sets": [], "latency": {}}
    assert 0 < len(frames_of(out / "film.mp4")) < 6000
    with wave.open(str(out / "voice.wav")) as voice:
        assert voice.getsampwidth() == 2
