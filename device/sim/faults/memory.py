"""Memory pressure on a core in a process of its own: `python -m device.sim.faults.memory` prints what became of it as JSON.

Real: the core, its model, its store, and the kernel's refusal. The process's address space is limited to what it has, less all
but `LEFT_BYTES` that a ballast takes, as on an appliance on which something else has eaten the memory.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from device.config import Config
from device.messages import NS_PER_S, Repetition, Sensed
from device.runtime.history import read_sessions
from device.runtime.live import build_core, play
from device.runtime.session import Heard, Session, StoreSink
from device.runtime.store import SessionStore
from device.sim_clock.session import sensed_session

LEFT_BYTES = 4 << 20
PRESSED_S = (20.0, 30.0)
"""Into a session of some 45 s, during its set."""


class _Counter:
    def __init__(self) -> None:
        self.repetitions = 0

    def receive(self, message: Heard) -> None:
        self.repetitions += isinstance(message, Repetition)

    def close(self) -> None:
        """Nothing to give back."""


@contextlib.contextmanager
def pressed(left_bytes: int = LEFT_BYTES) -> Iterator[int]:
    """No more than `left_bytes` can be had beyond what is in use. Gives the ballast's size (bytes)."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    ballast: list[bytearray] = []
    resource.setrlimit(resource.RLIMIT_AS, (used + 64 * left_bytes, before[1]))
    size = 8 * left_bytes
    while size >= left_bytes:
        try:
            ballast.append(bytearray(size))
        except MemoryError:
            size //= 2
    with contextlib.suppress(IndexError):
        ballast.pop()
    try:
        yield sum(map(len, ballast))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def main(arguments: list[str]) -> int:
    """A session with pressure in its middle; `arguments`: the seed."""
    sensed = sensed_session(int(arguments[0]) if arguments else 0, "squat")
    counter = _Counter()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.sqlite"
        store = SessionStore(path)
        store.begin("trainee", "memory pressure", "1", 0)
        with Session(build_core(Config(), 0), [StoreSink(store), counter]) as session:
            seen = _Steps(session)
            before, during, after = _parts(sensed.messages())
            seen.play(before)
            with pressed() as ballast:
                seen.play(during)
            seen.play(after)
        kept = read_sessions(path)[0]
    found = {
        "ballast_bytes": ballast,
        "failure": seen.failure,
        "detected_s": seen.failed_s,
        "longest_step_s": round(seen.longest_s, 4),
        "true_repetitions": sum(len(done.repetitions) for done in sensed.trainee.sets),
        "counted_repetitions": counter.repetitions,
        "stored_repetitions": kept.repetitions,
        "status": kept.status,
    }
    print(json.dumps(found))
    return 0


class _Steps:
    """Plays messages, and notes the longest step, and the first refusal of memory: what it said, and how far into a part (s)."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.failure = ""
        self.failed_s: float | None = None
        self.longest_s = 0.0

    def play(self, messages: list[Sensed]) -> None:
        for message in messages:
            began_s = time.monotonic()
            try:
                for _ in play(self._session, [message]):
                    pass
            except MemoryError as error:
                self.failure = self.failure or f"MemoryError {error}".strip()
                self.failed_s = self.failed_s or (message.t_ns - messages[0].t_ns) / NS_PER_S
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)


def _parts(messages: Iterable[Sensed]) -> tuple[list[Sensed], list[Sensed], list[Sensed]]:
    """Those before, during and after the pressure."""
    first_ns, last_ns = (round(s * NS_PER_S) for s in PRESSED_S)
    parts: tuple[list[Sensed], list[Sensed], list[Sensed]] = ([], [], [])
    for message in messages:
        parts[(message.t_ns >= first_ns) + (message.t_ns >= last_ns)].append(message)
    return parts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
