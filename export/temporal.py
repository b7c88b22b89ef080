"""A layer over time, shared by the networks: in training over whole sequences, on the device tick by tick."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EVERY_TICK = slice(None)


class TemporalLayer(nn.Module):
    """Eq. 5, kernel 3, causal, the same at each of N nodes: H_t = H_t + relu(W [H_(t-2d), H_(t-d), H_t] + b)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.kernel = nn.Linear(3 * channels, channels)

    def step(self, far: Tensor, near: Tensor, now: Tensor) -> Tensor:
        """(..., N, C) three times -> (..., N, C)."""
        return now + F.relu(self.kernel(torch.cat((far, near, now), -1)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, N, C) -> (B, T, N, C), a convolution over time; before it there are zeros, as in empty ring buffers."""
        channels, d = x.shape[-1], self.dilation
        weight = self.kernel.weight.reshape(channels, 3, channels).transpose(1, 2)[..., None]  # (C out, C in, 3, 1)
        before = F.pad(x, (0, 0, 0, 0, 2 * d, 0)).permute(0, 3, 1, 2)  # (B, C, 2 d + T, N), channels last in memory
        return x + F.relu(F.conv2d(before, weight, self.kernel.bias, dilation=(d, 1)).permute(0, 2, 3, 1))


def stepped(layers: Iterable[nn.Module], x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """One tick `x` (1, ...) through L layers, given their `past` (2 L, ...): what comes out, and what each has read (L, ...)."""
    read = []
    for i, layer in enumerate(layers):
        assert isinstance(layer, TemporalLayer)
        read.append(x)
        x = layer.step(past[2 * i : 2 * i + 1], past[2 * i + 1 : 2 * i + 2], x)
    return x, torch.cat(read, 0)
