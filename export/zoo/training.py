"""Trains the networks to compare, each once: a job names what is trained, and its checkpoint is kept under the job's name."""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import nn

from device.errors import StoreError
from device.skeleton import N_BANDS
from export.dataset import Batch, Sampler
from export.kept import Kept, write_whole
from export.model import Coach
from export.train import Progress, Recipe, standardise, train
from export.zoo.catalogue import MODELS, untrained

WORN: dict[str, tuple[bool, ...]] = {
    "none": (False,) * N_BANDS,
    "wrists": (True, True, False, False),
    "ankles": (False, False, True, True),
    "both": (True,) * N_BANDS,
}
"""Sensors beside the camera, and which bands those are."""
DENSE, BLIND = "dense", "blind"
"""Eight units beside the camera; the bands without a camera."""


@dataclass(frozen=True, slots=True)
class Job:
    """One training. `model`: a key of `export.zoo.catalogue.MODELS`. `sensors`: a key of `WORN`, `DENSE` or `BLIND`."""

    model: str
    seed: int = 1
    sensors: str = "both"
    window: int = 64

    @property
    def key(self) -> str:
        """Name of its files."""
        return f"{self.model}-{self.sensors}-w{self.window}-s{self.seed}"

    @property
    def title(self) -> str:
        """For people."""
        parts = [MODELS[self.model].title, *([f"sensors {self.sensors}"] if self.sensors != "both" else [])]
        return ", ".join([*parts, *([f"window {self.window}"] if self.window != 64 else []), f"seed {self.seed}"])


class Batches(Protocol):
    """What training draws from."""

    def batch(self, size: int) -> Batch: ...


class Worn:
    """Batches in which the trainee wears only some sensors: the rest is absent, as where it was never put on."""

    def __init__(self, batches: Batches, sensors: str) -> None:
        self._batches = batches
        self._sensors = sensors

    def batch(self, size: int) -> Batch:
        """`size` stretches."""
        return worn(self._batches.batch(size), self._sensors)


class Paired:
    """Stretches of the same sessions with the bands and with four units more, drawn alike: inertial (B, T, 8, 8)."""

    def __init__(self, bands: Batches, upper: Batches) -> None:
        self._bands, self._upper = bands, upper

    def batch(self, size: int) -> Batch:
        """`size` stretches. The units of an arm or a leg are turned on their straps by the same angle."""
        batch, more = self._bands.batch(size), self._upper.batch(size)
        assert np.array_equal(batch.skeleton, more.skeleton)
        return batch._replace(inertial=np.concatenate((batch.inertial, more.inertial), 2))


def worn(batch: Batch, sensors: str) -> Batch:
    """`batch` without what isn't among `sensors`."""
    if sensors in ("both", DENSE):
        return batch
    if sensors == BLIND:
        return batch._replace(skeleton=np.zeros_like(batch.skeleton))
    inertial = batch.inertial.copy()
    inertial[:, :, ~np.array(WORN[sensors])] = 0
    return batch._replace(inertial=inertial)


def trained(
    job: Job, kept: Kept, batches: Callable[[], Batches], recipe: Recipe, report: Callable[[Progress], None] = lambda _: None
) -> nn.Module:
    """The network of `job`: from its checkpoint, or trained now on `batches()` and kept. Raises StoreError."""
    file = kept.checkpoint(job.key)
    if file.exists():
        return restored(job, kept)
    torch.manual_seed(recipe.seed)
    network = untrained(job.model, job.window)
    drawn = batches()
    # Scales of a modality that is never there can't be told; those of the full batches do no harm, for they scale nothing.
    # What is asked of a Coach here are its scales: all of the zoo has those.
    standardise(cast(Coach, network), cast(Sampler, drawn))
    train(network, cast(Sampler, Worn(drawn, job.sensors)), recipe, report)
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    write_whole(file, buffer.getvalue())
    return network.eval()


def restored(job: Job, kept: Kept) -> nn.Module:
    """The network of `job` from its checkpoint. Raises StoreError where that is absent or damaged."""
    file = kept.checkpoint(job.key)
    network = untrained(job.model, job.window)
    try:
        network.load_state_dict(torch.load(file, weights_only=True))
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise StoreError(f"{file}: is no checkpoint of {job.title}, or damaged. Delete it; it is trained anew.") from error
    return network.eval()


def recipe_of(job: Job, base: Recipe) -> Recipe:
    """How `job` is trained."""
    return dataclasses.replace(base, seed=job.seed)
