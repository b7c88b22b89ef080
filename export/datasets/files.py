"""Clips in files: `.npz` archives without pickles, written whole or not at all."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.errors import DatasetError
from export.datasets.clip import Clip, Truth
from export.kept import replace_file

FORMAT = 1

_CLIP_ARRAYS = ("landmarks", "pose_ns", "imu", "imu_ns", "imu_present")
_TRUTH_ARRAYS = ("repetitions", "times_ns", "classes", "stages", "phase", "angles")
_DAMAGED = (ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def save_clip(clip: Clip, path: Path | str) -> None:
    """Write `clip` to `path`; what stood there is replaced only when all of it is on the disk. Raises DatasetError."""
    file = Path(path).expanduser()
    arrays = {name: getattr(clip, name) for name in _CLIP_ARRAYS if getattr(clip, name) is not None}
    arrays |= {f"truth_{name}": getattr(clip.truth, name) for name in _TRUTH_ARRAYS}
    plain = {f.name: getattr(clip, f.name) for f in fields(Clip) if f.name not in (*_CLIP_ARRAYS, "truth")}
    truth = {f.name: getattr(clip.truth, f.name) for f in fields(Truth) if f.name not in _TRUTH_ARRAYS}
    arrays["meta"] = np.array(json.dumps({"format": FORMAT, "clip": plain, "truth": truth}))
    write_whole(file, arrays)


def write_whole(file: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write an .npz archive; nothing of it is left where the disk is full. Raises DatasetError."""
    whole = io.BytesIO()
    np.savez_compressed(whole, **arrays)
    try:
        replace_file(file, whole.getbuffer())
    except OSError as error:
        raise DatasetError(f"{file}: can't be written ({error.strerror}). Make room, or choose another folder.") from error


def load_clip(path: Path | str) -> Clip:
    """The clip in `path`. Raises DatasetError where it is absent, damaged, or holds no valid clip."""
    file = Path(path).expanduser()
    data = read_arrays(file)
    try:
        meta = json.loads(str(data.pop("meta")))
        if meta["format"] != FORMAT:
            raise DatasetError(f"{file}: has clip format {meta['format']!r}, this version reads {FORMAT}. Make it anew.")
        labels: dict[str, Any] = {name: data.pop(f"truth_{name}") for name in _TRUTH_ARRAYS}
        truth = Truth(**meta["truth"], **labels)
        return Clip(**meta["clip"], **data, truth=truth)  # type: ignore[arg-type]
    except _DAMAGED as error:
        raise DatasetError(f"{file}: is no clip of Spotter ({error}). Make it anew.") from error


def read_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz archive, without pickles. Raises DatasetError."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except OSError as error:
        reason = error.strerror or "it is no .npz archive"
        raise DatasetError(f"{file}: can't be read ({reason}). Check --data, or SPOTTER_DATA.") from error
    except (*_DAMAGED, MemoryError) as error:
        raise DatasetError(f"{file}: is damaged, or no .npz archive of plain numbers ({error}). Get a fresh copy.") from error
