"""What was trained and measured, kept in a folder under a key, so that a command that was cut off goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from device.errors import StoreError

DEFAULT = Path("~/.cache/spotter/zoo")


def replace_file(file: Path, content: bytes | memoryview) -> None:
    """Put `content` on the disk and into the place of `file` at once: after an error or a power cut what stood there still stands
    there, and nothing half-written does. Raises OSError; its words are the caller's, who knows what was to be written."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def write_whole(file: Path, content: bytes) -> None:
    """Write `file` so that it is whole or isn't there. Raises StoreError."""
    try:
        replace_file(file, content)
    except OSError as error:
        raise StoreError(f"{file}: can't be written ({error.strerror}). Make room, or give another folder.") from error


def check_writable(folder: Path) -> None:
    """Raises StoreError where nothing can be written into `folder`, which is made; before hours of work, not after."""
    probe = folder / ".probe"
    write_whole(probe, b"")
    probe.unlink(missing_ok=True)


def fingerprint(files: Iterable[Path], *parts: object) -> str:
    """Hash of the contents of `files` and of `parts`."""
    digest = hashlib.sha256(repr(parts).encode())
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


class Kept:
    """A folder of measurements (JSON) and checkpoints (bytes), one file a key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser()

    def measured(self, key: str, measure: Callable[[], Any]) -> Any:
        """What `measure` gave, now or in an earlier run; it must be JSON. Raises StoreError."""
        known = self.known(key)
        return self.keep(key, measure()) if known is None else known

    def known(self, key: str) -> Any:
        """What was measured under `key`, None where nothing was, or where its file is damaged."""
        try:
            return json.loads(self._file(key, "json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def keep(self, key: str, value: Any) -> Any:
        """Keep `value` and return it. Raises StoreError."""
        write_whole(self._file(key, "json"), json.dumps(value).encode())
        return value

    def checkpoint(self, key: str) -> Path:
        """File of a checkpoint; it may be absent."""
        return self._file(key, "pt")

    def _file(self, key: str, kind: str) -> Path:
        return self.folder / f"{key}.{kind}"
