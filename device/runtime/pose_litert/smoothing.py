"""Filters over time, with the parameters of MediaPipe's pose graph."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FRAME_S = 0.033333
"""Time between two frames. MediaPipe's pose solution takes every frame as 1/30 s after the one before, whatever its time."""
DERIVATIVE_CUTOFF_HZ = 1.0

Floats = NDArray[np.float32]


class LowPass:
    """Exponential smoothing of an array; the first value passes as it is."""

    def __init__(self, weight: float | None = None) -> None:
        self._weight = weight
        self._value: Floats | None = None

    def __call__(self, value: Floats, weight: Floats | float | None = None) -> Floats:
        """`value` smoothed with the newest value's `weight`, that of the constructor by default."""
        share = self._weight if weight is None else weight
        if self._value is None or share is None:
            self._value = value
        else:
            self._value = np.asarray(share * value + (1.0 - share) * self._value, dtype=np.float32)
        return self._value


class OneEuro:
    """Smooths slow movement and lets fast movement pass (Casiez et al., CHI 2012, algorithm 1), element by element."""

    def __init__(self, min_cutoff_hz: float, beta: float) -> None:
        self._min_cutoff_hz = min_cutoff_hz
        self._beta = beta
        self._raw: Floats | None = None
        self._slope = LowPass(float(_weight(DERIVATIVE_CUTOFF_HZ)))
        self._level = LowPass()

    def __call__(self, value: Floats, scale: float = 1.0) -> Floats:
        """The next `value` smoothed. `scale`: what speed is measured in, one over the size of what moves."""
        speed = np.zeros_like(value) if self._raw is None else (value - self._raw) * np.float32(scale / FRAME_S)
        self._raw = value
        cutoff = self._min_cutoff_hz + self._beta * np.abs(self._slope(speed))
        return self._level(value, _weight(cutoff))


def _weight(cutoff_hz: Floats | float) -> Floats:
    return np.asarray(1.0 / (1.0 + 1.0 / (2 * math.pi * cutoff_hz * FRAME_S)), dtype=np.float32)
