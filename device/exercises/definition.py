"""What an exercise is, once its file is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.messages import Stage
from device.skeleton import JOINTS, N_JOINTS

_OTHER = {"left": "right", "right": "left"}

CURVE_POINTS = 41
"""Samples of a standard curve over phase 0, 1/40, ..., 1."""


@dataclass(frozen=True, slots=True)
class EntryPose:
    """What the body must look like for a repetition to start. Angles rad.

    `trunk`: range of the trunk's angle from vertical (mid-hip to mid-shoulder; 0 upright, pi/2 lying).
    `joints`: (joint kind, low, high); at least one side must be inside.
    """

    trunk: tuple[float, float]
    joints: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class CueRule:
    """One correction: which joint kind deviates in which direction during which phases, and what is said and felt.

    `error`: name of the habit it corrects. `joint`: kind (elbow, shoulder, hip, knee, ankle, hip_spread). `role`: lead,
    trail or any. `sign`: +1 angle too large, -1 too small. `phases`: (from, to) where it is judged. `prompt`: voice file.
    `text`: what the prompt says. `bands`: wrist or ankle; the side that deviates vibrates. `praise`: prompt said when it
    was put right. `priority`: larger is said first.
    """

    error: str
    joint: str
    role: str
    sign: int
    phases: tuple[float, float]
    prompt: str
    text: str
    bands: str
    praise: str
    priority: int


@dataclass(frozen=True, slots=True)
class BandCue:
    """One error that the bands show by themselves, felt at once without waiting for the camera (docs/latency.md).

    `error`: a name; where a rule of the same error exists, it is that error. `measure`: rate, how fast the limb turns; twist, how
    fast it turns about its own length; asymmetry, how many times faster one side moves than the other. `bands`: wrist or ankle.
    `limit`: rad/s, or a ratio. `floor`: rad/s that the faster side has to move for asymmetry to mean anything. `text`: its words.
    """

    error: str
    measure: str
    bands: str
    limit: float
    text: str
    floor: float = 0.0


@dataclass(frozen=True, slots=True)
class Habit:
    """A named error that the virtual trainee may have. `parameter`: motion parameter it changes; `gain`: its change (motion
    parameter's unit) per rad of deviation of `joint`; `sizes`: (low, high) rad of deviation of `joint` that are drawn;
    `shape`: how it is spread over the phase: hold (always), peak (at mid-repetition), start or end. `sides`: which sides
    it may have (both, left, right, lead). `also`: (other parameter, its change per change of `parameter`) that goes with it."""

    error: str
    joint: str
    sign: int
    parameter: str
    gain: float
    sizes: tuple[float, float]
    shape: str
    sides: tuple[str, ...]
    also: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Exercise:
    """One exercise.

    `variants`: both, left, right: which side leads. In `both`, both sides follow the lead curves; in left (right), the left
    (right) side follows lead and the other one trail. `alternates`: successive repetitions change side.
    `curves`: {(joint kind, role): (41,) rad}. `tolerance`: {joint kind: rad}. `stage_ends`: phase at which beginning and
    execution end. `joints`: names of the joints that must be visible. `motion`: keyposes of the virtual trainee.
    `model_class`: the model's class under which it is recognised. `band_cues`: what the bands alone are judged by.
    """

    name: str
    title: str
    model_class: str
    variants: tuple[str, ...]
    alternates: bool
    stage_ends: tuple[float, float]
    entry: EntryPose
    joints: tuple[str, ...]
    curves: dict[tuple[str, str], NDArray[np.float64]]
    tolerance: dict[str, float]
    cues: tuple[CueRule, ...]
    habits: tuple[Habit, ...]
    motion: dict[str, Any]
    band_cues: tuple[BandCue, ...] = ()

    def stage(self, phase: float) -> Stage:
        """Stage of the repetition at `phase` 0..1."""
        beginning, execution = self.stage_ends
        if phase < beginning:
            return Stage.BEGINNING
        return Stage.EXECUTION if phase < execution else Stage.END

    @property
    def judged(self) -> tuple[float, float]:
        """The phases in which its rules judge, from the first one's to the last one's; all of it where it has none."""
        if not self.cues:
            return 0.0, 1.0
        return min(rule.phases[0] for rule in self.cues), max(rule.phases[1] for rule in self.cues)

    def standard(self, variant: str) -> NDArray[np.float64]:
        """Standard angles over phase, (41, 12) rad in skeleton.JOINTS order; NaN where a joint has no standard."""
        roles = {"left": "lead", "right": "lead"} if variant == "both" else {variant: "lead", _OTHER[variant]: "trail"}
        angles = np.full((CURVE_POINTS, N_JOINTS), np.nan)
        for i, joint in enumerate(JOINTS):
            side, _, kind = joint.name.partition("_")
            curve = self.curves.get((kind, roles[side]))
            if curve is not None:
                angles[:, i] = curve
        return angles
