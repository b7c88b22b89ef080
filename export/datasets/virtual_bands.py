"""What four bands would have measured on a person whose motion was recorded: specific force and angular rate in their frames.

The recorded places are smoothed and joined by cubic splines, so that they can be differentiated twice; the sensors are those
of the virtual trainee, with their straps, biases and noise (`device.sim.bands`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt

from device.messages import NS_PER_S
from device.sim.bands import Sensor, true_imu
from device.skeleton import NODE
from export.datasets.skeletons import unit

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

SMOOTHED_HZ = 10.0
"""Cut-off of the zero-phase low-pass: limbs move slower, and markers on skin tremble faster."""
_INSET_M, _OUTSET_M = 0.035, 0.03
"""A band sits above the wrist or ankle, on the outside of the limb."""


def smoothed(values: NDArray[Any], rate_hz: float, cut_hz: float = SMOOTHED_HZ) -> Floats:
    """(T, ...) without what is faster than `cut_hz`, moved nowhere in time (Butterworth, forwards and backwards)."""
    if cut_hz >= rate_hz / 2 or len(values) < 16:
        return np.asarray(values, dtype=np.float64)
    filtered = sosfiltfilt(butter(2, cut_hz, fs=rate_hz, output="sos"), values, axis=0, padlen=min(15, len(values) - 1))
    return np.asarray(filtered, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class BandFrames:
    """Along a recording at `seconds` (T,): `places` (T, 4, 3) m in a room with z up, `along` (T, 4, 3) the limb towards hand or
    foot, `outward` (T, 4, 3) away from it, out of the back of the hand or the outer shin."""

    seconds: Floats
    places: Floats
    along: Floats
    outward: Floats


class RecordedWearer:
    """A `device.sim.bands.Wearer` whose motion was recorded."""

    def __init__(self, frames: BandFrames) -> None:
        rate_hz = (len(frames.seconds) - 1) / (frames.seconds[-1] - frames.seconds[0])
        stacked = np.concatenate([frames.places, frames.along, frames.outward], axis=-1)
        self._spline = CubicSpline(frames.seconds, smoothed(stacked, rate_hz))
        self._last_s = float(frames.seconds[-1])
        self.start_ns = round(float(frames.seconds[0]) * NS_PER_S)
        self.duration_ns = round(float(frames.seconds[-1] - frames.seconds[0]) * NS_PER_S)

    def segments(self, times_ns: Times) -> tuple[Floats, Floats]:
        """Positions (n, 4, 3) m and rotations (n, 4, 3, 3), columns the nominal band axes."""
        values = self._spline(times_ns / NS_PER_S)
        along = unit(values[..., 3:6])
        outward = values[..., 6:9]
        outward = unit(outward - (outward * along).sum(-1, keepdims=True) * along)
        return values[..., :3], np.stack([along, np.cross(outward, along), outward], axis=-1)


def virtual_bands(
    frames: BandFrames, times_ns: Times, seed: int, sensors: tuple[Sensor, ...] | None = None
) -> NDArray[np.float32]:
    """(n, 4, 6) what the bands read at `times_ns`, which lie within the recording. `sensors`: None draws those of `seed`."""
    return true_imu(RecordedWearer(frames), times_ns, seed, sensors)


def frames_of(seconds: Floats, room: Floats, thumb_side: dict[str, Floats] | None = None) -> BandFrames:
    """Where bands sit on a body of landmarks `room` (T, 33, 3), z up. `thumb_side`: by side, (T, 3) across the wrist towards
    the thumb; None takes index and little finger."""
    places, alongs, outwards = [], [], []
    for limb, near, far in (("wrist", "elbow", "wrist"), ("ankle", "knee", "ankle")):
        for side, sign in (("left", 1.0), ("right", -1.0)):
            start, end = room[:, NODE[f"{side}_{near}"]], room[:, NODE[f"{side}_{far}"]]
            along = unit(end - start)
            if limb == "wrist":
                across = thumb_side[side] if thumb_side else room[:, NODE[f"{side}_index"]] - room[:, NODE[f"{side}_pinky"]]
                outward = sign * np.cross(across, along)
            else:
                foot = room[:, NODE[f"{side}_foot_index"]] - room[:, NODE[f"{side}_heel"]]
                outward = sign * np.cross(foot, along)
            outward = unit(outward - (outward * along).sum(-1, keepdims=True) * along)
            places.append(end - _INSET_M * along + _OUTSET_M * outward)
            alongs.append(along)
            outwards.append(outward)
    return BandFrames(seconds, np.stack(places, 1), np.stack(alongs, 1), np.stack(outwards, 1))
