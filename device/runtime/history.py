"""Past sessions, read from the store without disturbing the one that may be running."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from device.errors import StoreError
from device.runtime.store import connect, translated


@dataclass(frozen=True, slots=True)
class PastCue:
    """`t_ns` since the session's start; `kind`: correction, praise or summary."""

    t_ns: int
    kind: str
    joint: str
    sign: int
    text: str


@dataclass(frozen=True, slots=True)
class PastSet:
    """`worst_rad`: mean over the repetitions of the largest deviation. `joints`: (joint, mean signed rad), largest first.

    Times in ns since the session's start; `end_ns` is None where no repetition was completed.
    """

    exercise: str
    start_ns: int
    end_ns: int | None
    repetitions: int
    worst_rad: float
    joints: tuple[tuple[str, float], ...]
    cues: tuple[PastCue, ...]


@dataclass(frozen=True, slots=True)
class PastSession:
    """`started`: ISO 8601 with offset. `status`: open, complete, stopped or interrupted. `sets` in order."""

    id: int
    trainee: str
    source: str
    bundle: str
    started: str
    duration_ns: int | None
    status: str
    sets: tuple[PastSet, ...]

    @property
    def repetitions(self) -> int:
        return sum(s.repetitions for s in self.sets)

    @property
    def corrections(self) -> int:
        return sum(cue.kind == "correction" for s in self.sets for cue in s.cues)

    @property
    def mean_deviation_rad(self) -> float | None:
        """Mean over all repetitions of the largest deviation; None without repetitions."""
        return mean_deviation_rad(self.sets)


def mean_deviation_rad(sets: Iterable[PastSet]) -> float | None:
    """Mean over the repetitions of `sets` of the largest deviation; None without repetitions."""
    done = [s for s in sets if s.repetitions]
    if not done:
        return None
    return sum(s.worst_rad * s.repetitions for s in done) / sum(s.repetitions for s in done)


def read_sessions(path: Path | str, session: int | None = None) -> list[PastSession]:
    """All sessions of the store at `path`, oldest first, or the one with id `session`; none where there is no file.

    Raises StoreError: not a readable session store.
    """
    file = Path(path).expanduser()
    with translated(file):
        if not file.exists():
            return []
        if file.is_dir():
            raise StoreError(f"{file}: is a folder. Give the database file as store.path.")
        db = connect(file, read_only=True)
        try:
            if db.execute("PRAGMA user_version").fetchone() == (0,):
                # It is being made by another process right now.
                return []
            where, values = ("", ()) if session is None else ("WHERE id = ?", (session,))
            rows = db.execute(
                f"SELECT id, trainee, source, bundle, started, duration_ns, status FROM sessions {where} ORDER BY id", values
            ).fetchall()
            return [
                PastSession(key, trainee, source, bundle, started, duration_ns, status, _sets(db, key))
                for key, trainee, source, bundle, started, duration_ns, status in rows
            ]
        finally:
            db.close()


def _sets(db: sqlite3.Connection, session: int) -> tuple[PastSet, ...]:
    rows = db.execute(
        "SELECT id, exercise, start_ns, end_ns, repetitions FROM sets WHERE session = ? ORDER BY id", (session,)
    ).fetchall()
    return tuple(
        PastSet(exercise, start, end, repetitions, _worst(db, key, repetitions), _joints(db, key, repetitions), _cues(db, key))
        for key, exercise, start, end, repetitions in rows
    )


def _worst(db: sqlite3.Connection, key: int, repetitions: int) -> float:
    total = db.execute(
        "SELECT total(worst) FROM (SELECT max(abs(deviation_rad)) AS worst FROM deviations JOIN reps ON reps.id = rep "
        'WHERE "set" = ? GROUP BY rep)',
        (key,),
    ).fetchone()[0]
    return float(total) / max(repetitions, 1)


def _joints(db: sqlite3.Connection, key: int, repetitions: int) -> tuple[tuple[str, float], ...]:
    rows = db.execute(
        'SELECT joint, total(deviation_rad) FROM deviations JOIN reps ON reps.id = rep WHERE "set" = ? GROUP BY joint '
        "ORDER BY abs(total(deviation_rad)) DESC, joint",
        (key,),
    ).fetchall()
    return tuple((joint, total / max(repetitions, 1)) for joint, total in rows)


def _cues(db: sqlite3.Connection, key: int) -> tuple[PastCue, ...]:
    rows = db.execute('SELECT t_ns, kind, joint, sign, text FROM cues WHERE "set" = ? ORDER BY id', (key,)).fetchall()
    return tuple(PastCue(*row) for row in rows)
