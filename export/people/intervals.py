"""How far the figures of recorded people depend on who happened to be recorded: bootstrap over people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from device.rows import Row
from export.people.figures import ROWS, ghost_rows, strangers
from export.people.watch import Seen

Intervals = dict[str, tuple[float, float]]
"""Lowest and highest value by the row's name."""

DRAWS = 500
COVERED = 0.9
"""Share of the draws that an interval holds."""
FEWEST = 5
"""A set of fewer people than this says nothing of others."""


def intervals(seen: Sequence[Seen], *, draws: int = DRAWS, seed: int = 0) -> Intervals:
    """What each figure might have been with as many other people like these: of each set people are drawn anew, with all of their
    clips, some several times, others not at all (Efron, "Bootstrap methods: another look at the jackknife", 1979). Two bundles
    whose figures lie within each other's interval are not told apart by that set. A set of fewer than five people has none; the
    ghosts of all sets together are everybody's."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {}
    people: dict[str, dict[str, list[Seen]]] = {name: {} for name in ROWS}
    for one in strangers(seen):
        people[one.source].setdefault(one.subject, []).append(one)
    for _ in range(draws):
        everybody: list[Seen] = []
        for name, rows in ROWS.items():
            drawn = _drawn(rng, list(people[name].values()))
            everybody += drawn
            if len(people[name]) >= FEWEST:
                _add(found, rows, drawn)
        _add(found, ghost_rows, everybody)
    edges = ((1 - COVERED) / 2, (1 + COVERED) / 2)
    spread = {name: np.quantile(values, edges) for name, values in found.items() if len(values) == draws}
    return {name: (float(low), float(high)) for name, (low, high) in spread.items()}


def _drawn(rng: np.random.Generator, people: Sequence[Sequence[Seen]]) -> list[Seen]:
    return [one for i in rng.integers(len(people), size=len(people)) for one in people[i]] if people else []


def _add(found: dict[str, list[float]], rows: Callable[[Sequence[Seen]], list[Row]], drawn: Sequence[Seen]) -> None:
    for row in rows(drawn):
        if row.value is not None:
            found.setdefault(row.name, []).append(row.value)
