"""Losses, training and scores of the network."""

from __future__ import annotations

import copy
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
from export.blind import Blind, Said
from export.checkpoint import Checkpoint
from export.dataset import Batch, Labels, Sampler, Session, in_repetition, whole
from export.model import Coach, Heads
from export.onlooker import Onlooker

Network = torch.nn.Module
"""Maps skeleton (B, T, 33, 11), inertial (B, T, 4, 8) and a slice of the ticks to Heads, as `Coach` does, or as its loss asks."""
Loss = Callable[[Network, Batch, slice], dict[str, Tensor]]
"""Parts of the loss of a network over some ticks of a batch."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the network is trained. `steps`: of the optimiser, over which the learning rate goes down to nothing; they take
    some 16 minutes on one core, and the same seed gives the same network however busy the machine is.

    `ticks`: length of a stretch. `every`: of its ticks, one in so many is judged, from `first` on; neighbours say the same.
    Every `judge_every` steps the network is judged on people it does not learn from; after `patience` times without a better
    result it stops early, and the best one is what is kept.
    """

    steps: int = 5000
    batch: int = 12
    ticks: int = 96
    every: int = 4
    first: int = 10
    rate: float = 3e-3
    weight_decay: float = 1e-3
    judge_every: int = 500
    patience: int = 6
    threads: int = 1
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


def emphasis(deviation: Tensor) -> Tensor:
    """How much an angle counts that is `deviation` rad from the standard movement.

    Most joints move as that does most of the time; what matters is to see those that do not.
    """
    return 1 + EMPHASIS * (deviation.abs() / math.radians(9)).clamp(max=2)


def uncertainty_loss(log_sigma: Tensor, error: Tensor) -> Tensor:
    """Negative log likelihood of errors (rad), on average; the errors themselves get no gradient from it."""
    log_sigma = log_sigma.clamp(-5, 1)
    return (log_sigma + 0.5 * (error.detach() * torch.exp(-log_sigma)).square()).mean()


def said_losses(said: Said, labels: Labels) -> dict[str, Tensor]:
    """Parts of the loss over (B, T') ticks that are about what is done, not about how."""
    at = said.exercise.device
    exercise, stage, phase, clear = (
        torch.from_numpy(np.ascontiguousarray(label)).to(at)
        for label in (labels.exercise, labels.stage, labels.phase, labels.clear)
    )
    moving = torch.from_numpy(in_repetition(labels)).float().to(at)
    turn = math.tau * phase
    missed = (said.phase - torch.stack((turn.sin(), turn.cos()), -1)).square().sum(-1)
    known = clear.flatten().float() / clear.sum().clamp_min(1)
    named = F.cross_entropy(said.exercise.flatten(0, 1), exercise.flatten(), label_smoothing=0.02, reduction="none")
    staged = F.cross_entropy(said.stage.flatten(0, 1), stage.flatten(), reduction="none")
    return {
        "exercise": (named * known).sum(),
        "stage": 0.5 * (staged * known).sum(),
        "phase": 0.7 * (missed * moving).sum() / moving.sum().clamp_min(1),
    }


def losses(heads: Heads, labels: Labels, seen: Tensor) -> dict[str, Tensor]:
    """Parts of the loss over (B, T') ticks; `seen` (B, T') is 1 where a pose is present.

    `angle` is eq. 16: squared differences weighted by the joints' share of the attention, which gets no gradient from
    it. Half of the weight is spread evenly, for a joint that is never attended to would never be learned.
    """
    at = heads.angles.device
    angles, deviation = (torch.from_numpy(np.ascontiguousarray(label)).to(at) for label in (labels.angles, labels.deviation))
    weight = heads.importance.detach()[..., list(JOINT_NODES)]
    weight = 0.5 * weight / weight.sum(-1, keepdim=True) + 0.5 / N_JOINTS
    weight = weight * emphasis(deviation)
    # Without a camera most joints can't be known: what the bands say of them counts, and spoils nothing else.
    trust = 0.2 + 0.8 * seen
    difference = heads.angles - angles
    return {
        **said_losses(Said(heads.exercise, heads.stage, heads.phase), labels),
        "angle": 25 * ((weight * difference.square()).sum(-1) * trust).mean(),
        "sigma": 0.1 * uncertainty_loss(heads.log_sigma, difference),
    }


def coach_loss(coach: Network, batch: Batch, at: slice) -> dict[str, Tensor]:
    """Parts of the loss of a network that gives Heads."""
    where = next(coach.parameters()).device
    skeleton, inertial = torch.from_numpy(batch.skeleton).to(where), torch.from_numpy(batch.inertial).to(where)
    return losses(coach(skeleton, inertial, at), batch.labels.at((slice(None), at)), skeleton[:, at, 0, -1])


def blind_loss(blind: Network, batch: Batch, at: slice) -> dict[str, Tensor]:
    """Parts of the loss of a network that gives what is Said of bands alone."""
    inertial = torch.from_numpy(batch.inertial).to(next(blind.parameters()).device)
    return said_losses(blind(inertial, at), batch.labels.at((slice(None), at)))


def onlooker_loss(onlooker: Network, batch: Batch, at: slice) -> dict[str, Tensor]:
    """Parts of the loss of a network that gives what is Said of a skeleton alone."""
    skeleton = torch.from_numpy(batch.skeleton).to(next(onlooker.parameters()).device)
    return said_losses(onlooker(skeleton, at), batch.labels.at((slice(None), at)))


def train(
    coach: Network,
    sampler: Sampler,
    recipe: Recipe,
    report: Callable[[Progress], None] = lambda _: None,
    *,
    judge: Callable[[Network], float] | None = None,
    checkpoint: Checkpoint | None = None,
    loss: Loss = coach_loss,
) -> None:
    """Train in place, on a GPU where there is one; afterwards the network is on the CPU again.

    `loss`: the parts of what is made less.
    `judge`: how bad a network is, on people that it does not learn from; it decides what is kept and when to stop early.
    `checkpoint`: where the state is saved whenever the network was judged, and taken up from; the last one stays until its owner
    clears it. Raises TrainingError where that is impossible.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    coach.to("cuda" if torch.cuda.is_available() else "cpu")
    run = _Run(coach, sampler, recipe)
    saved = checkpoint.load() if checkpoint else None
    if saved is not None:
        run.restore(saved)
    rng, optimiser, average, running = run.rng, run.optimiser, run.average, run.running
    coach.train()
    for step in range(run.step, recipe.steps):
        if run.unimproved >= recipe.patience:
            break
        rate = recipe.rate * min(step / 200 + 0.01, 0.5 * (1 + math.cos(math.pi * step / recipe.steps)) + 1e-3, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = rate
        at = slice(recipe.first + int(rng.integers(recipe.every)), None, recipe.every)
        batch = sampler.batch(recipe.batch)
        parts = loss(coach, batch, at)
        total = torch.stack(list(parts.values())).sum()
        optimiser.zero_grad()
        torch.autograd.backward(total)
        torch.nn.utils.clip_grad_norm_(coach.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(coach)
        for name, part in parts.items():
            running[name] = 0.98 * running.get(name, part.item()) + 0.02 * part.item()
        run.step = step + 1
        if run.step % 10 == 0 or run.step == recipe.steps:
            report(Progress(run.step, dict(running)))
        if run.step % recipe.judge_every and run.step != recipe.steps:
            continue
        if judge is not None:
            run.judge(judge(average.module.eval()))
        if checkpoint is not None:
            checkpoint.log(run.step, {"rate": rate, **running, "judged": run.judged}, fresh=run.step <= recipe.judge_every)
            checkpoint.save(run.state())
    coach.load_state_dict(run.best or average.module.state_dict())
    coach.to("cpu").eval()
    torch.set_num_threads(threads)


class _Run:
    """A training under way: all that a later one needs to go on as if nothing had been between."""

    def __init__(self, coach: Network, sampler: Sampler, recipe: Recipe) -> None:
        self.coach, self.sampler = coach, sampler
        self.rng = np.random.default_rng(recipe.seed)
        self.optimiser = torch.optim.AdamW(
            coach.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
        )
        self.average = torch.optim.swa_utils.AveragedModel(coach, avg_fn=_moving_average)
        self.running: dict[str, float] = {}
        self.step = 0
        self.judged = math.nan
        self.least = math.inf
        self.unimproved = 0
        self.best: dict[str, Any] | None = None

    def judge(self, badness: float) -> None:
        """Keep the average of now where it is the best so far."""
        self.judged = badness
        self.unimproved += 1
        if badness < self.least:
            self.least, self.unimproved = badness, 0
            self.best = copy.deepcopy(self.average.module.state_dict())

    def state(self) -> dict[str, Any]:
        """Everything, to be saved."""
        return {
            **{name: getattr(self, name) for name in _KEPT},
            "weights": self.coach.state_dict(), "average": self.average.state_dict(), "optimiser": self.optimiser.state_dict(),
            "rng": self.rng.bit_generator.state, "sampler": self.sampler.state, "torch": torch.get_rng_state(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        for name in _KEPT:
            setattr(self, name, state[name])
        self.coach.load_state_dict(state["weights"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state, self.sampler.state = state["rng"], state["sampler"]
        torch.set_rng_state(state["torch"])


_KEPT = ("running", "step", "judged", "least", "unimproved", "best")


def _moving_average(average: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
    """Over some 500 steps, and over fewer as long as the first ones, which are far off, would still count."""
    return average + (current - average) * max(0.002, 10 / (10 + float(steps)))


def badness(
    network: Network, sessions: Sequence[Session], constants: FeatureConstants, *, every: int = 6, loss: Loss = coach_loss
) -> float:
    """The loss on whole sessions, one tick in `every`."""
    total = 0.0
    with torch.no_grad():
        for session in sessions:
            parts = loss(network, whole(session, constants), slice(0, None, every))
            total += float(torch.stack(list(parts.values())).sum())
    return total / len(sessions)


@torch.no_grad()
def standardise(coach: Coach, sampler: Sampler, batches: int = 20) -> None:
    """Set the scales of the fused features, so that each has a root mean square of about one where it is there."""
    drawn = [sampler.batch(8) for _ in range(batches)]
    _fit_scale(coach.fusion.skeleton_scale, [batch.skeleton for batch in drawn])
    _fit_scale(coach.fusion.inertial_scale, [batch.inertial for batch in drawn])


@torch.no_grad()
def standardise_blind(blind: Blind, sampler: Sampler, batches: int = 20) -> None:
    """The same for the network of the bands."""
    _fit_scale(blind.scale, [sampler.batch(8).inertial for _ in range(batches)])


@torch.no_grad()
def standardise_onlooker(onlooker: Onlooker, sampler: Sampler, batches: int = 20) -> None:
    """Set the scales of what it reads, so that each number's standard deviation is one where somebody is seen."""
    read = []
    for _ in range(batches):
        skeleton = torch.from_numpy(sampler.batch(8).skeleton).flatten(0, 1)
        shown, _ = onlooker.geometry(skeleton)
        read.append(onlooker.look(skeleton, shown)[skeleton[:, 0, -1] > 0])
    onlooker.scale.copy_(1 / torch.cat(read).std(0).clamp(0.05, 20))


def _fit_scale(scale: Tensor, drawn: Sequence[NDArray[np.float32]]) -> None:
    flat = np.concatenate([features.reshape(-1, features.shape[-1]) for features in drawn])
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
