"""All networks in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from export.zoo.dense_imu import dense_imu
from export.zoo.imu_cnn_lstm import ImuCnnLstm
from export.zoo.keypoints_2d import Keypoints2D
from export.zoo.pose_embedding import PoseEmbedding
from export.zoo.segmented_clips import CLIP, SegmentedClips
from export.zoo.shown_angles import shown_angles
from export.zoo.tcn_gat import tcn_gat
from export.zoo.tcn_lstm import tcn_lstm
from export.zoo.tcn_only import tcn_only


@dataclass(frozen=True, slots=True)
class Entry:
    """`title`: what reports call it. `make`: an untrained one; `window` is a parameter of TCN+GAT alone. `waits_ticks`: ticks
    that an answer waits for on average, because it is of a whole clip."""

    title: str
    make: Callable[[], nn.Module]
    waits_ticks: float = 0.0


MODELS: dict[str, Entry] = {
    "tcn_only": Entry("TCN-Only", tcn_only),
    "tcn_lstm": Entry("TCN+LSTM", tcn_lstm),
    "tcn_gat": Entry("TCN+GAT", tcn_gat),
    "shown_angles": Entry("TCN+GAT without angle refinement", shown_angles),
    "dense_imu": Entry("TCN+GAT, eight IMUs", dense_imu),
    "imu_cnn_lstm": Entry("IMU CNN-LSTM", ImuCnnLstm),
    "keypoints_2d": Entry("2D keypoints", Keypoints2D),
    "segmented_clips": Entry("Segmented clips", SegmentedClips, waits_ticks=CLIP / 2),
    "pose_embedding": Entry("Pose embedding", PoseEmbedding),
}


def untrained(model: str, window: int = 64) -> nn.Module:
    """A new network with random weights."""
    return tcn_gat(window) if model == "tcn_gat" else MODELS[model].make()
