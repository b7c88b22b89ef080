"""Finds a person anywhere in a frame: the BlazePose detector, an SSD on 224 x 224 px."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device.messages import Array
from device.runtime.pose_litert.network import DETECTOR, Network
from device.runtime.pose_litert.region import Region, region_of_body, whole_frame

GRIDS = ((28, 2), (14, 2), (7, 6))
"""Cells along a side of each feature map (strides 8, 16, 32 of 224 px), and boxes in a cell."""
SAME_PERSON = 0.3
"""Overlap (intersection over union) from which two boxes are about one person."""

Floats = NDArray[np.float32]


class Detector:
    """The detector on `threads` threads. `min_score`: confidence from which a box is a person."""

    def __init__(self, threads: int, min_score: float) -> None:
        self._network = Network(DETECTOR, threads, darkest=-1.0)
        self._anchors = anchors()
        self._min_score = min_score

    def find(self, pixels: NDArray[np.uint8]) -> Region | None:
        """The region of the person who is seen most surely in `pixels` (height, width, 3), None where nobody is."""
        height, width = pixels.shape[:2]
        frame, size = whole_frame(width, height), self._network.size
        raw = self._network.run(frame.crop(pixels, size, black_outside=True))
        points = best_person(raw["boxes"][0], raw["scores"][0, :, 0], self._anchors, size, self._min_score)
        if points is None:
            return None
        hips, end = (points - np.float32(0.5)) * np.float32(frame.side) + np.array([frame.x, frame.y], np.float32)
        return region_of_body(hips, end)


def anchors() -> Floats:
    """Centres (2254, 2) of the boxes, as fractions of the picture, in the order of the network's output."""
    centres = []
    for cells, boxes in GRIDS:
        along = (np.arange(cells, dtype=np.float32) + np.float32(0.5)) / np.float32(cells)
        y, x = np.meshgrid(along, along, indexing="ij")
        centres.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), boxes, axis=0))
    return np.concatenate(centres)


def best_person(boxes: Array, scores: Array, centres: Floats, size: int, min_score: float) -> Floats | None:
    """Hips' middle and end of the body circle (2, 2), as fractions of the picture, of the person with the best score.

    `boxes` (n, 12): centre, width and height, then four points, in px of the picture about `centres` (n, 2). `scores` (n,):
    logits. All boxes about that person count by their score (BlazeFace, section 3.3: blending instead of suppression).
    """
    confidence = 1.0 / (1.0 + np.exp(-np.clip(scores, -80.0, 80.0)))
    likely = np.flatnonzero(confidence >= min_score)
    values = boxes[likely] / np.float32(size)
    shaped = (values[:, 2:4] >= 0).all(axis=1)
    likely, values = likely[shaped], values[shaped]
    if not len(likely):
        return None
    confidence, about = confidence[likely], centres[likely]
    middle = values[:, :2] + about
    low, high = middle - values[:, 2:4] / 2, middle + values[:, 2:4] / 2
    best = int(np.argmax(confidence))
    same = _overlap(low, high, best) > SAME_PERSON
    # A box without area overlaps nothing, not even itself.
    same[best] = True
    points = values[same, 4:8].reshape(-1, 2, 2) + about[same, None]
    return np.asarray(np.average(points, axis=0, weights=confidence[same]), dtype=np.float32)


def _overlap(low: Floats, high: Floats, one: int) -> Floats:
    """Intersection over union (n,) of each box with box `one`."""
    shared = np.clip(np.minimum(high, high[one]) - np.maximum(low, low[one]), 0.0, None).prod(axis=1)
    areas = (high - low).prod(axis=1)
    return np.asarray(shared / np.maximum(areas + areas[one] - shared, 1e-12), dtype=np.float32)
