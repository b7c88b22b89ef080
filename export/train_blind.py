"""Trains the network of the bands, on people whom nobody sees: in lively manners, and in gyms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from device.runtime.features import FeatureConstants
from export.augment import augmented_blind
from export.blind import Blind
from export.checkpoint import Checkpoint
from export.dataset import Sampler, Session
from export.train import Progress, Recipe, badness, blind_loss, standardise_blind, train

BLIND_RECIPE = Recipe(steps=4000, batch=16, ticks=208)
"""Stretches as long as the memory reaches; some 6 minutes on one core."""
LONGEST = 300
"""Ticks from which on a set, or what is between two, is not met more often for being longer."""
UNWORN = [0, 2]
"""Bands that those who judge leave off: what is hard is one at a wrist and one at an ankle."""


class Felt(NamedTuple):
    """Whom it learns from: `plain` sessions, sets in `lively` manners, sessions of `others`, `rendered` clips' sessions, and
    those of `recorded` people with virtual bands. `judging`: who tells how it goes."""

    plain: Sequence[Session]
    lively: Sequence[Session]
    others: Sequence[Session]
    rendered: Sequence[Session]
    recorded: Sequence[Session]
    judging: Sequence[Session]


SHARES = (0.1, 0.42, 0.2, 0.13, 0.15)
"""From where the stretches come, in the order of `Felt`."""


def train_blind(
    felt: Felt,
    constants: FeatureConstants,
    recipe: Recipe,
    report: Callable[[Progress], None] = lambda _: None,
    *,
    checkpoint: Checkpoint | None = None,
) -> Blind:
    """The trained network. Raises TrainingError as `train`."""
    sampler = Sampler(
        list(zip(SHARES, felt[:-1], strict=True)), constants, ticks=recipe.ticks, seed=recipe.seed, befall=augmented_blind,
        longest=LONGEST,
    )  # fmt: skip
    torch.manual_seed(recipe.seed)
    blind = Blind()
    standardise_blind(blind, sampler)
    judging = [_with_few_bands(session) for session in felt.judging]
    train(
        blind, sampler, recipe, report,
        judge=lambda network: badness(network, judging, constants, loss=blind_loss), checkpoint=checkpoint, loss=blind_loss,
    )  # fmt: skip
    return blind


def _with_few_bands(session: Session) -> Session:
    worn = session.signals.imu_present.copy()
    worn[:, UNWORN] = False
    return Session(session.signals._replace(imu_present=worn), session.labels)
