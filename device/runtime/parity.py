"""Do the forms of one model agree? The streaming step against a window re-run whole, and int8 against float."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from device.messages import Array
from device.rows import Row, row
from device.runtime.bundle import Bundle
from device.runtime.model import HEADS, Network, StepModel

REFERENCE = "reference"
"""Folder beside the bundle's own with the float forms: they are for this check and never on an appliance's path."""
FLOAT_STEP, FLOAT_WINDOW = "step_float.tflite", "window_float.tflite"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Int8 against float over the same ticks. `exercise`: share with the same exercise. `angle_rad`: largest difference
    of a refined angle."""

    exercise: float
    angle_rad: float


def parity_rows(bundle: Bundle, skeleton: Array, inertial: Array, *, runtime: str = "auto") -> list[Row]:
    """The figures of both comparisons over the same ticks. Arrays as in `stream_window_difference`, of any length.

    The float forms lie beside a bundle that was built here, never in an appliance's image; without them, or with too few ticks,
    a row is not measured.
    """
    there = has_reference(bundle)
    agreement = int8_agreement(bundle, skeleton, inertial, runtime=runtime) if there and len(skeleton) else None
    difference = stream_window_difference(bundle, skeleton, inertial, runtime=runtime) if there else None
    return [
        row("int8_agreement", agreement.exercise if agreement else None, "share", at_least=0.99),
        row("int8_angle_diff_deg", float(np.degrees(agreement.angle_rad)) if agreement else None, "deg", at_most=2.0),
        row("stream_window_diff", difference, "", at_most=1e-4),
    ]


def has_reference(bundle: Bundle) -> bool:
    """Whether the float forms that were exported with `bundle` are here."""
    return all(reference(bundle, name).is_file() for name in (FLOAT_STEP, FLOAT_WINDOW))


def reference(bundle: Bundle, name: str) -> Path:
    """File of a float form that was exported with `bundle`: FLOAT_STEP or FLOAT_WINDOW."""
    return bundle.folder.parent / REFERENCE / name


def float_step(bundle: Bundle, runtime: str = "auto") -> StepModel:
    """The float step. Raises BundleError where it is not here."""
    return StepModel(bundle, runtime, reference(bundle, FLOAT_STEP))


def stream_window_difference(
    bundle: Bundle, skeleton: Array, inertial: Array, *, runtime: str = "auto", every: int = 16
) -> float | None:
    """Largest difference of any output between the float step, fed tick by tick, and the float window over the last ticks.

    `skeleton` (T, 33, 11), `inertial` (T, 4, 8); every `every`-th tick is compared, from the first one on that has a whole window
    behind it. None where there is no such tick.
    """
    step = float_step(bundle, runtime)
    window = Network(str(reference(bundle, FLOAT_WINDOW)), runtime)
    length = window.shapes["skeleton"][1]
    if len(skeleton) < length:
        return None
    worst = 0.0
    for t in range(len(skeleton)):
        raw = step.step_raw(skeleton[t], inertial[t])
        if t + 1 < length or (t + 1 - length) % every:
            continue
        span = slice(t + 1 - length, t + 1)
        whole = window.run(skeleton=skeleton[None, span], inertial=inertial[None, span])
        worst = max(worst, *(float(np.abs(raw[name] - whole[name]).max()) for name in HEADS))
    return worst


def int8_agreement(bundle: Bundle, skeleton: Array, inertial: Array, *, runtime: str = "auto") -> Agreement:
    """How far the int8 step strays from the float step, each with its own past. Arrays as in `stream_window_difference`."""
    small, exact = StepModel(bundle, runtime), float_step(bundle, runtime)
    same, worst = 0, 0.0
    for nodes, bands in zip(skeleton, inertial, strict=True):
        a, b = small.step_raw(nodes, bands), exact.step_raw(nodes, bands)
        same += int(a["exercise"].argmax() == b["exercise"].argmax())
        worst = max(worst, float(np.abs(a["angles"] - b["angles"]).max()))
    return Agreement(same / len(skeleton), worst)
