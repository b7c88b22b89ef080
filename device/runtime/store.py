"""Sessions in SQLite: what was done, how well, and what was said about it.

Every repetition and set is committed as it happens and synced to the disk (WAL, synchronous=FULL), so a power cut
loses at most the repetition in progress. Times are ns since the session's start.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from device.errors import StoreError
from device.messages import Cue, Repetition, SetEnded, SetStarted

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    id INTEGER PRIMARY KEY, trainee TEXT NOT NULL, source TEXT NOT NULL, bundle TEXT NOT NULL,
    started TEXT NOT NULL, start_ns INTEGER NOT NULL, duration_ns INTEGER, status TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS sets (
    id INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES sessions(id), exercise TEXT NOT NULL,
    start_ns INTEGER NOT NULL, end_ns INTEGER, repetitions INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS reps (
    id INTEGER PRIMARY KEY, "set" INTEGER NOT NULL REFERENCES sets(id), "index" INTEGER NOT NULL, variant TEXT NOT NULL,
    start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS deviations (
    rep INTEGER NOT NULL REFERENCES reps(id), joint TEXT NOT NULL, deviation_rad REAL NOT NULL, sigma_rad REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS cues (
    id INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES sessions(id), "set" INTEGER REFERENCES sets(id),
    t_ns INTEGER NOT NULL, kind TEXT NOT NULL, exercise TEXT NOT NULL, joint TEXT NOT NULL, sign INTEGER NOT NULL,
    text TEXT NOT NULL, deviation_rad REAL NOT NULL, intensity REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS sets_of_session ON sets(session);
CREATE INDEX IF NOT EXISTS reps_of_set ON reps("set");
CREATE INDEX IF NOT EXISTS deviations_of_rep ON deviations(rep);
CREATE INDEX IF NOT EXISTS cues_of_session ON cues(session);
"""


class SessionStore:
    """Writes one session at a time. `begin` opens the database and the session, `end` completes it.

    Several processes may write to one database. A session that its process left unfinished (a power cut, SIGKILL) is
    closed as interrupted by the next process that opens the database alone. `patience_s`: how long a database that another
    process has locked is waited for. One thread at a time may use it. All methods raise StoreError; what one of them was to write
    is then not in the database at all, and can be written again after `resume`.
    """

    def __init__(self, path: Path | str, *, patience_s: float = 5.0) -> None:
        self._path = Path(path).expanduser()
        self._patience_s = patience_s
        self._db: sqlite3.Connection | None = None
        self._lock: IO[bytes] | None = None
        self._session = 0
        self._identity = ("", "", "", "")
        self._start_ns = 0
        self._set: int | None = None
        self._last_set: int | None = None
        self._repetitions = 0

    def begin(self, trainee: str, source: str, bundle: str, start_ns: int, started: datetime | None = None) -> int:
        """Open the database, making it and its folder where absent, and a session in it. Returns its id.

        `start_ns` is the host monotonic time that corresponds to `started`, the time of day (now where None).
        """
        when = (started or datetime.now(UTC)).astimezone().isoformat(timespec="seconds")
        self._identity, self._start_ns = (trainee, source, bundle, when), start_ns
        self._session = 0
        return self.resume()

    @property
    def begun(self) -> bool:
        """Whether the session is in a database."""
        return self._session > 0

    def resume(self) -> int:
        """Open the database again after it failed or `begin` did, and go on with the session, in the same set. Returns its id.

        Where the database has no such session (it is another disk, or was moved away), the session begins anew in it.
        """
        if not self._identity[3]:
            raise StoreError(f"{self._path}: no session was begun. Begin one before going on with it.")
        self.close()
        with translated(self._path):
            self._open()
            try:
                with self._writing() as db:
                    known = db.execute(
                        "UPDATE sessions SET status = 'open', duration_ns = NULL WHERE id = ? AND start_ns = ? AND started = ?",
                        (self._session, self._start_ns, self._identity[3]),
                    )
                    if known.rowcount == 0:
                        added = db.execute(
                            "INSERT INTO sessions (trainee, source, bundle, started, start_ns, status) "
                            "VALUES (?, ?, ?, ?, ?, 'open')",
                            (*self._identity, self._start_ns),
                        )
            except BaseException:
                self.close()
                raise
        if known.rowcount == 0:
            self._session = _id(added)
            self._set = self._last_set = None
        return self._session

    def add(self, message: SetStarted | Repetition | SetEnded | Cue) -> None:
        """Keep one message; it is on the disk when this returns."""
        before = (self._set, self._last_set, self._repetitions)
        try:
            self._add(message)
        except BaseException:
            # Nothing of it was committed.
            self._set, self._last_set, self._repetitions = before
            raise

    def _add(self, message: SetStarted | Repetition | SetEnded | Cue) -> None:
        with translated(self._path), self._writing() as db:
            match message:
                case SetStarted():
                    self._start_set(db, message.exercise, message.t_ns)
                case Repetition():
                    self._add_repetition(db, message)
                case SetEnded():
                    self._end_set(db, message)
                case Cue():
                    self._add_cue(db, message)

    def end(self, now_ns: int, status: str = "complete") -> None:
        """Complete the session with how it ended: complete, stopped or interrupted."""
        with translated(self._path), self._writing() as db:
            db.execute(
                "UPDATE sessions SET duration_ns = ?, status = ? WHERE id = ?",
                (max(now_ns - self._start_ns, 0), status, self._session),
            )

    def close(self) -> None:
        """Close the database; closing twice is harmless."""
        try:
            if self._db is not None:
                with translated(self._path):
                    self._db.close()
        finally:
            self._db = None
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = self._path.with_name(self._path.name + ".lock").open("ab")
        try:
            alone = _locked(self._lock)
            self._db = connect(self._path, patience_s=self._patience_s)
            if alone:
                with self._writing() as db:
                    _close_unfinished(db)
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if self._db is None:
            raise StoreError(f"{self._path}: the session store is closed. Begin a session first.")
        with self._db:
            yield self._db

    def _start_set(self, db: sqlite3.Connection, exercise: str, start_ns: int) -> None:
        added = db.execute(
            "INSERT INTO sets (session, exercise, start_ns, repetitions) VALUES (?, ?, ?, 0)",
            (self._session, exercise, start_ns - self._start_ns),
        )
        self._set = self._last_set = _id(added)
        self._repetitions = 0

    def _add_repetition(self, db: sqlite3.Connection, rep: Repetition) -> None:
        if self._set is None:
            self._start_set(db, rep.exercise, rep.start_ns)
        added = db.execute(
            'INSERT INTO reps ("set", "index", variant, start_ns, end_ns) VALUES (?, ?, ?, ?, ?)',
            (self._set, rep.index, rep.variant, rep.start_ns - self._start_ns, rep.end_ns - self._start_ns),
        )
        db.executemany(
            "INSERT INTO deviations (rep, joint, deviation_rad, sigma_rad) VALUES (?, ?, ?, ?)",
            [(_id(added), d.joint, float(d.deviation_rad), float(d.sigma_rad)) for d in rep.worst],
        )
        self._repetitions += 1
        db.execute(
            "UPDATE sets SET repetitions = ?, end_ns = ? WHERE id = ?",
            (self._repetitions, rep.end_ns - self._start_ns, self._set),
        )

    def _end_set(self, db: sqlite3.Connection, ended: SetEnded) -> None:
        db.execute(
            "UPDATE sets SET start_ns = ?, end_ns = ?, repetitions = ? WHERE id = ?",
            (ended.start_ns - self._start_ns, ended.end_ns - self._start_ns, ended.repetitions, self._set),
        )
        self._set = None

    def _add_cue(self, db: sqlite3.Connection, cue: Cue) -> None:
        # The summary is said after its set has ended; it still belongs to that set.
        where = self._set if self._set is not None else self._last_set
        values = (self._session, where, cue.t_ns - self._start_ns, cue.kind, cue.exercise, cue.joint, cue.sign, cue.text)
        db.execute(
            'INSERT INTO cues (session, "set", t_ns, kind, exercise, joint, sign, text, deviation_rad, intensity) '
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, float(cue.deviation_rad), float(cue.intensity)),
        )


def connect(path: Path, *, read_only: bool = False, patience_s: float = 5.0) -> sqlite3.Connection:
    """The database at `path` with its schema; made where absent unless `read_only`. A lock of another process is waited for
    `patience_s`. Raises sqlite3.Error, StoreError."""
    if read_only:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=patience_s)
    else:
        # It is opened beside the session's loop and handed over: one thread at a time, not always the same.
        db = sqlite3.connect(path, timeout=patience_s, check_same_thread=False)
    try:
        if not read_only:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
        version, tables = _layout(db)
        if version == 0 and tables == 0 and not read_only:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version == 0 and tables:
            raise StoreError(f"{path}: a database, but not of Spotter's sessions. Give another file as store.path.")
        elif version > SCHEMA_VERSION:
            raise StoreError(
                f"{path}: written by a newer Spotter (schema {version}, this one knows {SCHEMA_VERSION}). "
                "Update Spotter or give another file as store.path."
            )
    except BaseException:
        db.close()
        raise
    return db


def _layout(db: sqlite3.Connection) -> tuple[int, int]:
    """Schema version and number of tables of one moment: another process may be making them right now."""
    db.execute("BEGIN")
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    finally:
        db.rollback()
    return int(version), int(tables)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into a StoreError that says what to do about `path`."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise StoreError(
            f"{path}: the session store can't be used ({error}). "
            "See that the disk has space and the folder may be written, or give another file as store.path."
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path}: not a session store, or damaged ({error}). Move the file away and a new one is made, "
            "or give another file as store.path."
        ) from error


def _close_unfinished(db: sqlite3.Connection) -> None:
    db.execute(
        "UPDATE sessions SET status = 'interrupted', duration_ns = (SELECT max(end_ns) FROM sets WHERE session = sessions.id) "
        "WHERE status = 'open'"
    )


def _locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _id(added: sqlite3.Cursor) -> int:
    if added.lastrowid is None:
        raise sqlite3.DatabaseError("a row was not added")
    return added.lastrowid
