"""Without angle refinement: the coach trained with the landmarks' own angles for its angles."""

from __future__ import annotations

from torch import Tensor

from export.model import Coach, Heads, Readout, Shape


class ShownAngles(Readout):
    """The heads without the correction of the angles. The uncertainty is still learned: it is that of the shown angles."""

    def forward(self, nodes: Tensor, pooled: Tensor, importance: Tensor, shown: Tensor) -> Heads:
        """As `Readout`."""
        return super().forward(nodes, pooled, importance, shown)._replace(angles=shown)


def shown_angles() -> Coach:
    """TCN+GAT with angles as the landmarks show them."""
    coach = Coach(Shape())
    coach.readout = ShownAngles(coach.shape)
    return coach
