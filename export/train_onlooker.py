"""Trains the onlooker, on people whom a camera watches and nobody corrects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from device.runtime.features import FeatureConstants
from export.augment import CUT_OFF, augmented_sight
from export.checkpoint import Checkpoint
from export.dataset import Sampler, Session
from export.onlooker import Onlooker
from export.train import Progress, Recipe, badness, onlooker_loss, standardise_onlooker, train
from export.train_blind import LONGEST

ONLOOKER_RECIPE = Recipe(steps=4000, batch=16, ticks=160)
"""Some 6 minutes on one core."""


class Watched(NamedTuple):
    """Whom it learns from: `plain` sessions, `free` sets and `everyday` life, `rendered` clips' sessions, and those of `recorded`
    people. `judging`: who tells how it goes."""

    plain: Sequence[Session]
    free: Sequence[Session]
    everyday: Sequence[Session]
    rendered: Sequence[Session]
    recorded: Sequence[Session]
    judging: Sequence[Session]


SHARES = (0.1, 0.5, 0.2, 0.1, 0.1)
"""From where the stretches come, in the order of `Watched`."""


def train_onlooker(
    watched: Watched,
    constants: FeatureConstants,
    recipe: Recipe,
    report: Callable[[Progress], None] = lambda _: None,
    *,
    checkpoint: Checkpoint | None = None,
) -> Onlooker:
    """The trained network. Raises TrainingError as `train`."""
    sampler = Sampler(
        list(zip(SHARES, watched[:-1], strict=True)), constants, ticks=recipe.ticks, seed=recipe.seed, befall=augmented_sight,
        longest=LONGEST, cut_off_share=CUT_OFF,
    )  # fmt: skip
    torch.manual_seed(recipe.seed)
    onlooker = Onlooker()
    standardise_onlooker(onlooker, sampler)
    train(
        onlooker, sampler, recipe, report,
        judge=lambda network: badness(network, watched.judging, constants, loss=onlooker_loss), checkpoint=checkpoint,
        loss=onlooker_loss,
    )  # fmt: skip
    return onlooker
