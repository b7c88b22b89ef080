"""The demo's output folder: made and tried out before anything starts."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.errors import StoreError

NEEDED_BYTES = 64 * 1024 * 1024
"""Room that a whole session with its film takes, and a little more."""


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """Where each of the demo's files is."""

    path: Path

    @property
    def film(self) -> Path:
        return self.path / "film.mp4"

    @property
    def voice(self) -> Path:
        return self.path / "voice.wav"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def store(self) -> Path:
        return self.path / "session.sqlite"

    @property
    def recording(self) -> Path:
        return self.path / "recording"

    def plot(self, number: int, exercise: str) -> Path:
        """Picture of set `number` (from 1)."""
        return self.path / f"set-{number:02d}-{exercise}.png"

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Replace the summary in one step, so that it is always whole. Raises StoreError."""
        text = json.dumps(summary, indent=1, allow_nan=False) + "\n"
        new = self.summary.with_suffix(".new")
        try:
            new.write_text(text, encoding="utf-8")
            os.replace(new, self.summary)
        except OSError as error:
            raise _unusable(self.path, error) from error


def prepare_folder(path: Path, seed: int) -> DemoFolder:
    """A folder that can be written and has room, without the files of an earlier demo.

    A summary that says "running" is there from the start: it shows that the folder is a demo's. Raises StoreError: the
    folder can't be written, the disk is full, or it holds files that no demo wrote.
    """
    folder = DemoFolder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()) and not folder.summary.is_file():
            raise StoreError(f"{path}: holds files that are not a demo's. Give --out a new or an empty folder.")
        _remove_earlier(folder)
        free = shutil.disk_usage(path).free
    except OSError as error:
        raise _unusable(path, error) from error
    if free < NEEDED_BYTES:
        raise StoreError(
            f"{path}: only {free // 2**20} MB are free on its disk and a demo needs {NEEDED_BYTES // 2**20} MB. "
            "Make room, or give --out a folder on another disk."
        )
    folder.write_summary({"status": "running", "seed": seed})
    return folder


def _remove_earlier(folder: DemoFolder) -> None:
    earlier = [folder.film, folder.voice, *folder.path.glob("set-[0-9][0-9]-*.png"), *folder.path.glob("session.sqlite*")]
    earlier += [*folder.path.glob("film*.mp4"), *folder.recording.glob("*.rec")]
    for file in earlier:
        file.unlink(missing_ok=True)


def _unusable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: can't be written ({error.strerror}). Give --out a folder that can, on a disk with room.")
