"""Power cuts at any byte of the session store."""

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from device.sim.faults.crashing_disk import DiskRecorder, Made, Synced, Truncated, Written, left_after_cut
from device.sim.faults.power_cut import Recording, cut, record, workload


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(workload(0, sessions=3, sets=2, repetitions=6))


def test_every_cut_leaves_a_store_that_opens_with_all_that_was_committed(recording: Recording) -> None:
    found = list(cut(recording, 50, seed=1))
    assert len(found) == 50
    assert [one.problem for one in found if not one.ok] == []
    # The cuts fall all over the session, not on one spot.
    assert len({one.event for one in found}) > 30


def test_a_disk_that_lies_about_syncing_loses_what_was_committed(recording: Recording) -> None:
    deaf = tuple(Written(e.file, 0, b"") if isinstance(e, Synced) else e for e in recording.events)
    found = list(cut(dataclasses.replace(recording, events=deaf), 50, seed=1))
    assert sum(one.ok for one in found) < 25
    assert any("steps were committed" in one.problem for one in found)


def test_the_same_seed_cuts_at_the_same_bytes(recording: Recording) -> None:
    assert list(cut(recording, 5, seed=2)) == list(cut(recording, 5, seed=2))


def test_what_was_synced_is_there_and_of_the_rest_any_part_may_be() -> None:
    events = [Made(0, "a"), Written(0, 0, b"safe"), Synced(0, True), Written(0, 4, b"maybe"), Truncated(0, 2)]
    left = {left_after_cut(events, 4, 0, np.random.default_rng(i))["a"] for i in range(200)}
    assert all(content.startswith(b"safe") for content in left)
    assert {b"safe", b"safema", b"safemaybe"} <= left
    shortened = {left_after_cut(events, 5, 0, np.random.default_rng(i))["a"] for i in range(200)}
    assert b"sa" in shortened
    assert b"safemaybe" in shortened


def test_a_new_file_is_sure_only_once_its_folder_was_synced() -> None:
    events = [Made(0, "a"), Written(0, 0, b"x"), Synced(0, False), Made(1, "b"), Synced(1, True)]
    assert {frozenset(left_after_cut(events, 3, 0, np.random.default_rng(i))) for i in range(50)} == {frozenset(), frozenset("a")}
    assert set(left_after_cut(events, 5, 0, np.random.default_rng(0))) == {"a", "b"}


def test_a_full_disk_is_sqlites_own_error_and_passes(tmp_path: Path) -> None:
    disk = DiskRecorder(tmp_path, kept=False)
    with disk.recording(), closing(sqlite3.connect(tmp_path / "db")) as db:
        db.execute("CREATE TABLE t (x)")
        disk.full = True
        with pytest.raises(sqlite3.OperationalError, match="full"), db:
            db.execute("INSERT INTO t VALUES (1)")
        disk.full = False
        with db:
            db.execute("INSERT INTO t VALUES (2)")
        assert db.execute("SELECT x FROM t").fetchall() == [(2,)]
    assert disk.events == []


def test_other_folders_are_not_noted(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    disk = DiskRecorder(watched)
    with disk.recording(), closing(sqlite3.connect(tmp_path / "db")) as db, db:
        db.execute("CREATE TABLE t (x)")
    assert disk.events == []
