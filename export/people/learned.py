"""How well watches tell exercises apart for a network that learned from other people of the same set.

What a set holds that may not train shipped weights still bounds what can be reached on it: where a network that knows the very
watches, exercises and their usual mistakes is no better, the signals are to blame. Nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from device.config import SignalsConfig
from device.messages import EXERCISES
from device.rows import Row, row
from device.runtime.features import FeatureConstants, node_features
from export.datasets.clip import Clip
from export.datasets.windows import window_indices
from export.people.watch import moving
from export.recorded import on_ticks
from export.zoo.imu_cnn_lstm import ImuCnnLstm

FOLDS = 5
"""Groups of people; each is judged by a network that learned from the others."""
STEPS, BATCH, RATE = 600, 24, 3e-3
TICKS, FIRST = 128, 30
"""Length of a stretch, and from which of its ticks on the class is asked for."""
SEED = 1


@dataclass(frozen=True, slots=True, eq=False)
class _Set:
    """`inertial` (T, 4, 8) features of a clip, its class, and the ticks (T,) at which the person moves."""

    person: str
    inertial: NDArray[np.float32]
    label: int
    moving: NDArray[np.bool_]


def learned_rows(name: str, clips: Sequence[Clip], report: Callable[[int, int], None]) -> list[Row]:
    """`<name>_learned_*`: share of the clips whose class is recognised, mean over classes and for each, by networks that learned
    from the other people of the set. Clips without bands, and those whose class is open, are left out; with fewer than FOLDS
    people there are no rows. `report` is told steps done and to do.
    """
    sets = [_set(clip) for clip in clips if clip.imu is not None and clip.truth.exercise is not None]
    people = sorted({one.person for one in sets})
    if len(people) < FOLDS:
        return []
    shuffled = [people[i] for i in np.random.default_rng(SEED).permutation(len(people))]
    right: dict[str, list[bool]] = {}
    for fold in range(FOLDS):
        judged = set(shuffled[fold::FOLDS])
        others = [one for one in sets if one.person not in judged]
        network = _learn(others, lambda done, fold=fold: report(fold * STEPS + done, FOLDS * STEPS))  # type: ignore[misc]
        for one in sets:
            if one.person in judged:
                right.setdefault(EXERCISES[one.label], []).append(_recognised(network, one) == one.label)
    shares = {exercise: float(np.mean(flags)) for exercise, flags in sorted(right.items())}
    return [
        row(f"{name}_learned_exercise_macro", float(np.mean(list(shares.values()))), "share"),
        *(row(f"{name}_learned_{exercise}_accuracy", share, "share") for exercise, share in shares.items()),
    ]


def _set(clip: Clip) -> _Set:
    assert clip.truth.exercise is not None
    times, signals = on_ticks(clip, SignalsConfig())
    _, inertial = node_features(FeatureConstants(), *signals)
    return _Set(clip.subject, inertial, EXERCISES.index(clip.truth.exercise), moving(clip, times))


def _learn(sets: Sequence[_Set], report: Callable[[int], None]) -> nn.Module:
    """A network that tells the classes of `sets` apart, each met equally often (eq. 8)."""
    rng = np.random.default_rng(SEED)
    torch.manual_seed(SEED)
    network = ImuCnnLstm()
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    by_class = [[one for one in sets if one.label == label] for label in sorted({one.label for one in sets})]
    lengths = [np.array([len(one.inertial) for one in same], dtype=np.float64) for same in by_class]
    shares = [length / length.sum() for length in lengths]
    for step in range(STEPS):
        drawn = []
        for kind in rng.integers(len(by_class), size=BATCH):
            drawn.append(by_class[kind][rng.choice(len(by_class[kind]), p=shares[kind])])
        heads = network(
            torch.zeros(0), torch.from_numpy(np.stack([_stretch(rng, one.inertial) for one in drawn])), slice(FIRST, None)
        )
        labels = torch.tensor([one.label for one in drawn])[:, None].expand(heads.exercise.shape[:2])
        loss = F.cross_entropy(heads.exercise.flatten(0, 1), labels.flatten(), label_smoothing=0.05)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        if (step + 1) % 20 == 0:
            report(step + 1)
    return network.eval()


def _stretch(rng: np.random.Generator, inertial: NDArray[np.float32]) -> NDArray[np.float32]:
    """TICKS ticks from anywhere; a clip that is shorter is repeat-filled."""
    start = int(rng.integers(max(len(inertial) - TICKS, 0) + 1))
    return np.asarray(inertial[start + window_indices(min(len(inertial) - start, TICKS), TICKS)[0]])


@torch.no_grad()
def _recognised(network: nn.Module, one: _Set) -> int:
    """The class of most of the time in which the person moved."""
    exercise = network(torch.zeros(0), torch.from_numpy(one.inertial)[None]).exercise[0].argmax(-1).numpy()
    return int(np.bincount(exercise[one.moving]).argmax())
