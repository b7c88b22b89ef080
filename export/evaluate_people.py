"""`python -m export.evaluate_people`: the shipped coach on recorded people whom its weights never saw.

Every clip is streamed through the device's own core with the shipped int8 bundle, as it would be live, from a cold start. The
figures, the confusions and pictures of the worst clips go into a folder. Beside it stands what networks reach on the watches'
recordings that learned from other people of them, which the shipped weights may not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from device import rows
from device.config import Config, load_config
from device.errors import SpotterError
from device.runtime.bundle import Bundle, load_bundle
from export.datasets.catalogue import data_folder, read_set
from export.datasets.clip import Clip, only
from export.people.figures import BANDS, BOTH, CAMERA, ROWS, rows_of
from export.people.learned import learned_rows
from export.people.report import chosen_clips, write_report
from export.people.watch import NONE, Seen, watch

MAX_PROCESSES = 2
LEARNED = "crossfit_imu"
"""The set that is also learned from, by networks that are thrown away."""
BACKLOG = 8
"""Clips that wait for a process; the rest is read when there is room."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch the sets and write the report; 1 where a set can't be read, or a figure misses its limit under --strict."""
    parser = argparse.ArgumentParser(
        prog="python -m export.evaluate_people",
        description=__doc__,
        epilog="example: python -m export.evaluate_people --only video_pose",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", metavar="FOLDER", help="folder of the recordings (default: SPOTTER_DATA, else ../shared/data)")
    parser.add_argument(
        "--only", metavar="SET", action="append", choices=sorted(ROWS), help="watch this set only; may be repeated"
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("reports"), help="where to (default %(default)s)")
    parser.add_argument("--processes", metavar="N", type=int, choices=range(1, MAX_PROCESSES + 1), default=MAX_PROCESSES,
                        help="clips at a time, 1 or 2 (default %(default)s)")  # fmt: skip
    parser.add_argument(
        "--thin", metavar="N", type=int, default=1, help="watch one in N of the clips of class none (default: all)"
    )
    parser.add_argument(
        "--learned", action=argparse.BooleanOptionalAction, default=True,
        help=f"say too what networks reach on {LEARNED} that learned from other people of it (a minute)",
    )  # fmt: skip
    parser.add_argument("--config", metavar="FILE", help="settings file (TOML)")
    rows.add_arguments(parser)
    args = parser.parse_args(arguments)
    try:
        config = load_config(args.config)
        bundle = load_bundle(config.model.bundle or None)
        data = data_folder(args.data)
        names = list(dict.fromkeys(args.only or ROWS))
        jobs = [job for name in names for job in thinned(parts_of(name, data), max(args.thin, 1))]
        seen = watch_all(jobs, config, args.processes)
        found = rows_of(seen)
        if args.learned and LEARNED in names:
            found += _learned(data)
        figures = rows.report(found, bundle=bundle.version)
        drawn = {(one.source, one.name, one.part): one for one in chosen_clips(seen)}
        keys = [(clip.source, clip.name, part) for clip, part in jobs]
        chosen = [(clip, drawn[key]) for key, (clip, _) in zip(keys, jobs, strict=True) if key in drawn]
        write_report(args.out, figures, seen, chosen)
    except SpotterError as error:
        print(error, file=sys.stderr)
        return 1
    status = rows.show(figures, args)
    print(f"{args.out / 'people.md'} has the tables, {args.out / 'people'} the pictures", file=sys.stderr)
    return status


def parts_of(name: str, data: Path) -> Iterator[tuple[Clip, str]]:
    """The clips of a set with the modalities that they are played with. Raises DatasetError."""
    for clip in read_set(name, data):
        if name == "utd_mhad":
            yield clip, BOTH
            yield only(clip, bands=False), CAMERA
            if clip.imu is not None:
                yield only(clip, camera=False), BANDS
        elif name == "ui_prmd" and clip.truth.exercise in (None, "none"):
            # Their bands are virtual, and all that they are for is ghosts: half of the time is saved without them.
            yield only(clip, bands=False), CAMERA
        else:
            yield clip, BOTH if clip.landmarks is not None and clip.imu is not None else CAMERA if clip.imu is None else BANDS


def thinned(jobs: Iterator[tuple[Clip, str]], each: int) -> Iterator[tuple[Clip, str]]:
    """All clips of exercises of ours, and one in `each` of those of class none: there are many, and they say much the same."""
    passed = 0
    for clip, part in jobs:
        if clip.truth.exercise == NONE:
            passed += 1
            if passed % each != 1 % each:
                continue
        yield clip, part


def watch_all(jobs: Sequence[tuple[Clip, str]], config: Config, processes: int) -> list[Seen]:
    """What the coach made of each clip, in their order."""
    seen: dict[int, Seen] = {}
    with _progress() as progress:
        task = progress.add_task("watching", total=len(jobs))
        if processes == 1:
            _prepare(config)
            for i, job in enumerate(jobs):
                seen[i] = _watch(i, *job)[1]
                progress.advance(task)
        else:
            context = get_context("spawn")
            with ProcessPoolExecutor(processes, mp_context=context, initializer=_prepare, initargs=(config,)) as pool:
                todo = iter(enumerate(jobs))
                running = {pool.submit(_watch, i, *job) for i, job in islice(todo, BACKLOG)}
                while running:
                    done = next(as_completed(running))
                    running.remove(done)
                    i, one = done.result()
                    seen[i] = one
                    progress.advance(task)
                    running |= {pool.submit(_watch, i, *job) for i, job in islice(todo, 1)}
    return [seen[i] for i in range(len(jobs))]


def _learned(data: Path) -> list[rows.Row]:
    clips = list(read_set(LEARNED, data))
    with _progress() as progress:
        task = progress.add_task("learning from others", total=None)
        return learned_rows(LEARNED, clips, lambda done, total: progress.update(task, completed=done, total=total))


_coach: tuple[Config, Bundle] | None = None
"""Of a process that watches."""


def _prepare(config: Config) -> None:
    global _coach
    _coach = (config, load_bundle(config.model.bundle or None))


def _watch(i: int, clip: Clip, part: str) -> tuple[int, Seen]:
    assert _coach is not None
    return i, watch(clip, *_coach, part)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


if __name__ == "__main__":
    raise SystemExit(main())
