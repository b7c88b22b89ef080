"""The model step: its time on each runtime, int8 against float, the step against the window, its size."""

from __future__ import annotations

import statistics
from argparse import Namespace

import numpy as np

from device.bench.progress import Progress
from device.bench.session import coached, sensed
from device.config import load_config
from device.demo.loop import ObservedModel
from device.rows import Report, Row, report, row
from device.runtime.bundle import Bundle
from device.runtime.live import config_bundle
from device.runtime.model import StepModel, available_runtimes
from device.runtime.parity import float_step, has_reference, parity_rows


def measure(args: Namespace, progress: Progress) -> Report:
    """The figures of the bundle that the settings name, on the first `args.seconds` of a session."""
    config = load_config(args.config)
    bundle = config_bundle(config)
    runtimes = available_runtimes()
    progress.begin(2 + 2 * len(runtimes), "virtual session")
    observed = ObservedModel(StepModel(bundle, config.model.runtime))
    coached(config, observed, sensed(config, args.seed, args.seconds))
    progress.step("time of a step")
    rows = [row("model_step_ms", statistics.median(observed.durations_ns) / 1e6, "ms", at_most=1.0)]
    for runtime in runtimes:
        rows.append(row(f"model_step_{runtime}_int8_ms", step_ms(StepModel(bundle, runtime), observed), "ms"))
        progress.step()
        exact = step_ms(float_step(bundle, runtime), observed) if has_reference(bundle) else None
        rows.append(row(f"model_step_{runtime}_float_ms", exact, "ms"))
        progress.step()
    progress.step("parity")
    rows += _parity(bundle, config.model.runtime, runtimes, observed)
    rows.append(row("bundle_kb", bundle.size_bytes / 1e3, "KB", at_most=300))
    return report(rows, seed=args.seed, bundle=bundle.version)


def step_ms(step: StepModel, observed: ObservedModel) -> float:
    """Median time of a `step` that is fed what `observed` was."""
    model = ObservedModel(step)
    for i, (nodes, bands) in enumerate(zip(observed.skeleton, observed.inertial, strict=True)):
        model.step(nodes, bands, i, i)
    return statistics.median(model.durations_ns) / 1e6


def _parity(bundle: Bundle, runtime: str, runtimes: tuple[str, ...], observed: ObservedModel) -> list[Row]:
    skeleton, inertial = np.stack(observed.skeleton), np.stack(observed.inertial)
    rows = parity_rows(bundle, skeleton, inertial, runtime=runtime)
    if len(runtimes) > 1 and has_reference(bundle):
        steps = [float_step(bundle, name) for name in runtimes]
        worst = 0.0
        for nodes, bands in zip(skeleton, inertial, strict=True):
            first, *others = [step.step_raw(nodes, bands) for step in steps]
            worst = max(worst, *(float(np.abs(first[key] - other[key]).max()) for other in others for key in first))
        rows.append(row("runtime_diff", worst, "", at_most=1e-3))
    return rows
