"""One short demo as a user starts it: pixels, pose networks, bundle, film and all. It needs some 10 s of two cores."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import cv2
import pytest

from device.cli import main
from device.demo.summary import WALL_CLOCK

# Few and small pictures: what is tested is that everything is joined up, not how well it sees.
SMALL = "[camera]\nrate_hz = 5\nwidth = 320\nheight = 240\n"
SHORT = ["--sets", "squat", "--reps", "2", "--quiet"]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "--seed", "3", "--out", str(folder), "--config", str(config), "--json", *SHORT]) == 0
    return folder


def summary_of(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def test_all_files_are_there_and_hold_what_they_should(out: Path) -> None:
    summary = summary_of(out)
    assert summary["status"] == "complete"
    capture = cv2.VideoCapture(str(out / "film.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(summary["duration_s"] * 5, abs=2)
    assert capture.read()[0]
    with wave.open(str(out / "voice.wav")) as voice:
        assert voice.getnchannels() == 1
    with sqlite3.connect(out / "session.sqlite") as store:
        assert store.execute("SELECT status FROM sessions").fetchall() == [("complete",)]
        assert store.execute("SELECT count(*) FROM sets").fetchone()[0] == len(summary["sets"])
    assert len(list(out.glob("set-*.png"))) == len(summary["sets"])


def test_the_summary_has_every_row_and_the_truth(out: Path) -> None:
    summary = summary_of(out)
    names = [row["name"] for row in summary["rows"] + summary["machine"]["rows"]]
    assert set(names) == {
        "exercise_tick_accuracy", "reps_exact", "reps_within_one", "ghost_reps_per_min", "angle_score", "angle_score_raw",
        "cue_hit_rate", "cue_false_rate", "error_last_over_first", "int8_agreement", "int8_angle_diff_deg",
        "stream_window_diff", "model_step_ms", "bundle_kb", "realtime_factor",
    }  # fmt: skip
    assert {row["name"] for row in summary["machine"]["rows"]} == WALL_CLOCK
    assert [(done["exercise"], done["reps"]) for done in summary["truth"]["sets"]] == [("squat", 2)]


def test_a_seed_gives_the_same_summary_but_for_the_clock(out: Path, config: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    main(["demo", "--seed", "3", "--out", str(again), "--config", str(config), "--json", "--no-film", *SHORT])
    first, second = summary_of(out), summary_of(again)
    for summary in (first, second):
        del summary["machine"]
    assert first == second
    assert not (again / "film.mp4").exists()


def test_a_replay_of_the_recording_finds_the_same_sets(out: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--recording", str(out / "recording"), "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sets"] == summary_of(out)["sets"]


def test_ctrl_c_saves_the_session_and_finishes_all_files(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "device.cli", "demo", "--out", str(out), "--config", str(config), "--realtime"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    # A line of progress shows that the session is under way; libraries may say something before.
    assert any(line.startswith("0:0") for line in process.stderr)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert summary_of(out)["status"] == "stopped"
    with sqlite3.connect(out / "session.sqlite") as store:
        assert store.execute("SELECT status FROM sessions").fetchall() == [("stopped",)]
    assert cv2.VideoCapture(str(out / "film.mp4")).read()[0]
    with wave.open(str(out / "voice.wav")) as voice:
        assert voice.getsampwidth() == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--reps", "0"], "--reps must be 1 to 30"),
        (["--seed", "-4"], "--seed must be 0 or more"),
        (["--sets", "squat,sqat"], "no exercise 'sqat'"),
        (["--out", "/proc/spotter"], "/proc/spotter: can't be written"),
    ],
)
def test_a_wrong_option_is_named_before_anything_starts(
    options: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")] if "--out" not in options else []
    assert main(["demo", "--quiet", *out, *options]) == 1
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
