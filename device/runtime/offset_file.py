"""The offset of the bands against the camera, kept per unit: a small file beside the store, and a recording's header."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from device.runtime.sync import UNKNOWN, CameraOffset

FILE_NAME = "camera-offset.json"
CHANGE_NS = 5_000_000
"""Standard deviation of what changes from session to session: another exposure, another camera rate."""

_KEY = "camera_offset"

log = logging.getLogger(__name__)


def load_offset(store: Path | str) -> CameraOffset:
    """What earlier sessions that were kept in `store` found; unknown where there is nothing, or nothing that makes sense."""
    path = _path(store)
    try:
        found = _from(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return UNKNOWN
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s: can't be read (%s); the offset of the bands is found anew.", path, error)
        return UNKNOWN
    return CameraOffset(found.offset_ns, round(math.hypot(found.sigma_ns, CHANGE_NS))) if found.known else UNKNOWN


def save_offset(store: Path | str, offset: CameraOffset) -> None:
    """Keep `offset` for the next session, where it is known; a disk that is full is warned of."""
    if not offset.known:
        return
    path = _path(store)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(_fields(offset), file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        log.warning("%s: can't be written (%s). Choose a folder that can, in store.path.", path, error.strerror)


def recorded(offset: CameraOffset) -> dict[str, Any]:
    """`offset` as the `extra` of a recording's header; nothing where it is unknown."""
    return {} if offset == UNKNOWN else {_KEY: _fields(offset)}


def offset_of(extra: Mapping[str, Any]) -> CameraOffset:
    """What the core of a recording with this `extra` began with."""
    try:
        return _from(extra[_KEY]) if _KEY in extra else UNKNOWN
    except ValueError:
        return UNKNOWN


def _fields(offset: CameraOffset) -> dict[str, int]:
    return {"offset_ns": offset.offset_ns, "sigma_ns": offset.sigma_ns}


def _from(fields: Any) -> CameraOffset:
    if not isinstance(fields, Mapping):
        raise ValueError("no offset in it")
    offset_ns, sigma_ns = fields.get("offset_ns"), fields.get("sigma_ns")
    if not isinstance(offset_ns, int) or not isinstance(sigma_ns, int):
        raise ValueError("no offset in it")
    if abs(offset_ns) > UNKNOWN.sigma_ns or not 0 < sigma_ns <= UNKNOWN.sigma_ns:
        raise ValueError("an offset that can't be")
    return CameraOffset(offset_ns, sigma_ns)


def _path(store: Path | str) -> Path:
    return Path(store).expanduser().with_name(FILE_NAME)
