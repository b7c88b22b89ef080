"""How a benchmark tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What the `measure(args, progress)` of every module of `spotter bench` is handed."""

    def begin(self, steps: int, name: str) -> None:
        """`steps` are to come; the first is `name`."""

    def step(self, name: str = "") -> None:
        """One more is done; the next is `name`, or still the same kind where that is empty."""
