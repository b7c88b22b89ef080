"""The folder of a session's report: made and tried out before anything is written."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from device.errors import StoreError

NEEDED_BYTES = 64 * 1024 * 1024
"""Room that a session of some minutes takes with its film, and a little more."""


@dataclass(frozen=True, slots=True)
class ReportFolder:
    """Where each file of a report is. `RESULT`: the file that shows whose folder it is. `OWN`: patterns of all others."""

    path: Path

    RESULT: ClassVar[str] = "sets.json"
    OWN: ClassVar[tuple[str, ...]] = ("film.mp4", "film.sound.mp4", "voice.wav", "set-[0-9][0-9]-*.png")

    @property
    def film(self) -> Path:
        return self.path / "film.mp4"

    @property
    def voice(self) -> Path:
        return self.path / "voice.wav"

    @property
    def result(self) -> Path:
        return self.path / self.RESULT

    def plot(self, number: int, exercise: str) -> Path:
        """Picture of set `number` (from 1)."""
        return self.path / f"set-{number:02d}-{exercise}.png"

    def prepare(self, running: dict[str, Any]) -> None:
        """Make the folder, take the files of an earlier report out of it, and write `running` as the result until there is
        one: it shows whose folder this is.

        Raises StoreError: the folder can't be written, the disk is full, or it holds files that are not such a report's.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if any(self.path.iterdir()) and not self.result.is_file():
                raise StoreError(
                    f"{self.path}: holds files, but no {self.RESULT} of an earlier time. Give --out a new or an empty folder."
                )
            for pattern in self.OWN:
                for file in self.path.glob(pattern):
                    file.unlink(missing_ok=True)
            free = shutil.disk_usage(self.path).free
        except OSError as error:
            raise _unusable(self.path, error) from error
        if free < NEEDED_BYTES:
            raise StoreError(
                f"{self.path}: only {free // 2**20} MB are free on its disk and a session needs {NEEDED_BYTES // 2**20} MB. "
                "Make room, or give --out a folder on another disk."
            )
        self.write_result(running)

    def write_result(self, found: dict[str, Any]) -> None:
        """Replace the result in one step, so that it is always whole. Raises StoreError."""
        text = json.dumps(found, indent=1, allow_nan=False) + "\n"
        new = self.result.with_suffix(".new")
        try:
            new.write_text(text, encoding="utf-8")
            os.replace(new, self.result)
        except OSError as error:
            raise _unusable(self.path, error) from error

    def listing(self, *more: tuple[str, str]) -> str:
        """The files that are there, for people, a line each. `more`: (what, name) of others."""
        plots = len(list(self.path.glob("set-*.png")))
        lines = [
            *([("film", self.film.name)] if self.film.is_file() else []),
            *([("voice", self.voice.name)] if self.voice.is_file() else []),
            *([(f"{plots} set{'s' if plots > 1 else ''}", "set-*.png")] if plots else []),
            *more,
        ]
        return "\n".join([f"{self.path}:", *(f"  {what:10} {name}" for what, name in lines)])


def _unusable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: can't be written ({error.strerror}). Give --out a folder that can, on a disk with room.")
