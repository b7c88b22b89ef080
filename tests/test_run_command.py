import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from videos import write_video

from device.cli import INTERRUPTED, TERMINATED, main
from device.messages import Pose, ServiceChanged, ServiceState
from device.runtime.history import read_sessions
from device.runtime.ladder import RUNGS
from device.runtime.recording import read_recording

ROOT = Path(__file__).parents[1]

SPOTTER = """
import os, sys, time
from pathlib import Path
import device.runtime.bundle as bundle
import device.runtime.live as live
from device.errors import EyeError
from device.cli import main
from device.runtime.core import Core
from device.runtime.bundle import Bundle
from tests.scripted import CATALOGUE, PROMPTS, ScriptedModel, poses, reps, rest
from dataclasses import replace

class Eye:
    '''Somebody stands before the camera, 15 times a second.'''
    ready = os.environ.get("EYE") != "loading"
    dismissed = True
    def __init__(self):
        self.pose, self.due_ns, self.seen = poses(0)[0], 0, 0
    def start(self): pass
    def dismiss(self): pass
    def stop(self): pass
    def look_at(self, every): pass
    def use(self, camera): pass
    def poses(self):
        now_ns = time.monotonic_ns()
        if now_ns < self.due_ns:
            return []
        self.due_ns = now_ns + 66_000_000
        self.seen += 1
        if not self.ready:
            return []
        if os.environ.get("EYE") == "failing" and self.seen > 40:
            raise EyeError("The camera hangs.")
        return [replace(self.pose, t_ns=now_ns)]

def core(config, start_ns, **_):
    squats = reps("squat", 30, 0.9, errors={"left_hip_spread": -25}, pause_s=0.1)
    return Core(config, ScriptedModel([*rest(0.5), *squats]), CATALOGUE, start_ns, prompts=PROMPTS)

live.build_core = core
bundle.last_good_bundle = lambda folder: Bundle(Path(), "test", (), None, {}, {}, {})
live.make_eye = lambda *_, **__: Eye()
live.sha256 = lambda path: "0" * 64
sys.exit(main(sys.argv[1:]))
"""
"""`spotter` with a scripted model and somebody before the camera; everything else is the real thing."""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    config = tmp_path / "spotter.toml"
    config.write_text(
        f'[store]\npath = "{tmp_path}/sessions.sqlite"\n[speaker]\ntype = "wav"\ndevice = "{tmp_path}/said.wav"\n'
        f'[haptic]\ntype = "log"\ndevice = "{tmp_path}/haptic.jsonl"\n'
    )
    return config


@pytest.fixture
def spotter() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes of the test; whatever still runs at its end is killed."""
    running: list[subprocess.Popen[str]] = []
    yield running
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def start(*arguments: str, largest_file: int | None = None, **environment: str) -> subprocess.Popen[str]:
    """`largest_file`: bytes past which writes fail, as they do on a full disk. EYE=loading is never ready, EYE=failing fails
    after some seconds, again and again."""
    limit = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({largest_file},) * 2)\n" if largest_file else ""
    command = [sys.executable, "-c", limit + SPOTTER, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, env=os.environ | environment)


def wait_for_repetition(store: Path, process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s and process.poll() is None:
        sessions = read_sessions(store)
        if sessions and sessions[-1].repetitions >= 2:
            return
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"no repetition was kept: {process.communicate()[1]}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_session_that_is_stopped_is_saved_and_its_motors_are_off(
    number: signal.Signals, settings: Path, tmp_path: Path, spotter: list[subprocess.Popen[str]]
) -> None:
    process = start("run", "--config", str(settings), "--trainee", "ada", "--json")
    spotter.append(process)
    wait_for_repetition(tmp_path / "sessions.sqlite", process)
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert process.returncode == (TERMINATED if number == signal.SIGTERM else INTERRUPTED)
    assert error == "spotter: stopped.\n"

    (session,) = read_sessions(tmp_path / "sessions.sqlite")
    assert (session.trainee, session.status) == ("ada", "stopped")
    assert session.repetitions >= 2
    assert session.duration_ns is not None
    found = json.loads(out)
    assert found["sets"][0]["reps"] == session.repetitions
    assert found["ladder"]["rung"] in {rung.name for rung in RUNGS}
    assert set(found["latency"]) <= {"haptic", "form_haptic", "voice"}
    events = [json.loads(line)["event"] for line in (tmp_path / "haptic.jsonl").read_text().splitlines()]
    assert events[-1] == "off"
    assert (tmp_path / "said.wav").read_bytes().startswith(b"RIFF")


class Systemd:
    """The other end of the socket on which the service says how it is."""

    def __init__(self, path: Path) -> None:
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.5)

    def wait_for(self, what: str, seconds: float = 30.0) -> None:
        """Until a message with `what` in it has come."""
        deadline_s = time.monotonic() + seconds
        while not any(what in message for message in self.heard):
            assert time.monotonic() < deadline_s, f"{what!r} is not among {self.heard}"
            self.listen()

    def listen(self) -> None:
        try:
            self.heard.append(self._socket.recv(4096).decode())
        except TimeoutError:
            return

    def listen_for(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.listen()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    listener = Systemd(tmp_path / "notify")
    yield listener
    listener.close()


def terminate(process: subprocess.Popen[str]) -> tuple[str, str]:
    """SIGTERM; returns what it printed. It ends within two seconds."""
    process.send_signal(signal.SIGTERM)
    printed = process.communicate(timeout=2)
    assert process.returncode == TERMINATED, printed
    return printed


def last_event(folder: Path) -> str:
    return str(json.loads((folder / "haptic.jsonl").read_text().splitlines()[-1])["event"])


def test_systemd_hears_that_it_is_ready_that_it_lives_and_that_it_stops(
    settings: Path, systemd: Systemd, spotter: list[subprocess.Popen[str]]
) -> None:
    process = start("run", "--config", str(settings), "--duration", "3", **systemd.environment)
    spotter.append(process)
    systemd.wait_for("STOPPING=1")
    assert process.wait(timeout=10) == 0
    words = [message for message in systemd.heard if not message.startswith("STATUS=")]
    ready = words.index("READY=1")
    assert all(word.startswith("EXTEND_TIMEOUT_USEC=") for word in words[:ready])
    assert words[ready + 1 :] == ["WATCHDOG=1"] * (len(words) - ready - 2) + ["STOPPING=1"]
    assert 3 <= words.count("WATCHDOG=1") <= 8
    assert "STATUS=running: core, eye, voice, vibration, store" in systemd.heard


def test_the_watchdog_is_not_fed_while_no_data_flows(
    settings: Path, systemd: Systemd, spotter: list[subprocess.Popen[str]]
) -> None:
    process = start("run", "--config", str(settings), EYE="failing", **systemd.environment)
    spotter.append(process)
    systemd.wait_for("eye failed")
    # What was on its way; the data was fresh for a moment longer.
    systemd.listen_for(1.2)
    systemd.heard.clear()
    systemd.listen_for(1.5)
    assert "WATCHDOG=1" not in systemd.heard
    terminate(process)


def test_sigterm_while_it_starts_ends_it_before_a_session_began(
    settings: Path, tmp_path: Path, systemd: Systemd, spotter: list[subprocess.Popen[str]]
) -> None:
    process = start("run", "--config", str(settings), "--json", EYE="loading", **systemd.environment)
    spotter.append(process)
    systemd.wait_for("EXTEND_TIMEOUT_USEC=")
    out, error = terminate(process)
    assert json.loads(out)["sets"] == []
    assert error == "spotter: stopped.\n"
    assert not (tmp_path / "sessions.sqlite").exists()
    assert "READY=1" not in systemd.heard


def test_sigterm_during_a_cue_saves_the_session_and_turns_the_motors_off(
    settings: Path, tmp_path: Path, spotter: list[subprocess.Popen[str]]
) -> None:
    process = start("run", "--config", str(settings))
    spotter.append(process)
    deadline_s = time.monotonic() + 20
    haptic = tmp_path / "haptic.jsonl"
    while not (haptic.exists() and "vibrate" in haptic.read_text()):
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    terminate(process)
    (session,) = read_sessions(tmp_path / "sessions.sqlite")
    assert (session.status, session.corrections >= 1) == ("stopped", True)
    assert last_event(tmp_path) == "off"


def test_sigterm_during_recovery_saves_the_session_and_turns_the_motors_off(
    settings: Path, tmp_path: Path, systemd: Systemd, spotter: list[subprocess.Popen[str]]
) -> None:
    process = start("run", "--config", str(settings), EYE="failing", **systemd.environment)
    spotter.append(process)
    systemd.wait_for("eye resting")
    terminate(process)
    (session,) = read_sessions(tmp_path / "sessions.sqlite")
    assert (session.status, session.repetitions >= 1) == ("stopped", True)
    assert last_event(tmp_path) == "off"
    systemd.wait_for("STOPPING=1", 5.0)


@pytest.mark.parametrize(
    ("half", "said"),
    [({"WATCHDOG_USEC": "1000000"}, "NOTIFY_SOCKET is not"), ({"NOTIFY_SOCKET": "/nowhere/notify"}, "can't be told")],
)
def test_a_watchdog_environment_that_is_half_set_is_said_and_does_not_keep_it_from_coaching(
    half: dict[str, str], said: str, settings: Path, spotter: list[subprocess.Popen[str]]
) -> None:
    process = start("run", "--config", str(settings), "--duration", "0.5", **half)
    spotter.append(process)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 0
    assert error.count(said) == 1


def test_a_killed_session_keeps_its_repetitions_and_is_closed_later(
    settings: Path, tmp_path: Path, spotter: list[subprocess.Popen[str]]
) -> None:
    store = tmp_path / "sessions.sqlite"
    process = start("run", "--config", str(settings))
    spotter.append(process)
    wait_for_repetition(store, process)
    process.kill()
    process.wait()
    kept = read_sessions(store)[0]
    assert (kept.status, kept.repetitions >= 2) == ("open", True)

    again = start("run", "--config", str(settings), "--duration", "0.2")
    spotter.append(again)
    out, _ = again.communicate(timeout=20)
    assert again.returncode == 0
    assert "No set" in out
    assert [s.status for s in read_sessions(store)] == ["interrupted", "complete"]


@pytest.mark.parametrize("coach", [True, False])
def test_record_writes_what_was_sensed_with_or_without_coaching(
    coach: bool, settings: Path, tmp_path: Path, spotter: list[subprocess.Popen[str]]
) -> None:
    options = ["--coach"] if coach else []
    process = start("record", str(tmp_path / "recording"), "--config", str(settings), "--duration", "1.5", *options)
    spotter.append(process)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 0, error
    recording = read_recording(tmp_path / "recording")
    poses = [message for message in recording if isinstance(message, Pose)]
    assert 5 <= len(poses) <= 25
    assert recording.meta.bundle == ("0" * 64 if coach else "")
    assert recording.meta.config["store"]["path"] == f"{tmp_path}/sessions.sqlite"
    assert poses[0].t_ns >= recording.meta.start_ns
    states = [(message.service, message.state) for message in recording if isinstance(message, ServiceChanged)]
    assert ("eye", ServiceState.RUNNING) in states
    assert len(read_sessions(tmp_path / "sessions.sqlite")) == coach


def test_a_recording_is_not_written_over(settings: Path, tmp_path: Path, spotter: list[subprocess.Popen[str]]) -> None:
    (tmp_path / "recording").mkdir()
    (tmp_path / "recording" / "session.rec").write_bytes(b"mine")
    process = start("record", str(tmp_path / "recording"), "--config", str(settings), "--duration", "1")
    spotter.append(process)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "holds a recording already" in error
    assert (tmp_path / "recording" / "session.rec").read_bytes() == b"mine"


def test_a_full_disk_ends_a_recording_and_leaves_it_readable(
    settings: Path, tmp_path: Path, spotter: list[subprocess.Popen[str]]
) -> None:
    process = start("record", str(tmp_path / "recording"), "--config", str(settings), "--json", largest_file=12_000)
    spotter.append(process)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert error.startswith("spotter: ")
    assert "can't be written any more" in error
    assert error.count("\n") == 1
    assert len(read_recording(tmp_path / "recording")) > 3


def test_a_full_disk_does_not_end_the_coaching_and_what_it_held_up_is_saved_when_there_is_room(
    settings: Path, tmp_path: Path, spotter: list[subprocess.Popen[str]]
) -> None:
    # Room for the empty store and its lock, and for a few repetitions at most. Opening the store anew moves what is in its log
    # into the database, and so makes room.
    process = start("run", "--config", str(settings), "--duration", "4", "--json", largest_file=60_000)
    spotter.append(process)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    assert error.count(" s: store. ") >= 1
    found = json.loads(out)
    assert found["sets"][0]["reps"] >= 2
    assert found["services"]["store"]["failures"] >= 1
    assert found["services"]["eye"]["state"] == "running"
    (session,) = read_sessions(tmp_path / "sessions.sqlite")
    assert (session.status, session.repetitions) == ("complete", found["sets"][0]["reps"])


def test_a_video_in_place_of_a_camera_is_recorded_until_it_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "black.mp4", seconds=1, rate_hz=10)
    config = tmp_path / "spotter.toml"
    config.write_text(f'[camera]\ntype = "file"\ndevice = "{tmp_path}/black.mp4"\n')
    assert main(["record", str(tmp_path / "recording"), "--config", str(config)]) == 0
    assert "spotter replay --recording" in capsys.readouterr().out
    recording = read_recording(tmp_path / "recording")
    poses = [message for message in recording if isinstance(message, Pose)]
    assert 1 <= len(poses) <= 10
    assert not any(pose.present for pose in poses)


@pytest.mark.parametrize("duration", ["0", "-1", "soon", "nan"])
def test_a_duration_is_a_positive_number(duration: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["run", "--duration", duration])
    assert stopped.value.code == 2
    assert "--duration" in capsys.readouterr().err


def test_without_a_store_a_sound_card_and_motors_the_coaching_goes_on_and_says_what_is_missing(
    settings: Path, tmp_path: Path, spotter: list[subprocess.Popen[str]]
) -> None:
    (tmp_path / "sessions.sqlite").mkdir()
    config = settings.read_text().replace('type = "wav"', 'type = "alsa"').replace('type = "log"', 'type = "pwm"')
    settings.write_text(config.replace(f'device = "{tmp_path}/said.wav"', 'device = "no such sound card"'))
    process = start("run", "--config", str(settings), "--duration", "2", "--json")
    spotter.append(process)
    out, error = process.communicate(timeout=20)
    assert process.returncode == 0, error
    found = json.loads(out)
    assert found["sets"][0]["reps"] >= 1
    for service, named in (("store", "store.path"), ("voice", "no such sound card"), ("vibration", "gpio")):
        assert found["services"][service]["state"] != "running"
        assert named in found["services"][service]["reason"]
        assert f" s: {service}. " in error


def test_a_camera_that_is_absent_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "spotter.toml"
    config.write_text('[camera]\ntype = "v4l2"\ndevice = "/dev/video99"\n')
    assert main(["record", str(tmp_path / "recording"), "--config", str(config)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("spotter: ")
    assert "/dev/video99" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "recording").exists()
