"""The paper's offline form of a clip: windows of 64 frames, standardised coordinates (eq. 9), smoothed and band-passed IMU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from device.errors import DatasetError

WINDOW = 64
BAND_HZ = (0.1, 20.0)
"""Slower is drift of the sensor, faster is impact and tremor. The paper states no corner frequencies; these are ours."""
SMOOTHING = 0.6


def window_indices(count: int, length: int = WINDOW) -> NDArray[np.int64]:
    """(n, length) frames of each window of a clip of `count` frames. The last window, and a clip that is too short, is filled by
    repeating its own frames from the first one on; what would be less than half a window is truncated. Raises DatasetError."""
    if count <= 0 or length <= 0:
        raise DatasetError(f"A clip of {count} frames has no windows of {length}. Leave it out.")
    whole, left = divmod(count, length)
    kept = whole + (left >= length / 2 or whole == 0)
    rows = []
    for i in range(kept):
        have = min(count - i * length, length)
        rows.append(i * length + np.arange(length) % have)
    return np.array(rows, dtype=np.int64)


def standardised(values: NDArray[Any]) -> NDArray[np.float64]:
    """(T, ...) each coordinate less its mean over the clip, by its standard deviation (eq. 9). NaN frames stay NaN and do not
    count; what does not move becomes 0."""
    x = np.asarray(values, dtype=np.float64)
    if not np.isfinite(x).any():
        raise DatasetError("There is nothing to standardise: all frames are NaN. Leave the clip out.")
    mean, spread = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    return np.asarray((x - mean) / np.where(spread > 1e-9, spread, 1.0))


def smoothed_imu(values: NDArray[Any], alpha: float = SMOOTHING) -> NDArray[np.float64]:
    """(T, ...) s~_t = alpha s_t + (1 - alpha) s~_(t-1) (eq. 10), beginning at the first sample."""
    out = np.array(values, dtype=np.float64)
    for t in range(1, len(out)):
        out[t] = alpha * out[t] + (1 - alpha) * out[t - 1]
    return out


def band_passed(values: NDArray[Any], rate_hz: float, band_hz: tuple[float, float] = BAND_HZ) -> NDArray[np.float64]:
    """(T, ...) between the corner frequencies, moved nowhere in time (Butterworth of 2nd order, forwards and backwards).

    It takes gravity out, so it is for the offline protocol only. Raises DatasetError where the rate can't hold the band.
    """
    low, high = band_hz
    if not 0 < low < high < rate_hz / 2:
        raise DatasetError(f"{low:g} to {high:g} Hz can't be passed at {rate_hz:g} Hz. Resample, or choose another band.")
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2:
        return np.asarray(x - x.mean(axis=0))
    filtered = sosfiltfilt(butter(2, band_hz, "bandpass", fs=rate_hz, output="sos"), x, axis=0, padlen=min(len(x) - 1, 150))
    return np.asarray(filtered)
