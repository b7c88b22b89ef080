"""The paper's measures (its equation numbers), its t-test, and whether two results stand in the same order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_ind

from device.demo.scores import angle_agreement

Floats = NDArray[np.floating[Any]]
Numbers = Mapping[str, float | None]


def accuracy(predicted: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """Eq. 11: share that is right; NaN of nothing."""
    return float((predicted == true).mean()) if len(true) else math.nan


def angle_score(predicted: Floats, true: Floats) -> float:
    """Eq. 12 over ticks and joints (n, 12); NaN of nothing."""
    return angle_agreement(predicted, true) if len(true) else math.nan


def product_score(accuracy: float, angle: float, latency_s: float) -> float:
    """Eq. 13 (S) and 18 (P), which are one formula: accuracy x Angle-Score / latency."""
    return accuracy * angle / latency_s


def weighted_score(accuracy: float, angle: float, latency_s: float) -> float:
    """Eq. 17: 0.4 accuracy + 0.4 Angle-Score - 0.2 latency (s)."""
    return 0.4 * accuracy + 0.4 * angle - 0.2 * latency_s


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation (n - 1) over seeds; NaN deviation of one value."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def deviation(self) -> float:
        return stdev(self.values) if len(self.values) > 1 else math.nan


def two_sample_p(first: Sequence[float], second: Sequence[float]) -> float | None:
    """p of Welch's two-sample t-test, two-sided; None with fewer than two values each or without any spread."""
    if min(len(first), len(second)) < 2 or (len(set(first)) == 1 and len(set(second)) == 1):
        return None
    return float(ttest_ind(first, second, equal_var=False).pvalue)


@dataclass(frozen=True, slots=True)
class Order:
    """How many pairs stand as in the paper, of how many, and a sentence on each that doesn't."""

    same: int
    pairs: int
    sentences: tuple[str, ...]


def compare_order(
    what: str, ours: Numbers, paper: Numbers, *, noise: Mapping[str, float] | None = None, neighbours: bool = False
) -> Order:
    """Whether `ours` stands in the paper's order, pair by pair, or for a curve only between `neighbours`.

    Items that one of both lacks, and pairs that the paper has equal, are left out. `noise`: standard deviations of ours; a
    difference below that of the pair is called undecided.
    """
    names = [name for name in paper if paper[name] is not None and ours.get(name) is not None]
    same, sentences, pairs = 0, [], 0
    for a, b in pairwise(names) if neighbours else combinations(names, 2):
        theirs, mine = _difference(paper, a, b), _difference(ours, a, b)
        if theirs == 0:
            continue
        pairs += 1
        high, low = (a, b) if theirs > 0 else (b, a)
        figures = f"(paper {paper[high]:g} and {paper[low]:g}, ours {ours[high]:.4g} and {ours[low]:.4g})"
        if noise is not None and abs(mine) < math.hypot(noise.get(a, 0.0), noise.get(b, 0.0)):
            sentences.append(f"{what}: the paper has {high} above {low}; here the spread leaves it undecided {figures}.")
        elif mine * theirs > 0:
            same += 1
        else:
            here = "they are equal" if mine == 0 else "it is the other way round"
            sentences.append(f"{what}: the paper has {high} above {low}; here {here} {figures}.")
    return Order(same, pairs, tuple(sentences))


def compare_best(what: str, ours: Numbers, paper: Numbers) -> str | None:
    """A sentence where the largest of a curve lies elsewhere than the paper's; None where it is the same, or nothing is known."""
    mine = {name: value for name, value in ours.items() if value is not None}
    theirs = {name: value for name, value in paper.items() if value is not None and name in mine}
    if not theirs:
        return None
    best, published = max(mine, key=lambda name: mine[name]), max(theirs, key=lambda name: theirs[name])
    if best == published:
        return None
    return f"{what}: the paper's best is at {published} ({theirs[published]:g}); ours is at {best} ({mine[best]:.4g})."


def _difference(values: Numbers, a: str, b: str) -> float:
    first, second = values[a], values[b]
    assert first is not None
    assert second is not None
    return first - second
