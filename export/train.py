"""Losses, training and scores of the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from device.messages import EXERCISES
from device.runtime.features import FeatureConstants
from device.skeleton import JOINT_NODES, N_JOINTS
from export.dataset import Batch, Labels, Sampler, Session, in_repetition, whole
from export.model import Coach, Heads


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the network is trained. `steps`: of the optimiser, over which the learning rate goes down to nothing; they take
    some 16 minutes on two cores, and the same seed gives the same network however busy the machine is.

    `ticks`: length of a stretch. `every`: of its ticks, one in so many is judged, from `first` on; neighbours say the same.
    """

    steps: int = 7500
    batch: int = 12
    ticks: int = 96
    every: int = 4
    first: int = 20
    rate: float = 3e-3
    weight_decay: float = 1e-3
    share_rendered: float = 0.5
    threads: int = 2
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training is: the steps made, and running means of the parts of the loss."""

    steps: int
    losses: dict[str, float]


@dataclass(frozen=True, slots=True)
class Scores:
    """On whole sessions of bodies never seen in training; the first second of a set is left out.

    `exercise`: share of the ticks within sets. `none`: share of ticks outside sets taken for none. `stage`: share of all
    ticks. `phase`: mean distance, 0..0.5 of a repetition. `angle`, `angle_raw`: mean difference from the true angles, rad,
    refined and as the landmarks show them, where the pose is there. `sigma`: share of the differences within 2 sigma.
    `deviation_gain`: how large a true deviation from the standard movement appears in the refined angles, least squares; 1
    where it is seen at its size, 0 where the joint seems to move as usual.
    """

    exercise: float
    none: float
    stage: float
    phase: float
    angle: float
    angle_raw: float
    sigma: float
    deviation_gain: float


EMPHASIS = 0.5
"""How much more an angle counts for each 9 degrees, up to 18, that the joint is from the standard movement."""


def losses(heads: Heads, labels: Labels, seen: Tensor) -> dict[str, Tensor]:
    """Parts of the loss over (B, T') ticks; `seen` (B, T') is 1 where a pose is present.

    `angle` is eq. 16: squared differences weighted by the joints' share of the attention, which gets no gradient from
    it. Half of the weight is spread evenly, for a joint that is never attended to would never be learned.
    """
    exercise, stage, phase, angles, deviation = (torch.from_numpy(np.ascontiguousarray(label)) for label in labels)
    moving = torch.from_numpy(in_repetition(labels)).float()
    turn = math.tau * phase
    missed = (heads.phase - torch.stack((turn.sin(), turn.cos()), -1)).square().sum(-1)
    weight = heads.importance.detach()[..., list(JOINT_NODES)]
    weight = 0.5 * weight / weight.sum(-1, keepdim=True) + 0.5 / N_JOINTS
    # Most joints move as the standard does most of the time: what counts is to see those that do not.
    weight = weight * (1 + EMPHASIS * (deviation.abs() / math.radians(9)).clamp(max=2))
    # Without a camera most joints can't be known: what the bands say of them counts, and spoils nothing else.
    trust = 0.2 + 0.8 * seen
    difference = heads.angles - angles
    log_sigma = heads.log_sigma.clamp(-5, 1)
    likelihood = log_sigma + 0.5 * (difference.detach() * torch.exp(-log_sigma)).square()
    return {
        "exercise": F.cross_entropy(heads.exercise.flatten(0, 1), exercise.flatten(), label_smoothing=0.02),
        "stage": 0.5 * F.cross_entropy(heads.stage.flatten(0, 1), stage.flatten()),
        "phase": 0.7 * (missed * moving).sum() / moving.sum().clamp_min(1),
        "angle": 25 * ((weight * difference.square()).sum(-1) * trust).mean(),
        "sigma": 0.1 * likelihood.mean(),
    }


def train(coach: Coach, sampler: Sampler, recipe: Recipe, report: Callable[[Progress], None] = lambda _: None) -> None:
    """Train in place."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    optimiser = torch.optim.AdamW(coach.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98))
    average = torch.optim.swa_utils.AveragedModel(coach, avg_fn=_moving_average)
    running: dict[str, float] = {}
    coach.train()
    for step in range(recipe.steps):
        rate = recipe.rate * min(step / 200 + 0.01, 0.5 * (1 + math.cos(math.pi * step / recipe.steps)) + 1e-3, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = rate
        at = slice(recipe.first + int(rng.integers(recipe.every)), None, recipe.every)
        batch = sampler.batch(recipe.batch)
        parts = losses(*_judged(coach, batch, at))
        total = torch.stack(list(parts.values())).sum()
        optimiser.zero_grad()
        torch.autograd.backward(total)
        torch.nn.utils.clip_grad_norm_(coach.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(coach)
        for name, part in parts.items():
            running[name] = 0.98 * running.get(name, part.item()) + 0.02 * part.item()
        if (step + 1) % 10 == 0 or step + 1 == recipe.steps:
            report(Progress(step + 1, dict(running)))
    coach.load_state_dict(average.module.state_dict())
    coach.eval()


def _moving_average(average: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
    """Over some 500 steps, and over fewer as long as the first ones, which are far off, would still count."""
    return average + (current - average) * max(0.002, 10 / (10 + float(steps)))


def _judged(coach: Coach, batch: Batch, at: slice) -> tuple[Heads, Labels, Tensor]:
    heads = coach(torch.from_numpy(batch.skeleton), torch.from_numpy(batch.inertial), at)
    seen = torch.from_numpy(batch.skeleton[:, at, 0, -1])
    return heads, batch.labels.at((slice(None), at)), seen


@torch.no_grad()
def standardise(coach: Coach, sampler: Sampler, batches: int = 20) -> None:
    """Set the scales of the fused features, so that each has a root mean square of about one where it is there."""
    drawn = [sampler.batch(8) for _ in range(batches)]
    for scale, flat in (
        (coach.fusion.skeleton_scale, np.concatenate([b.skeleton.reshape(-1, b.skeleton.shape[-1]) for b in drawn])),
        (coach.fusion.inertial_scale, np.concatenate([b.inertial.reshape(-1, b.inertial.shape[-1]) for b in drawn])),
    ):
        there = flat[flat[:, -1] > 0]
        size = np.sqrt((there**2).mean(0))
        size[-1] = 1.0
        scale.copy_(torch.from_numpy(np.clip(1 / np.maximum(size, 1e-3), 0.2, 20).astype(np.float32)))


@torch.no_grad()
def evaluate(coach: Coach, sessions: Sequence[Session], constants: FeatureConstants, *, bands: bool = True) -> Scores:
    """Scores over whole sessions; without `bands` the camera is alone."""
    coach.eval()
    rows: list[dict[str, NDArray[Any]]] = []
    for session in sessions:
        batch = whole(session, constants)
        inertial = batch.inertial if bands else np.zeros_like(batch.inertial)
        heads = coach(torch.from_numpy(batch.skeleton), torch.from_numpy(inertial))
        shown, _ = coach.geometry(torch.from_numpy(batch.skeleton))
        labels = batch.labels.at(0)
        seen = batch.skeleton[0, :, 0, -1] > 0
        exercise = heads.exercise[0].argmax(-1).numpy()
        sine, cosine = heads.phase[0, :, 0].numpy(), heads.phase[0, :, 1].numpy()
        off = np.abs(np.arctan2(sine, cosine) / math.tau - labels.phase) % 1.0
        difference = heads.angles[0].numpy() - labels.angles
        inside = _after_first_second(labels.exercise, round(constants.tick_hz))
        rows.append(
            {
                "exercise": (exercise == labels.exercise)[inside],
                "none": (exercise == len(EXERCISES) - 1)[labels.exercise == len(EXERCISES) - 1],
                "stage": heads.stage[0].argmax(-1).numpy() == labels.stage,
                "phase": np.minimum(off, 1 - off)[in_repetition(labels)],
                "angle": np.abs(difference)[seen].ravel(),
                "angle_raw": np.abs(shown[0].numpy() - labels.angles)[seen].ravel(),
                "sigma": (np.abs(difference) < 2 * np.exp(heads.log_sigma[0].numpy()))[seen].ravel(),
                "deviation": labels.deviation[seen].ravel(),
                "deviation_seen": (labels.deviation + difference)[seen].ravel(),
            }
        )
    joined = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    deviation, deviation_seen = joined.pop("deviation"), joined.pop("deviation_seen")
    gain = float(deviation @ deviation_seen / max(deviation @ deviation, 1e-9))
    return Scores(**{name: float(values.mean()) for name, values in joined.items()}, deviation_gain=gain)


def _after_first_second(exercise: NDArray[np.int64], ticks: int) -> NDArray[np.bool_]:
    inside = exercise != len(EXERCISES) - 1
    began = np.maximum.accumulate(np.where(np.diff(inside, prepend=False) & inside, np.arange(len(inside)), -ticks))
    return np.asarray(inside & (np.arange(len(inside)) - began >= ticks))
