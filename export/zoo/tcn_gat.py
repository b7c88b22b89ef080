"""TCN+GAT: the coach itself, with the window (receptive field) as a parameter."""

from __future__ import annotations

from export.model import Coach, Shape

DILATIONS: dict[int, tuple[int, ...]] = {
    32: (1, 2, 4, 4, 4),
    40: (1, 2, 4, 4, 8),
    48: (1, 2, 4, 8, 8),
    56: (1, 2, 4, 8, 12),
    64: (1, 2, 4, 8, 16),
    72: (1, 2, 4, 8, 20),
    80: (1, 2, 4, 8, 24),
    88: (1, 2, 4, 8, 28),
    96: (1, 2, 4, 8, 32),
}
"""Window in ticks and the dilations whose receptive field is one tick less. All networks have the same number of weights."""


def tcn_gat(window: int = 64) -> Coach:
    """Encoder and graph attention. `window`: a key of `DILATIONS`."""
    return Coach(Shape(dilations=DILATIONS[window]))
