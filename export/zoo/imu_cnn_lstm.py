"""IMU CNN-LSTM: bands alone. Convolutions over short stretches of all four bands, then a memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from device.runtime.features import INERTIAL_CHANNELS
from device.skeleton import N_BANDS, N_JOINTS
from export.model import Heads
from export.temporal import EVERY_TICK
from export.zoo.parts import PlainHeads, Scales

CHANNELS, KERNEL = 48, 5


class ImuCnnLstm(nn.Module):
    """Inertial (B, T, 4, 8) -> heads; the skeleton isn't looked at. Causal: the past is padded, not the future."""

    def __init__(self) -> None:
        super().__init__()
        self.fusion = Scales()
        self.first = nn.Conv1d(N_BANDS * INERTIAL_CHANNELS, CHANNELS, KERNEL)
        self.second = nn.Conv1d(CHANNELS, CHANNELS, KERNEL)
        self.memory = nn.LSTM(CHANNELS, CHANNELS, batch_first=True)
        self.heads = PlainHeads(CHANNELS)

    def forward(self, skeleton: Tensor, inertial: Tensor, at: slice = EVERY_TICK) -> Heads:
        """As `export.model.Coach`."""
        del skeleton
        x = (inertial * self.fusion.inertial_scale).flatten(2).transpose(1, 2)  # (B, 32, T)
        for layer in (self.first, self.second):
            x = F.relu(layer(F.pad(x, (KERNEL - 1, 0))))
        body = self.memory(x.transpose(1, 2))[0][:, at]  # (B, T', 48)
        # With nothing seen, the angles are all correction; they start from a straight body.
        return self.heads(body, torch.full((*body.shape[:2], N_JOINTS), torch.pi / 2 * 1.8, device=body.device))  # type: ignore[no-any-return]
