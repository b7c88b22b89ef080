"""Opening and closing devices can take seconds, or for ever; it is done beside the loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

T = TypeVar("T")


class Background(Protocol):
    """Where a job is done. What it raises is in the future; other than `Exception` goes through."""

    def submit(self, job: Callable[[], T]) -> Future[T]: ...


class Inline:
    """Done at once, before `submit` returns: for simulated time."""

    def submit(self, job: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        _do(job, future)
        return future


class Threads:
    """A daemon thread for each job: one that never ends keeps neither the loop nor the end of the process."""

    def submit(self, job: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        threading.Thread(target=_do, args=(job, future), name="background", daemon=True).start()
        return future


def within(background: Background, job: Callable[[], object], seconds: float) -> bool:
    """Whether `job` is done within `seconds`; one that takes longer is left to itself. Raises what it raises."""
    try:
        background.submit(job).result(seconds)
    except TimeoutError:
        return False
    return True


def _do(job: Callable[[], T], future: Future[T]) -> None:
    try:
        result = job()
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(result)
