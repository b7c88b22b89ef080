"""Landmarks that were extracted from a video before, as poses."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.errors import MediaError
from device.messages import NS_PER_S, Pose
from device.skeleton import N_NODES

MAX_FRAMES = 1_000_000
ASSUMED_SIZE = (640, 480)
SIGMA_NS = 1_000_000


def read_landmarks(path: Path | str, start_ns: int = 0) -> list[Pose]:
    """Poses of an .npz file, its first moment at `start_ns`.

    Keys: `norm` (T, 33, 4) x, y in 0..1, z, visibility; `world` (T, 33, 3) m, mid-hip origin, y down; `t` (T,) s, rising;
    `meta` (optional) JSON with width and height (px). NaN where nobody was found. Raises MediaError on anything else.
    """
    file = Path(path).expanduser()
    norm, world, seconds, meta = _load(file)
    count = len(seconds)
    if not 0 < count <= MAX_FRAMES:
        raise MediaError(f"{file}: has {count} frames; 1 to {MAX_FRAMES} can be read.")
    if not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any() or abs(seconds).max() > 1e6:
        raise MediaError(f"{file}: its times `t` must be seconds that rise from frame to frame.")
    width, height = _size(meta, file)
    present = np.isfinite(norm).all(axis=(1, 2)) & np.isfinite(world).all(axis=(1, 2))
    times_ns = start_ns + np.round((seconds - seconds[0]) * NS_PER_S).astype(np.int64)
    return [
        Pose(int(times_ns[i]), SIGMA_NS, i, norm[i], world[i], width, height, bool(present[i]))
        if present[i]
        else Pose(int(times_ns[i]), SIGMA_NS, i, _nan(4), _nan(3), width, height, False)
        for i in range(count)
    ]


def read_landmarks_meta(path: Path | str) -> dict[str, Any]:
    """What the file says of itself in `meta` (fps, width, height, exercise, reps, view); empty where it has none."""
    return _load(Path(path).expanduser())[3]


def _nan(width: int) -> NDArray[np.float32]:
    return np.full((N_NODES, width), np.nan, dtype=np.float32)


def _load(file: Path) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64], dict[str, Any]]:
    try:
        if not zipfile.is_zipfile(file):
            file.open("rb").close()
            raise MediaError(f"{file}: is no .npz archive. Give a landmark file with `norm`, `world` and `t`.")
        with np.load(file, allow_pickle=False) as archive:
            norm, world, seconds = (_numbers(archive, key, file) for key in ("norm", "world", "t"))
            text = str(archive["meta"]) if "meta" in archive else "{}"
    except OSError as error:
        reason = error.strerror or "it is no .npz archive"
        raise MediaError(f"{file}: can't be read ({reason}). Give a landmark file with `norm`, `world` and `t`.") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, MemoryError) as error:
        raise MediaError(
            f"{file}: is damaged, or no .npz archive of plain numbers ({error}). Extract the landmarks anew."
        ) from error
    count = len(seconds) if seconds.ndim == 1 else -1
    for key, array, shape in (
        ("norm", norm, (count, N_NODES, 4)),
        ("world", world, (count, N_NODES, 3)),
        ("t", seconds, (count,)),
    ):
        if array.shape != shape:
            raise MediaError(f"{file}: `{key}` has shape {array.shape}; norm (T, 33, 4), world (T, 33, 3) and t (T,) are needed.")
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MediaError(f"{file}: `meta` is not JSON. Write it again, or leave it out.") from error
    if not isinstance(meta, dict):
        raise MediaError(f"{file}: `meta` must be a JSON object, not {text[:40]!r}.")
    return norm.astype(np.float32), world.astype(np.float32), seconds.astype(np.float64), meta


def _numbers(archive: Any, key: str, file: Path) -> NDArray[Any]:
    if key not in archive:
        raise MediaError(f"{file}: lacks `{key}`. A landmark file has `norm`, `world` and `t`.")
    array: Any = archive[key]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise MediaError(f"{file}: `{key}` does not hold numbers. Extract the landmarks anew.")
    return array


def _size(meta: dict[str, Any], file: Path) -> tuple[int, int]:
    sizes = [meta.get(name, default) for name, default in zip(("width", "height"), ASSUMED_SIZE, strict=True)]
    if not all(isinstance(size, int | float) and 0 < size < 1e5 for size in sizes):
        raise MediaError(f"{file}: width and height in `meta` must be pixels, not {sizes}.")
    return int(sizes[0]), int(sizes[1])
