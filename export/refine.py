"""Fits the refiner, the coach's second look at the angles: on rendered clips, after everything else and on the rest as it is.

What counts are ticks of repetitions in which a pose is seen. Each clip is looked at as it is and in a mirror, both also with
fewer bands. On people that it learned from, a network of this size errs a third as much as on others. So how sure it is, and how
it shows each error, is told by people that it did not learn from: as often as there are folds, those of one fold are left out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from device.runtime.evidence import Response
from device.runtime.features import FeatureConstants
from export.augment import mirrored
from export.convert import rounded
from export.dataset import Session, in_repetition, whole
from export.model import Coach, Refiner
from export.responses import fitted_responses, shown_windows
from export.train import emphasis, uncertainty_loss

FEWER_BANDS = (1.0, 0.5)
"""Share of the bands that is off where there are fewer: all of them as often as each one by chance."""

CLIP_STEPS = 50
"""Playing a clip to the graph takes about as long as this many steps of the optimiser."""


@dataclass(frozen=True, slots=True)
class RefineRecipe:
    """How the refiner is fitted, in some four minutes on two cores.

    `steps` of the optimiser for the corrections, `fold_steps` where a fold is left out, `doubt_steps` for the uncertainty.
    `jitter`: noise on what is read, in its own spread. `stride`: of neighbouring ticks, which say the same, one in so many is
    taken. `folds`: 2 or more.
    """

    steps: int = 8000
    fold_steps: int = 4000
    doubt_steps: int = 3000
    batch: int = 512
    rate: float = 2e-3
    weight_decay: float = 0.05
    jitter: float = 0.05
    stride: int = 2
    folds: int = 3
    seed: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class _Looks:
    """Ticks to learn from: `look` (n, 224), and (n, 12) rad: the graph's `angles`, the true ones, their `deviation` from the
    standard movement; `fold` (n,)."""

    look: Tensor
    angles: Tensor
    truth: Tensor
    deviation: Tensor
    fold: NDArray[np.int64]


def refine(
    coach: Coach,
    clips: Sequence[tuple[int, Session]],
    constants: FeatureConstants,
    recipe: RefineRecipe,
    report: Callable[[float], None] = lambda _: None,
) -> dict[str, dict[str, Response]]:
    """Fit `coach.refiner` on `clips`, each with its seed. Returns how the coach shows each error to people it doesn't know.

    `report` is told the share that is done.
    """
    coach.eval()
    torch.manual_seed(recipe.seed)
    steps = recipe.steps + recipe.folds * recipe.fold_steps + recipe.doubt_steps
    total = steps + 2 * CLIP_STEPS * len(clips)
    done = 0

    def step(number: int = 1) -> None:
        nonlocal done
        done += number
        if number > 1 or done % 50 == 0:
            report(done / total)

    looks = _looks(coach, clips, constants, recipe, step)
    refiner = Refiner(coach.shape)
    spread, centre = torch.std_mean(looks.look, 0)
    refiner.centre.copy_(centre)
    # Floor of the spread: what hardly ever changes says nothing, and shall not be blown up where it does.
    refiner.scale.copy_(1 / (spread + 0.05))
    looks.look.sub_(refiner.centre).mul_(refiner.scale)

    apart = [copy.deepcopy(refiner) for _ in range(recipe.folds)]
    errors = torch.zeros_like(looks.angles)
    for fold, unaware in enumerate(apart):
        _fit_corrections(unaware, looks, np.flatnonzero(looks.fold != fold), recipe, recipe.fold_steps, step)
        left_out = torch.from_numpy(np.flatnonzero(looks.fold == fold))
        with torch.no_grad():
            errors[left_out] = looks.angles[left_out] + unaware.corrected(looks.look[left_out]) - looks.truth[left_out]
    _fit_doubt(refiner, looks, errors, recipe, step)
    _fit_corrections(refiner, looks, np.arange(len(looks.fold)), recipe, recipe.steps, step)

    windows = []
    for fold, unaware in enumerate(apart):
        unaware.doubt, unaware.log_sigma = refiner.doubt, refiner.log_sigma
        coach.refiner = unaware.eval()
        shared = rounded(coach)
        for clip in clips[fold :: recipe.folds]:
            windows += shown_windows(shared, [clip], constants)
            step(CLIP_STEPS)
    coach.refiner = refiner.eval()
    return fitted_responses(windows)


@torch.no_grad()
def _looks(
    coach: Coach,
    clips: Sequence[tuple[int, Session]],
    constants: FeatureConstants,
    recipe: RefineRecipe,
    step: Callable[[int], None],
) -> _Looks:
    rng = np.random.default_rng(recipe.seed)
    plain = Refiner(coach.shape)
    parts: list[tuple[Tensor, ...]] = []
    folds = []
    for number, (_, session) in enumerate(clips):
        for seen in _ways(rng, session):
            batch = whole(seen, constants)
            labels = batch.labels.at(0)
            counted = np.flatnonzero(in_repetition(labels) & seen.signals.pose_present)
            counted = counted[int(rng.integers(recipe.stride)) :: recipe.stride]
            skeleton, inertial = torch.from_numpy(batch.skeleton), torch.from_numpy(batch.inertial)
            heads = coach(skeleton, inertial)
            shown, _ = coach.geometry(skeleton)
            heads = heads._replace(angles=heads.angles[0, counted], log_sigma=heads.log_sigma[0, counted])
            look = plain.look(skeleton[0, counted], inertial[0, counted], shown[0, counted], heads)
            truth, deviation = (torch.from_numpy(label[counted]) for label in (labels.angles, labels.deviation))
            parts.append((look, heads.angles, truth, deviation))
            folds.append(np.full(len(counted), number % recipe.folds))
        step(CLIP_STEPS)
    look, angles, truth, deviation = (torch.cat(part) for part in zip(*parts, strict=True))
    return _Looks(look, angles, truth, deviation, np.concatenate(folds))


def _ways(rng: np.random.Generator, session: Session) -> list[Session]:
    """A session as it is and in a mirror, each with all bands and with fewer."""
    signals, (angles, deviation) = mirrored(session.signals, np.stack((session.labels.angles, session.labels.deviation)))
    ways = []
    for way in (session, Session(signals, session.labels._replace(angles=angles, deviation=deviation))):
        on = rng.random(way.signals.imu_present.shape[1]) >= rng.choice(FEWER_BANDS)
        ways += [way, Session(way.signals._replace(imu_present=way.signals.imu_present & on), way.labels)]
    return ways


def _fit_corrections(
    refiner: Refiner, looks: _Looks, rows: NDArray[np.int64], recipe: RefineRecipe, steps: int, step: Callable[[], None]
) -> None:
    """Least squares over the ticks `rows`; a joint counts more the further it is from the standard movement, as in training."""

    def loss(chosen: Tensor, look: Tensor) -> Tensor:
        error = looks.angles[chosen] + refiner.corrected(look) - looks.truth[chosen]
        return (emphasis(looks.deviation[chosen]) * error.square()).mean()

    _fit((refiner.first, refiner.second, refiner.correction), loss, looks, rows, recipe, steps, step)


def _fit_doubt(refiner: Refiner, looks: _Looks, errors: Tensor, recipe: RefineRecipe, step: Callable[[], None]) -> None:
    """The uncertainty under which the `errors` (n, 12) rad are likeliest."""

    def loss(chosen: Tensor, look: Tensor) -> Tensor:
        return uncertainty_loss(refiner.doubted(look), errors[chosen])

    _fit((refiner.doubt, refiner.log_sigma), loss, looks, np.arange(len(looks.fold)), recipe, recipe.doubt_steps, step)


def _fit(
    layers: Sequence[nn.Linear],
    loss: Callable[[Tensor, Tensor], Tensor],
    looks: _Looks,
    rows: NDArray[np.int64],
    recipe: RefineRecipe,
    steps: int,
    step: Callable[[], None],
) -> None:
    generator = torch.Generator().manual_seed(recipe.seed)
    optimiser = torch.optim.AdamW(
        [weight for layer in layers for weight in layer.parameters()], lr=recipe.rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps)
    among = torch.from_numpy(rows)
    for _ in range(steps):
        chosen = among[torch.randint(len(among), (recipe.batch,), generator=generator)]
        look = looks.look[chosen]
        look = look + recipe.jitter * torch.randn(look.shape, generator=generator)
        optimiser.zero_grad()
        torch.autograd.backward(loss(chosen, look))
        optimiser.step()
        schedule.step()
        step()
