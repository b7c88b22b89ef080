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
from device.runtime.parity import parity_rows


def measure(args: Namespace, progress: Progress) -> Report:
    """The figures of the bundle that the settings name, on the first `args.seconds` of a session."""
    config = load_config(args.config)
    bundle = config_bundle(config)
    runtimes = available_runtimes()
    progress.begin(2 + 2 * len(runtimes), "virtual session")
    observed = ObservedModel(StepModel(bundle, config.model.runtime, config.model.precision))
    coached(config, observed, sensed(config, args.seed, args.seconds))
    progress.step("time of a step")
    rows = [row("model_step_ms", statistics.median(observed.durations_ns) / 1e6, "ms", at_most=1.0)]
    for runtime in runtimes:
        for precision in ("int8", "float"):
            name = f"model_step_{runtime}_{precision}_ms"
            rows.append(row(name, step_ms(bundle, runtime, precision, observed), "ms"))
            progress.step()
    progress.step("parity")
    rows += _parity(bundle, config.model.runtime, runtimes, observed)
    rows.append(row("bundle_kb", bundle.size_bytes / 1e3, "KB", at_most=300))
    return report(rows, seed=args.seed, bundle=bundle.version)


def step_ms(bundle: Bundle, runtime: str, precision: str, observed: ObservedModel) -> float:
    """Median time of a step on `runtime` that is fed what `observed` was."""
    model = ObservedModel(StepModel(bundle, runtime, precision))
    for i, (nodes, bands) in enumerate(zip(observed.skeleton, observed.inertial, strict=True)):
        model.step(nodes, bands, i, i)
    return statistics.median(model.durations_ns) / 1e6


def _parity(bundle: Bundle, runtime: str, runtimes: tuple[str, ...], observed: ObservedModel) -> list[Row]:
    skeleton, inertial = np.stack(observed.skeleton), np.stack(observed.inertial)
    rows = parity_rows(bundle, skeleton, inertial, runtime=runtime)
    if len(runtimes) > 1:
        steps = [StepModel(bundle, name, "float") for name in runtimes]
        worst = 0.0
        for nodes, bands in zip(skeleton, inertial, strict=True):
            first, *others = [step.step_raw(nodes, bands) for step in steps]
            worst = max(worst, *(float(np.abs(first[key] - other[key]).max()) for other in others for key in first))
        rows.append(row("runtime_diff", worst, "", at_most=1e-3))
    return rows
