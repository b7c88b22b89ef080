"""How far each joint is from the standard movement at this phase, with its uncertainty, and which variant is being done."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.exercises import CURVE_POINTS, Exercise
from device.messages import Deviation, Estimate, Tick
from device.skeleton import JOINTS, N_JOINTS

Floats = NDArray[np.float64]

PHASE_SIGMA = 0.03
"""Standard uncertainty of the model's phase."""
HIDDEN_SIGMA = 0.25
"""Standard uncertainty (rad) that a joint gains where a landmark of it is not visible at all."""
BLIND_SIGMA = 0.15
"""Standard uncertainty (rad) that every joint gains where no pose is there and the bands alone speak."""

_COST_LIMIT = 4.0
_PRIOR_COST = 2.0
_SWITCH_COST = 1.0
_SETTLED_COST = 4.0
_SMOOTHED_TICKS = 5
_REPORTED = 3

_JOINT_LANDMARKS = np.array([(joint.a, joint.b, joint.c) for joint in JOINTS])


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One tick of a repetition. `angles`, `sigma`: (12,) rad; sigma has visibility in it, but not yet the phase."""

    t_ns: int
    phase: float
    angles: Floats
    sigma: Floats


def sample_of(tick: Tick, estimate: Estimate) -> Sample:
    """The angles of a tick with the uncertainty that the model states and that unseen landmarks add."""
    visibility = np.asarray(tick.visibility, dtype=np.float64)[_JOINT_LANDMARKS].min(axis=1)
    hidden = 1 - np.minimum(np.maximum(visibility, 0.0), 1.0)
    unseen = HIDDEN_SIGMA * hidden**2 if tick.pose_present else np.full(N_JOINTS, BLIND_SIGMA)
    sigma = np.hypot(np.asarray(estimate.angle_sigma, dtype=np.float64), unseen)
    return Sample(tick.t_ns, estimate.phase, np.asarray(estimate.angles, dtype=np.float64), sigma)


class Standards:
    """The standard movement of an exercise, all variants, ready to be compared with.

    `curves`, `slopes`: (V, 41, 12) rad and rad per unit of phase. `tolerance`: (12,) rad.
    """

    def __init__(self, exercise: Exercise) -> None:
        self.exercise = exercise
        self.variants = exercise.variants
        self.curves = np.stack([np.asarray(exercise.standard(v), dtype=np.float64) for v in exercise.variants])
        steepness = np.abs(np.gradient(self.curves, 1 / (CURVE_POINTS - 1), axis=1))
        self.slopes = np.maximum(steepness, np.maximum(np.roll(steepness, 1, axis=1), np.roll(steepness, -1, axis=1)))
        kinds = [joint.name.split("_", 1)[1] for joint in JOINTS]
        self.tolerance = np.array([exercise.tolerance.get(kind, 0.0) for kind in kinds])

    def differences(self, sample: Sample) -> tuple[Floats, Floats, Floats]:
        """Angle minus standard, its sigma, and the phase's part of that sigma; each (V, 12) rad, NaN without a standard."""
        place = min(max(sample.phase, 0.0), 1.0) * (CURVE_POINTS - 1)
        low = min(int(place), CURVE_POINTS - 2)
        share = place - low
        standard = (1 - share) * self.curves[:, low] + share * self.curves[:, low + 1]
        difference = np.mod(sample.angles - standard + math.pi, 2 * math.pi) - math.pi
        of_phase = self.slopes[:, round(place)] * PHASE_SIGMA
        return difference, np.hypot(sample.sigma, of_phase), of_phase

    def deviation(self, difference: Floats, of_phase: Floats) -> Floats:
        """What is left of differences (..., 12) when they are brought towards 0 by what an error of the phase explains.

        0 inside the tolerance, NaN stays. Beyond the tolerance nothing is subtracted for it: 15 degrees off are 15 degrees.
        """
        left = np.sign(difference) * np.maximum(np.abs(difference) - of_phase, 0)
        return np.where(np.abs(left) <= self.tolerance, left * 0, left)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One tick against the standard. `difference`, `sigma`: (V, 12) of all variants. `deviation`, `deviation_sigma`: (12,) of the
    variant that fits best, `variant` its index."""

    variant: int
    difference: Floats
    sigma: Floats
    deviation: Floats
    deviation_sigma: Floats


class RepetitionMeter:
    """Measures one repetition: picks the variant with the least accumulated distance, and keeps each tick's deviation.

    A tick's distance is the mean over joints of |difference| / sigma, limited so that one wild joint decides nothing.
    `expected` (the previous repetition's variant, or the other side's where sides alternate) has a small head start, and a
    change of mind takes a clear difference. `settled` says that the choice is clear, or there is none.
    """

    def __init__(self, standards: Standards, expected: str | None = None) -> None:
        self.standards = standards
        self._cost = np.zeros(len(standards.variants))
        self._variant = 0
        if expected in standards.variants:
            self._variant = standards.variants.index(expected)
            self._cost += _PRIOR_COST
            self._cost[self._variant] = 0
        self._ticks: list[tuple[float, Floats, Floats, Floats]] = []

    @property
    def exercise(self) -> Exercise:
        return self.standards.exercise

    @property
    def variant(self) -> str:
        return self.standards.variants[self._variant]

    @property
    def settled(self) -> bool:
        others = np.delete(self._cost, self._variant)
        return others.size == 0 or bool(others.min() - self._cost[self._variant] >= _SETTLED_COST)

    def add(self, sample: Sample) -> Measured:
        """Next tick of the repetition."""
        difference, sigma, of_phase = self.standards.differences(sample)
        self._ticks.append((sample.phase, difference, sigma, of_phase))
        distance = np.minimum(np.abs(difference) / sigma, _COST_LIMIT)
        known = np.isfinite(distance)
        self._cost += np.where(known, distance, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        best = int(np.argmin(self._cost))
        if self._cost[best] + _SWITCH_COST < self._cost[self._variant]:
            self._variant = best
        v = self._variant
        return Measured(v, difference, sigma, self.standards.deviation(difference[v], of_phase[v]), sigma[v])

    def worst(self) -> tuple[Deviation, ...]:
        """The repetition's largest deviations, largest first; each is the extreme of a five-tick mean.

        They are sought in the phases in which the exercise is judged, where any of those was seen: how somebody gets there,
        with a step or from standing astride, is no error.
        """
        if not self._ticks:
            return ()
        v = self._variant
        low, high = self.exercise.judged
        ticks = [tick for tick in self._ticks if low <= tick[0] <= high] or self._ticks
        _, *measured = zip(*ticks, strict=True)
        difference, sigma, of_phase = (np.stack([values[v] for values in part]) for part in measured)
        deviation = _moving_mean(self.standards.deviation(difference, of_phase))
        found = []
        for j in np.flatnonzero(np.isfinite(deviation).all(axis=0)):
            at = int(np.argmax(np.abs(deviation[:, j])))
            at_tick = min(at + _SMOOTHED_TICKS // 2, len(sigma) - 1)
            found.append(Deviation(JOINTS[j].name, float(deviation[at, j]), float(sigma[at_tick, j])))
        found = [d for d in found if abs(d.deviation_rad) > 1e-6]
        return tuple(sorted(found, key=lambda d: (-abs(d.deviation_rad), d.joint))[:_REPORTED])


def expected_variant(exercise: Exercise, previous: str | None) -> str | None:
    """Variant that most likely follows `previous`: the other side where sides alternate, else the same."""
    if previous is None or not exercise.alternates:
        return previous
    return {"left": "right", "right": "left"}.get(previous, previous)


def _moving_mean(values: Floats) -> Floats:
    width = min(_SMOOTHED_TICKS, len(values))
    total = np.cumsum(np.vstack([np.zeros(values.shape[1]), values]), axis=0)
    return np.asarray((total[width:] - total[:-width]) / width)
