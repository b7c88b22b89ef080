"""Labels of an own recording: a text file with one entry for each repetition, written by the machine, corrected by a person."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.errors import DatasetError
from device.messages import EXERCISES

_KEYS = {"start_s": (int, float), "end_s": (int, float), "exercise": (str,), "correct": (bool,)}
HEADER = """# Repetitions of the recording {name}, as the coach took them. Correct them: times are seconds from its start;
# exercise is one of {exercises}; correct = false where the movement was done wrongly.
# Delete entries that are no repetition, add those that are missing, in the order of time. Then check the file:
#   python -m export.datasets.label {recording} --check {file}
"""


@dataclass(frozen=True, slots=True)
class Label:
    """One repetition, seconds from the recording's start. `correct`: done right."""

    start_s: float
    end_s: float
    exercise: str
    correct: bool


def write_labels(path: Path, labels: Sequence[Label], recording: Path | str) -> None:
    """Write a proposal to correct. Raises DatasetError where a file is there already, so that no corrections are lost."""
    text = HEADER.format(name=Path(recording).name, exercises=", ".join(EXERCISES[:-1]), recording=recording, file=path)
    for label in labels:
        text += f"\n[[repetition]]\nstart_s = {label.start_s:.2f}\nend_s = {label.end_s:.2f}\n"
        text += f'exercise = "{label.exercise}"\ncorrect = {str(label.correct).lower()}\n'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise DatasetError(
            f"{path}: is there already, perhaps corrected by hand. Move it away, or check it with --check."
        ) from error
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise DatasetError(f"{path}: can't be written ({error.strerror}). Make room, or choose another folder.") from error


def read_labels(path: Path | str, seconds: float | None = None) -> list[Label]:
    """Labels of a file. `seconds`: length of the recording, to check against. Raises DatasetError: which entry, and why."""
    file = Path(path).expanduser()
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{file}: can't be read ({error.strerror}). Make it: python -m export.datasets.label.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file}: is not TOML ({error}). Correct that line.") from error
    entries = data.pop("repetition", [])
    if data or not isinstance(entries, list):
        raise DatasetError(f"{file}: only [[repetition]] entries can be there, not {', '.join(map(str, data)) or 'a table'}.")
    labels = [_label(file, i, entry) for i, entry in enumerate(entries, 1)]
    for i, label in enumerate(labels, 1):
        if label.end_s <= label.start_s or label.start_s < 0:
            raise DatasetError(
                f"{file}: repetition {i} goes from {label.start_s:g} to {label.end_s:g} s. It must end after it begins."
            )
        if seconds is not None and label.end_s > seconds + 0.01:
            raise DatasetError(f"{file}: repetition {i} ends at {label.end_s:g} s; the recording is {seconds:.2f} s long.")
        if i > 1 and label.start_s < labels[i - 2].end_s - 0.01:
            raise DatasetError(f"{file}: repetition {i} begins before repetition {i - 1} is over. Sort them, or correct a time.")
    return labels


def _label(file: Path, i: int, entry: Any) -> Label:
    if not isinstance(entry, dict) or set(entry) != set(_KEYS):
        raise DatasetError(f"{file}: repetition {i} must have {', '.join(_KEYS)}, and nothing else.")
    for key, kinds in _KEYS.items():
        if not isinstance(entry[key], kinds) or (bool not in kinds and isinstance(entry[key], bool)):
            raise DatasetError(f"{file}: repetition {i}: {key} = {entry[key]!r} is not a {kinds[-1].__name__}.")
    if entry["exercise"] not in EXERCISES[:-1]:
        names = ", ".join(EXERCISES[:-1])
        raise DatasetError(f"{file}: repetition {i}: exercise {entry['exercise']!r} is unknown. It is one of {names}.")
    return Label(float(entry["start_s"]), float(entry["end_s"]), entry["exercise"], entry["correct"])
