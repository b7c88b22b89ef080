"""Pose embedding in the style of PoseCoach: postures are embedded, and an exercise is the exemplar that lies nearest."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from device.messages import EXERCISES
from device.runtime.features import SKELETON_CHANNELS
from device.skeleton import N_NODES
from export.geometry import Geometry
from export.model import Heads
from export.temporal import EVERY_TICK
from export.zoo.parts import PlainHeads, Scales

WINDOW = 64
"""Ticks whose embeddings are averaged before they are compared."""
CHANNELS, EXEMPLARS, TEMPERATURE = 64, 4, 0.1


class PoseEmbedding(nn.Module):
    """Skeleton (B, T, 33, 11) -> heads. Each posture is embedded on the unit sphere; the mean of the last window is contrasted
    with learned exemplars, several of each exercise (softmax of cosine / temperature). Angles are the landmarks' own, for an
    embedding says how far a posture is from its exemplar, not by how many degrees. The bands aren't looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.fusion = Scales()
        self.geometry = Geometry()
        self.embed = nn.Sequential(
            nn.Linear(N_NODES * SKELETON_CHANNELS, 2 * CHANNELS), nn.ReLU(), nn.Linear(2 * CHANNELS, CHANNELS)
        )
        self.exemplars = nn.Parameter(torch.randn(len(EXERCISES) * EXEMPLARS, CHANNELS))
        self.heads = PlainHeads(2 * CHANNELS)

    def forward(self, skeleton: Tensor, inertial: Tensor, at: slice = EVERY_TICK) -> Heads:
        """As `export.model.Coach`."""
        del inertial
        shown, _ = self.geometry(skeleton)
        posture = F.normalize(self.embed((skeleton * self.fusion.skeleton_scale).flatten(2)), dim=-1)  # (B, T, C)
        total = F.pad(posture.cumsum(1), (0, 0, WINDOW, 0))
        ticks = torch.arange(1, posture.shape[1] + 1, device=posture.device).clamp(max=WINDOW)[:, None]
        recent = (total[:, WINDOW:] - total[:, :-WINDOW]) / ticks
        posture, recent, shown = posture[:, at], recent[:, at], shown[:, at]
        nearness = F.normalize(recent, dim=-1) @ F.normalize(self.exemplars, dim=-1).T / TEMPERATURE
        nearest = nearness.reshape(*nearness.shape[:-1], len(EXERCISES), EXEMPLARS).logsumexp(-1)
        heads: Heads = self.heads(torch.cat((posture, recent), -1), shown)
        return heads._replace(exercise=nearest, angles=shown)
