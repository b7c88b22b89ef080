"""TCN-Only: the coach without graph attention. Nodes never see each other before the read-out."""

from __future__ import annotations

from torch import Tensor, nn

from device.skeleton import N_NODES
from export.model import Coach, Shape


class NoReasoner(nn.Module):
    """Stands for `export.model.Reasoner`: the nodes as they are, their mean, and equal importance."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(M, 33, C) -> nodes (M, 33, C), pooled (M, C), importance (M, 33)."""
        return x, x.mean(-2), x.new_full(x.shape[:-1], 1 / N_NODES)


def tcn_only() -> Coach:
    """The encoder and the heads."""
    coach = Coach(Shape())
    coach.reasoner = NoReasoner()  # type: ignore[assignment]
    return coach
