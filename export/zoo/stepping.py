"""A network of the coach's family as the core steps it: one tick after the other, in PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from device.messages import EXERCISES, Array, Estimate
from device.runtime.evidence import Response
from device.runtime.features import FeatureConstants
from device.runtime.model import MAX_LOG_SIGMA, softmax
from device.skeleton import N_NODES
from export.model import Coach, Heads
from export.temporal import TemporalLayer
from export.zoo.tcn_lstm import NodeMemory, State

Responses = Mapping[str, Mapping[str, Response]]


class TorchStep:
    """What `device.runtime.model.StepModel` is for a bundle: rings for the encoder's layers, and the state of a memory."""

    def __init__(self, coach: Coach, constants: FeatureConstants, responses: Responses | None = None) -> None:
        self.classes: tuple[str, ...] = EXERCISES
        self.constants = constants
        self.responses: Responses = responses or {}
        self._coach = coach.eval()
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        channels = self._coach.shape.channels
        self._rings: list[Tensor | State | None] = [
            torch.zeros(2 * layer.dilation, N_NODES, channels) if isinstance(layer, TemporalLayer) else None
            for layer in self._coach.encoder
        ]
        self._tick = 0

    def step(self, skeleton: Array, inertial: Array, t_ns: int, seq: int) -> Estimate:
        """The estimate of the next tick, as `StepModel.step`."""
        exercise, stage, phase, angles, log_sigma, importance = (head[0].numpy() for head in self.heads(skeleton, inertial))
        sine, cosine = phase.tolist()
        return Estimate(
            t_ns, seq, softmax(exercise), softmax(stage), math.atan2(sine, cosine) / math.tau % 1.0, angles,
            np.exp(np.minimum(log_sigma, MAX_LOG_SIGMA)), importance,
        )  # fmt: skip

    @torch.no_grad()
    def heads(self, skeleton: Array, inertial: Array) -> Heads:
        """Heads (1, ...) of the next tick: `skeleton` (33, 11), `inertial` (4, 8)."""
        coach = self._coach
        nodes, bands = torch.from_numpy(skeleton)[None], torch.from_numpy(inertial)[None]
        shown, at_nodes = coach.geometry(nodes)
        x = coach.fusion(nodes, bands, at_nodes)
        for i, layer in enumerate(coach.encoder):
            if isinstance(layer, TemporalLayer):
                ring, d = self._rings[i], layer.dilation
                assert isinstance(ring, Tensor)
                now = self._tick % (2 * d)
                before, x = x, layer.step(ring[now][None], ring[(self._tick + d) % (2 * d)][None], x)
                ring[now] = before[0]
            else:
                assert isinstance(layer, NodeMemory)
                state = self._rings[i]
                assert not isinstance(state, Tensor)
                x, self._rings[i] = layer.step(x, state)
        self._tick += 1
        return coach.heads(x, nodes, bands, shown)
