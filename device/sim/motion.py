"""Motion as data: keyposes of parameters, and the C2-smooth track through them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.errors import ExerciseError
from device.exercises import Exercise
from device.sim.kinematics import CENTRAL, COLUMN, RELAXED, SIDED

Array = NDArray[np.float64]

_SIDE_NAMES = ("left", "right", "lead", "trail")
TEMPOS = ("slow", "normal", "fast")


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """An exercise's movement. `stance`: parameters that differ from a relaxed stance all along; `phases` (k,), ascending from
    0 to 1; `keys`: k tables of parameters, each kept from the key before unless given. `rep_s`: {tempo: s};
    `pause_s`: shortest and longest pause between repetitions. `turn`: (low, high) degrees to the camera, either side."""

    stance: dict[str, float]
    phases: tuple[float, ...]
    keys: tuple[dict[str, float], ...]
    rep_s: dict[str, float]
    pause_s: tuple[float, float]
    turn: tuple[float, float]


def motion_of(exercise: Exercise) -> Motion:
    """Check and read the exercise's `[motion]`. Raises ExerciseError."""
    data = exercise.motion
    where = f"{exercise.name}: motion"
    unknown = set(data) - {"stance", "keys", "rep_s", "pause_s", "turn"}
    if unknown:
        raise ExerciseError(f"{where}: unknown key {sorted(unknown)[0]}. Valid here: stance, keys, rep_s, pause_s, turn.")
    try:
        keys = [dict(key) for key in data["keys"]]
        phases = tuple(float(key.pop("phase")) for key in keys)
        rep_s = {tempo: float(data["rep_s"][tempo]) for tempo in TEMPOS}
        pause_s = (float(data["pause_s"][0]), float(data["pause_s"][1]))
        turn = (float(data["turn"][0]), float(data["turn"][1]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ExerciseError(f"{where} is incomplete ({error}). It needs keys with a phase, rep_s, pause_s and turn.") from error
    if phases[0] != 0 or phases[-1] != 1 or any(b <= a for a, b in pairwise(phases)):
        raise ExerciseError(f"{where}.keys: phases must ascend from 0 to 1, not {phases}.")
    stance: dict[str, float] = dict(data.get("stance", {}))
    for table in (stance, *keys):
        for name in table:
            columns_of(name, "left", f"{where}: ")
    return Motion(stance, phases, tuple(keys), rep_s, pause_s, turn)


def repetition(motion: Motion, lead: str) -> Knots:
    """One repetition led by `lead` (both, left or right) over phase: knots at the keys, at rest at both ends."""
    relaxed = with_parameters(RELAXED, motion.stance, lead)
    phases = np.array(motion.phases)
    values = np.tile(relaxed, (len(phases), 1))
    given = np.zeros_like(values, dtype=np.bool_)
    given[[0, -1]] = True
    for i, key in enumerate(motion.keys):
        for name, value in key.items():
            columns = columns_of(name, lead)
            values[i, columns], given[i, columns] = value, True
        if not key and 0 < i < len(phases) - 1:
            values[i], given[i] = values[i - 1], given[i - 1]
    slopes, bends = np.zeros_like(values), np.zeros_like(values)
    for pattern in np.unique(given, axis=1).T.astype(np.bool_):
        shared = (given == pattern[:, None]).all(0)
        coarse = Knots(phases[pattern], values[pattern][:, shared])
        for out, order in ((values, 0), (slopes, 1), (bends, 2)):
            out[:, shared] = coarse(phases, order)
    return Knots(phases, values, slopes, bends)


def with_parameters(vector: Array, changes: dict[str, float], lead: str = "both") -> Array:
    """`vector` with named parameters set: a name alone sets both sides, `left_`, `right_`, `lead_`, `trail_` one of them."""
    changed = vector.copy()
    for name, value in changes.items():
        changed[columns_of(name, lead)] = value
    return changed


def columns_of(name: str, lead: str, where: str = "") -> list[int]:
    """Columns of a named parameter; raises ExerciseError with the nearest name."""
    if name in CENTRAL:
        return [COLUMN[name]]
    if name in SIDED:
        return [COLUMN[f"left_{name}"], COLUMN[f"right_{name}"]]
    prefix, _, plain = name.partition("_")
    if plain in SIDED and prefix in _SIDE_NAMES:
        if prefix in ("left", "right"):
            return [COLUMN[name]]
        if lead == "both":
            return [COLUMN[f"left_{plain}"], COLUMN[f"right_{plain}"]] if prefix == "lead" else []
        other = "right" if lead == "left" else "left"
        return [COLUMN[f"{lead if prefix == 'lead' else other}_{plain}"]]
    raise ExerciseError(_unknown(name, where))


def plain(parameters: dict[str, float]) -> dict[str, float]:
    """Named parameters as Python's own numbers."""
    return {name: float(value) for name, value in parameters.items()}


def at_rest(stance: dict[str, float], name: str) -> float:
    """Value of a named parameter in a stance, in which a name alone is of both sides."""
    side, _, plain = name.partition("_")
    plain = plain if side in _SIDE_NAMES else name
    return stance.get(name, stance.get(plain, {**CENTRAL, **SIDED}[plain]))


def smooth(u: Array) -> Array:
    """Minimum-jerk step from 0 to 1 over u = 0..1."""
    u = np.clip(u, 0.0, 1.0)
    return np.asarray(u**3 * (10 - 15 * u + 6 * u * u))


def shape(name: str, phase: Array) -> Array:
    """How a habit is spread over the phase: hold always; peak around mid-repetition; start and end around those."""
    if name == "hold":
        return np.ones_like(phase)
    middle = smooth((phase - 0.04) / 0.36) * smooth((0.96 - phase) / 0.36)
    if name == "peak":
        return np.asarray(middle)
    half = phase < 0.5 if name == "start" else phase >= 0.5
    return np.asarray(np.where(half, 1 - middle, 0.0))


class Knots:
    """A C2 path through knots in quintic pieces."""

    def __init__(self, times: Array, values: Array, slopes: Array | None = None, bends: Array | None = None) -> None:
        """`times` (k,) ascending; `values` (k, p) with their first and second derivatives; by default, slopes that keep each
        piece monotone and no second derivative, which is minimum jerk between turning points."""
        self.times = times
        self.values = values
        self.slopes = _slopes(times, values) if slopes is None else slopes
        self.bends = np.zeros_like(values) if bends is None else bends

    def __call__(self, times: Array, order: int = 0) -> Array:
        """Values, first or second derivatives (n, p) at `times` (n,); the ends are held."""
        t = np.clip(times, self.times[0], self.times[-1])
        i = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, len(self.times) - 2)
        length = (self.times[i + 1] - self.times[i])[:, None]
        u = (t - self.times[i])[:, None] / length
        exponents = np.arange(6)
        powers = np.ones(6)
        for k in range(order):
            powers = powers * np.maximum(exponents - k, 0)
        basis = (powers * u ** np.maximum(exponents - order, 0)) @ _HERMITE.T / length**order
        w = [basis[:, k : k + 1] for k in range(6)]
        return np.asarray(
            w[0] * self.values[i] + w[1] * self.values[i + 1]
            + length * (w[2] * self.slopes[i] + w[3] * self.slopes[i + 1])
            + length**2 * (w[4] * self.bends[i] + w[5] * self.bends[i + 1])
        )  # fmt: skip


_HERMITE = np.array([
    [1, 0, 0, -10, 15, -6], [0, 0, 0, 10, -15, 6],
    [0, 1, 0, -6, 8, -3], [0, 0, 0, -4, 7, -3],
    [0, 0, 0.5, -1.5, 1.5, -0.5], [0, 0, 0, 0.5, -1, 0.5],
])  # fmt: skip
"""Quintic Hermite basis over u = 0..1, rows: value, slope, second derivative at start and end; columns: powers of u."""


def _slopes(times_s: Array, values: Array) -> Array:
    """Slopes that keep each piece monotone (Fritsch and Butland's harmonic mean); 0 at ends and turning points."""
    slopes = np.zeros_like(values)
    secants = np.diff(values, axis=0) / np.diff(times_s)[:, None]
    before, after = secants[:-1], secants[1:]
    same = before * after > 0
    total = np.where(same, before + after, 1.0)
    slopes[1:-1] = np.where(same, 2 * before * after / total, 0.0)
    return slopes


def _unknown(name: str, where: str) -> str:
    valid: list[Any] = [*CENTRAL, *SIDED, *(f"lead_{n}" for n in SIDED), *(f"trail_{n}" for n in SIDED)]
    match = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    hint = f" Did you mean {match[0]}?" if match else f" Valid: {', '.join([*CENTRAL, *SIDED])}."
    return f"{where}unknown motion parameter {name}.{hint}"
