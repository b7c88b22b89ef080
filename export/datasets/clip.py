"""The one format of all sets: what was seen and felt of one person, with times, and what is known to be true of it.

A clip holds landmarks, samples of the bands, or both. It is checked when it is made, so whoever has one can rely on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.errors import DatasetError
from device.messages import EXERCISES, NS_PER_S, ImuBatch, Pose, Sensed
from device.skeleton import N_BANDS, N_JOINTS, N_NODES, NODE

RATE_HZ = (5.0, 250.0)
"""Slowest and fastest stream that can be used: below, a repetition has too few pictures; above, times are in another unit."""
BATCH_SAMPLES = 8
"""Samples that come in one packet when a clip is played, as from a band."""
UNKNOWN = -1
"""Label of a moment whose class or stage is not known."""

_SIZE = (640, 480)
_MIRRORED_SHARE, _CLEAR, _CLEAR_FRAMES = 0.8, 0.2, 5

Times = NDArray[np.int64]
Floats = NDArray[np.float32]


def _no_times() -> Times:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is known of a clip; everything may be unknown.

    `exercise`: a class of the model, `none` included, None where unknown or where it changes. `activity`: what the source calls
    it. `correct`: done right. `count`: repetitions. `repetitions`: (R, 2) ns, start and end. Moment by moment at `times_ns` (n,):
    `classes` and `stages` (n,) indices or UNKNOWN, `phase` (n,) 0..1 and `angles` (n, 12) rad or NaN.
    """

    exercise: str | None = None
    activity: str = ""
    correct: bool | None = None
    count: int | None = None
    repetitions: Times = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    times_ns: Times = field(default_factory=_no_times)
    classes: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, dtype=np.int8))
    stages: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, dtype=np.int8))
    phase: Floats = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    angles: Floats = field(default_factory=lambda: np.zeros((0, N_JOINTS), dtype=np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One person for a while. Raises DatasetError where anything below does not hold.

    `landmarks`: (T, 33, 4) x, y, z (m, mid-hip origin, camera axes: x right, y down, z away) and visibility; a frame in which
    nobody was found is all NaN; None without a camera. `pose_ns`: (T,) rising. `imu`: (U, 4, 6) specific force and angular rate
    in each band's frame, NaN where `imu_present` (U, 4) is False; None without bands. `imu_ns`: (U,) rising.
    `subject`: who, empty where unknown. `trains`: whether shipped weights may be trained on it. `timed`: False where the source
    has frames without times. `assumed`: what was assumed to bring it into this form, for people.
    """

    source: str
    name: str
    subject: str
    trains: bool
    landmarks: Floats | None = None
    pose_ns: Times = field(default_factory=_no_times)
    imu: Floats | None = None
    imu_ns: Times = field(default_factory=_no_times)
    imu_present: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, N_BANDS), dtype=np.bool_))
    truth: Truth = field(default_factory=Truth)
    timed: bool = True
    assumed: str = ""

    def __post_init__(self) -> None:
        where = f"{self.source}/{self.name}"
        if self.landmarks is None and self.imu is None:
            raise DatasetError(f"{where}: has neither landmarks nor bands. A clip needs one of them.")
        if self.landmarks is not None:
            _check_landmarks(where, self.landmarks, self.pose_ns, timed=self.timed)
        if self.imu is not None:
            _check_imu(where, self.imu, self.imu_ns, self.imu_present)
        _check_truth(where, self.truth)

    @property
    def start_ns(self) -> int:
        """When it begins."""
        return min(int(times[0]) for times in (self.pose_ns, self.imu_ns) if len(times))

    @property
    def end_ns(self) -> int:
        """When it ends."""
        return max(int(times[-1]) for times in (self.pose_ns, self.imu_ns) if len(times))

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end_ns - self.start_ns) / NS_PER_S

    @property
    def pose_hz(self) -> float:
        """Rate of the landmarks; 0 where there are none."""
        return _rate_hz(self.pose_ns)

    @property
    def imu_hz(self) -> float:
        """Rate of the bands; 0 where there are none."""
        return _rate_hz(self.imu_ns)


def only(clip: Clip, *, camera: bool = True, bands: bool = True) -> Clip:
    """`clip` without what is not asked for. Raises DatasetError where nothing is left of it."""
    if not camera:
        clip = replace(clip, landmarks=None, pose_ns=_no_times())
    if not bands:
        clip = replace(clip, imu=None, imu_ns=_no_times(), imu_present=np.zeros((0, N_BANDS), dtype=np.bool_))
    return clip


def played(clip: Clip) -> Iterator[Sensed]:
    """The clip as the core would have received it: poses and packets of the bands in the order in which they are complete."""
    messages: list[Pose | ImuBatch] = [*_poses(clip), *_batches(clip)]
    messages.sort(key=lambda message: message.t_ns)
    return iter(messages)


def _poses(clip: Clip) -> Iterator[Pose]:
    if clip.landmarks is None:
        return
    for i, (t_ns, frame) in enumerate(zip(clip.pose_ns.tolist(), clip.landmarks, strict=True)):
        present = bool(np.isfinite(frame).all())
        image = np.zeros((N_NODES, 4), dtype=np.float32)
        image[:, 3] = frame[:, 3]
        yield Pose(t_ns, 0, i, image, frame[:, :3], *_SIZE, present)


def _batches(clip: Clip) -> Iterator[ImuBatch]:
    if clip.imu is None:
        return
    for band in range(N_BANDS):
        here = np.flatnonzero(clip.imu_present[:, band])
        for start in range(0, len(here), BATCH_SAMPLES):
            rows = here[start : start + BATCH_SAMPLES]
            times = clip.imu_ns[rows]
            yield ImuBatch(int(times[-1]), 0, start, band, 1, times, clip.imu[rows, band])


def _rate_hz(times: Times) -> float:
    return float(NS_PER_S / np.median(np.diff(times))) if len(times) > 1 else 0.0


def _check_landmarks(where: str, landmarks: NDArray[Any], times: Times, *, timed: bool) -> None:
    if landmarks.ndim == 4:
        raise DatasetError(f"{where}: holds {landmarks.shape[1]} people. A clip is of one: choose one of them.")
    if landmarks.ndim != 3 or landmarks.shape[1:] != (N_NODES, 4):
        raise DatasetError(f"{where}: landmarks have shape {landmarks.shape}; (T, {N_NODES}, 4) is needed.")
    _check_times(where, "landmarks", times, len(landmarks), timed=timed)
    finite = np.isfinite(landmarks)
    found = finite.all(axis=(1, 2))
    if (~found & finite.any(axis=(1, 2))).any():
        raise DatasetError(
            f"{where}: some landmarks of a frame are NaN. A frame has all of them, or none where nobody was found."
        )
    if not found.any():
        raise DatasetError(f"{where}: nobody was found in any of its {len(landmarks)} frames. Leave it out.")
    if mirrored(landmarks[found]):
        raise DatasetError(f"{where}: left and right are exchanged. Turn x about, or exchange the names of the sides.")


def mirrored(landmarks: NDArray[Any]) -> bool:
    """Whether left and right are exchanged in most frames of (T, 33, 3 or more), NaN-free, in right-handed axes.

    Nose and feet point forwards and the left side is on the left: forward, left and up turn one way. Both have to say so: an
    estimator often turns one of them about by itself.
    """
    x = np.asarray(landmarks, dtype=np.float64)[..., :3]
    left = x[:, 23] - x[:, 24] + x[:, 11] - x[:, 12]
    across = np.cross(left, x[:, 11] + x[:, 12] - x[:, 23] - x[:, 24])
    toes, heels = x[:, [NODE["left_foot_index"], NODE["right_foot_index"]]], x[:, [NODE["left_heel"], NODE["right_heel"]]]
    nose = x[:, NODE["nose"]] - (x[:, NODE["left_ear"]] + x[:, NODE["right_ear"]]) / 2
    sides = [_cosine(across, (toes - heels).sum(axis=1)), _cosine(across, nose)]
    clear = (np.abs(np.stack(sides)) > _CLEAR).all(axis=0)
    return bool(clear.sum() >= _CLEAR_FRAMES and (np.stack(sides)[:, clear].max(axis=0) < 0).mean() > _MIRRORED_SHARE)


def _cosine(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray((a * b).sum(axis=-1) / np.maximum(norms, 1e-12))


def _check_imu(where: str, imu: NDArray[Any], times: Times, present: NDArray[np.bool_]) -> None:
    if imu.ndim != 3 or imu.shape[1:] != (N_BANDS, 6):
        raise DatasetError(f"{where}: the bands have shape {imu.shape}; (U, {N_BANDS}, 6) is needed.")
    if present.shape != imu.shape[:2]:
        raise DatasetError(f"{where}: the bands' mask has shape {present.shape}; {imu.shape[:2]} is needed.")
    _check_times(where, "bands", times, len(imu), timed=True)
    if not present.any():
        raise DatasetError(f"{where}: no band is there at any moment. Leave the bands out.")
    if not np.isfinite(imu[present]).all():
        raise DatasetError(f"{where}: the bands hold NaN where they are said to be there. Mask those samples.")


def _check_times(where: str, what: str, times: Times, count: int, *, timed: bool) -> None:
    if count == 0:
        raise DatasetError(f"{where}: has no {what} at all, its length is zero. Leave it out.")
    if times.shape != (count,) or times.dtype != np.int64:
        raise DatasetError(f"{where}: {count} {what} have {len(times)} times ({times.dtype}); one each in int64 ns is needed.")
    if (np.diff(times) <= 0).any():
        raise DatasetError(f"{where}: the times of its {what} do not rise. Sort them, and keep one of each.")
    rate = _rate_hz(times)
    if timed and count > 1 and not RATE_HZ[0] <= rate <= RATE_HZ[1]:
        raise DatasetError(f"{where}: its {what} come at {rate:.3g} Hz; {RATE_HZ[0]:g} to {RATE_HZ[1]:g} Hz can be used.")


def _check_truth(where: str, truth: Truth) -> None:
    if truth.exercise is not None and truth.exercise not in EXERCISES:
        raise DatasetError(f"{where}: is said to be {truth.exercise!r}; the classes are {', '.join(EXERCISES)}.")
    if truth.count is not None and truth.count < 0:
        raise DatasetError(f"{where}: {truth.count} repetitions can't be. Use None where the count is unknown.")
    spans = truth.repetitions
    if spans.ndim != 2 or spans.shape[1] != 2 or (spans[:, 1] <= spans[:, 0]).any():
        raise DatasetError(f"{where}: repetitions must be (R, 2) times, each ending after it begins.")
    n = len(truth.times_ns)
    shapes = {"classes": (n,), "stages": (n,), "phase": (n,), "angles": (n, N_JOINTS)}
    wrong = [name for name, shape in shapes.items() if getattr(truth, name).shape != shape]
    if wrong:
        raise DatasetError(f"{where}: its labels have {n} times but other numbers of {', '.join(wrong)}.")
