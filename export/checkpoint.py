"""Training that can be interrupted: its whole state in one file that is replaced at once, and the curves beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from device.errors import TrainingError
from export.kept import replace_file

STATE, CURVES = "state.pt", "curves.csv"


class Checkpoint:
    """The state of one training in `folder`, which holds only that of the same `recipe` (any text that says all of it).

    Raises TrainingError where the folder can't be written or what lies there can't be read.
    """

    def __init__(self, folder: Path, recipe: str) -> None:
        self.folder = folder
        self._recipe = recipe
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from error

    def load(self) -> dict[str, Any] | None:
        """What was saved last under the same recipe, None where there is nothing."""
        path = self.folder / STATE
        if not path.exists():
            return None
        try:
            saved = torch.load(path, map_location="cpu", weights_only=False)
        except Exception as error:
            raise TrainingError(f"{path}: is no saved training ({error}). Delete it to begin anew.") from error
        return saved["state"] if isinstance(saved, dict) and saved.get("recipe") == self._recipe else None

    def save(self, state: dict[str, Any]) -> None:
        """Replace what was saved; after an error or a power cut the former state is still there."""
        whole = io.BytesIO()
        torch.save({"recipe": self._recipe, "state": state}, whole)
        try:
            replace_file(self.folder / STATE, whole.getbuffer())
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def log(self, step: int, values: Mapping[str, float], *, fresh: bool) -> None:
        """A line of the curves, CSV; `fresh` begins the file anew."""
        path = self.folder / CURVES
        try:
            with path.open("w" if fresh else "a", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                if fresh:
                    writer.writerow(["step", *values])
                writer.writerow([step, *(f"{value:.5f}" for value in values.values())])
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def clear(self) -> None:
        """What was trained is where it belongs: forget the state, keep the curves."""
        (self.folder / STATE).unlink(missing_ok=True)


def _unwritable(folder: Path, error: OSError) -> TrainingError:
    return TrainingError(
        f"{folder}: the training's state can't be written there ({error}). Make room or name another folder with --log; "
        "what was saved before is kept, and the same command goes on from it."
    )
