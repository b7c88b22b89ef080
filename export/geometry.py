"""Angles and directions that the landmarks themselves show, as graphs of static shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from device.skeleton import JOINT_NODES, JOINTS, N_JOINTS, N_NODES

PRESENT = -1
"""Index of the flag that says whether the modality is there, in both feature vectors."""
VISIBILITY = -2
"""Index of the visibility among the skeleton's features."""


def constant(values: NDArray[np.floating[Any]]) -> Tensor:
    """Numbers that no training changes."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


class Geometry(nn.Module):
    """The angles that the landmarks themselves show: `skeleton.joint_angles` as a graph of static shapes.

    Every angle is read as pi/2 + atan2(-cos, sin), whose cut lies at -pi/2, where no joint goes.
    """

    bones: Tensor
    sagittal: Tensor
    primary: Tensor
    secondary: Tensor

    def __init__(self) -> None:
        super().__init__()
        bones = np.zeros((2 * N_JOINTS + 1, N_NODES))
        for i, joint in enumerate(JOINTS):
            bones[i, joint.a] += 1
            bones[i, joint.b] -= 1
            bones[N_JOINTS + i, joint.c] += 1
            bones[N_JOINTS + i, joint.b] -= 1
        bones[-1, [23, 11]], bones[-1, [24, 12]] = 1, -1
        first = [JOINT_NODES.index(node) == i for i, node in enumerate(JOINT_NODES)]
        scatter = np.zeros((2, N_NODES, N_JOINTS))
        for i, node in enumerate(JOINT_NODES):
            scatter[0 if first[i] else 1, node, i] = 1
        self.register_buffer("bones", constant(bones), persistent=False)
        self.register_buffer("sagittal", constant(np.array([j.sagittal for j in JOINTS])), persistent=False)
        self.register_buffer("primary", constant(scatter[0]), persistent=False)
        self.register_buffer("secondary", constant(scatter[1]), persistent=False)

    def forward(self, skeleton: Tensor) -> tuple[Tensor, Tensor]:
        """(..., 33, 11) -> angles (..., 12) rad, zero where no pose is present; the same at their nodes (..., 33, 2)."""
        present = skeleton[..., 0, PRESENT:]  # (..., 1)
        bone = F.linear(skeleton[..., 0:3].transpose(-1, -2), self.bones)  # (..., 3, 25)
        left = bone[..., -1:]
        left = left / torch.sqrt((left * left).sum(-2, keepdim=True) + 1e-9)  # (..., 3, 1)
        u, v = bone[..., :N_JOINTS], bone[..., N_JOINTS : 2 * N_JOINTS]  # (..., 3, 12)
        u = u - self.sagittal * (u * left).sum(-2, keepdim=True) * left
        v = v - self.sagittal * (v * left).sum(-2, keepdim=True) * left
        ux, uy, uz = u[..., 0, :], u[..., 1, :], u[..., 2, :]
        vx, vy, vz = v[..., 0, :], v[..., 1, :], v[..., 2, :]
        cx, cy, cz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx  # u x v, (..., 12)
        signed = cx * left[..., 0, :] + cy * left[..., 1, :] + cz * left[..., 2, :]
        unsigned = torch.sqrt(cx * cx + cy * cy + cz * cz + 1e-12)
        sine = self.sagittal * signed + (1 - self.sagittal) * unsigned
        cosine = ux * vx + uy * vy + uz * vz
        angles = (math.pi / 2 + torch.atan2(-cosine, sine)) * present
        at_nodes = torch.stack((F.linear(angles, self.primary), F.linear(angles, self.secondary)), -1)
        return angles, at_nodes
