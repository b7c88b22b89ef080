"""CrossFit sets of 33 people with a watch on the wrist and one on the ankle (Soro et al., Sensors 2019, 19(3), 714).

Which limb, and how the watches were turned, is not recorded. Gravity tells: with arms hanging (dead lift) every wrist's x axis
points to the elbow, standing every ankle's x points to the knee; in push-ups the ankle's y, in butterfly sit-ups its z says
that it is a right leg with z outwards, in squats with arms held out the wrist's z points out of the back of the hand. So both
are right limbs, and half a turn about z brings both into a band's axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.errors import DatasetError
from device.messages import NS_PER_S
from device.skeleton import N_BANDS
from export.datasets.clip import Clip, Truth
from export.datasets.files import read_arrays

RATE_HZ = 100.0
EXERCISES: dict[str, str | None] = {
    "push_ups": "push_up", "squats": "squat", "burpees": None, "wall_balls": None, "kb_squat_press": None,
    "box_jumps": "none", "crunches": "none", "dead_lifts": "none", "kb_press": "none", "pull_ups": "none", "null": "none",
}  # fmt: skip
"""Class of each file; None where every repetition contains a push-up or a squat."""
WRIST, ANKLE = 1, 3
"""Right ones."""
TO_BAND = np.array([-1.0, -1.0, 1.0] * 2, dtype=np.float32)

_MISSING = -32768
_ROWS = ((WRIST, slice(0, 6)), (ANKLE, slice(9, 15)))


def clips(folder: Path) -> Iterator[Clip]:
    """One clip for each set."""
    for activity, exercise in EXERCISES.items():
        file = folder / f"{activity}.npz"
        data = read_arrays(file)
        try:
            for i in range(len(data["participant"])):
                yield _clip(data, i, activity, exercise)
        except (KeyError, IndexError) as error:
            raise DatasetError(f"{file}: is no file of the CrossFit sets as the data folder has it ({error!r}).") from error


def _clip(data: dict[str, NDArray[Any]], i: int, activity: str, exercise: str | None) -> Clip:
    counts = data["data"][:, data["offset"][i] : data["offset"][i + 1]]
    values = (counts * data["scale"][:, None]).astype(np.float32)
    n = counts.shape[1]
    imu = np.full((n, N_BANDS, 6), np.nan, dtype=np.float32)
    present = np.zeros((n, N_BANDS), dtype=np.bool_)
    for band, rows in _ROWS:
        present[:, band] = (counts[rows] != _MISSING).all(axis=0)
        imu[:, band] = np.where(present[:, band, None], values[rows].T * TO_BAND, np.nan)
    repetitions = int(data["rep_count"][i])
    period_ns = float(data["rep_period_s"][i]) * NS_PER_S
    even = bool(data["evenly_paced"][i]) and repetitions > 0
    starts = np.round(np.arange(repetitions if even else 0) * period_ns).astype(np.int64)
    subject = str(data["participant"][i])
    return Clip(
        "crossfit_imu", f"{activity}-{subject}-{i:02}", subject, False,
        imu=imu, imu_ns=np.arange(n, dtype=np.int64) * round(NS_PER_S / RATE_HZ), imu_present=present,
        truth=Truth(
            exercise, activity, None, repetitions if repetitions >= 0 else None,
            np.stack([starts, starts + round(period_ns)], axis=1) if even else np.zeros((0, 2), dtype=np.int64),
        ),
        assumed="right wrist and right ankle, turned by half a turn about z",
    )  # fmt: skip
