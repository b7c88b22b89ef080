"""How the network shows each error: what a window of the coach's evidence says against what is true, on rendered clips.

Where the landmarks are ambiguous the network takes the likelier posture, so a joint that moves as usual seems to deviate a
little and one that deviates seems to less. Both are the same for everybody and known after a look at people whose true angles
are known; what differs from body to body stays as the spread.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from device.messages import NS_PER_S, Estimate, Tick
from device.runtime.deviation import RepetitionMeter, Sample, Standards, sample_of
from device.runtime.evidence import Evidence, Response
from device.runtime.features import FeatureConstants
from device.sim.trainee import TrueRepetition, VirtualTrainee
from export.clips import clip_plan
from export.dataset import Session, whole
from export.model import Coach, Heads

MIN_SPREAD = 1.0
"""A network may have learned from the clips: where it errs less there than it says, it says what holds for others."""
MIN_GAIN = 0.4
"""An error that is seen smaller than this is not blown up further: its windows stay uncertain."""
MIN_WINDOWS = 4
"""An error that fewer windows show is taken as it shows."""

Shown = tuple[str, str, tuple[float, float, float]]
"""Class, error, and of one window (rad): the true difference from the standard, the shown one, the stated sigma."""


@torch.no_grad()
def shown_windows(coach: Coach, clips: Sequence[tuple[int, Session]], constants: FeatureConstants) -> list[Shown]:
    """All windows of rendered `clips`, each with its seed."""
    coach.eval()
    shown: list[Shown] = []
    for seed, session in clips:
        trainee = VirtualTrainee(seed, clip_plan(seed), deaf=True)
        batch = whole(session, constants)
        heads = coach(torch.from_numpy(batch.skeleton), torch.from_numpy(batch.inertial))
        for repetition in (repetition for done in trainee.sets for repetition in done.repetitions):
            exercise = trainee.exercises[repetition.exercise]
            windows = _windows(Standards(exercise), repetition, session, heads, constants.tick_hz)
            shown += [(exercise.model_class, *window) for window in windows]
    return shown


def fitted_responses(shown: Iterable[Shown]) -> dict[str, dict[str, Response]]:
    """Responses by class and error, least squares over all windows of each."""
    windows: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    for name, error, window in shown:
        windows[name, error].append(window)
    responses: dict[str, dict[str, Response]] = defaultdict(dict)
    for (name, error), found in sorted(windows.items()):
        if len(found) >= MIN_WINDOWS:
            responses[name][error] = _fitted(np.array(found))
    return dict(responses)


def _windows(
    standards: Standards, repetition: TrueRepetition, session: Session, heads: Heads, tick_hz: float
) -> list[tuple[str, tuple[float, float, float]]]:
    """(error, (true difference, shown difference, stated sigma) rad) of each window of a repetition."""
    seen, true = RepetitionMeter(standards), RepetitionMeter(standards)
    evidence, truth = Evidence(standards, tick_hz, {}), Evidence(standards, tick_hz, {})
    first, last = (round(t_ns * tick_hz / NS_PER_S) for t_ns in (repetition.start_ns, repetition.end_ns))
    for t in range(first, min(last, len(session))):
        sample = _sample(session, heads, t, tick_hz)
        evidence.add(sample.phase, seen.add(sample))
        phase = float(session.labels.phase[t])
        truth.add(phase, true.add(Sample(sample.t_ns, phase, session.labels.angles[t].astype(np.float64), sample.sigma)))
    variant = standards.variants.index(repetition.variant)
    is_true = {(window.rule.error, window.joint): window for window in truth.windows(variant)}
    found = []
    for window in evidence.windows(variant):
        known = is_true.get((window.rule.error, window.joint))
        if known is not None:
            found.append((window.rule.error, (known.difference_rad, window.difference_rad, window.sigma_rad)))
    return found


def _sample(session: Session, heads: Heads, t: int, tick_hz: float) -> Sample:
    signals = session.signals
    tick = Tick(
        round(t / tick_hz * NS_PER_S), t, signals.world[t], signals.visibility[t], bool(signals.pose_present[t]),
        signals.imu[t], signals.imu_present[t],
    )  # fmt: skip
    exercise, stage, (sine, cosine), angles, log_sigma, importance = (head[0, t].numpy() for head in heads)
    phase = float(np.arctan2(sine, cosine) / (2 * np.pi) % 1.0)
    estimate = Estimate(tick.t_ns, t, exercise, stage, phase, angles, np.exp(log_sigma), importance)
    return sample_of(tick, estimate)


def _fitted(windows: NDArray[np.float64]) -> Response:
    """`windows` (n, 3): true, shown, sigma."""
    true, shown, sigma = windows.T
    slope = float(np.cov(true, shown)[0, 1] / max(np.var(true, ddof=1), 1e-6))
    gain = float(np.clip(slope, MIN_GAIN, 1.2))
    bias = float(np.mean(shown - gain * true))
    spread = float(np.sqrt(np.mean(((shown - bias - gain * true) / sigma) ** 2)))
    return Response(bias, gain, max(spread, MIN_SPREAD))
