"""Exercise files: strict reading, checks, and the names of what is wrong. Degrees in the file, radians from here on."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.errors import ExerciseError
from device.exercises.definition import CURVE_POINTS, BandCue, CueRule, EntryPose, Exercise, Habit
from device.messages import EXERCISES
from device.skeleton import JOINT, JOINTS

KINDS: tuple[str, ...] = tuple(dict.fromkeys(joint.name.split("_", 1)[1] for joint in JOINTS))
"""Joint kinds: a joint's name without its side."""
ROLES = ("lead", "trail")
SHAPES = ("hold", "peak", "start", "end")

_TOP = {
    "name", "title", "model_class", "variants", "alternates", "stage_ends", "joints",
    "entry", "tolerance", "cues", "habits", "motion", "curves", "band_cues",
}  # fmt: skip
_CUE = {"error", "joint", "role", "sign", "phases", "prompt", "text", "bands", "praise", "priority"}
_BAND_CUE = {"error", "measure", "bands", "limit", "floor", "text"}
MEASURES = ("rate", "twist", "asymmetry")
_HABIT = {"error", "joint", "sign", "parameter", "gain", "sizes", "shape", "sides", "also"}


def load_exercises(folder: str | Path | None = None, enabled: Iterable[str] = ()) -> dict[str, Exercise]:
    """The built-in exercises and those in `folder`, by name; only `enabled` ones unless that is empty.

    A file in `folder` replaces the built-in exercise of the same name. Raises ExerciseError.
    """
    files = sorted(Path(__file__).parent.glob("*.toml"))
    if folder:
        more = Path(folder).expanduser()
        if not more.is_dir():
            raise ExerciseError(f"{more}: no such folder. Set exercises.folder to a folder with exercise files, or to nothing.")
        files += sorted(more.glob("*.toml"))
    exercises = {exercise.name: exercise for exercise in map(load_exercise, files)}
    for name in enabled:
        if name not in exercises:
            raise ExerciseError(f"exercises.enabled: there is no exercise {name!r}.{_nearest(name, exercises)}")
    chosen = set(enabled) or set(exercises)
    return {name: exercise for name, exercise in exercises.items() if name in chosen}


def load_exercise(path: str | Path) -> Exercise:
    """One exercise file. Raises ExerciseError with the file and the key: absent, not TOML, unknown or missing key, bad value."""
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExerciseError(f"{file}: can't be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExerciseError(f"{file}: not valid TOML: {error}") from error
    return exercise_from(data, str(file))


def exercise_from(data: dict[str, Any], source: str) -> Exercise:
    """An exercise from parsed TOML; `source` names it in errors."""
    top = _Table(data, source, "")
    top.only(_TOP, optional={"alternates", "curves", "habits", "band_cues"})
    name = top.text("name")
    model_class = top.choice("model_class", EXERCISES[:-1])
    variants = tuple(top.items("variants", str))
    for variant in variants:
        top.one_of("variants", variant, ("both", "left", "right"))
    ends = top.ascending("stage_ends", 0.0, 1.0)
    joints = tuple(top.items("joints", str))
    for joint in joints:
        top.one_of("joints", joint, tuple(JOINT))
    entry = top.table("entry")
    entry.only({"trunk", "joints"})
    angles = entry.table("joints")
    angles.only(set(KINDS), optional=set(KINDS))
    tolerance = top.table("tolerance")
    tolerance.only(set(KINDS), optional=set(KINDS))
    return Exercise(
        name=name,
        title=top.text("title"),
        model_class=model_class,
        variants=variants,
        alternates=bool(data.get("alternates", False)),
        stage_ends=ends,
        entry=EntryPose(
            _radians(entry.ascending("trunk", -180.0, 180.0)),
            tuple((kind, *_radians(angles.ascending(kind, 0.0, 360.0))) for kind in angles.data),
        ),
        joints=joints,
        curves=_curves(top),
        tolerance={kind: float(np.radians(tolerance.number(kind, 0.0, 90.0))) for kind in tolerance.data},
        cues=tuple(_cue(table) for table in top.tables("cues")),
        habits=tuple(_habit(table) for table in top.tables("habits")),
        motion=top.table("motion").data,
        band_cues=_band_cues(top),
    )


def _cue(table: _Table) -> CueRule:
    table.only(_CUE)
    return CueRule(
        error=table.text("error"),
        joint=table.choice("joint", KINDS),
        role=table.choice("role", (*ROLES, "any")),
        sign=table.sign("sign"),
        phases=table.ascending("phases", 0.0, 1.0),
        prompt=table.text("prompt"),
        text=table.text("text"),
        bands=table.choice("bands", ("wrist", "ankle")),
        praise=table.text("praise"),
        priority=int(table.number("priority", 0, 100)),
    )


def _band_cues(top: _Table) -> tuple[BandCue, ...]:
    found: dict[str, BandCue] = {}
    for table in top.tables("band_cues"):
        cue = _band_cue(table)
        if cue.error in found:
            raise table.error("error", f"= {cue.error!r} is there twice; each has its own name")
        found[cue.error] = cue
    return tuple(found.values())


def _band_cue(table: _Table) -> BandCue:
    """Rates are degrees a second in the file."""
    measure = table.choice("measure", MEASURES)
    compares = measure == "asymmetry"
    table.only(_BAND_CUE if compares else _BAND_CUE - {"floor"})
    limit = table.number("limit", 1.1, 100.0) if compares else math.radians(table.number("limit", 5.0, 2000.0))
    return BandCue(
        error=table.text("error"),
        measure=measure,
        bands=table.choice("bands", ("wrist", "ankle")),
        limit=limit,
        text=table.text("text"),
        floor=math.radians(table.number("floor", 5.0, 2000.0)) if compares else 0.0,
    )


def _habit(table: _Table) -> Habit:
    table.only(_HABIT, optional={"also"})
    also = table.table("also") if "also" in table.data else None
    sides = tuple(table.items("sides", str))
    for side in sides:
        table.one_of("sides", side, ("both", "left", "right", "lead"))
    return Habit(
        error=table.text("error"),
        joint=table.choice("joint", KINDS),
        sign=table.sign("sign"),
        parameter=table.text("parameter"),
        gain=float(np.degrees(table.number("gain", -1e3, 1e3))),
        sizes=_radians(table.ascending("sizes", 0.0, 90.0)),
        shape=table.choice("shape", SHAPES),
        sides=sides,
        also=tuple((name, also.number(name, -1e3, 1e3)) for name in also.data) if also else (),
    )


def _curves(top: _Table) -> dict[tuple[str, str], NDArray[np.float64]]:
    if "curves" not in top.data:
        return {}
    curves = {}
    table = top.table("curves")
    table.only(set(KINDS), optional=set(KINDS))
    for kind in table.data:
        roles = table.table(kind)
        roles.only(set(ROLES), optional=set(ROLES))
        for role in roles.data:
            values = roles.items(role, float)
            if len(values) != CURVE_POINTS:
                raise roles.error(role, f"has {len(values)} values; a curve has {CURVE_POINTS}, at phase 0, 1/40, ..., 1")
            curve = np.radians(np.asarray(values, dtype=np.float64))
            curve.flags.writeable = False
            curves[kind, role] = curve
    return curves


def _radians(pair: tuple[float, float]) -> tuple[float, float]:
    return float(np.radians(pair[0])), float(np.radians(pair[1]))


def _nearest(wrong: str, valid: Iterable[str]) -> str:
    match = difflib.get_close_matches(wrong, list(valid), n=1, cutoff=0.5)
    return f" Did you mean {match[0]}?" if match else f" Valid here: {', '.join(sorted(valid))}."


class _Table:
    """A table of the file together with its place, so that every complaint names it."""

    def __init__(self, data: Any, source: str, path: str) -> None:
        self.source, self.path = source, path
        if not isinstance(data, dict):
            raise ExerciseError(f"{source}: {path or 'the file'} must be a table, not {data!r}.")
        self.data: dict[str, Any] = data

    def error(self, key: str, complaint: str) -> ExerciseError:
        return ExerciseError(f"{self.source}: {self._where(key)} {complaint}.")

    def only(self, keys: Set[str], optional: Set[str] = frozenset()) -> None:
        for key in self.data:
            if key not in keys:
                raise ExerciseError(f"{self.source}: unknown key {self._where(key)}.{_nearest(key, keys)}")
        for key in sorted(keys - optional - self.data.keys()):
            raise self.error(key, "is missing")

    def text(self, key: str) -> str:
        value = self._value(key)
        if not isinstance(value, str) or not value:
            raise self.error(key, f"must be a text, not {value!r}")
        return value

    def number(self, key: str, low: float, high: float) -> float:
        value = self._value(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.error(key, f"must be a number, not {value!r}")
        if not low <= value <= high:
            raise self.error(key, f"= {value} is out of range; it must be {low:g} to {high:g}")
        return float(value)

    def sign(self, key: str) -> int:
        value = self._value(key)
        if value not in (-1, 1):
            raise self.error(key, f"must be 1 (angle too large) or -1 (too small), not {value!r}")
        return int(value)

    def choice(self, key: str, valid: tuple[str, ...]) -> str:
        return self.one_of(key, self.text(key), valid)

    def one_of(self, key: str, value: str, valid: tuple[str, ...]) -> str:
        if value not in valid:
            raise ExerciseError(f"{self.source}: {self._where(key)} has {value!r}.{_nearest(value, valid)}")
        return value

    def items(self, key: str, kind: type) -> list[Any]:
        value = self._value(key)
        accepted = (int, float) if kind is float else (kind,)
        if not isinstance(value, list) or not value or not all(isinstance(item, accepted) for item in value):
            raise self.error(key, f"must be a list of {'numbers' if kind is float else 'texts'}, not {value!r}")
        return value

    def ascending(self, key: str, low: float, high: float) -> tuple[float, float]:
        value = self.items(key, float)
        if len(value) != 2 or not low <= value[0] < value[1] <= high:
            raise self.error(key, f"must be two ascending numbers from {low:g} to {high:g}, not {value!r}")
        return float(value[0]), float(value[1])

    def table(self, key: str) -> _Table:
        return _Table(self._value(key), self.source, self._where(key))

    def tables(self, key: str) -> list[_Table]:
        value = self.data.get(key, [])
        if not isinstance(value, list):
            raise self.error(key, f"must be an array of tables ([[{key}]]), not {value!r}")
        return [_Table(item, self.source, f"{self._where(key)}[{i}]") for i, item in enumerate(value)]

    def _value(self, key: str) -> Any:
        if key not in self.data:
            raise self.error(key, "is missing")
        return self.data[key]

    def _where(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key
