"""What one repetition says about each possible correction: the mean difference from the standard where it is judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from device.exercises import CueRule
from device.runtime.deviation import Measured, Standards
from device.skeleton import JOINT

SIDES = ("left", "right")

_CORRELATION = 0.5
_MIN_TICKS = 3


class Response(NamedTuple):
    """How a model shows the error of one rule, as measured on people whose true angles are known: a window whose true
    difference is d shows `bias_rad` + `gain` d, and scatters about that by `spread` times the sigma that it states."""

    bias_rad: float = 0.0
    gain: float = 1.0
    spread: float = 1.0


AS_SHOWN = Response()


@dataclass(frozen=True, slots=True)
class Window:
    """One joint's difference from the standard in the phases of one rule.

    `difference_rad`: mean weighted by 1 / sigma^2, so that ticks where the standard is steep or the joint is hidden count little;
    positive where the rule's sign says so; put right by the model's response. `sigma_rad`: of that, half of the variance
    taken as common to all ticks.
    `seconds` seen so far. `half`: the phase has passed the window's middle, `ended`: its end.
    """

    rule: CueRule
    joint: str
    difference_rad: float
    sigma_rad: float
    seconds: float
    half: bool
    ended: bool


class Evidence:
    """Accumulates the windows of all rules and sides over one repetition, for every variant: which it is may be known late."""

    def __init__(self, standards: Standards, tick_hz: float, responses: Mapping[str, Response]) -> None:
        """`responses`: of the model, by the rules' errors; a rule without one is taken as it shows."""
        self._rules = standards.exercise.cues
        self._responses = [responses.get(rule.error, AS_SHOWN) for rule in self._rules]
        self._tick_s = 1 / tick_hz
        variants, rules = standards.variants, len(self._rules)
        self._joints = np.array(
            [[JOINT[f"{side}_{rule.joint}"] for side in SIDES] for rule in self._rules], dtype=np.int64
        ).reshape(rules, 2)
        known = np.isfinite(standards.curves).all(axis=1)
        self._valid = np.zeros((len(variants), rules, 2), dtype=np.bool_)
        for v, variant in enumerate(variants):
            for r, rule in enumerate(self._rules):
                for s, side in enumerate(SIDES):
                    role = "lead" if variant in ("both", side) else "trail"
                    self._valid[v, r, s] = rule.role in ("any", role) and known[v, self._joints[r, s]]
        self._weight = np.zeros((len(variants), rules, 2))
        self._weighted = np.zeros((len(variants), rules, 2))
        self._ticks = np.zeros(rules, dtype=np.int64)
        self._half = np.zeros(rules, dtype=np.bool_)
        self._ended = np.zeros(rules, dtype=np.bool_)

    def add(self, phase: float, measured: Measured) -> None:
        """Next tick of the repetition."""
        for r, rule in enumerate(self._rules):
            if not _inside(phase, rule.phases):
                self._ended[r] |= self._ticks[r] >= _MIN_TICKS and _past(phase, rule.phases)
                continue
            self._ticks[r] += 1
            self._half[r] |= phase > sum(rule.phases) / 2
            weight = 1 / measured.sigma[:, self._joints[r]] ** 2
            self._weight[:, r] += weight
            self._weighted[:, r] += weight * measured.difference[:, self._joints[r]]

    def end(self) -> None:
        """The repetition is over, and with it every window that was seen."""
        self._ended = self._ticks >= _MIN_TICKS

    def windows(self, variant: int) -> list[Window]:
        """All windows of `variant` that were seen at all, in the order of the rules, left before right."""
        found = []
        for r, rule in enumerate(self._rules):
            n = int(self._ticks[r])
            if n == 0:
                continue
            response = self._responses[r]
            for s, side in enumerate(SIDES):
                weight = self._weight[variant, r, s]
                if not self._valid[variant, r, s] or not weight > 0:
                    continue
                mean = rule.sign * self._weighted[variant, r, s] / weight
                sigma = math.sqrt(n / weight * (_CORRELATION + (1 - _CORRELATION) / n))
                found.append(
                    Window(
                        rule,
                        f"{side}_{rule.joint}",
                        float(mean - response.bias_rad) / response.gain,
                        sigma * response.spread / response.gain,
                        n * self._tick_s,
                        bool(self._half[r]),
                        bool(self._ended[r]),
                    )
                )
        return found


def _inside(phase: float, phases: tuple[float, float]) -> bool:
    return phases[0] <= phase <= phases[1]


def _past(phase: float, phases: tuple[float, float]) -> bool:
    return 0 < (phase - phases[1]) % 1.0 < 0.4
