"""The square of a frame that a network looks at, upright for the person in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MARGIN = 1.25
"""A region's side over twice the distance from the hips to the outermost point of the body."""


@dataclass(frozen=True, slots=True)
class Region:
    """A square of `side` px about (`x`, `y`) px, turned by `rotation` rad: a person's head points to its upper edge."""

    x: float
    y: float
    side: float
    rotation: float

    def project(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Points (..., 3) as fractions of the region, in px of the frame; depth takes the same scale."""
        turned = self.rotate(points - np.array([0.5, 0.5, 0.0], np.float32)) * np.float32(self.side)
        return turned + np.array([self.x, self.y, 0.0], np.float32)

    def rotate(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors (..., 3) of the region along the frame's axes, in the same unit."""
        cosine, sine = math.cos(self.rotation), math.sin(self.rotation)
        turn = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]], np.float32)
        return np.asarray(vectors @ turn, dtype=np.float32)

    def crop(self, pixels: NDArray[np.uint8], size: int, *, black_outside: bool) -> NDArray[np.uint8]:
        """The region as a picture (size, size, 3). Beyond the frame there is black, or the frame's edge goes on."""
        corners = cv2.boxPoints(((self.x, self.y), (self.side, self.side), math.degrees(self.rotation)))
        # warpAffine would be faster, but rounds otherwise than MediaPipe does.
        matrix = cv2.getPerspectiveTransform(corners, np.array([[0, size], [0, 0], [size, 0], [size, size]], np.float32))
        border = cv2.BORDER_CONSTANT if black_outside else cv2.BORDER_REPLICATE
        cropped = cv2.warpPerspective(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
        return np.asarray(cropped, dtype=np.uint8)


def whole_frame(width: int, height: int) -> Region:
    """The smallest square about all of a frame."""
    return Region(width / 2, height / 2, max(width, height), 0.0)


def region_of_body(hips: NDArray[np.float32], end: NDArray[np.float32]) -> Region | None:
    """The region about a body from its hips' middle and the end of its circle, above the head, both (x, y) in px.

    None where they make no region: not finite, or one point.
    """
    dx, dy = (float(v) for v in end[:2] - hips[:2])
    side = 2.0 * math.hypot(dx, dy) * MARGIN
    if not math.isfinite(side) or side <= 0.0:
        return None
    rotation = math.pi / 2 - math.atan2(-dy, dx)
    return Region(float(hips[0]), float(hips[1]), side, math.remainder(rotation, math.tau))
