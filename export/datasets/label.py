"""`python -m export.datasets.label RECORDING`: proposes the repetitions of an own recording, for a person to correct.

The recording is replayed through the coach; every excursion of its phase becomes an entry, counted or not. The picture beside
the file shows them on the angles and the bands.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from device.config import Config, load_config
from device.errors import SpotterError
from device.messages import EXERCISES, NS_PER_S, Estimate, Stage
from device.report.log import LogBook
from device.runtime.live import build_core, repeat
from device.runtime.reps import Move, RepetitionFinder
from device.runtime.session import Session
from export.datasets.clip import Clip
from export.datasets.labels import Label, read_labels, write_labels
from export.datasets.own import recorded_clip, truth_of
from export.datasets.pictures import draw_clip
from export.people.watch import live_events

COLOURS = ("#2c8a3d", "#c8501e")
"""Of repetitions done right and wrong."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Propose labels, or check corrected ones; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m export.datasets.label",
        description=__doc__,
        epilog="example: python -m export.datasets.label sessions/monday --out monday.toml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recording", metavar="RECORDING", help="folder that `spotter record` wrote")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--out", metavar="FILE", type=Path, default=Path("labels.toml"), help="proposal (default %(default)s)")
    what.add_argument("--check", metavar="FILE", type=Path, help="check corrected labels, and draw them anew")
    parser.add_argument("--config", metavar="FILE", help="settings file (TOML)")
    args = parser.parse_args(arguments)
    file: Path = args.check or args.out
    picture = file.with_suffix(".png")
    try:
        clip = recorded_clip(args.recording)
        if args.check is None:
            labels = proposed(clip, load_config(args.config))
            write_labels(file, labels, args.recording)
        else:
            labels = read_labels(file, clip.end_ns / NS_PER_S)
        events = [(label.start_s, label.end_s, COLOURS[not label.correct]) for label in labels]
        labelled = Clip(
            clip.source, clip.name, clip.subject, clip.trains, clip.landmarks, clip.pose_ns, clip.imu, clip.imu_ns,
            clip.imu_present, truth_of(labels, clip),
        )  # fmt: skip
        draw_clip(labelled, picture, events=events)
    except SpotterError as error:
        print(error, file=sys.stderr)
        return 1
    count = f"{len(labels)} repetition{'s' if len(labels) != 1 else ''}"
    print(f"{file}: {count} {'checked' if args.check else 'proposed; correct them'}. {picture} shows them.")
    return 0


def proposed(clip: Clip, config: Config) -> list[Label]:
    """A label for every excursion of the phase in `clip` that is rather one of ours than none, taken for the likeliest one."""
    core = build_core(config, clip.start_ns)
    book = LogBook(core.classes, clip.start_ns)
    session = Session(core, [book])
    for _ in repeat(session, live_events(clip, config.signals.tick_hz)):
        pass
    session.close(clip.end_ns)
    finder = RepetitionFinder(config.reps)
    labels: list[Label] = []
    since: list[Estimate] = []
    for estimate in book.estimates:
        move = finder.step(estimate.t_ns, estimate.phase, float(estimate.stage[Stage.REST]))
        since.append(estimate)
        if move is Move.DONE:
            labels += _label(finder, since, core.classes)
            since = []
    if finder.close() is Move.DONE:
        labels += _label(finder, since, core.classes)
    return labels


def _label(finder: RepetitionFinder, since: Sequence[Estimate], classes: tuple[str, ...]) -> list[Label]:
    inside = [estimate.exercise for estimate in since if estimate.t_ns >= finder.start_ns]
    if not inside:
        return []
    mean = np.mean(inside, axis=0)
    if mean[-1] > 0.5:
        return []
    exercise = classes[int(mean[: len(EXERCISES) - 1].argmax())]
    return [Label(max(finder.start_ns, 0) / NS_PER_S, finder.end_ns / NS_PER_S, exercise, True)]


if __name__ == "__main__":
    raise SystemExit(main())
