"""Tiny recordings in the layouts of the data folder, made of the virtual trainee."""

import json
from pathlib import Path

import numpy as np

from device.messages import EXERCISES, NS_PER_S
from device.sim.trainee import VirtualTrainee
from device.skeleton import NODE
from export.datasets.repcount_pose import DEPTH
from export.datasets.ui_prmd import USED
from export.datasets.video_pose import VIDEOS

TO_CAMERA = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
"""Room to camera axes for a camera before a person who faces +x: left is right in the picture."""
UNUSED = ("RBAK", "LUPA", "LFRM", "RUPA", "RFRM", "LTHI", "LTIB", "RTHI", "RTIB")


def trainee_room(seconds: float = 4.0, rate_hz: float = 30.0, seed: int = 7) -> np.ndarray:
    """Landmarks (T, 33, 3) m of a trainee in the room, z up."""
    trainee = VirtualTrainee(seed, deaf=True)
    times = np.round((3.0 + np.arange(0, seconds, 1 / rate_hz)) * NS_PER_S).astype(np.int64)
    return trainee.track(times).landmarks


def trainee_frames(seconds: float = 4.0, rate_hz: float = 30.0) -> np.ndarray:
    """Landmarks (T, 33, 4) as an estimator would show them, without errors."""
    turned = trainee_room(seconds, rate_hz) @ TO_CAMERA.T
    turned -= (turned[:, 23:24] + turned[:, 24:25]) / 2
    return np.concatenate([turned, np.full((*turned.shape[:2], 1), 0.9)], axis=-1).astype(np.float32)


def markers_of(room: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The 39 markers (T, 39, 3) that the body `room` would carry, near enough."""

    def at(name: str) -> np.ndarray:
        return room[:, NODE[name]]

    left = at("left_hip") - at("right_hip")
    left = left / np.linalg.norm(left, axis=-1, keepdims=True)
    up = np.array([0.0, 0.0, 1.0])
    ahead = np.cross(left, up)
    middle = (at("left_hip") + at("right_hip")) / 2
    width = np.linalg.norm(at("left_hip") - at("right_hip"), axis=-1, keepdims=True) / 0.72
    chest = (at("left_shoulder") + at("right_shoulder")) / 2
    front = middle + width * (0.19 * ahead + 0.30 * up)
    places = {"C7": chest - 0.05 * ahead + 0.05 * up, "CLAV": chest + 0.05 * ahead + 0.05 * up}
    places |= {"T10": middle + 0.2 * up - 0.05 * ahead, "STRN": middle + 0.2 * up + 0.05 * ahead}
    for s, side, sign in (("L", "left", 1.0), ("R", "right", -1.0)):
        thumb, little = at(f"{side}_thumb"), at(f"{side}_pinky")
        across = thumb - little
        across = across / np.linalg.norm(across, axis=-1, keepdims=True)
        places |= {
            f"{s}FHD": at(f"{side}_ear") + 0.08 * ahead + 0.06 * up, f"{s}BHD": at(f"{side}_ear") - 0.08 * ahead + 0.06 * up,
            f"{s}SHO": at(f"{side}_shoulder") + 0.04 * up, f"{s}ELB": at(f"{side}_elbow"),
            f"{s}WRA": at(f"{side}_wrist") + 0.03 * across, f"{s}WRB": at(f"{side}_wrist") - 0.03 * across,
            f"{s}FIN": (at(f"{side}_index") + little) / 2,
            f"{s}ASI": front + sign * 0.5 * width * left, f"{s}PSI": front - 0.15 * ahead + sign * 0.2 * width * left,
            f"{s}KNE": at(f"{side}_knee") + sign * 0.045 * left, f"{s}ANK": at(f"{side}_ankle") + sign * 0.035 * left,
            f"{s}HEE": at(f"{side}_heel"), f"{s}TOE": at(f"{side}_foot_index"),
        }  # fmt: skip
    names = [*USED, *UNUSED]
    return names, np.stack([places.get(name, np.zeros_like(middle)) for name in names], axis=1)


def write_ui_prmd(folder: Path) -> None:
    """Movement 1 of two people, right and wrong, two repetitions each; RTIB was never seen, LKNE is missing for a while."""
    folder.mkdir(parents=True)
    room = trainee_room(1.5, 100.0)
    names, places = markers_of(room)
    counts = np.round(places * 1e4).astype(np.int64)
    counts[20:30, names.index("LKNE")] = 0
    whole = np.concatenate([counts] * 8).reshape(8 * len(counts), -1).T
    delta = np.diff(whole, axis=1, prepend=0).astype(np.int16)
    subject, correct, episode = np.array([1, 1, 1, 1, 2, 2, 2, 2]), np.array([1, 1, 0, 0] * 2, bool), np.array([1, 2] * 4)
    meta = np.array(json.dumps({"movement_name": "deep squat"}))
    offset = np.arange(9) * len(counts)
    np.savez(folder / "m01.npz", delta=delta, offset=offset, subject=subject, correct=correct, episode=episode,
             markers=np.array(names), meta=meta)  # fmt: skip


def write_crossfit(folder: Path, activities: tuple[str, ...]) -> None:
    """One set of each activity, 6 s: arm hanging, leg upright, watches as they were worn. A wrist's sample is missing."""
    folder.mkdir(parents=True)
    scale = np.array([0.0025] * 3 + [0.001] * 3 + [3.125e-5] * 3 + [0.0025] * 3 + [0.001] * 3 + [3.125e-5] * 3)
    for activity in activities:
        values = np.zeros((18, 600))
        values[0], values[9] = 9.8, 9.8
        data = np.round(values / scale[:, None]).astype(np.int16)
        data[0, 5] = -32768
        known = activity != "null"
        np.savez(
            folder / f"{activity}.npz", data=data, scale=scale, offset=np.array([0, 600]), participant=np.array(["P1"]),
            rep_count=np.array([3 if known else -1]), rep_period_s=np.array([2.0]), evenly_paced=np.array([known]),
        )  # fmt: skip


def write_repcount(folder: Path, activities: tuple[str, ...]) -> None:
    """Two videos of each activity, scaled to 0..1 in each frame, with five angles, of 0..1 as well; in the second one nobody was
    found."""
    folder.mkdir(parents=True)
    picture = trainee_frames(3.0)[..., :3] / np.array([1.0, 1.0, DEPTH])
    angles = np.round(from_0_to_1(picture_angles(picture)), 2)
    pose = np.concatenate([np.round(from_0_to_1(picture) * 65535), np.zeros_like(picture)]).astype(np.uint16)
    n = len(picture)
    for activity in activities:
        np.savez(
            folder / f"{activity}.npz", pose=pose, detected=np.repeat([True, False], n), offset=np.array([0, n, 2 * n]),
            angles=np.concatenate([angles, np.zeros_like(angles)]).astype(np.float16), name=np.array(["a", "b"]),
            count=np.array([2, 1]), cycles=np.array([[0, 40], [40, 80], [0, 50]]), cycle_offset=np.array([0, 2, 3]),
        )  # fmt: skip


def from_0_to_1(frames: np.ndarray) -> np.ndarray:
    """Each frame's numbers (T, n, ...) from the smallest, 0, to the largest, 1, of the n."""
    low = frames.min(axis=1, keepdims=True)
    return np.asarray((frames - low) / (frames.max(axis=1, keepdims=True) - low))


def picture_angles(picture: np.ndarray) -> np.ndarray:
    """Degrees (T, 5) at elbows, shoulders, hips, knees and ankles, of both sides on average."""
    corners = (("shoulder", "elbow", "wrist"), ("hip", "shoulder", "elbow"), ("shoulder", "hip", "knee"),
               ("hip", "knee", "ankle"), ("knee", "ankle", "heel"))  # fmt: skip
    found = []
    for names in corners:
        for side in ("left", "right"):
            a, b, c = (picture[:, NODE[f"{side}_{name}"]] for name in names)
            cosine = ((a - b) * (c - b)).sum(-1) / np.linalg.norm(a - b, axis=-1) / np.linalg.norm(c - b, axis=-1)
            found.append(np.degrees(np.arccos(cosine)))
    return np.stack(found, axis=-1).reshape(len(picture), len(corners), 2).mean(axis=-1)


def write_utd(folder: Path) -> None:
    """An arm curl with the wrist's IMU and a squat with the thigh's, of a Kinect."""
    folder.mkdir(parents=True)
    frames = trainee_frames(3.0, 20.0)[..., :3].astype(np.float64)
    names = {"head": "nose", "left_hand": "left_index", "right_hand": "right_index", "left_foot": "left_foot_index",
             "right_foot": "right_foot_index"}  # fmt: skip
    joints = ["head", "shoulder_center", "spine", "hip_center", *[
        f"{s}_{j}" for s in ("left", "right") for j in ("shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle", "foot")
    ]]  # fmt: skip
    known = {j: frames[:, NODE[names.get(j, j)]] for j in joints if names.get(j, j) in NODE}
    middle = {"shoulder_center": "shoulder", "spine": "hip", "hip_center": "hip"}
    for centre, part in middle.items():
        known[centre] = (frames[:, NODE[f"left_{part}"]] + frames[:, NODE[f"right_{part}"]]) / 2
    skeleton = np.stack([known[j] for j in joints], axis=1) * [-1.0, -1.0, 1.0] + [0.0, 0.0, 3.0]
    inertial = np.tile(np.array([-9.8, 0, 0, 0, 0.5, 0.5], np.float32), (150, 1))
    n = len(skeleton)
    np.savez(
        folder / "utd_mhad.npz", skeleton=np.tile(skeleton, (2, 1, 1)).astype(np.float32), inertial=np.tile(inertial, (2, 1)),
        skeleton_offset=np.array([0, n, 2 * n]), inertial_offset=np.array([0, 150, 300]), action=np.array([16, 27]),
        subject=np.array([1, 2]), trial=np.array([1, 1]), joints=np.array(joints),
    )  # fmt: skip


def write_videos(folder: Path) -> None:
    """The five videos, two seconds each; nobody is found in a frame of each."""
    folder.mkdir(parents=True)
    frames = trainee_frames(2.0)
    frames[3] = np.nan
    norm = frames.copy()
    norm[..., :2] = 0.5 + norm[..., :2] / 4
    for name, exercise in zip(VIDEOS, ("squat", "lunge", "jumping_jack", "bicep_curl", "push_up"), strict=True):
        assert exercise in EXERCISES
        meta = json.dumps({"exercise": exercise, "reps": 3, "width": 640, "height": 480})
        np.savez(folder / f"{name}.npz", norm=norm, world=frames[..., :3], t=np.arange(len(frames)) / 30, meta=np.array(meta))


def write_frames(folder: Path, files: tuple[str, ...]) -> None:
    """Frames with labels as Exercise-Correction has them: nine landmarks in the picture's coordinates."""
    folder.mkdir(parents=True)
    kept = ["nose", *[f"{s}_{j}" for j in ("shoulder", "hip", "knee", "ankle") for s in ("left", "right")]]
    frames = trainee_frames(1.0)
    xyzv = frames[:, [NODE[name] for name in kept]].copy()
    xyzv[..., :2] = 0.5 + xyzv[..., :2] * [9 / 16 / 3, 1 / 3]
    for name in files:
        labels = {
            "squat__train": ("up", "down"),
            "squat__test": ("up", "down"),
            "bicep__test": ("C", "L"),
            "plank__test": ("C", "H"),
        }
        two = labels.get(name, ("I", "D") if "err" not in name else ("C", "L"))
        np.savez(
            folder / f"{name}.npz", landmarks=np.array(kept), xyzv=xyzv, label=np.array([two[i % 2] for i in range(len(xyzv))])
        )
