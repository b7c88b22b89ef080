"""UI-PRMD: movements of physiotherapy by healthy people, right and deliberately wrong, under optical motion capture.

Vakanski et al., Data 2018, 3(1), 2. 39 markers (Plug-in Gait) become the 33 landmarks, seen by a camera that is drawn, and
what bands at wrists and ankles would have measured. The repetitions of one person, movement and kind are joined to one clip.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.errors import DatasetError
from device.exercises import load_exercises
from device.messages import NS_PER_S
from export.datasets.clip import Clip, Truth
from export.datasets.files import read_arrays
from export.datasets.moments import with_moments
from export.datasets.skeletons import landmarks_of, unit
from export.datasets.viewpoint import camera_rotation, facing_x, seen
from export.datasets.virtual_bands import frames_of, smoothed, virtual_bands
from export.landmark_noise import LandmarkNoise

Floats = NDArray[np.float64]

MARKER_HZ = 100.0
POSE_HZ = 30.0
EXERCISES = {1: "squat", 3: "lunge", 4: None, 5: None}
"""Movements with a class of their own; side lunge and sit to stand hold much of one and are left open. All else is none."""
EDGE = 10
"""Samples at both ends that the smoothing knows one side of only."""
JOIN_S = 0.4
"""Two repetitions are recordings of their own; between them the body goes evenly from one's end to the next one's start."""

USED: tuple[str, ...] = (
    "LFHD", "RFHD", "LBHD", "RBHD", "C7", "T10", "CLAV", "STRN", "LSHO", "RSHO", "LELB", "RELB", "LWRA", "LWRB", "RWRA", "RWRB",
    "LFIN", "RFIN", "LASI", "RASI", "LPSI", "RPSI", "LKNE", "RKNE", "LANK", "RANK", "LHEE", "RHEE", "LTOE", "RTOE",
)  # fmt: skip
"""Markers that the body is made of; whether another one was seen does not matter."""

_UNIT_M = np.float32(1e-4)
_SHOULDER_DROP_M, _KNEE_HALF_M, _ANKLE_HALF_M, _EAR_DROP_M, _HAND_M = 0.04, 0.045, 0.035, 0.06, 0.03
"""The acromion lies above the shoulder's centre, the knee's and ankle's markers outside, the head band above the ears."""


def clips(
    folder: Path,
    *,
    seed: int = 0,
    noise: LandmarkNoise | None = None,
    movements: range = range(1, 11),
    people: frozenset[str] | None = None,
) -> Iterator[Clip]:
    """One clip for each movement, person (of `people`, None for all), and right or wrong. The same seed gives the same cameras
    and sensors."""
    for movement in movements:
        yield from _movement_clips(folder / f"m{movement:02}.npz", movement, seed, noise, people)


def _movement_clips(
    file: Path, movement: int, seed: int, noise: LandmarkNoise | None, people: frozenset[str] | None
) -> Iterator[Clip]:
    data = read_arrays(file)
    try:
        markers = [str(name) for name in data["markers"]]
        used = [markers.index(name) for name in USED]
        offset, subjects, correct, episodes = data["offset"], data["subject"], data["correct"], data["episode"]
        places = decoded(data["delta"])[:, used]
        title = json.loads(str(data["meta"]))["movement_name"]
    except (KeyError, ValueError, IndexError) as error:
        raise DatasetError(f"{file}: is no file of UI-PRMD as the data folder has it ({error}). Get a fresh copy.") from error
    for subject in np.unique(subjects):
        if people is not None and _person(subject) not in people:
            continue
        for right in (True, False):
            mine = np.flatnonzero((subjects == subject) & (correct == right))
            mine = mine[np.argsort(episodes[mine])]
            whole = [filled(places[offset[i] : offset[i + 1]]) for i in mine]
            kept = [episode for episode in whole if episode is not None and len(episode) > 20]
            if not kept:
                continue
            name = f"m{movement:02}-{_person(subject)}-{'right' if right else 'wrong'}"
            rng = np.random.default_rng((seed, movement, int(subject), right))
            yield _clip(name, title, movement, int(subject), right, kept, rng, noise)


def _person(subject: int) -> str:
    return f"s{subject:02}"


def decoded(delta: NDArray[np.int16]) -> Floats:
    """Places (F, 39, 3) m of the differences (117, F); NaN where a marker is missing, which the files write as (0, 0, 0)."""
    counts = np.cumsum(delta, axis=1, dtype=np.int16).T.reshape(-1, len(delta) // 3, 3)
    places = (counts * _UNIT_M).astype(np.float64)
    places[(counts == 0).all(axis=-1)] = np.nan
    return places


def filled(episode: Floats) -> Floats | None:
    """(T, M, 3) with missing markers on the line between their neighbours in time; None where a marker is there never."""
    missing = np.isnan(episode[..., 0])
    if missing.all(axis=0).any():
        return None
    if not missing.any():
        return episode
    episode = episode.copy()
    at = np.arange(len(episode))
    for marker in np.flatnonzero(missing.any(axis=0)):
        gone = missing[:, marker]
        for axis in range(3):
            episode[gone, marker, axis] = np.interp(at[gone], at[~gone], episode[~gone, marker, axis])
    return episode


def joined(episodes: list[Floats]) -> tuple[Floats, NDArray[np.int64]]:
    """Episodes one after the other, smoothly led over, and (R, 2) frames at which each begins and ends."""
    parts: list[Floats] = []
    spans: list[tuple[int, int]] = []
    at = 0
    for i, episode in enumerate(episodes):
        if i:
            share = np.linspace(0, 1, round(JOIN_S * MARKER_HZ) + 2)[1:-1]
            eased = (share * share * (3 - 2 * share))[:, None, None]
            parts.append(parts[-1][-1] + eased * (episode[0] - parts[-1][-1]))
            at += len(share)
        parts.append(episode)
        spans.append((at, at + len(episode) - 1))
        at += len(episode)
    return np.concatenate(parts), np.array(spans, dtype=np.int64)


def body_of(places: Floats) -> tuple[Floats, dict[str, Floats]]:
    """33 landmarks (T, 33, 3), z up, of the markers USED (T, 30, 3), and by side the way across the wrist to the thumb."""
    at = {name: places[:, i] for i, name in enumerate(USED)}
    front, back = (at["LASI"] + at["RASI"]) / 2, (at["LPSI"] + at["RPSI"]) / 2
    width = np.linalg.norm(at["LASI"] - at["RASI"], axis=-1, keepdims=True)
    left = unit(at["LASI"] - at["RASI"])
    forward = front - back
    forward = unit(forward - (forward * left).sum(-1, keepdims=True) * left)
    up = np.cross(forward, left)
    thorax = unit((at["CLAV"] + at["C7"]) / 2 - (at["STRN"] + at["T10"]) / 2)
    joints: dict[str, Floats] = {}
    thumbs: dict[str, Floats] = {}
    for side, s, sign in (("left", "L", 1.0), ("right", "R", -1.0)):
        # Hip centre: regression of Bell's kind, as checked against these recordings (limb lengths constant to 4 mm).
        joints[f"{side}_hip"] = front + width * (-0.19 * forward - 0.30 * up + sign * 0.36 * left)
        joints[f"{side}_shoulder"] = at[f"{s}SHO"] - _SHOULDER_DROP_M * thorax
        joints[f"{side}_elbow"] = at[f"{s}ELB"]
        joints[f"{side}_wrist"] = (at[f"{s}WRA"] + at[f"{s}WRB"]) / 2
        joints[f"{side}_knee"] = at[f"{s}KNE"] - sign * _KNEE_HALF_M * left
        joints[f"{side}_ankle"] = at[f"{s}ANK"] - sign * _ANKLE_HALF_M * left
        joints[f"{side}_heel"], joints[f"{side}_foot_index"] = at[f"{s}HEE"], at[f"{s}TOE"]
        thumbs[side] = at[f"{s}WRA"] - at[f"{s}WRB"]
        hand = unit(at[f"{s}FIN"] - joints[f"{side}_wrist"])
        joints[f"{side}_index"] = at[f"{s}FIN"] + _HAND_M * (hand + 0.5 * unit(thumbs[side]))
        joints[f"{side}_pinky"] = at[f"{s}FIN"] + _HAND_M * (hand - unit(thumbs[side]))
        joints[f"{side}_thumb"] = joints[f"{side}_wrist"] + _HAND_M * (1.5 * hand + 1.2 * unit(thumbs[side]))
    head_left = unit(at["LFHD"] + at["LBHD"] - at["RFHD"] - at["RBHD"])
    head_forward = at["LFHD"] + at["RFHD"] - at["LBHD"] - at["RBHD"]
    head_forward = unit(head_forward - (head_forward * head_left).sum(-1, keepdims=True) * head_left)
    head_up = np.cross(head_forward, head_left)
    joints["left_ear"] = (at["LFHD"] + at["LBHD"]) / 2 - _EAR_DROP_M * head_up
    joints["right_ear"] = (at["RFHD"] + at["RBHD"]) / 2 - _EAR_DROP_M * head_up
    return landmarks_of(joints, (head_forward, head_left, head_up)), thumbs


def _clip(
    name: str, title: str, movement: int, subject: int, right: bool, episodes: list[Floats],
    rng: np.random.Generator, noise: LandmarkNoise | None,
) -> Clip:  # fmt: skip
    places, spans = joined(episodes)
    places = smoothed(places, MARKER_HZ)
    room, thumbs = body_of(places)
    hips = room[:, 23] - room[:, 24]
    heading = np.cross(np.median(hips, axis=0), [0.0, 0.0, 1.0])
    room = facing_x(room, heading)
    seconds = np.arange(len(room)) / MARKER_HZ
    frames = frames_of(seconds, room, {side: facing_x(across, heading) for side, across in thumbs.items()})
    imu_ns = np.arange(EDGE, len(room) - EDGE, dtype=np.int64) * round(NS_PER_S / MARKER_HZ)
    imu = virtual_bands(frames, imu_ns, int(rng.integers(2**31)))
    looks = np.arange(seconds[EDGE], seconds[-EDGE], 1 / POSE_HZ)
    at = np.stack([np.interp(looks, seconds, column) for column in room.reshape(len(room), -1).T], -1).reshape(-1, 33, 3)
    pose_ns = np.round(looks * NS_PER_S).astype(np.int64)
    exercise = EXERCISES.get(movement, "none")
    truth = Truth(exercise, title, right, len(spans), np.round(spans / MARKER_HZ * NS_PER_S).astype(np.int64))
    if exercise is not None:
        truth = with_moments(truth, pose_ns, at, load_exercises().get(exercise))
    landmarks = seen(rng, looks, at, camera_rotation(rng), noise, truth.classes if exercise is not None else None)
    return Clip(
        "ui_prmd", name, _person(subject), True, landmarks, pose_ns, imu, imu_ns, np.ones(imu.shape[:2], dtype=np.bool_), truth,
        assumed="repetitions joined; camera, estimator's errors and bands are virtual",
    )  # fmt: skip
