"""The output folder is tried out before anything starts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from device.demo import folder as module
from device.demo.folder import prepare_folder
from device.errors import StoreError


def test_a_new_folder_says_that_it_is_a_running_demo(tmp_path: Path) -> None:
    folder = prepare_folder(tmp_path / "a" / "b", 7)
    assert json.loads(folder.summary.read_text()) == {"status": "running", "seed": 7}


def test_an_earlier_demo_is_replaced_and_foreign_files_in_it_stay(tmp_path: Path) -> None:
    folder = prepare_folder(tmp_path, 1)
    folder.recording.mkdir()
    old = [folder.film, folder.voice, folder.store, folder.plot(3, "squat"), folder.recording / "session.rec"]
    for file in (*old, tmp_path / "notes.txt"):
        file.write_text("old")
    prepare_folder(tmp_path, 2)
    assert [file for file in old if file.exists()] == []
    assert (tmp_path / "notes.txt").read_text() == "old"


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("my holidays")
    with pytest.raises(StoreError, match="holds files"):
        prepare_folder(tmp_path, 1)
    assert (tmp_path / "film.mp4").read_text() == "my holidays"


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(StoreError, match="out: can't be written"):
        prepare_folder(tmp_path / "out", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="can't be written"):
        prepare_folder(tmp_path / "out", 1)


def test_a_folder_in_a_place_where_nothing_can_be_made_is_named() -> None:
    with pytest.raises(StoreError, match="/proc/spotter: can't be written"):
        prepare_folder(Path("/proc/spotter"), 1)


def test_a_full_disk_is_found_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(StoreError, match="free on its disk"):
        prepare_folder(tmp_path, 1)


def test_a_summary_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    folder = prepare_folder(tmp_path, 1)
    folder.summary.with_suffix(".new").mkdir()
    with pytest.raises(StoreError, match="can't be written"):
        folder.write_summary({"status": "complete"})
    assert json.loads(folder.summary.read_text())["status"] == "running"
