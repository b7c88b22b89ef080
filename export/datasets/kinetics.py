"""`python -m export.datasets.kinetics ROOT`: landmarks of videos that are laid out as Kinetics-400 is.

ROOT is a folder with one folder of videos for each class, or the annotation CSV (label, youtube_id, time_start, time_end) with
the videos in or below its folder, named `<youtube_id>_<start>_<end>` or `<youtube_id>`. Videos are looked at in parallel; what
was found is kept, so that a run that was cut off goes on where it was. Clips in which nobody, too little, or more than one person
is seen are left out with the reason.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.progress import track

from device.config import CameraConfig, PoseConfig
from device.drivers.camera_file import FileCamera
from device.errors import DatasetError, EndOfStream, MediaError, SpotterError
from device.messages import NS_PER_S, Pose
from device.runtime.pose_engine import make_estimator
from device.skeleton import NODE
from export.datasets.clip import Clip, Truth
from export.datasets.files import load_clip, save_clip

EXERCISES = {
    "push up": "push_up", "squat": "squat", "lunge": "lunge", "jumping jacks": "jumping_jack", "dumbbell curls": "bicep_curl",
    "bicep curl": "bicep_curl",
}  # fmt: skip
"""Classes that are ours; all others are none."""
SUFFIXES = (".mp4", ".mkv", ".webm", ".avi")
MIN_SHARE, MIN_VISIBILITY = 0.6, 0.5
"""Least share of frames with a person, and least mean visibility of shoulders and hips."""
JUMP, GROWTH, MAX_JUMPS_PER_S = 0.25, 1.7, 0.2
"""A person does not move by a quarter of the picture's width, or grow by 70 %, from frame to frame: that is a cut, or another
person. More than one in five seconds is not one person."""

_CUT_NAME = re.compile(r"(?P<id>.+)_(?P<start>\d{6})_(?P<end>\d{6})$")


@dataclass(frozen=True, slots=True)
class Item:
    """One annotated stretch. `path`: None where its video is missing. `start_s`, `end_s`: part of the file to look at."""

    key: str
    youtube_id: str
    label: str
    path: Path | None
    start_s: float = 0.0
    end_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of the items, by key: files of clips, reasons of those that were left out, and those without a video."""

    kept: dict[str, Path]
    rejected: dict[str, str]
    missing: tuple[str, ...]


def items_of(root: Path) -> list[Item]:
    """All items of a layout. Raises DatasetError where `root` is none, or its CSV lacks a column."""
    if root.is_file():
        return _annotated(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: is neither a folder of class folders nor an annotation CSV.")
    videos = sorted(path for path in root.glob("*/*") if path.suffix.lower() in SUFFIXES)
    if not videos:
        raise DatasetError(f"{root}: has no videos in class folders. Lay them out as <class>/<youtube_id>_<start>_<end>.mp4.")
    found = []
    for path in videos:
        cut = _CUT_NAME.match(path.stem)
        label = path.parent.name.replace("_", " ")
        found.append(Item(f"{path.parent.name}-{path.stem}", cut["id"] if cut else path.stem, label, path))
    return found


def _annotated(table: Path) -> list[Item]:
    videos = {path.stem: path for path in sorted(table.parent.rglob("*")) if path.suffix.lower() in SUFFIXES}
    found = []
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            lacking = {"youtube_id", "time_start", "time_end"} - set(reader.fieldnames or ())
            if lacking:
                raise DatasetError(f"{table}: lacks the column{'s' * (len(lacking) > 1)} {', '.join(sorted(lacking))}.")
            for line, entry in enumerate(reader, 2):
                found.append(_item(table, line, entry, videos))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{table}: can't be read as CSV ({error}).") from error
    return found


def _item(table: Path, line: int, entry: dict[str, str], videos: dict[str, Path]) -> Item:
    try:
        name, start, end = entry["youtube_id"], float(entry["time_start"]), float(entry["time_end"])
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{table}: line {line} has no times in seconds. Correct or delete it.") from error
    if not name or end <= start:
        raise DatasetError(f"{table}: line {line} must name a video and end after it begins. Correct or delete it.")
    key = f"{name}_{int(start):06d}_{int(end):06d}"
    label = (entry.get("label") or "").replace("_", " ")
    if key in videos:
        return Item(key, name, label, videos[key])
    return Item(key, name, label, videos.get(name), start, end)


def prepare(root: Path, cache: Path, *, processes: int = 2, quiet: bool = False) -> Prepared:
    """Look at all videos that `cache` doesn't know yet. Raises DatasetError."""
    items = items_of(root)
    waiting = [item for item in items if item.path is not None and not _known(cache, item)]
    if waiting:
        # Fresh interpreters: the estimator's threads do not survive a fork.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(extract, item, cache) for item in waiting]
            for job in track(as_completed(jobs), "landmarks", total=len(jobs), disable=quiet):
                job.result()
    kept, rejected = {}, {}
    for item in items:
        if item.path is None:
            continue
        reason = _reason(cache, item)
        if reason.exists():
            rejected[item.key] = str(json.loads(reason.read_text(encoding="utf-8")))
        else:
            kept[item.key] = _file(cache, item)
    return Prepared(kept, rejected, tuple(item.key for item in items if item.path is None))


def clips(prepared: Prepared) -> Iterator[Clip]:
    """The clips that were kept."""
    return (load_clip(path) for path in prepared.kept.values())


def extract(item: Item, cache: Path) -> None:
    """Find the landmarks of one item and keep them in `cache`, or why it is left out. Raises DatasetError on a full disk."""
    assert item.path is not None
    try:
        poses = _poses(item.path, item.start_s, item.end_s)
        problem = unusable(poses)
        if problem is None:
            save_clip(_clip(item, poses), _file(cache, item))
            return
    except MediaError as error:
        problem = str(error)
    except DatasetError as error:
        if isinstance(error.__cause__, OSError):
            raise
        problem = str(error)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _reason(cache, item).write_text(json.dumps(problem), encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{cache}: can't be written ({error.strerror}). Make room, or choose another folder.") from error


def unusable(poses: Sequence[Pose]) -> str | None:
    """Why nothing can be learned from these poses; None where it can."""
    if not poses:
        return "no frame lies in the stretch"
    found = [pose for pose in poses if pose.present]
    if len(found) < MIN_SHARE * len(poses) or len(found) < 2:
        return f"a person in {len(found)} of {len(poses)} frames only"
    trunk = [NODE[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "hip")]
    visibility = float(np.mean([pose.image[trunk, 3] for pose in found]))
    if visibility < MIN_VISIBILITY:
        return f"the trunk's visibility is {visibility:.2f} only"
    middle = np.array([pose.image[trunk, :2].mean(axis=0) for pose in found])
    size = np.array([np.ptp(pose.image[:, 1]) + 1e-6 for pose in found])
    jumps = (np.linalg.norm(np.diff(middle, axis=0), axis=1) > JUMP) | (np.abs(np.diff(np.log(size))) > np.log(GROWTH))
    seconds = max((found[-1].t_ns - found[0].t_ns) / NS_PER_S, 1.0)
    if jumps.sum() > max(MAX_JUMPS_PER_S * seconds, 1):
        return f"the person jumps {int(jumps.sum())} times in {seconds:.0f} s: several people, or cuts"
    return None


def _poses(path: Path, start_s: float, end_s: float) -> list[Pose]:
    config = CameraConfig(type="file", device=str(path))
    found: list[Pose] = []
    with FileCamera(config, 0) as camera, make_estimator(PoseConfig(threads=1)) as estimator:
        while True:
            try:
                frame = camera.read()
            except EndOfStream:
                return found
            seconds = frame.t_ns / NS_PER_S
            if seconds > end_s:
                return found
            if seconds >= start_s:
                found.append(estimator.estimate(frame))


def _clip(item: Item, poses: Sequence[Pose]) -> Clip:
    landmarks = np.stack([np.concatenate([pose.world, pose.image[:, 3:]], axis=1) for pose in poses])
    landmarks[~np.array([pose.present for pose in poses])] = np.nan
    times = np.array([pose.t_ns for pose in poses], dtype=np.int64)
    truth = Truth(EXERCISES.get(item.label, "none") if item.label else None, item.label)
    # The annotations are free, the videos belong to those who made them.
    return Clip("kinetics", item.key, item.youtube_id, False, landmarks, times - times[0], truth=truth)


def _file(cache: Path, item: Item) -> Path:
    return cache / f"{item.key}.npz"


def _reason(cache: Path, item: Item) -> Path:
    return cache / f"{item.key}.rejected.json"


def _known(cache: Path, item: Item) -> bool:
    return _file(cache, item).exists() or _reason(cache, item).exists()


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the videos; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m export.datasets.kinetics",
        description=__doc__,
        epilog="example: python -m export.datasets.kinetics kinetics400/train --cache out/kinetics",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("root", metavar="ROOT", type=Path, help="folder of class folders, or the annotation CSV")
    parser.add_argument("--cache", metavar="FOLDER", type=Path, default=Path("out/kinetics"), help="(default %(default)s)")
    parser.add_argument("--processes", metavar="N", type=int, default=2, help="videos at a time (default %(default)s)")
    args = parser.parse_args(arguments)
    try:
        prepared = prepare(args.root, args.cache, processes=max(args.processes, 1))
    except SpotterError as error:
        print(error, file=sys.stderr)
        return 1
    for key, reason in prepared.rejected.items():
        print(f"left out  {key}: {reason}")
    for key in prepared.missing:
        print(f"missing   {key}")
    print(f"{len(prepared.kept)} clips in {args.cache}, {len(prepared.rejected)} left out, {len(prepared.missing)} missing")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
