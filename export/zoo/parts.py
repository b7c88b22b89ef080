"""What the networks share that don't have the coach's fusion and read-out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from device.messages import EXERCISES, Stage
from device.runtime.features import INERTIAL_CHANNELS, SKELETON_CHANNELS
from device.skeleton import N_JOINTS, N_NODES
from export.model import Heads


class Scales(nn.Module):
    """Scales of both modalities, under the names by which `export.train.standardise` sets those of the coach's fusion."""

    skeleton_scale: Tensor
    inertial_scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("skeleton_scale", torch.ones(SKELETON_CHANNELS))
        self.register_buffer("inertial_scale", torch.ones(INERTIAL_CHANNELS))


class PlainHeads(nn.Module):
    """The coach's heads on one vector for the whole body: (B, T, width) and the shown angles (B, T, 12) -> heads (B, T, ...)."""

    def __init__(self, width: int, hidden: int = 64, dropout: float = 0.3) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.action = nn.Linear(width, hidden)
        self.posture = nn.Linear(width, hidden)
        self.exercise = nn.Linear(hidden, len(EXERCISES))
        self.stage = nn.Linear(hidden, len(Stage))
        self.phase = nn.Linear(hidden, 2)
        self.angles = nn.Linear(hidden, 2 * N_JOINTS)
        nn.init.zeros_(self.angles.weight)
        nn.init.zeros_(self.angles.bias)

    def forward(self, body: Tensor, shown: Tensor) -> Heads:
        action, posture = F.relu(self.action(self.dropout(body))), F.relu(self.posture(body))
        correction, log_sigma = self.angles(posture).split(N_JOINTS, -1)
        equal = body.new_full((*body.shape[:-1], N_NODES), 1 / N_NODES)
        return Heads(
            self.exercise(action), self.stage(action), self.phase(action), shown + correction, log_sigma - 2.0, equal
        )  # fmt: skip
