"""Being on time: from a motion to the motor's command, from a frame to the voice, from an error to its correction."""

from __future__ import annotations

from argparse import Namespace

from device.bench.camera_path import camera_rows, film_seconds
from device.bench.latency import session_count, simulated_rows
from device.bench.progress import Progress
from device.config import load_config
from device.rows import Report, report
from device.runtime.live import config_bundle


def measure(args: Namespace, progress: Progress) -> Report:
    """All figures; the film plays `args.plays` times, each exercise has `args.sessions` sessions."""
    config = load_config(args.config)
    bundle = config_bundle(config)
    sessions, plays = int(args.sessions), int(args.plays)
    progress.begin(session_count(sessions) + film_seconds(args.seed) + plays, "rendering a film")
    rows = camera_rows(config, bundle, args.seed, plays, progress.step)
    rows += simulated_rows(config, bundle, args.seed, sessions, progress.step)
    return report(rows, seed=args.seed, bundle=bundle.version)
