"""Dense IMU: the coach with eight units instead of four, the other four on upper arms and thighs."""

from __future__ import annotations

import numpy as np
import torch

from device.skeleton import BAND_NODES, N_NODES, NODE
from export.model import Coach, Shape

UPPER_NODES = tuple(NODE[name] for name in ("left_elbow", "right_elbow", "left_knee", "right_knee"))
"""Landmarks that carry the four more, in the order of the bands: each sits above the joint as a band sits above the wrist."""


def dense_imu() -> Coach:
    """Takes inertial features (B, T, 8, 8): the bands, then the units at `UPPER_NODES`."""
    coach = Coach(Shape())
    nodes = (*BAND_NODES, *UPPER_NODES)
    scatter = np.zeros((N_NODES, len(nodes)), np.float32)
    scatter[list(nodes), range(len(nodes))] = 1
    coach.fusion.scatter = torch.from_numpy(scatter)
    return coach
