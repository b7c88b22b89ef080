"""TCN+LSTM: behind the encoder a memory at every node instead of graph attention between nodes."""

from __future__ import annotations

from torch import Tensor, nn

from device.skeleton import N_NODES
from export.model import Coach
from export.zoo.tcn_only import tcn_only

State = tuple[Tensor, Tensor]
"""Hidden and cell state (1, M, C) each."""


class NodeMemory(nn.Module):
    """An LSTM over time, the same at every node, added to what it reads as the layers of the encoder are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.memory = nn.LSTM(channels, channels, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, 33, C) -> (B, T, 33, C)."""
        batch, ticks, nodes, channels = x.shape
        along = x.transpose(1, 2).reshape(batch * nodes, ticks, channels)
        remembered: Tensor = self.memory(along)[0].reshape(batch, nodes, ticks, channels)
        return x + remembered.transpose(1, 2)

    def step(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """One tick: (1, 33, C) and what was remembered -> (1, 33, C) and what is remembered now."""
        out, after = self.memory(x.reshape(N_NODES, 1, -1), state)
        return x + out.reshape(x.shape), after


def tcn_lstm() -> Coach:
    """The encoder, the memory and the heads."""
    coach = tcn_only()
    coach.encoder.append(NodeMemory(coach.shape.channels))
    return coach
