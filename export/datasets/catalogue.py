"""All sets in one table: where each lies, whether shipped weights may be trained on it, and how it is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import export
from device.errors import DatasetError, TrainingRefused
from export.datasets import crossfit_imu, exercise_correction, repcount_pose, ui_prmd, utd_mhad, video_pose, virtual_trainee
from export.datasets.clip import Clip

ENVIRONMENT = "SPOTTER_DATA"
DEFAULT = Path("..") / "shared" / "data"
"""Where the recordings lie beside the repository."""
TRAINEES = 20


@dataclass(frozen=True, slots=True)
class DataSet:
    """One set. `trains`: whether its licence lets shipped weights be trained on it. `read`: its clips in a folder; a set without
    a `folder` is made, not read."""

    name: str
    title: str
    trains: bool
    licence: str
    read: Callable[[Path], Iterator[Clip]]
    folder: bool = True


SETS: dict[str, DataSet] = {
    entry.name: entry
    for entry in (
        DataSet("ui_prmd", "optical motion capture, right and wrong movements", True, "PDDL 1.0", ui_prmd.clips),
        DataSet("exercise_correction", "single frames of videos with labels", True, "MIT", exercise_correction.clips),
        DataSet("crossfit_imu", "watches on wrist and ankle", False, "none stated", crossfit_imu.clips),
        DataSet("repcount_pose", "landmarks of web videos with counts", False, "none stated", repcount_pose.clips),
        DataSet("utd_mhad", "Kinect skeleton and one IMU", False, "none stated", utd_mhad.clips),
        DataSet("video_pose", "landmarks of five web videos", False, "none stated", video_pose.clips),
        DataSet(
            "virtual_trainee", "virtual trainees, emulated landmarks", True, "Apache-2.0",
            lambda _: virtual_trainee.emulated(range(TRAINEES)), folder=False,
        ),
    )
}  # fmt: skip


def data_folder(given: Path | str | None = None) -> Path:
    """Folder of the recordings: `given`, else SPOTTER_DATA, else ../shared/data beside the repository. It may be absent."""
    if given is not None:
        return Path(given).expanduser()
    named = os.environ.get(ENVIRONMENT)
    return Path(named).expanduser() if named else Path(export.__file__).resolve().parents[1] / DEFAULT


def read_set(name: str, data: Path) -> Iterator[Clip]:
    """The clips of a set, to look at and to measure on. Raises DatasetError: no such set, or it is not in `data`."""
    return _entry(name).read(set_folder(name, data))


def set_folder(name: str, data: Path) -> Path:
    """Folder of a set in `data`. Raises DatasetError: no such set, or it is one that is read and is not there."""
    folder = data / name
    if _entry(name).folder and not folder.is_dir():
        raise DatasetError(f"{folder}: is absent. Give the folder of the recordings with --data or in {ENVIRONMENT}.")
    return folder


def training_set(name: str, data: Path) -> Iterator[Clip]:
    """The clips of a set, to train weights that are shipped. Raises TrainingRefused where its licence doesn't allow that."""
    check_trains(name)
    return read_set(name, data)


def check_trains(name: str) -> None:
    """Raises TrainingRefused where the set's licence doesn't allow to train weights that are shipped."""
    entry = _entry(name)
    if not entry.trains:
        allowed = ", ".join(other.name for other in SETS.values() if other.trains)
        raise TrainingRefused(f"{name}: is for evaluation only (licence: {entry.licence}). Train on {allowed}.")


def _entry(name: str) -> DataSet:
    if name not in SETS:
        raise DatasetError(f"{name!r}: no such set. There are {', '.join(SETS)}.")
    return SETS[name]
