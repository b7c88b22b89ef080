"""Exercise-Correction (MIT licence): single frames of web videos with stage or correctness, without times.

Only some landmarks were kept, in the picture's coordinates. The others stand at the nearest kept one with visibility 0, and the
torso is scaled to half a metre.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.errors import DatasetError
from device.messages import NS_PER_S, Stage
from device.skeleton import LANDMARKS, N_JOINTS, N_NODES, NODE, mid_hip, torso_length
from export.datasets.clip import UNKNOWN, Clip, Truth
from export.datasets.files import read_arrays

EXERCISES: dict[str, str | None] = {"squat": "squat", "lunge": "lunge", "bicep": "bicep_curl", "plank": "none"}
STAGES = {"up": Stage.REST, "down": Stage.EXECUTION, "I": Stage.REST, "M": Stage.BEGINNING, "D": Stage.EXECUTION}
"""Of squats and of the `stage` and `dataset` files of lunges."""
FILES = ("squat__train", "squat__test", "lunge__stage_test", "lunge__dataset_09901b0", "lunge__err_test",
         "lunge__err_train2_5253981", "bicep__test", "plank__test")  # fmt: skip
"""Files that do not overlap each other; older versions of them are left out."""
ASPECT = 16 / 9
"""Width over height of the pictures, which are landscape."""
TORSO_M = 0.5

_FALLBACKS = {"elbow": "shoulder", "wrist": "elbow", "pinky": "wrist", "index": "wrist", "thumb": "wrist", "knee": "hip",
              "ankle": "knee", "heel": "ankle", "foot_index": "ankle"}  # fmt: skip


def clips(folder: Path) -> Iterator[Clip]:
    """For each file one clip for each of its labels of correctness, or one clip with stages."""
    for name in FILES:
        file = folder / f"{name}.npz"
        data = read_arrays(file)
        try:
            landmarks = placed(data["xyzv"], [str(landmark) for landmark in data["landmarks"]])
            labels = data["label"].astype(str)
        except (KeyError, IndexError, ValueError) as error:
            raise DatasetError(f"{file}: is no file of Exercise-Correction as the data folder has it ({error!r}).") from error
        exercise = EXERCISES[name.split("__")[0]]
        if set(labels) <= set(STAGES):
            yield _clip(name, exercise, None, landmarks, np.array([STAGES[label] for label in labels], dtype=np.int8))
            continue
        for label in sorted(set(labels)):
            chosen = landmarks[labels == label]
            yield _clip(f"{name}-{label}", exercise, label == "C", chosen, np.full(len(chosen), UNKNOWN, dtype=np.int8))


def _clip(
    name: str, exercise: str | None, correct: bool | None, landmarks: NDArray[np.float32], stages: NDArray[np.int8]
) -> Clip:
    n = len(landmarks)
    times = np.arange(n, dtype=np.int64) * (NS_PER_S // 30)
    nothing = np.full(n, np.nan, dtype=np.float32)
    truth = Truth(
        exercise, name.split("__")[0], correct, None, times_ns=times, classes=np.full(n, UNKNOWN, dtype=np.int8), stages=stages,
        phase=nothing, angles=np.full((n, N_JOINTS), np.nan, dtype=np.float32),
    )  # fmt: skip
    return Clip(
        "exercise_correction",
        name,
        "",
        True,
        landmarks,
        times,
        truth=truth,
        timed=False,
        assumed="16:9; no times; torso of 0.5 m",
    )


def placed(xyzv: NDArray[np.float32], names: list[str]) -> NDArray[np.float32]:
    """(N, 33, 4) m from mid-hip of kept landmarks (N, L, 4) in the picture's coordinates; those not kept have visibility 0."""
    out = np.zeros((len(xyzv), N_NODES, 4), dtype=np.float32)
    for name in LANDMARKS:
        source = name
        while source not in names:
            source = _nearest(source)
        out[:, NODE[name]] = xyzv[:, names.index(source)]
        out[:, NODE[name], 3] *= source == name
    out[..., 0] *= ASPECT
    out[..., 2] *= ASPECT
    points = out[..., :3] - mid_hip(out[..., :3])[:, None].astype(np.float32)
    # One scale for the file: a person's torso looks shorter the more it leans, and must go on doing so.
    out[..., :3] = points * (TORSO_M / max(float(np.median(torso_length(points))), 1e-6))
    return out


def _nearest(name: str) -> str:
    side, _, part = name.partition("_")
    return f"{side}_{_FALLBACKS[part]}" if part in _FALLBACKS else "nose"
