"""Keypoints in the picture only: no depth, no bands, no graph attention, as after a part-affinity-field estimator."""

from __future__ import annotations

import torch
from torch import Tensor

from device.runtime.features import SKELETON_CHANNELS
from export.model import Coach, Heads
from export.temporal import EVERY_TICK
from export.zoo.tcn_only import NoReasoner

DEPTH_CHANNELS = (2, 5, 8)
"""z of position, velocity and acceleration."""


class Keypoints2D(Coach):
    """TCN-Only on what a picture shows: angles are those of the projected limbs, corrected by what was learned."""

    in_picture: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.reasoner = NoReasoner()  # type: ignore[assignment]
        in_picture = torch.ones(SKELETON_CHANNELS)
        in_picture[list(DEPTH_CHANNELS)] = 0
        self.register_buffer("in_picture", in_picture, persistent=False)

    def forward(self, skeleton: Tensor, inertial: Tensor, at: slice = EVERY_TICK) -> Heads:
        """As `export.model.Coach`."""
        return super().forward(skeleton * self.in_picture, torch.zeros_like(inertial), at)
