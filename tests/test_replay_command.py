import json
import resource
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scripted import CATALOGUE, PROMPTS, START_NS, ScriptedModel, poses, reps, rest
from videos import write_video

from device.cli import main
from device.commands.replay import video_timing
from device.config import Config
from device.messages import NS_PER_S
from device.runtime.core import Core
from device.runtime.recording import Recorder, RecordingMeta

SECONDS = 30


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coach with a model that sees five squats with caved knees, whatever it is fed."""

    def core(config: Config, start_ns: int, **_: object) -> Core:
        squats = reps("squat", 5, 2.0, errors={"left_hip_spread": -25})
        script = [*rest(2), *squats, *rest(15)]
        return Core(config, ScriptedModel(script), CATALOGUE, start_ns, prompts=PROMPTS)

    monkeypatch.setattr("device.runtime.live.build_core", core)
    monkeypatch.setattr("device.runtime.live.config_bundle", lambda _: None)


@pytest.fixture
def landmarks(tmp_path: Path) -> Path:
    seen = poses(SECONDS)
    path = tmp_path / "squats.npz"
    times = np.array([(pose.t_ns - START_NS) / NS_PER_S for pose in seen])
    np.savez(path, norm=np.stack([p.image for p in seen]), world=np.stack([p.world for p in seen]), t=times)
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    folder = tmp_path / "recording"
    with Recorder(folder, RecordingMeta(start_ns=START_NS)) as recorder:
        for pose in poses(SECONDS):
            recorder.write(pose)
    return folder


@pytest.fixture
def full_disk(landmarks: Path) -> Iterator[None]:
    """From now on no file may grow past 300 bytes."""
    assert landmarks.is_file()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("scripted")
def test_the_sets_are_listed_as_json(landmarks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--landmarks", str(landmarks), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (done,) = found["sets"]
    assert set(done) == {"exercise", "reps", "start_s", "end_s", "rep_times_s", "deviations", "cues"}
    assert (done["exercise"], done["reps"], len(done["rep_times_s"])) == ("squat", 5, 5)
    assert 1.5 < done["start_s"] < 3
    assert done["rep_times_s"] == sorted(done["rep_times_s"])
    assert done["rep_times_s"][-1] == done["end_s"]
    assert done["deviations"]["left_hip_spread"] < -5
    assert done["cues"][0]["joint"] == "left_hip_spread"
    assert done["cues"][0]["sign"] == -1


@pytest.mark.usefixtures("scripted")
def test_the_same_replay_twice_gives_the_same_bytes(landmarks: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source in (["--landmarks", str(landmarks)], ["--recording", str(recording)]):
        outputs = []
        for _ in range(2):
            assert main(["replay", *source, "--json"]) == 0
            outputs.append(capsys.readouterr().out)
        assert outputs[0] == outputs[1]
        assert json.loads(outputs[0])["sets"]


@pytest.mark.usefixtures("scripted")
def test_people_get_a_table(landmarks: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    assert main(["replay", "--landmarks", str(landmarks)]) == 0
    printed = capsys.readouterr()
    assert "squat" in printed.out
    assert "left hip spread -" in printed.out
    assert "reps" in printed.err, "progress goes to standard error"


@pytest.mark.usefixtures("scripted")
def test_what_was_said_and_found_is_written(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "report"
    assert main(["replay", "--recording", str(recording), "--out", str(out), "--json"]) == 0
    assert json.loads((out / "sets.json").read_text()) == json.loads(capsys.readouterr().out)
    with wave.open(str(out / "voice.wav")) as voice:
        assert voice.getnframes() > 0


def test_a_black_video_is_watched_to_its_end_and_nothing_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cores: list[Core] = []

    def core(config: Config, start_ns: int, **_: object) -> Core:
        cores.append(Core(config, ScriptedModel([*rest(1)]), CATALOGUE, start_ns, prompts=PROMPTS))
        return cores[0]

    monkeypatch.setattr("device.runtime.live.build_core", core)
    monkeypatch.setattr("device.runtime.live.config_bundle", lambda _: None)
    path = tmp_path / "black.mp4"
    write_video(path, seconds=2, rate_hz=10)
    assert main(["replay", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sets": [], "latency": {}}
    last = cores[0].last_tick
    assert last is not None
    assert not last.pose_present
    assert last.t_ns > 1.5 * NS_PER_S
    assert video_timing(str(path)) == pytest.approx((10.0, 2.0))
    assert video_timing(str(tmp_path / "none.mp4")) == (30.0, 0.0)


@pytest.mark.usefixtures("scripted")
def test_a_person_who_leaves_the_picture_does_no_harm(landmarks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(landmarks) as whole:
        arrays = {name: whole[name].copy() for name in ("norm", "world", "t")}
    arrays["norm"][100:400], arrays["world"][100:400] = np.nan, np.nan
    np.savez(landmarks, **arrays)
    assert main(["replay", "--landmarks", str(landmarks), "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out)["sets"], list)


@pytest.mark.usefixtures("scripted")
def test_a_recording_brings_its_settings_unless_a_file_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "recording"
    with Recorder(folder, RecordingMeta(config={"coach": {"strictness": 7.0}}, start_ns=START_NS)) as recorder:
        recorder.write(poses(1)[0])
    assert main(["replay", "--recording", str(folder)]) == 1
    assert f"{folder}/session.rec: coach.strictness = 7.0 is out of range" in capsys.readouterr().err
    (tmp_path / "spotter.toml").write_text("[coach]\nstrictness = 0.7\n")
    assert main(["replay", "--recording", str(folder), "--config", str(tmp_path / "spotter.toml"), "--json"]) == 0


@pytest.mark.usefixtures("scripted")
def test_nothing_seen_is_an_empty_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = poses(1.0)
    path = tmp_path / "short.npz"
    times = np.arange(len(seen)) / 30
    np.savez(path, norm=np.stack([p.image for p in seen]), world=np.stack([p.world for p in seen]), t=times)
    assert main(["replay", "--landmarks", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sets": [], "latency": {}}
    assert main(["replay", "--landmarks", str(path)]) == 0
    assert "No set" in capsys.readouterr().out


def test_a_source_is_needed_and_only_one(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["replay"],
        ["replay", "a.mp4", "--landmarks", "b.npz"],
        ["replay", "--recording", "a", "--landmarks", "b"],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
    assert "usage: spotter replay" in capsys.readouterr().err


@pytest.mark.usefixtures("scripted")
class TestBadInput:
    """Each is one line on standard error and exit status 1."""

    @pytest.fixture(autouse=True)
    def _capture(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def fails(self, *arguments: str) -> str:
        assert main(["replay", *arguments, "--json"]) == 1
        printed = self.capsys.readouterr()
        assert printed.out == ""
        lines = [line for line in printed.err.splitlines() if line]
        assert lines[-1].startswith("spotter: ")
        assert "Traceback" not in printed.err
        return lines[-1]

    def test_absent_files(self, tmp_path: Path) -> None:
        for source in (["--landmarks", str(tmp_path / "none.npz")], ["--recording", str(tmp_path / "none")]):
            assert "none" in self.fails(*source)

    def test_an_absent_video(self, tmp_path: Path) -> None:
        assert "no such video" in self.fails(str(tmp_path / "none.mp4"))

    def test_a_truncated_video(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.mp4"
        path.write_bytes(b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + bytes(2000))
        assert "no frame can be decoded" in self.fails(str(path))

    def test_truncated_landmarks(self, landmarks: Path) -> None:
        landmarks.write_bytes(landmarks.read_bytes()[:5000])
        assert str(landmarks) in self.fails("--landmarks", str(landmarks))

    def test_an_output_folder_that_cannot_be_made(self, landmarks: Path) -> None:
        assert "--out" in self.fails("--landmarks", str(landmarks), "--out", str(landmarks / "report"))

    @pytest.mark.usefixtures("full_disk")
    def test_a_full_disk(self, landmarks: Path, tmp_path: Path) -> None:
        assert "can't be written" in self.fails("--landmarks", str(landmarks), "--out", str(tmp_path / "report"))

    def test_a_config_with_a_typo(self, landmarks: Path, tmp_path: Path) -> None:
        config = tmp_path / "spotter.toml"
        config.write_text("[coach]\nstrictnes = 1\n")
        assert "Did you mean coach.strictness?" in self.fails("--landmarks", str(landmarks), "--config", str(config))


def test_a_bundle_that_is_not_whole_is_one_line(landmarks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "spotter.toml"
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    config.write_text(f'[model]\nbundle = "{bundle}"\n')
    for content in (None, "{", '{"format": 99}'):
        if content is not None:
            (bundle / "manifest.json").write_text(content)
        assert main(["replay", "--landmarks", str(landmarks), "--config", str(config)]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"spotter: {bundle}/manifest.json: ")
        assert error.count("\n") == 1
