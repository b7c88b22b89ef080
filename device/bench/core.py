"""Time that each section of the core takes for a tick, against its budget."""

from __future__ import annotations

import statistics
from argparse import Namespace
from collections import defaultdict
from dataclasses import fields

from device.bench.progress import Progress
from device.bench.session import coached
from device.config import load_config
from device.rows import Report, report, row
from device.runtime.live import config_bundle


def measure(args: Namespace, progress: Progress) -> Report:
    """The sections' median times over the first `args.seconds` of a session."""
    config = load_config(args.config)
    bundle = config_bundle(config)
    progress.begin(1, "virtual session")
    _, timings = coached(config, bundle, args.seed, args.seconds)
    durations: dict[str, list[float]] = defaultdict(list)
    for timing in timings:
        durations[timing.section].append(timing.duration_ns / 1e3)
    budgets = {f.name.removesuffix("_ms"): 1e3 * float(getattr(config.budget, f.name)) for f in fields(config.budget)}
    rows = [row(f"{name}_us", statistics.median(values), "us", at_most=budgets.get(name)) for name, values in durations.items()]
    return report(rows, seed=args.seed, bundle=bundle.version)
