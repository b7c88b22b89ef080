"""What the bands tell where nobody is seen: a network of their own.

The graph is for what a camera shows; it knows of two seconds, which is less than a slow repetition takes. Whom the camera shows
one can tell at once; a wrist and an ankle have to be watched for longer, and what they need to have met in training (limbs that
taper, arms thrown about, pauses) takes from what the camera needs. So there are two networks, small as the second one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from device.messages import EXERCISES, Stage
from device.runtime.features import INERTIAL_CHANNELS
from device.skeleton import N_BANDS
from export.temporal import EVERY_TICK, TemporalLayer


@dataclass(frozen=True, slots=True)
class BlindShape:
    """Sizes of the network: `channels` of a band, `action` of all of them together. `memory`: dilations over the latter."""

    channels: int = 32
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16)
    action: int = 48
    memory: tuple[int, ...] = (24, 48)
    dropout: float = 0.3

    @property
    def receptive_field(self) -> int:
        """Ticks that one output depends on: 207, or 6.9 s."""
        return 1 + 2 * (sum(self.dilations) + sum(self.memory))


SAID = (len(EXERCISES), len(Stage), 2)
"""Numbers of a tick that are said of exercise, stage and phase."""


class Said(NamedTuple):
    """What is said of each tick; the leading dimensions are (B, T) or (1,)."""

    exercise: Tensor  # (..., 6) logits
    stage: Tensor  # (..., 4) logits
    phase: Tensor  # (..., 2) sin, cos


class Blind(nn.Module):
    """Whole sequences: inertial (B, T, 4, 8) -> what is said of every tick.

    Each band has the encoder's causal convolutions (eq. 5) to itself; side by side they come down to one vector a tick, over
    which two more of them, with long dilations, are the memory.
    """

    scale: Tensor

    def __init__(self, shape: BlindShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or BlindShape()
        self.register_buffer("scale", torch.ones(INERTIAL_CHANNELS))
        self.motion = nn.Linear(INERTIAL_CHANNELS, shape.channels)
        self.node = nn.Parameter(torch.randn(N_BANDS, shape.channels) * 0.5)
        self.encoder = nn.ModuleList(TemporalLayer(shape.channels, d) for d in shape.dilations)
        self.dropout = nn.Dropout(shape.dropout)
        self.action = nn.Linear(N_BANDS * shape.channels, shape.action)
        self.memory = nn.ModuleList(TemporalLayer(shape.action, d) for d in shape.memory)
        self.said = nn.Linear(shape.action, sum(SAID))

    def forward(self, inertial: Tensor, at: slice = EVERY_TICK) -> Said:
        """What is said of the ticks `at`; the past is always read whole."""
        x = self.felt(inertial)
        for layer in self.encoder:
            x = layer(x)
        x = self.together(x)[..., None, :]  # (B, T, 1, A)
        for layer in self.memory:
            x = layer(x)
        return self.say(x[:, at, 0])

    def felt(self, inertial: Tensor) -> Tensor:
        """(..., 4, 8) -> (..., 4, C)."""
        return F.relu(self.motion(inertial * self.scale) + self.node)

    def together(self, x: Tensor) -> Tensor:
        """(..., 4, C) -> (..., A)."""
        return F.relu(self.action(self.dropout(x.flatten(-2))))

    def say(self, x: Tensor) -> Said:
        """(..., A) -> what is said."""
        return Said(*self.said(x).split(SAID, -1))
