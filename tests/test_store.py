import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from device.errors import StoreError
from device.messages import Cue, Deviation, Repetition, SetEnded, SetStarted
from device.runtime.history import read_sessions
from device.runtime.store import SCHEMA_VERSION, SessionStore, connect

S = 1_000_000_000
START = 100 * S


def cue(t_ns: int, kind: str = "correction") -> Cue:
    return Cue(t_ns, 0, kind, "squat", "left_knee", -1, "Knees out", ("knees_out",), -0.2, (2,), 0.6)


def repetition(index: int, *worst: Deviation) -> Repetition:
    start = START + (5 + 2 * index) * S
    return Repetition(start + 2 * S, 0, start, start + 2 * S, "squat", "both", index, worst)


def train(store: SessionStore) -> None:
    store.add(SetStarted(START + 5 * S, 0, "squat"))
    store.add(repetition(0, Deviation("left_knee", -0.2, 0.05), Deviation("left_hip", 0.1, 0.05)))
    store.add(cue(START + 6 * S))
    store.add(repetition(1))
    store.add(SetEnded(START + 12 * S, 0, START + 5 * S, START + 9 * S, "squat", 2))
    store.add(cue(START + 12 * S, "summary"))


def test_a_session_is_read_back_as_it_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "sessions.sqlite"
    store = SessionStore(path)
    assert store.begin("ada", "run", "1.0", START, datetime(2026, 5, 1, 8, 30, tzinfo=UTC)) == 1
    train(store)
    store.end(START + 20 * S)
    store.close()

    (session,) = read_sessions(path)
    assert (session.trainee, session.source, session.bundle, session.status) == ("ada", "run", "1.0", "complete")
    assert datetime.fromisoformat(session.started) == datetime(2026, 5, 1, 8, 30, tzinfo=UTC)
    assert session.duration_ns == 20 * S
    (done,) = session.sets
    assert (done.exercise, done.start_ns, done.end_ns, done.repetitions) == ("squat", 5 * S, 9 * S, 2)
    assert done.joints == (("left_knee", pytest.approx(-0.1)), ("left_hip", pytest.approx(0.05)))
    assert done.worst_rad == pytest.approx(0.1)
    assert [(c.t_ns, c.kind) for c in done.cues] == [(6 * S, "correction"), (12 * S, "summary")]
    assert session.corrections == 1
    assert session.mean_deviation_rad == pytest.approx(0.1)


def test_repetitions_are_there_before_the_session_ends(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    store = SessionStore(path)
    store.begin("ada", "run", "1.0", START)
    store.add(SetStarted(START + 5 * S, 0, "squat"))
    store.add(repetition(0))
    (session,) = read_sessions(path)
    assert (session.status, session.repetitions) == ("open", 1)
    store.close()


def test_a_session_cut_short_is_closed_as_interrupted_at_the_next_open(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    # A process that kills itself in the middle of a set: no destructor, no checkpoint, nothing runs.
    code = f"""
import os, signal
from tests.test_store import *
store = SessionStore({str(path)!r})
store.begin("ada", "run", "1.0", START)
store.add(SetStarted(START + 5 * S, 0, "squat"))
store.add(repetition(0))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    store = SessionStore(path)
    store.begin("ada", "run", "1.0", START)
    first, second = read_sessions(path)
    store.close()
    assert (first.status, first.repetitions, first.duration_ns) == ("interrupted", 1, 7 * S)
    assert second.status == "open"


def test_a_session_that_another_process_is_writing_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    first, second = SessionStore(path), SessionStore(path)
    first.begin("ada", "run", "1.0", START)
    second.begin("bob", "replay", "1.0", START)
    second.end(START + S)
    second.close()
    assert [s.status for s in read_sessions(path)] == ["open", "complete"]
    first.end(START + 2 * S, "stopped")
    first.close()
    assert [s.status for s in read_sessions(path)] == ["stopped", "complete"]


def test_a_wal_cut_at_any_byte_leaves_a_readable_store(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    store = SessionStore(path)
    store.begin("ada", "run", "1.0", START)
    train(store)
    database, wal = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    store.close()
    counts = []
    for size in range(0, len(wal) + 1, 977):
        cut = tmp_path / f"cut-{size}" / "sessions.sqlite"
        cut.parent.mkdir()
        cut.write_bytes(database)
        Path(f"{cut}-wal").write_bytes(wal[:size])
        again = SessionStore(cut)
        again.begin("ada", "run", "1.0", START)
        again.close()
        sessions = read_sessions(cut)
        counts.append(sum(s.repetitions for s in sessions))
        assert all(s.status == "interrupted" for s in sessions[:-1])
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 2)


def test_writes_are_synced_to_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    store = SessionStore(path)
    store.begin("ada", "run", "1.0", START)
    assert store._db is not None
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_a_repetition_without_a_set_opens_one(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    store = SessionStore(path)
    store.begin("ada", "run", "1.0", START)
    store.add(repetition(0))
    store.close()
    assert [(s.exercise, s.repetitions) for s in read_sessions(path)[0].sets] == [("squat", 1)]


def test_nothing_can_be_added_before_begin_and_after_close(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "sessions.sqlite")
    with pytest.raises(StoreError, match="Begin a session"):
        store.add(repetition(0))
    store.begin("ada", "run", "1.0", START)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="Begin a session"):
        store.end(START)


def test_no_file_is_an_empty_history_and_is_not_made(tmp_path: Path) -> None:
    assert read_sessions(tmp_path / "none.sqlite") == []
    assert not (tmp_path / "none.sqlite").exists()


def test_a_file_that_is_just_being_made_is_an_empty_history(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    sqlite3.connect(path).close()
    path.touch()
    assert read_sessions(path) == []


def test_a_file_made_while_it_is_looked_at_is_no_strange_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sessions.sqlite"
    with closing(sqlite3.connect(path)) as empty:
        empty.execute("PRAGMA journal_mode = WAL")
    opened = sqlite3.connect

    class Overtaken(sqlite3.Connection):
        """Another process makes the tables right after this one has asked for the schema's version."""

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            rows = super().execute(sql, *values)
            monkeypatch.setattr(sqlite3, "connect", opened)
            if sql == "PRAGMA user_version":
                connect(path).close()
            return rows

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: opened(*args, **options, factory=Overtaken))
    with closing(connect(path, read_only=True)):
        pass
    assert read_sessions(path) == []


class TestUnusablePaths:
    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match=r"store\.path"):
            SessionStore(tmp_path / "file" / "sessions.sqlite").begin("ada", "run", "1", START)

    def test_a_folder_in_place_of_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"store\.path"):
            SessionStore(tmp_path).begin("ada", "run", "1", START)
        with pytest.raises(StoreError, match="is a folder"):
            read_sessions(tmp_path)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_without_write_permission(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(StoreError, match="may be written"):
            SessionStore(tmp_path / "sessions.sqlite").begin("ada", "run", "1", START)

    def test_something_that_is_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "sessions.sqlite"
        path.write_bytes(b"not a database, whatever its name says" * 100)
        with pytest.raises(StoreError, match="Move the file away"):
            SessionStore(path).begin("ada", "run", "1", START)
        with pytest.raises(StoreError, match="Move the file away"):
            read_sessions(path)

    def test_a_damaged_database(self, tmp_path: Path) -> None:
        path = tmp_path / "sessions.sqlite"
        store = SessionStore(path)
        store.begin("ada", "run", "1.0", START)
        train(store)
        store.close()
        content = bytearray(path.read_bytes())
        content[4096:] = os.urandom(len(content) - 4096)
        path.write_bytes(content)
        with pytest.raises(StoreError, match="damaged"):
            read_sessions(path)

    def test_a_database_of_something_else(self, tmp_path: Path) -> None:
        path = tmp_path / "other.sqlite"
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE music (title)")
        with pytest.raises(StoreError, match="not of Spotter's sessions"):
            SessionStore(path).begin("ada", "run", "1", START)

    def test_a_newer_schema(self, tmp_path: Path) -> None:
        path = tmp_path / "sessions.sqlite"
        store = SessionStore(path)
        store.begin("ada", "run", "1.0", START)
        store.close()
        with sqlite3.connect(path) as db:
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        with pytest.raises(StoreError, match="newer Spotter"):
            SessionStore(path).begin("ada", "run", "1", START)


def test_a_full_disk_is_an_error_that_says_so_and_loses_nothing_kept_before(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    # A limit on the size of files is what a full disk looks like to SQLite: its writes fail half-way.
    code = f"""
import resource
from tests.test_store import *
store = SessionStore({str(path)!r})
store.begin("ada", "run", "1.0", START)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
try:
    for i in range(1000):
        store.add(repetition(i, Deviation("left_knee", 0.1, 0.1)))
except StoreError as error:
    print(i, error)
store.close()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=True, capture_output=True, text=True)
    kept, _, message = done.stdout.partition(" ")
    assert "disk" in message
    assert 0 < int(kept) < 1000
    assert read_sessions(path)[0].repetitions == int(kept)
