"""The network, top to bottom: fusion, encoder, reasoner, heads.

B sequences, T ticks, N = 33 nodes, C channels. Both forms share every weight: `Coach` maps whole sequences
(training, parity), `CoachStep` one tick and the taps of the encoder's ring buffers (what the device runs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from device.messages import EXERCISES, Stage
from device.runtime.features import INERTIAL_CHANNELS, SKELETON_CHANNELS
from device.skeleton import ADJACENCY, BAND_NODES, JOINT_NODES, N_BANDS, N_JOINTS, N_NODES
from export.blind import Blind, Said
from export.geometry import PRESENT, VISIBILITY, Geometry, constant
from export.onlooker import SHARE, Onlooker
from export.temporal import EVERY_TICK, TemporalLayer, stepped

LOOKED_AT = 4 * N_NODES + N_BANDS * INERTIAL_CHANNELS + 5 * N_JOINTS
"""Numbers that the refiner reads of a tick: landmarks, visibilities, bands, and the angles shown and refined."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network."""

    channels: int = 40
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16)
    heads: int = 4
    node_summary: int = 6
    action: int = 40
    posture: int = 64
    dropout: float = 0.3
    refiner: tuple[int, int] = (184, 148)
    doubt: int = 48

    @property
    def receptive_field(self) -> int:
        """Ticks that one output depends on: 63 with kernel 3 and dilations 1 to 16."""
        return 1 + 2 * sum(self.dilations)


class Heads(NamedTuple):
    """What the network says of each tick; the leading dimensions are (B, T) or (1,)."""

    exercise: Tensor  # (..., 6) logits
    stage: Tensor  # (..., 4) logits
    phase: Tensor  # (..., 2) sin, cos
    angles: Tensor  # (..., 12) rad
    log_sigma: Tensor  # (..., 12) log rad
    importance: Tensor  # (..., 33), sums to 1


class Fusion(nn.Module):
    """Both modalities on the nodes. f = p + (sigmoid(W u) - 1/2) where there is an IMU and f = p where there is
    none (eq. 15; the half makes the correction vanish with its signal), beside the concatenation p || u (eq. 14),
    whose linear embedding is the sum of one of each part.
    """

    scatter: Tensor
    skeleton_scale: Tensor
    inertial_scale: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        scatter = np.zeros((N_NODES, N_BANDS))
        scatter[list(BAND_NODES), range(N_BANDS)] = 1
        self.register_buffer("scatter", constant(scatter), persistent=False)
        self.register_buffer("skeleton_scale", torch.ones(SKELETON_CHANNELS))
        self.register_buffer("inertial_scale", torch.ones(INERTIAL_CHANNELS))
        self.position = nn.Linear(SKELETON_CHANNELS + 2, channels, bias=False)
        self.motion = nn.Linear(INERTIAL_CHANNELS, channels, bias=False)
        self.correction = nn.Linear(INERTIAL_CHANNELS - 1, 3, bias=False)
        self.node = nn.Parameter(torch.randn(N_NODES, channels) * 0.5)

    def forward(self, skeleton: Tensor, inertial: Tensor, angles: Tensor) -> Tensor:
        """(..., 33, 11), (..., 4, 8), (..., 33, 2) -> (..., 33, C)."""
        skeleton, inertial = skeleton * self.skeleton_scale, inertial * self.inertial_scale
        u = F.linear(inertial.transpose(-1, -2), self.scatter).transpose(-1, -2)  # (..., 33, 8): eq. 4 at its nodes
        corrected = skeleton[..., 0:3] + u[..., PRESENT:] * (torch.sigmoid(self.correction(u[..., :PRESENT])) - 0.5)
        f = torch.cat((corrected, skeleton[..., 3:], angles), -1)  # (..., 33, 13)
        fused: Tensor = self.position(f) + self.motion(u) + self.node
        return fused


class Attention(nn.Module):
    """Eq. 6: dense attention over the body graph, masked to each node's neighbours and itself, several heads."""

    mask: Tensor

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, channels // heads
        self.project = nn.Linear(channels, channels)
        self.sender = nn.Parameter(torch.randn(heads, 1, self.width) * 0.3)
        self.receiver = nn.Parameter(torch.randn(heads, 1, self.width) * 0.3)
        self.register_buffer("mask", constant(np.where(ADJACENCY, 0.0, -1e4)), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(M, 33, C) -> (M, 33, C) and the attention averaged over heads (M, 33 receivers, 33 senders)."""
        h = self.project(x)  # (M, 33, C)
        h = h.reshape(-1, N_NODES, self.heads, self.width).transpose(1, 2)  # (M, heads, 33, width)
        to = (h * self.receiver).sum(-1, keepdim=True)  # (M, heads, 33, 1)
        of = (h * self.sender).sum(-1, keepdim=True).transpose(-1, -2)  # (M, heads, 1, 33)
        alpha = torch.softmax(F.leaky_relu(to + of, 0.2) + self.mask, -1)  # (M, heads, 33, 33)
        out = torch.matmul(alpha, h).transpose(1, 2).reshape(-1, N_NODES, self.heads * self.width)
        return x + F.relu(out), alpha.mean(1)


class Reasoner(nn.Module):
    """Two layers of graph attention and one attention that reads the nodes out.

    The importance of a node is the read-out's attention carried back through both layers (attention roll-out).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.first = Attention(shape.channels, shape.heads)
        self.second = Attention(shape.channels, shape.heads)
        self.readout = nn.Linear(shape.channels, 1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(M, 33, C) -> nodes (M, 33, C), pooled (M, C), importance (M, 33)."""
        x, alpha1 = self.first(x)
        x, alpha2 = self.second(x)
        beta = torch.softmax(self.readout(x).transpose(-1, -2), -1)  # (M, 1, 33)
        pooled = torch.matmul(beta, x)[:, 0]  # (M, C)
        importance = torch.matmul(torch.matmul(beta, alpha2), alpha1)[:, 0]  # (M, 33)
        return x, pooled, importance


class Readout(nn.Module):
    """The heads. A refined angle is the landmarks' own angle plus a correction read at the joint's node and from the
    whole body; with no pose the correction is all there is. The dropout after the second layer of attention is on what the
    heads that recognise read: an angle learned under dropout shrinks towards the usual movement, and with it every deviation.
    """

    select: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        select = np.zeros((N_JOINTS, N_NODES))
        select[range(N_JOINTS), list(JOINT_NODES)] = 1
        self.register_buffer("select", constant(select), persistent=False)
        self.dropout = nn.Dropout(shape.dropout)
        self.summary = nn.Linear(shape.channels, shape.node_summary)
        self.action = nn.Linear(N_NODES * shape.node_summary + shape.channels, shape.action)
        self.posture = nn.Linear(N_NODES * shape.node_summary + shape.channels, shape.posture)
        self.exercise = nn.Linear(shape.action, len(EXERCISES))
        self.stage = nn.Linear(shape.action, len(Stage))
        self.phase = nn.Linear(shape.action, 2)
        self.body_angle = nn.Linear(shape.posture, 2 * N_JOINTS)
        self.joint_angle = nn.Parameter(torch.zeros(2, shape.channels, N_JOINTS))
        # No correction at first: training starts from the angles that the landmarks show.
        nn.init.zeros_(self.body_angle.weight)
        nn.init.zeros_(self.body_angle.bias)

    def forward(self, nodes: Tensor, pooled: Tensor, importance: Tensor, shown: Tensor) -> Heads:
        """(M, 33, C), (M, C), (M, 33) and the shown angles (M, 12) -> heads with leading dimension M."""
        flat = F.relu(self.summary(nodes)).reshape(-1, N_NODES * self.summary.out_features)
        body = torch.cat((flat, pooled), -1)
        action, posture = F.relu(self.action(self.dropout(body))), F.relu(self.posture(body))  # (M, 40), (M, 64)
        of_body = self.body_angle(posture)  # (M, 24)
        at_joint = F.linear(nodes.transpose(-1, -2), self.select)  # (M, C, 12)
        correction = of_body[:, :N_JOINTS] + (at_joint * self.joint_angle[0]).sum(-2)
        log_sigma = of_body[:, N_JOINTS:] + (at_joint * self.joint_angle[1]).sum(-2) - 2.0
        return Heads(self.exercise(action), self.stage(action), self.phase(action), shown + correction, log_sigma, importance)


class Refiner(nn.Module):
    """A second look at the angles: all that one tick shows, side by side, with what the graph makes of it.

    Encoder and reasoner pass on 40 numbers a node, which have to serve every head, under everything that may befall the signals;
    that a knee caves in lies in the fine differences between many landmarks, which get lost on the way. `export/refine.py` fits
    this part last, on the rest as it is. Without a pose it leaves the heads as they are.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(LOOKED_AT))
        self.register_buffer("scale", torch.ones(LOOKED_AT))
        self.first = nn.Linear(LOOKED_AT, shape.refiner[0])
        self.second = nn.Linear(shape.refiner[0], shape.refiner[1])
        self.correction = nn.Linear(shape.refiner[1], N_JOINTS)
        self.doubt = nn.Linear(LOOKED_AT, shape.doubt)
        self.log_sigma = nn.Linear(shape.doubt, N_JOINTS)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, skeleton: Tensor, inertial: Tensor, shown: Tensor, heads: Heads) -> Heads:
        """(M, 33, 11), (M, 4, 8), the shown angles (M, 12) and the graph's heads -> heads."""
        present = skeleton[:, 0, PRESENT:]  # (M, 1)
        look = self.look(skeleton, inertial, shown, heads)
        angles = heads.angles + present * self.corrected(look)
        log_sigma = present * self.doubted(look) + (1 - present) * heads.log_sigma
        return heads._replace(angles=angles, log_sigma=log_sigma)

    def look(self, skeleton: Tensor, inertial: Tensor, shown: Tensor, heads: Heads) -> Tensor:
        """What the layers read: (M, 224), each number about one in size."""
        seen = torch.cat((skeleton[..., :3].flatten(1), skeleton[..., VISIBILITY], inertial.flatten(1)), -1)
        found = torch.cat((shown.sin(), shown.cos(), heads.angles.sin(), heads.angles.cos(), heads.log_sigma), -1)
        return (torch.cat((seen, found), -1) - self.centre) * self.scale

    def corrected(self, look: Tensor) -> Tensor:
        """Corrections of the angles (M, 12) rad."""
        correction: Tensor = self.correction(F.relu(self.second(F.relu(self.first(look)))))
        return correction

    def doubted(self, look: Tensor) -> Tensor:
        """Logarithms of their uncertainties (M, 12) rad."""
        log_sigma: Tensor = self.log_sigma(F.relu(self.doubt(look)))
        return log_sigma


class Coach(nn.Module):
    """Whole sequences: skeleton (B, T, 33, 11), inertial (B, T, 4, 8) -> heads of every tick (B, T, ...).

    `onlooker`, `blind`: None until they are trained; the graph is all that is heard then. `refiner`: None until it is fitted; the
    graph's angles are the coach's then.
    """

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()
        self.shape = shape or Shape()
        self.geometry = Geometry()
        self.fusion = Fusion(self.shape.channels)
        self.encoder = nn.ModuleList(TemporalLayer(self.shape.channels, d) for d in self.shape.dilations)
        self.reasoner = Reasoner(self.shape)
        self.readout = Readout(self.shape)
        self.onlooker: Onlooker | None = None
        self.blind: Blind | None = None
        self.refiner: Refiner | None = None

    def forward(self, skeleton: Tensor, inertial: Tensor, at: slice = EVERY_TICK) -> Heads:
        """Heads of the ticks `at`; the encoder always reads the whole sequence."""
        shown, at_nodes = self.geometry(skeleton)
        x = self.fusion(skeleton, inertial, at_nodes)  # (B, T, 33, C)
        for layer in self.encoder:
            x = layer(x)
        judged = [signal[:, at] for signal in (x, skeleton, inertial, shown)]  # (B, T', ...)
        batch, ticks = judged[0].shape[:2]
        heads = self.heads(*(signal.reshape(batch * ticks, *signal.shape[2:]) for signal in judged))
        heads = Heads(*(head.reshape(batch, ticks, -1) for head in heads))
        if self.onlooker is not None:
            heads = seconded(heads, self.onlooker(skeleton, at), judged[2])
        return heads if self.blind is None else heard(heads, self.blind(inertial, at), *judged[1:3])

    def heads(self, x: Tensor, skeleton: Tensor, inertial: Tensor, shown: Tensor) -> Heads:
        """Encoded nodes (M, 33, C), signals (M, 33, 11), (M, 4, 8) and shown angles (M, 12) of M ticks -> heads (M, ...)."""
        heads: Heads = self.readout(*self.reasoner(x), shown)
        return heads if self.refiner is None else self.refiner(skeleton, inertial, shown, heads)


def seconded(heads: Heads, seen: Said, inertial: Tensor) -> Heads:
    """The heads of ticks with the bands' signals (..., 4, 8), and the exercise that the onlooker names weighed in, the less the
    more bands are worn. Where in a repetition somebody is, the graph tells: two phases that differ have no middle."""
    worn = inertial[..., PRESENT].mean(-1, keepdim=True)
    share = SHARE * (1 - worn * worn * worn)
    return heads._replace(exercise=heads.exercise + share * (seen.exercise - heads.exercise))


def heard(heads: Heads, felt: Said, skeleton: Tensor, inertial: Tensor) -> Heads:
    """The heads of ticks with the signals (..., 33, 11) and (..., 4, 8); of those with bands but without a pose, what the bands'
    own network says."""
    alone = (1 - skeleton[..., 0, PRESENT:]) * inertial[..., PRESENT].amax(-1, keepdim=True)
    seen = Said(heads.exercise, heads.stage, heads.phase)
    exercise, stage, phase = (of_graph + alone * (of_bands - of_graph) for of_graph, of_bands in zip(seen, felt, strict=True))
    return heads._replace(exercise=exercise, stage=stage, phase=phase)


class CoachWindow(nn.Module):
    """A window of T ticks, re-run whole: skeleton (1, T, 33, 11), inertial (1, T, 4, 8) -> heads (1, ...) of the last."""

    def __init__(self, coach: Coach) -> None:
        super().__init__()
        self.coach = coach

    def forward(self, skeleton: Tensor, inertial: Tensor) -> tuple[Tensor, ...]:
        heads = self.coach(skeleton, inertial, slice(skeleton.shape[1] - 1, None))
        return tuple(head[:, 0] for head in heads)


class CoachStep(nn.Module):
    """One tick: skeleton (1, 33, 11), inertial (1, 4, 8), and of the past taps (2 L, 33, C), sight (2 L, C), bands (2 L, 4, C),
    memory (2 L, C) -> heads (1, ...) and what each layer has read now, (L, ...) in the order of the past.

    Rows 2l and 2l+1 of a past are the input of layer l as it was 2d and d ticks ago.
    """

    def __init__(self, coach: Coach, onlooker: Onlooker, blind: Blind) -> None:
        super().__init__()
        self.coach, self.onlooker, self.blind = coach, onlooker, blind

    def forward(
        self, skeleton: Tensor, inertial: Tensor, taps: Tensor, sight: Tensor, bands: Tensor, memory: Tensor
    ) -> tuple[Tensor, ...]:
        shown, at_nodes = self.coach.geometry(skeleton)
        x, encoded = stepped(self.coach.encoder, self.coach.fusion(skeleton, inertial, at_nodes), taps)
        heads = self.coach.heads(x, skeleton, inertial, shown)
        seen, sighted = stepped(self.onlooker.encoder, self.onlooker.glance(skeleton, shown), sight)
        felt, banded = stepped(self.blind.encoder, self.blind.felt(inertial), bands)
        action, remembered = stepped(self.blind.memory, self.blind.together(felt), memory)
        heads = heard(seconded(heads, self.onlooker.say(seen), inertial), self.blind.say(action), skeleton, inertial)
        return (*heads, encoded, sighted, banded, remembered)
