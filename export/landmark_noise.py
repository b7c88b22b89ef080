"""What a pose estimator makes of a body: fitted on rendered clips, then drawn for any motion without rendering it.

Two parts. A small regression gives the landmarks that the estimator shows on average for a true pose and its velocity
(its own proportions, flattened depth, lag of its smoothing, hidden limbs). What it leaves is kept as runs of residuals,
in time order and for all landmarks at once; a run of the same activity is replayed on top, so that the noise has the
estimator's own correlations in time, between landmarks, and between error and visibility, and its lost detections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from device.skeleton import MIRRORED_NODES, N_NODES, mid_hip, torso_length

Floats = NDArray[np.float64]
LEAST_NOISE = 0.5
"""Share of the estimator's noise that stays where hardly anything of its means does."""
OUTPUTS = 4
"""x, y, z of a landmark, and the log-odds of its visibility."""


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """A clip as the estimator saw it, frame by frame, beside the truth; all in camera axes (x right, y down, z away).

    `seconds` (n,); `truth` (n, 33, 3) m and `velocity` (n, 33, 3) m/s of the true landmarks from mid-hip; `world`
    (n, 33, 3) m and `visibility` (n, 33) of the estimator; `present` (n,); `activity` (n,) class index.
    """

    seconds: Floats
    truth: Floats
    velocity: Floats
    world: Floats
    visibility: Floats
    present: NDArray[np.bool_]
    activity: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """What the regression left of one clip: `seconds` (n,), `errors` (n, 33, 4), `present` (n,), `activity` (n,)."""

    seconds: Floats
    errors: Floats
    present: NDArray[np.bool_]
    activity: NDArray[np.int64]


def true_pose(landmarks: Floats, rotation: Floats, seconds: Floats) -> tuple[Floats, Floats]:
    """Landmarks (n, 33, 3) in the world, turned by `rotation` (3, 3) into camera axes, from mid-hip; and their velocity."""
    turned = landmarks @ rotation.T
    pose = turned - mid_hip(turned)[:, None]
    return pose, np.gradient(pose, seconds, axis=0)


class LandmarkNoise:
    """The fitted estimator. `fit_landmark_noise` makes one."""

    def __init__(self, mean: nn.Module, bank: Sequence[Residuals]) -> None:
        self._mean = mean
        self._bank = list(bank)

    def emulate(
        self,
        rng: np.random.Generator,
        seconds: Floats,
        truth: Floats,
        velocity: Floats,
        activity: NDArray[np.int64],
        share: float = 1.0,
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """What the estimator shows of true poses (n, 33, 3) at `seconds` (n,). `share`: how much of what it shows of a mannequin,
        beside the truth; of people it shows less of that, and of each something of its own.

        Returns world (n, 33, 3) m, visibility (n, 33), present (n,).
        """
        shown = predict(self._mean, truth, velocity)
        shown[..., :3] = truth + share * (shown[..., :3] - truth)
        present = np.ones(len(seconds), dtype=np.bool_)
        gain = rng.uniform(0.8, 1.25) * max(share, LEAST_NOISE)
        cuts = [0, *(np.flatnonzero(np.diff(activity)) + 1).tolist(), len(seconds)]
        for start, end in pairwise(cuts):
            run = slice(start, end)
            errors, present[run] = self._replayed(rng, seconds[run], int(activity[start]))
            shown[run] += gain * errors
        return shown[..., :3], _from_log_odds(shown[..., 3]), present

    def _replayed(self, rng: np.random.Generator, seconds: Floats, activity: int) -> tuple[Floats, NDArray[np.bool_]]:
        same = [r for r in self._bank if (r.activity == activity).sum() > 8] or self._bank
        run = same[int(rng.integers(len(same)))]
        frames = np.flatnonzero(run.activity == activity)
        if len(frames) <= 8:
            frames = np.arange(len(run.seconds))
        # Forwards, then backwards, and so on: a run that is too short goes on without a jump.
        rate = (len(run.seconds) - 1) / (run.seconds[-1] - run.seconds[0])
        place = rng.uniform(0, len(frames) - 1) + (seconds - seconds[0]) * rate
        place = np.abs((place + len(frames) - 1) % (2 * (len(frames) - 1)) - (len(frames) - 1))
        low = np.minimum(place.astype(np.int64), len(frames) - 2)
        share = (place - low)[:, None, None]
        first, second = frames[low], frames[low + 1]
        errors = run.errors[first] * (1 - share) + run.errors[second] * share
        return errors, run.present[frames[np.round(place).astype(np.int64)]]


def fit_landmark_noise(clips: Sequence[Observed], *, seed: int, epochs: int = 40) -> LandmarkNoise:
    """Fit on rendered clips. Every frame is used twice, the second time in a mirror."""
    x = np.concatenate([_inputs(c.truth, c.velocity)[c.present] for c in clips])
    y = np.concatenate([_targets(c)[c.present] for c in clips])
    x, y = np.concatenate([x, _mirrored(x, 6)]), np.concatenate([y, _mirrored(y, OUTPUTS)])
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    mean = _Mean(x, y)
    inputs, targets = torch.from_numpy(x.reshape(len(x), -1)).float(), torch.from_numpy(y.reshape(len(y), -1)).float()
    weight = 1 / torch.from_numpy(y.std(axis=0).mean(axis=0)).float().repeat(N_NODES)
    optimiser = torch.optim.AdamW(mean.parameters(), lr=2e-3, weight_decay=1e-2)
    batch = 512
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=epochs * (len(x) // batch + 1))
    for _ in range(epochs):
        order = torch.randperm(len(inputs), generator=generator)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            noisy = inputs[rows] + 0.01 * torch.randn(inputs[rows].shape, generator=generator)
            loss = (((mean(noisy) - targets[rows]) * weight) ** 2).mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    return LandmarkNoise(mean.eval(), [_residuals(mean, clip) for clip in clips])


def predict(mean: nn.Module, truth: Floats, velocity: Floats) -> Floats:
    """The regression's landmarks and log-odds of visibility (n, 33, 4)."""
    with torch.no_grad():
        flat = torch.from_numpy(_inputs(truth, velocity).reshape(len(truth), -1)).float()
        return np.asarray(mean(flat).numpy().reshape(-1, N_NODES, OUTPUTS), dtype=np.float64)


class _Mean(nn.Module):
    """True pose and velocity (n, 198) -> shown landmarks (n, 132), beside a linear path that carries the pose itself."""

    def __init__(self, x: Floats, y: Floats) -> None:
        super().__init__()
        x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
        self.centre = nn.Parameter(torch.from_numpy(x.mean(0)).float(), requires_grad=False)
        self.scale = nn.Parameter(torch.from_numpy(1 / (x.std(0) + 0.02)).float(), requires_grad=False)
        self.linear = nn.Linear(x.shape[1], y.shape[1])
        self.bent = nn.Sequential(
            nn.Dropout(0.05), nn.Linear(x.shape[1], 160), nn.GELU(), nn.Dropout(0.1), nn.Linear(160, 160), nn.GELU(),
            nn.Linear(160, y.shape[1]),
        )  # fmt: skip
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():
            self.linear.bias.copy_(torch.from_numpy(y.mean(0)).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - self.centre) * self.scale
        shown: torch.Tensor = self.linear(x) + self.bent(x)
        return shown


def _residuals(mean: nn.Module, clip: Observed) -> Residuals:
    errors = _targets(clip) - predict(mean, clip.truth, clip.velocity)
    kept = np.flatnonzero(clip.present)
    if not len(kept):
        return Residuals(clip.seconds, np.zeros_like(errors), clip.present, clip.activity)
    # Where nobody was found there is no error to replay: hold the last one, for the frames between it and the next.
    last = kept[np.maximum(np.searchsorted(kept, np.arange(len(errors)), side="right") - 1, 0)]
    return Residuals(clip.seconds, errors[last], clip.present, clip.activity)


def _inputs(truth: Floats, velocity: Floats) -> Floats:
    torso = np.maximum(torso_length(truth), 0.1)[:, None, None]
    return np.concatenate([truth / torso, velocity / torso / 3], -1)


def _targets(clip: Observed) -> Floats:
    world = np.where(clip.present[:, None, None], clip.world, 0.0)
    return np.concatenate([world, _log_odds(clip.visibility)[..., None]], -1)


def _mirrored(values: Floats, width: int) -> Floats:
    """Landmark values (n, 33, width) in a mirror; x is the first of every three leading numbers."""
    mirrored = values[:, list(MIRRORED_NODES)].copy()
    mirrored[..., 0] *= -1
    if width == 6:
        mirrored[..., 3] *= -1
    return mirrored


def _log_odds(visibility: Floats) -> Floats:
    v = np.clip(np.nan_to_num(visibility), 0.002, 0.999)
    return np.asarray(np.log(v / (1 - v)))


def _from_log_odds(value: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -20, 20))))
