"""Reads the landmarks of the person in a region: the BlazePose GHUM landmark network on 256 x 256 px."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from device.messages import Array
from device.runtime.pose_litert.network import LANDMARKS, Network
from device.runtime.pose_litert.region import Region
from device.skeleton import N_NODES

N_POINTS = 39
N_USED = N_NODES + 2
"""The 33 landmarks, the hips' middle and the end of the body circle; nothing uses the last four points."""
WINDOW = np.arange(-4, 5)
"""Cells of the heat map about a landmark's own that count, along each side."""
MIN_HEAT = 0.5
"""Confidence that a window's best cell needs for the window to move its landmark."""

Floats = NDArray[np.float32]


class Landmarks(NamedTuple):
    """What the network sees in a region.

    `image` (33, 3): px of the frame, depth too, about the hips. `visibility` (33,). `world` (33, 3): m about the hips' middle,
    along the frame's axes. `circle` (2, 3): the hips' middle and the end of the body circle, px.
    """

    image: Floats
    visibility: Floats
    world: Floats
    circle: Floats


class LandmarkReader:
    """The landmark network on `threads` threads. `min_presence`: confidence above which somebody is in the region."""

    def __init__(self, threads: int, min_presence: float) -> None:
        self._network = Network(LANDMARKS, threads, darkest=0.0)
        self._min_presence = min_presence

    def read(self, pixels: NDArray[np.uint8], region: Region) -> Landmarks | None:
        """Landmarks of the person in `region` of `pixels` (height, width, 3), None where nobody is."""
        size = self._network.size
        raw = self._network.run(region.crop(pixels, size, black_outside=False))
        if not raw["presence"].item() > self._min_presence:
            return None
        points = raw["landmarks"].reshape(N_POINTS, 5)[:N_USED]
        places = points[:, :3] / np.float32(size)
        refine(places, raw["heatmap"][0, :, :, :N_USED])
        projected = region.project(places)
        return Landmarks(
            image=projected[:N_NODES],
            visibility=_sigmoid(points[:N_NODES, 3]),
            world=region.rotate(raw["world"].reshape(N_POINTS, 3)[:N_NODES]),
            circle=projected[N_NODES:],
        )


def refine(places: Floats, heatmap: Array) -> None:
    """Move x and y of `places` (n, 3), fractions of the region, to the centre of mass of the heat around them.

    `heatmap` (rows, columns, n): logits. A landmark whose window is cold, or which is outside the map, stays.
    """
    rows, columns, n = heatmap.shape
    cells = (places[:, :2] * np.array([columns, rows], np.float32)).astype(np.int64)
    x, y = cells[:, :1] + WINDOW, cells[:, 1:] + WINDOW
    inside = ((y >= 0) & (y < rows))[:, :, None] & ((x >= 0) & (x < columns))[:, None, :]
    heat = heatmap[y.clip(0, rows - 1)[:, :, None], x.clip(0, columns - 1)[:, None, :], np.arange(n)[:, None, None]]
    heat = _sigmoid(heat) * inside
    # As in MediaPipe, one just below the map is moved to the heat on it; one just beside it stays.
    on_map = (cells >= 0).all(axis=1) & (cells[:, 0] < columns)
    warm = on_map & (heat.max(axis=(1, 2)) >= MIN_HEAT)
    by_x, by_y = heat.sum(axis=1), heat.sum(axis=2)
    mass = np.maximum(by_x.sum(axis=1), np.float32(1e-12))
    places[warm, 0] = ((by_x * x).sum(axis=1) / mass / columns)[warm]
    places[warm, 1] = ((by_y * y).sum(axis=1) / mass / rows)[warm]


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -80.0, 80.0))), dtype=np.float32)
