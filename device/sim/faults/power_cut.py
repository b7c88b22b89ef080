"""Power cuts at any byte of the session store: is everything there that was committed, and does the file open?

Real: `SessionStore`, SQLite and its recovery. Modelled: the disk (`crashing_disk`).
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from device.errors import StoreError
from device.messages import NS_PER_S, Cue, Deviation, Repetition, SetEnded, SetStarted
from device.runtime.store import SessionStore, connect
from device.sim.faults.crashing_disk import DiskRecorder, Event, left_after_cut, size_of

STARTED = datetime(2026, 1, 1, 12, tzinfo=UTC)
FILE = "sessions.sqlite"
_TABLES = ("sets", "reps", "deviations", "cues")

Step = Callable[[SessionStore], object]
Snapshot = bytes
"""Digest of all rows of a store, sessions that were left open taken for interrupted."""


def workload(seed: int, sessions: int = 3, sets: int = 4, repetitions: int = 12) -> list[Step]:
    """What an appliance writes in some sessions; each step returns once it is committed. The last but one session is never
    ended."""
    rng = np.random.default_rng((seed, 1))
    steps: list[Step] = []
    for session in range(sessions):
        now_ns = session * NS_PER_S
        steps.append(partial(_begin, session, now_ns))
        for _ in range(sets):
            messages = list(_set(rng, now_ns, repetitions))
            steps += [partial(_add, message) for message in messages]
            now_ns = messages[-1].t_ns
        if session != sessions - 2:
            steps.append(partial(_end, now_ns + NS_PER_S))
        steps.append(SessionStore.close)
    return steps


def _begin(number: int, start_ns: int, store: SessionStore) -> None:
    store.begin(f"trainee {number}", "power cut", "1", start_ns, STARTED)


def _add(message: SetStarted | Repetition | SetEnded | Cue, store: SessionStore) -> None:
    store.add(message)


def _end(now_ns: int, store: SessionStore) -> None:
    store.end(now_ns)


def _set(rng: np.random.Generator, start_ns: int, repetitions: int) -> Iterator[SetStarted | Repetition | SetEnded | Cue]:
    t_ns = first_ns = start_ns + 5 * NS_PER_S
    yield SetStarted(t_ns, 0, "squat")
    for index in range(1, repetitions + 1):
        before_ns, t_ns = t_ns, t_ns + round(float(rng.uniform(1.5, 3.0)) * NS_PER_S)
        worst = tuple(Deviation(f"left_knee_{i}", float(rng.normal(0, 0.2)), 0.05) for i in range(int(rng.integers(1, 5))))
        yield Repetition(t_ns, 0, before_ns, t_ns, "squat", "both", index, worst)
        if rng.random() < 0.3:
            yield Cue(t_ns, 0, "correction", "squat", "left_knee", 1, "Left knee out.", ("left_knee_out",), 0.2, (2,), 0.5)
    yield SetEnded(t_ns, 0, first_ns, t_ns, "squat", repetitions)
    yield Cue(t_ns + NS_PER_S, 0, "summary", "squat", "", 0, f"{repetitions} squats.", ("squats",), 0.0, (), 0.0)


@dataclass(frozen=True, slots=True)
class Recording:
    """`committed`: how many events there had been when each step returned. `snapshots`: the rows before the first step and after
    each."""

    events: tuple[Event, ...]
    committed: tuple[int, ...]
    snapshots: tuple[Snapshot, ...]


@dataclass(frozen=True, slots=True)
class Reopened:
    """One cut. `opens`: the store opens and takes a new session. `complete`: every committed row is there, and nothing but the
    step in progress besides. `problem`: what is wrong, empty where nothing is. `opened_s`: how long opening took."""

    event: int
    opens: bool
    complete: bool
    problem: str
    opened_s: float = field(default=0.0, compare=False)

    @property
    def ok(self) -> bool:
        return self.opens and self.complete


def record(steps: Sequence[Step]) -> Recording:
    """Do `steps` on a store on the disk that notes everything."""
    snapshots = [_digest([])]
    with TemporaryDirectory() as plain:
        path = Path(plain) / FILE
        store = SessionStore(path)
        for step in steps:
            step(store)
            snapshots.append(_snapshot(path))
        store.close()
    with TemporaryDirectory() as watched:
        recorder = DiskRecorder(Path(watched))
        store = SessionStore(Path(watched) / FILE)
        committed: list[int] = []
        with recorder.recording(), closing(store):
            for step in steps:
                step(store)
                committed.append(len(recorder.events))
    return Recording(tuple(recorder.events), tuple(committed), tuple(snapshots))


def cut(recording: Recording, count: int, seed: int, on_cut: Callable[[int], None] = lambda _n: None) -> Iterator[Reopened]:
    """Lose power at `count` random bytes of everything that was written, and open what is left."""
    ends = list(accumulate(size_of(event) for event in recording.events))
    rng = np.random.default_rng((seed, 2))
    with TemporaryDirectory() as scratch:
        for i in range(count):
            at = int(rng.integers(0, ends[-1]))
            done = bisect.bisect_right(ends, at)
            part = at - (ends[done - 1] if done else 0)
            folder = Path(scratch) / str(i)
            folder.mkdir()
            for name, content in left_after_cut(recording.events, done, part, rng).items():
                (folder / name).write_bytes(content)
            # The index of the WAL is never synced: anything may be in it.
            (folder / f"{FILE}-shm").write_bytes(rng.bytes(32768))
            yield _reopened(folder / FILE, recording, done)
            shutil.rmtree(folder)
            on_cut(i + 1)


def _reopened(path: Path, recording: Recording, done: int) -> Reopened:
    returned = bisect.bisect_right(recording.committed, done)
    try:
        store = SessionStore(path)
        with contextlib.closing(store):
            began_s = time.monotonic()
            session = store.begin("after", "the cut", "1", 0, STARTED)
            opened_s = time.monotonic() - began_s
            store.add(SetStarted(NS_PER_S, 0, "lunge"))
        found = _snapshot(path, before=session)
    except (StoreError, sqlite3.Error) as error:
        return Reopened(done, False, False, str(error))
    if found not in recording.snapshots[returned : returned + 2]:
        which = recording.snapshots.index(found) if found in recording.snapshots else None
        return Reopened(done, True, False, f"{returned} steps were committed, the rows are those after {which}")
    return Reopened(done, True, True, "", opened_s)


def _snapshot(path: Path, before: int | None = None) -> Snapshot:
    """`before`: only sessions with a smaller id."""
    with closing(connect(path, read_only=True)) as db:
        last = before if before is not None else 1 << 60
        rows: list[tuple[object, ...]] = []
        for session in db.execute("SELECT * FROM sessions WHERE id < ? ORDER BY id", (last,)):
            *about, duration_ns, status = session
            if status == "open":
                status = "interrupted"
                (duration_ns,) = db.execute("SELECT max(end_ns) FROM sets WHERE session = ?", (about[0],)).fetchone()
            rows.append((*about, duration_ns, status))
        for table in _TABLES:
            owned = {"sets": "session", "cues": "session"}.get(table)
            where = f" WHERE {owned} < {last}" if owned else ""
            rows += db.execute(f"SELECT * FROM {table}{where} ORDER BY rowid").fetchall()
        return _digest(rows)


def _digest(rows: Sequence[tuple[object, ...]]) -> Snapshot:
    return hashlib.sha256(repr(rows).encode()).digest()
