"""UTD-MHAD: short clips of one repetition with a Kinect's skeleton and one IMU (Chen et al., ICIP 2015).

The skeleton's frame has x to the camera's left, y up and z away (feet point ahead of the trunk on the proper side only so). The
IMU sits on the right wrist or on the right thigh. On the wrist x points to the hand, and arm curls turn it about the middle of
-y and -z, which is a band's y.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.errors import DatasetError
from device.messages import NS_PER_S
from device.skeleton import N_BANDS, mid_hip
from export.datasets.clip import Clip, Truth, only
from export.datasets.files import read_arrays
from export.datasets.skeletons import body_axes, landmarks_of

IMU_HZ = 50.0
ACTIONS: dict[int, tuple[str, str]] = {
    3: ("right hand wave", "none"), 4: ("two hand front clap", "none"), 13: ("boxing", "none"), 16: ("arm curl", "bicep_curl"),
    22: ("jogging in place", "none"), 24: ("sit to stand", "none"), 26: ("forward lunge", "lunge"), 27: ("squat", "squat"),
}  # fmt: skip
ON_THIGH = 22
"""First action with the IMU on the right thigh; before it is on the right wrist."""
RIGHT_WRIST = 1
WRIST_TURN_RAD = np.radians(225.0)
"""About x, from the sensor's y to the band's y."""

_TO_CAMERA = np.array([-1.0, -1.0, 1.0])
_VISIBILITY = 0.95


def clips(folder: Path) -> Iterator[Clip]:
    """One clip for each trial. A thigh's IMU is left out: no band is worn there, and a thigh moves otherwise than a shank."""
    file = folder / "utd_mhad.npz"
    data = read_arrays(file)
    try:
        names = [str(name) for name in data["joints"]]
        for i in range(len(data["action"])):
            yield _clip(data, names, i)
    except (KeyError, IndexError, ValueError) as error:
        raise DatasetError(f"{file}: is no file of UTD-MHAD as the data folder has it ({error!r}). Get a fresh copy.") from error


def _clip(data: dict[str, NDArray[Any]], names: list[str], i: int) -> Clip:
    skeleton = data["skeleton"][data["skeleton_offset"][i] : data["skeleton_offset"][i + 1]]
    inertial = data["inertial"][data["inertial_offset"][i] : data["inertial_offset"][i + 1]]
    action = int(data["action"][i])
    activity, exercise = ACTIONS[action]
    imu_ns = np.round(np.arange(len(inertial)) / IMU_HZ * NS_PER_S).astype(np.int64)
    # Both streams span the same interval; the nominal 30 Hz of the skeleton do not hold.
    pose_ns = np.round(np.linspace(0, int(imu_ns[-1]), len(skeleton))).astype(np.int64)
    imu = np.full((len(inertial), N_BANDS, 6), np.nan, dtype=np.float32)
    present = np.zeros((len(inertial), N_BANDS), dtype=np.bool_)
    imu[:, RIGHT_WRIST], present[:, RIGHT_WRIST] = in_band_axes(inertial), True
    clip = Clip(
        "utd_mhad", f"a{action:02}-s{int(data['subject'][i])}-t{int(data['trial'][i])}", f"s{int(data['subject'][i])}", False,
        landmarks(skeleton, names), pose_ns, imu, imu_ns, present,
        Truth(exercise, activity, None, 1 if exercise != "none" else None),
        assumed="streams of the same length" + ("; thigh's IMU left out" if action >= ON_THIGH else ""),
    )  # fmt: skip
    return only(clip, bands=action < ON_THIGH)


def landmarks(skeleton: NDArray[np.float32], names: list[str]) -> NDArray[np.float32]:
    """(T, 33, 4) in camera axes of a Kinect's joints (T, 20, 3)."""
    turned = skeleton.astype(np.float64) * _TO_CAMERA
    at = {name: turned[:, i] for i, name in enumerate(names)}
    joints = {
        f"{s}_{j}": at[f"{s}_{j}"] for s in ("left", "right") for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    }
    joints |= {f"{s}_index": at[f"{s}_hand"] for s in ("left", "right")}
    joints |= {f"{s}_foot_index": at[f"{s}_foot"] for s in ("left", "right")}
    joints["head_centre"] = at["head"]
    _lower_hips(joints)
    x = landmarks_of(joints)
    x -= mid_hip(x)[:, None]
    return np.asarray(np.concatenate([x, np.full((*x.shape[:2], 1), _VISIBILITY)], axis=-1), dtype=np.float32)


def _lower_hips(joints: dict[str, NDArray[np.float64]]) -> None:
    """Put the hips, in place, where thighs are as long as shanks, as they are in people; a Kinect has them 6 cm above that, so
    that all limbs are too long by a quarter for such a trunk."""
    spare = [
        np.linalg.norm(joints[f"{s}_hip"] - joints[f"{s}_knee"], axis=-1)
        - np.linalg.norm(joints[f"{s}_knee"] - joints[f"{s}_ankle"], axis=-1)
        for s in ("left", "right")
    ]
    down = -body_axes(joints)[2]
    for side in ("left", "right"):
        joints[f"{side}_hip"] = joints[f"{side}_hip"] + float(np.median(spare)) * down


def in_band_axes(inertial: NDArray[np.float32]) -> NDArray[np.float32]:
    """(G, 6) in a band's axes: x along the limb, z outwards."""
    c, s = np.cos(WRIST_TURN_RAD), np.sin(WRIST_TURN_RAD)
    turn = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    return np.asarray(np.concatenate([inertial[:, :3] @ turn.T, inertial[:, 3:] @ turn.T], axis=1), dtype=np.float32)
