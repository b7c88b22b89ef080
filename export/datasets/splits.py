"""Who is learned from, who is tuned on, and who is measured: people are split, never their clips."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from device.errors import DatasetError

SHARES = (0.7, 0.2, 0.1)


class Split(NamedTuple):
    """Three sets of people that share nobody."""

    train: frozenset[str]
    validation: frozenset[str]
    test: frozenset[str]

    @property
    def held_back(self) -> frozenset[str]:
        """Everybody who is not trained on."""
        return self.validation | self.test


def split_people(subjects: Iterable[str], *, seed: int = 0) -> Split:
    """70, 20 and 10 percent of the people, drawn by `seed` whatever order they come in; each part has somebody.

    Raises DatasetError with fewer than three people, or where somebody has no name: two clips could be of the same one.
    """
    people = sorted(set(subjects))
    if "" in people:
        raise DatasetError("Some clips do not say who they are of. They can't be split by person: train on all or none of them.")
    if len(people) < len(SHARES):
        raise DatasetError(f"{len(people)} people can't be split in three. Record more people, or use one as a whole.")
    shuffled = [people[i] for i in np.random.default_rng(seed).permutation(len(people))]
    tested = max(round(SHARES[2] * len(people)), 1)
    validated = max(round(SHARES[1] * len(people)), 1)
    return Split(
        frozenset(shuffled[tested + validated :]), frozenset(shuffled[tested : tested + validated]), frozenset(shuffled[:tested])
    )
