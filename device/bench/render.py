"""How many rendered frames the pose estimator finds the virtual trainee in, and the time of both."""

from __future__ import annotations

from argparse import Namespace

from device.bench.progress import Progress
from device.rows import Report, report
from device.sim import detectability


def measure(args: Namespace, progress: Progress) -> Report:
    """The figures over the first `args.seconds` of every set of `args.sessions` sessions."""
    progress.begin(1, "rendered sets")
    seen = detectability.measure(range(args.seed, args.seed + args.sessions), args.seconds)
    return report(detectability.rows(seen), seed=args.seed)
