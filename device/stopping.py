"""Ctrl-C and SIGTERM: they end a command as an exception, and a session between two steps rather than in the middle of one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came: like Ctrl-C, but with an exit status of its own."""


def terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Handler of SIGTERM. Raises Terminated; a second SIGTERM must not interrupt what is being saved."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


@contextmanager
def between_steps() -> Iterator[Callable[[], None]]:
    """Inside, the first Ctrl-C or SIGTERM is raised by the function that is handed out, whenever that is called next.

    A cue that is being said and a repetition that is being written are finished first. A second signal is raised at once: the
    step may be what hangs. Only the main thread may enter.
    """
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    def check() -> None:
        if came:
            # What follows is the saving, and no second SIGTERM may cut it short. A second Ctrl-C may: somebody insists.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise Terminated if came[0] == signal.SIGTERM else KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield check
    finally:
        if not came:
            for each, handler in before.items():
                signal.signal(each, handler)
