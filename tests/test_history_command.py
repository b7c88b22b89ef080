import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from device.cli import main
from device.messages import NS_PER_S, Cue, Deviation, Repetition, SetEnded, SetStarted
from device.runtime.store import SessionStore


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two sessions of squats; the knee is 0.2 rad off in the first and 0.1 rad in the second."""
    path = tmp_path / "sessions.sqlite"
    for day, size in ((1, 0.2), (2, 0.1)):
        sessions = SessionStore(path)
        sessions.begin("ada", "run", "1.0", 0, datetime(2026, 5, day, 12, tzinfo=UTC))
        sessions.add(SetStarted(0, 0, "squat"))
        for i in range(3):
            worst = (Deviation("left_knee", -size, 0.05),)
            sessions.add(Repetition(0, 0, i * NS_PER_S, (i + 1) * NS_PER_S, "squat", "both", i, worst))
        cue = ("squat", "left_knee", -1, "Knees out", ("knees_out",), -size, (2,), 0.5)
        sessions.add(Cue(2 * NS_PER_S, 0, "correction", *cue))
        sessions.add(SetEnded(0, 0, 0, 3 * NS_PER_S, "squat", 3))
        sessions.end(10 * NS_PER_S)
        sessions.close()
    return path


def test_an_empty_history_says_how_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "--store", str(tmp_path / "none.sqlite")]) == 0
    assert "No sessions" in capsys.readouterr().out
    assert main(["history", "--store", str(tmp_path / "none.sqlite"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sessions": []}


def test_the_list_has_a_line_for_each_session(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["history", "--store", str(store)]) == 0
    printed = capsys.readouterr().out
    first, second = (line.split() for line in printed.splitlines() if "ada" in line)
    assert first[0] == "1"
    assert first[3:] == ["ada", "1", "3", "1", "11.5°", "complete"]
    assert second[-2] == "5.7°"


def test_one_session_shows_its_sets(store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["history", "1", "--store", str(store)]) == 0
    printed = capsys.readouterr().out
    assert "squat" in printed
    assert "left knee -11°" in printed
    assert "2 s Knees out" in printed


def test_json_has_the_same_in_degrees_and_seconds(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "2", "--store", str(store), "--json"]) == 0
    (session,) = json.loads(capsys.readouterr().out)["sessions"]
    assert (session["id"], session["reps"], session["corrections"], session["status"]) == (2, 3, 1, "complete")
    assert session["mean_deviation_deg"] == 5.73
    (done,) = session["sets"]
    assert done["deviations"] == {"left_knee": -5.73}
    assert done["cues"] == [{"t_s": 2.0, "kind": "correction", "joint": "left_knee", "sign": -1, "text": "Knees out"}]


def test_the_store_of_the_config_is_read(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "spotter.toml"
    config.write_text(f'[store]\npath = "{store}"\n')
    assert main(["history", "--config", str(config), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["sessions"]) == 2


def test_an_unknown_id_is_an_error(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "99", "--store", str(store)]) == 1
    assert "no session 99" in capsys.readouterr().err


def test_progress_is_drawn(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "progress.png"
    assert main(["history", "--store", str(store), "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()


def test_without_matplotlib_the_extra_is_named(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["history", "--store", str(store), "--plot", str(tmp_path / "progress.png")]) == 1
    assert "pip install 'spotter[report]'" in capsys.readouterr().err


def test_progress_needs_repetitions_and_a_place_to_be_written(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["history", "--store", str(tmp_path / "none.sqlite"), "--plot", str(tmp_path / "p.png")]) == 1
    assert "No repetitions" in capsys.readouterr().err
    assert main(["history", "--store", str(store), "--plot", str(tmp_path / "none" / "p.png")]) == 1
    assert "can't be written" in capsys.readouterr().err
