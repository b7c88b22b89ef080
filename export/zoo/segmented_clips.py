"""Segmented clips in the style of FineGym: the video is cut into clips, and each clip has one class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from device.runtime.features import SKELETON_CHANNELS
from device.skeleton import N_NODES
from export.geometry import Geometry
from export.model import Heads
from export.temporal import EVERY_TICK
from export.zoo.parts import PlainHeads, Scales

CLIP = 64
"""Ticks of a clip. Nothing can be said of it before its end: half of that is what an answer waits for on average."""
CHANNELS, DILATIONS = 64, (1, 2, 4, 8)


class SegmentedClips(nn.Module):
    """Skeleton (B, T, 33, 11) -> heads. Within a clip, convolutions look both ways; class and stage logits are those of the whole
    clip and of its ticks, phase and angles are the ticks'. The bands aren't looked at. The last clip is filled by repeating its
    last tick."""

    window = CLIP

    def __init__(self) -> None:
        super().__init__()
        self.fusion = Scales()
        self.geometry = Geometry()
        self.embed = nn.Linear(N_NODES * SKELETON_CHANNELS, CHANNELS)
        self.layers = nn.ModuleList(nn.Conv1d(CHANNELS, CHANNELS, 3, dilation=d, padding=d) for d in DILATIONS)
        self.whole = nn.Linear(CHANNELS, CHANNELS)
        self.heads = PlainHeads(2 * CHANNELS)

    def forward(self, skeleton: Tensor, inertial: Tensor, at: slice = EVERY_TICK) -> Heads:
        """As `export.model.Coach`; the clips begin at the first tick."""
        del inertial
        batch, ticks = skeleton.shape[:2]
        shown, _ = self.geometry(skeleton)
        missing = -ticks % CLIP
        filled = torch.cat((skeleton, skeleton[:, -1:].expand(-1, missing, -1, -1)), 1) * self.fusion.skeleton_scale
        x = self.embed(filled.reshape(-1, CLIP, N_NODES * SKELETON_CHANNELS)).transpose(1, 2)  # (B clips, C, 64)
        for layer in self.layers:
            x = x + F.relu(layer(x))
        of_clip = F.relu(self.whole(x.mean(-1)))[..., None].expand_as(x)
        body = torch.cat((of_clip, x), 1).transpose(1, 2).reshape(batch, ticks + missing, -1)[:, :ticks]
        body, shown = body[:, at], shown[:, at]
        heads: Heads = self.heads(body, shown)
        # One class a clip: the exercise is read from the clip's part alone.
        clip_only = torch.cat((body[..., :CHANNELS], torch.zeros_like(body[..., CHANNELS:])), -1)
        return heads._replace(exercise=self.heads(clip_only, shown).exercise)
