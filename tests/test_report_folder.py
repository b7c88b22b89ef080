"""The output folder is tried out before anything is written; one test body for a replay's and a demo's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from device.demo.folder import DemoFolder
from device.errors import StoreError
from device.report import folder as module
from device.report.folder import ReportFolder

RUNNING = {"status": "running", "seed": 7}


@pytest.fixture(params=[ReportFolder, DemoFolder])
def kind(request: pytest.FixtureRequest) -> type[ReportFolder]:
    return request.param


def test_a_new_folder_says_that_it_is_at_work(kind: type[ReportFolder], tmp_path: Path) -> None:
    folder = kind(tmp_path / "a" / "b")
    folder.prepare(RUNNING)
    assert json.loads(folder.result.read_text()) == RUNNING
    assert folder.listing() == f"{tmp_path}/a/b:"


def test_an_earlier_report_is_replaced_and_foreign_files_in_it_stay(kind: type[ReportFolder], tmp_path: Path) -> None:
    folder = kind(tmp_path)
    folder.prepare(RUNNING)
    old = [folder.film, folder.voice, folder.plot(3, "squat")]
    if isinstance(folder, DemoFolder):
        folder.recording.mkdir()
        old += [folder.store, folder.recording / "session.rec"]
    foreign = [tmp_path / "notes.txt", tmp_path / "film of last year.mp4"]
    for file in (*old, *foreign):
        file.write_text("old")
    assert [line.split() for line in folder.listing(("more", "of it")).splitlines()[1:]] == [
        ["film", "film.mp4"],
        ["voice", "voice.wav"],
        ["1", "set", "set-*.png"],
        ["more", "of", "it"],
    ]
    kind(tmp_path).prepare(RUNNING)
    assert [file for file in old if file.exists()] == []
    assert [file.read_text() for file in foreign] == ["old", "old"]


def test_a_folder_with_other_files_is_left_alone(kind: type[ReportFolder], tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("my holidays")
    with pytest.raises(StoreError, match="holds files"):
        kind(tmp_path).prepare(RUNNING)
    assert (tmp_path / "film.mp4").read_text() == "my holidays"


def test_a_demo_is_not_replaced_by_a_replay_of_it(tmp_path: Path) -> None:
    DemoFolder(tmp_path).prepare(RUNNING)
    with pytest.raises(StoreError, match="holds files"):
        ReportFolder(tmp_path).prepare(RUNNING)


def test_a_file_in_the_place_of_the_folder_is_named(kind: type[ReportFolder], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(StoreError, match="out: can't be written"):
        kind(tmp_path / "out").prepare(RUNNING)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(kind: type[ReportFolder], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="can't be written"):
        kind(tmp_path / "out").prepare(RUNNING)


def test_a_folder_in_a_place_where_nothing_can_be_made_is_named(kind: type[ReportFolder]) -> None:
    with pytest.raises(StoreError, match="/proc/spotter: can't be written"):
        kind(Path("/proc/spotter")).prepare(RUNNING)


def test_a_full_disk_is_found_before_the_start(kind: type[ReportFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(StoreError, match="free on its disk"):
        kind(tmp_path).prepare(RUNNING)


def test_a_result_that_cannot_be_written_leaves_the_one_before(kind: type[ReportFolder], tmp_path: Path) -> None:
    folder = kind(tmp_path)
    folder.prepare(RUNNING)
    folder.result.with_suffix(".new").mkdir()
    with pytest.raises(StoreError, match="can't be written"):
        folder.write_result({"status": "complete"})
    assert json.loads(folder.result.read_text()) == RUNNING
