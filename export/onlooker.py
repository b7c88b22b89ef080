"""What anybody would say who sees somebody: a network of limbs' directions, as they stand to the trunk and to the ground.

The graph reads landmarks where the camera has them; what it has met of people are the bodies, views and errors of a simulation.
What is left of all that when limbs are told by the body's own axes is less, and more like people. It knows of 4.2 s, and nothing
of bands and hands. What it says of stage and phase helps it to learn; only the exercise is heard, beside the graph's (`SHARE`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from device.skeleton import N_JOINTS, N_NODES, NODE
from export.blind import SAID, Said
from export.geometry import PRESENT, VISIBILITY, Geometry, constant
from export.temporal import EVERY_TICK, TemporalLayer

SHARE = 0.8
"""Weight of the exercise that it names without bands, the rest being the graph's; nothing is left of it where all bands are worn,
for of those only the graph knows."""

SIDES = ("left", "right")
LIMBS = [(f"{s}_{a}", f"{s}_{b}") for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"),
                                               ("ankle", "foot_index"), ("shoulder", "wrist")) for s in SIDES]  # fmt: skip
LIMBS += [(f"{s}_shoulder", "nose") for s in SIDES]
"""Vectors whose directions are read, from one landmark to another."""
APART = (
    ("left_wrist", "right_wrist"), ("left_ankle", "right_ankle"), ("left_knee", "right_knee"), ("left_elbow", "right_elbow"),
    ("left_wrist", "nose"), ("right_wrist", "nose"),
)  # fmt: skip
"""Landmarks whose distances are read."""
FEET = [f"{s}_{part}" for part in ("ankle", "foot_index") for s in SIDES]
WRISTS = [f"{s}_wrist" for s in SIDES]
WATCHED = ["nose", *(f"{s}_{j}" for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for s in SIDES)]
"""Landmarks whose visibility is read."""
LOOKED_AT = 1 + 2 * N_JOINTS + 4 * len(LIMBS) + 3 + 2 + len(APART) + len(WATCHED)
"""Numbers that are read of a tick."""


@dataclass(frozen=True, slots=True)
class OnlookerShape:
    """Sizes of the network: `looked` and `channels` of a tick's two layers, and `dilations` of those over time."""

    looked: int = 64
    channels: int = 40
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    dropout: float = 0.3

    @property
    def receptive_field(self) -> int:
        """Ticks that one output depends on: 127, or 4.2 s."""
        return 1 + 2 * sum(self.dilations)


class Onlooker(nn.Module):
    """Whole sequences: skeleton (B, T, 33, 11) -> what is said of every tick."""

    vectors: Tensor
    feet: Tensor
    wrists: Tensor
    watched: Tensor
    scale: Tensor

    def __init__(self, shape: OnlookerShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or OnlookerShape()
        self.geometry = Geometry()
        vectors = np.zeros((len(LIMBS) + len(APART) + 2, N_NODES))
        for row, (start, end) in zip(vectors, (*LIMBS, *APART), strict=False):
            row[NODE[end]], row[NODE[start]] = 1, -1
        for joint in ("shoulder", "hip"):
            vectors[-2, NODE[f"left_{joint}"]], vectors[-2, NODE[f"right_{joint}"]] = 1, -1
        for side in SIDES:
            vectors[-1, NODE[f"{side}_shoulder"]], vectors[-1, NODE[f"{side}_hip"]] = 1, -1
        self.register_buffer("vectors", constant(vectors), persistent=False)
        for name, nodes in (("feet", FEET), ("wrists", WRISTS), ("watched", WATCHED)):
            chosen = np.zeros((len(nodes), N_NODES))
            chosen[range(len(nodes)), [NODE[node] for node in nodes]] = 1
            self.register_buffer(name, constant(chosen), persistent=False)
        self.register_buffer("scale", torch.ones(LOOKED_AT))
        self.first = nn.Linear(LOOKED_AT, shape.looked)
        self.second = nn.Linear(shape.looked, shape.channels)
        self.dropout = nn.Dropout(shape.dropout)
        self.encoder = nn.ModuleList(TemporalLayer(shape.channels, d) for d in shape.dilations)
        self.said = nn.Linear(shape.channels, sum(SAID))

    def forward(self, skeleton: Tensor, at: slice = EVERY_TICK) -> Said:
        """What is said of the ticks `at`; the past is always read whole."""
        shown, _ = self.geometry(skeleton)
        x = self.glance(skeleton, shown)[..., None, :]  # (B, T, 1, C)
        for layer in self.encoder:
            x = layer(x)
        return self.say(x[:, at, 0])

    def look(self, skeleton: Tensor, shown: Tensor) -> Tensor:
        """(..., 33, 11) and the angles that it shows (..., 12) -> what is read of a tick (..., 105)."""
        present = skeleton[..., 0, PRESENT:]  # (..., 1)
        points = skeleton[..., 0:3].transpose(-1, -2)  # (..., 3, 33), y down
        vectors = F.linear(points, self.vectors)  # (..., 3, 22)
        limbs, apart = vectors[..., : len(LIMBS)], vectors[..., len(LIMBS) : -2]
        left, trunk = _unit(vectors[..., -2]), vectors[..., -1]
        up = _unit(trunk - (trunk * left).sum(-1, keepdim=True) * left)
        front = torch.stack(
            (
                left[..., 1] * up[..., 2] - left[..., 2] * up[..., 1],
                left[..., 2] * up[..., 0] - left[..., 0] * up[..., 2],
                left[..., 0] * up[..., 1] - left[..., 1] * up[..., 0],
            ),
            -1,
        )
        in_body = torch.matmul(torch.stack((left, up, front), -2), limbs)  # (..., 3, 14)
        steep = (limbs[..., 1, :], _unit(trunk)[..., 1:2], left[..., 1:2], front[..., 1:2])
        lowest = [F.linear(points[..., 1, :], nodes).amax(-1, keepdim=True) for nodes in (self.feet, self.wrists)]
        distances = torch.sqrt((apart * apart).sum(-2) + 1e-4) * present
        visible = F.linear(skeleton[..., VISIBILITY], self.watched)
        angles = (shown.sin() * present, shown.cos() * present)
        return torch.cat((present, *angles, in_body.flatten(-2), *steep, *lowest, distances, visible), -1)

    def glance(self, skeleton: Tensor, shown: Tensor) -> Tensor:
        """The same -> (..., C)."""
        x = F.relu(self.first(self.look(skeleton, shown) * self.scale))
        return F.relu(self.second(self.dropout(x)))

    def say(self, x: Tensor) -> Said:
        """(..., C) -> what is said."""
        return Said(*self.said(self.dropout(x)).split(SAID, -1))


def _unit(vector: Tensor) -> Tensor:
    return vector / torch.sqrt((vector * vector).sum(-1, keepdim=True) + 1e-6)
