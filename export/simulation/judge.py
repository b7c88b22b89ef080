"""A network on emulated sessions of people it never saw: accuracy, Angle-Score, and how long it takes to make up its mind."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from device.messages import EXERCISES
from device.runtime.bundle import Bundle
from device.runtime.features import FeatureConstants, node_features
from device.runtime.model import StepModel
from export.dataset import Batch, Labels, Session
from export.model import Coach
from export.simulation.measures import accuracy, angle_score
from export.simulation.occlusion import occluded
from export.zoo.parts import Scales
from export.zoo.stepping import TorchStep
from export.zoo.training import worn

NONE = EXERCISES.index("none")
WARM_UP_S = 1.0
"""Start of each set that accuracy leaves out: nobody can tell yet what is being done."""
SURE_S = 0.5
"""A class that was right for so long has been decided on."""
TIMED_STEPS = 300

Answers = tuple[NDArray[np.int64], NDArray[np.floating[Any]]]
"""Exercise (T,) and angles (T, 12) rad of every tick."""


@dataclass(frozen=True, slots=True)
class Judged:
    """`accuracy`: eq. 11 over the ticks within sets, without their first second; `clip_accuracy`: over sets, each taken for the
    class of most of its ticks; `none`: over the ticks outside sets. `angle_score`: eq. 12 over the ticks within sets that have
    a pose. `delay_s`: from the start of a set's first repetition until the class is right and stays so for half a second, mean;
    a set that is never recognised counts with its whole length. `sets`: how many."""

    accuracy: float
    clip_accuracy: float
    none: float
    angle_score: float
    delay_s: float
    sets: int


def judge(answer: Callable[[Batch], Answers], sessions: Sequence[Batch], tick_hz: float) -> dict[str, float]:
    """`Judged` as a mapping. `sessions`: batches of one, as `seen_by` makes them; `answer` is one of `network_answers`,
    `bundle_answers`."""
    right: list[NDArray[np.bool_]] = []
    quiet: list[NDArray[np.bool_]] = []
    angles: list[tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]] = []
    clips: list[bool] = []
    delays: list[float] = []
    for session in sessions:
        exercise, refined = answer(session)
        labels = session.labels.at(0)
        for first, last in sets_of(labels):
            true = int(labels.exercise[first])
            hit = exercise[first:last] == true
            right.append(hit[round(WARM_UP_S * tick_hz) :])
            clips.append(int(np.bincount(exercise[first:last], minlength=len(EXERCISES)).argmax()) == true)
            delays.append(decided(hit, round(SURE_S * tick_hz)) / tick_hz)
        within = (labels.exercise != NONE) & (session.skeleton[0, :, 0, -1] > 0)
        angles.append((refined[within], labels.angles[within]))
        quiet.append(exercise[labels.exercise == NONE] == NONE)
    hits = np.concatenate(right)
    return asdict(
        Judged(
            accuracy(hits.astype(np.int64), np.ones(len(hits), np.int64)),
            fmean(clips),
            float(np.concatenate(quiet).mean()),
            angle_score(np.concatenate([a for a, _ in angles]), np.concatenate([b for _, b in angles])),
            fmean(delays),
            len(clips),
        )
    )


def sets_of(labels: Labels) -> list[tuple[int, int]]:
    """(first tick, tick after the last) of every set: a run of one exercise."""
    cuts = [0, *(np.flatnonzero(np.diff(labels.exercise)) + 1).tolist(), len(labels.exercise)]
    return [(a, b) for a, b in pairwise(cuts) if b > a and labels.exercise[a] != NONE]


def decided(right: NDArray[np.bool_], ticks: int) -> int:
    """First tick from which `right` holds for `ticks` ticks; the length where it never does."""
    runs = np.convolve(right, np.ones(ticks, dtype=np.int64), "valid") if len(right) >= ticks else np.zeros(0)
    found = np.flatnonzero(runs == ticks)
    return int(found[0]) if len(found) else len(right)


def seen_by(session: Session, constants: FeatureConstants, *, occlusion: float = 0.0, seed: int = 0) -> Batch:
    """A whole session as a batch of one, with a share of the landmarks hidden."""
    signals = session.signals
    seconds = np.arange(len(session)) / constants.tick_hz
    world, visibility = occluded(np.random.default_rng((seed, 9)), seconds, signals.world, signals.visibility, occlusion)
    skeleton, inertial = node_features(constants, world, visibility, *signals[2:])
    return Batch(skeleton[None], inertial[None], session.labels.at(None))


def network_answers(network: nn.Module, sensors: str) -> Callable[[Batch], Answers]:
    """What a network says with `sensors` (`export.zoo.training.Job`)."""
    network.eval()

    def answer(batch: Batch) -> Answers:
        with torch.no_grad():
            seen = worn(batch, sensors)
            heads = network(torch.from_numpy(seen.skeleton), torch.from_numpy(seen.inertial))
        return heads.exercise[0].argmax(-1).numpy(), heads.angles[0].numpy()

    return answer


def bundle_answers(bundle: Bundle, runtime: str = "auto") -> Callable[[Batch], Answers]:
    """What a bundle says, stepped tick by tick on the device's runtime."""
    model = StepModel(bundle, runtime)
    order = np.array([EXERCISES.index(name) for name in bundle.classes])

    def answer(batch: Batch) -> Answers:
        model.reset()
        raws = [model.step_raw(nodes, bands) for nodes, bands in zip(batch.skeleton[0], batch.inertial[0], strict=True)]
        exercise = np.array([int(raw["exercise"][0].argmax()) for raw in raws])
        return order[exercise], np.stack([raw["angles"][0] for raw in raws])

    return answer


def network_step_s(network: nn.Module, batch: Batch, constants: FeatureConstants) -> float:
    """Median time (s) of one step on one thread: a streaming tick of a network of the coach's family, one window of 64 ticks of
    the others, which have no streaming form."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if isinstance(network, Coach) and not isinstance(network.fusion, Scales):
            stepper = TorchStep(network, constants)
            return _median_s(lambda i: stepper.heads(batch.skeleton[0, i], batch.inertial[0, i]), TIMED_STEPS)
        window = slice(0, 64)
        seen = torch.from_numpy(batch.skeleton[:, window]), torch.from_numpy(batch.inertial[:, window])
        with torch.no_grad():
            return _median_s(lambda _: network(*seen), TIMED_STEPS // 10)
    finally:
        torch.set_num_threads(threads)


def bundle_step_s(bundle: Bundle, batch: Batch, runtime: str = "auto") -> float:
    """Median time (s) of one int8 step on the device's runtime."""
    model = StepModel(bundle, runtime)
    return _median_s(lambda i: model.step_raw(batch.skeleton[0, i], batch.inertial[0, i]), TIMED_STEPS)


def _median_s(call: Callable[[int], object], count: int) -> float:
    durations = []
    for i in range(count):
        began = time.perf_counter()
        call(i)
        durations.append(time.perf_counter() - began)
    return median(durations)
