"""`spotter bench`: figures of single parts, in the rows that every command shares."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from device import rows

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a part. `help` is followed by the default where there is one."""

    flag: str
    metavar: str
    help: str
    kind: Callable[[str], object] = str
    default: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part that can be measured: the module of `device.bench` of which `measure(args, progress)` gives the report."""

    name: str
    module: str
    help: str
    options: tuple[Option, ...]
    example: str = "--seed 7 --json"


def number(low: float, high: float) -> Callable[[str], float]:
    """A number from `low` to `high`, for argparse."""

    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {low:g} to {high:g}, not {text}")
        return value

    return parse


def whole(low: int) -> Callable[[str], int]:
    """A whole number of `low` or more, for argparse."""

    def parse(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"must be {low} or more, not {text}")
        return value

    return parse


def seed(of: str) -> Option:
    return Option("--seed", "N", f"seed of {of}", whole(0), 0)


def seconds(default: float, of: str) -> Option:
    return Option("--seconds", "S", of, number(0.1, 1e6), default)


CONFIG = Option("--config", "FILE", "settings file (TOML)")

PARTS = (
    Part(
        "pose",
        "pose",
        "The pose estimators side by side: time, agreement, memory, start. Wants an idle machine.",
        (seed("the virtual trainee"), seconds(3, "how much of every set, s")),
    ),
    Part(
        "model",
        "model",
        "The model step: its time on each runtime, int8 against float, the step against the window, its size.",
        (seed("the virtual trainee"), seconds(60, "how much of the session, s"), CONFIG),
    ),
    Part(
        "pipeline",
        "pipeline",
        "The whole pipeline: the core's processor time against a bare loop of MediaPipe, memory, cold starts, and each section "
        "against its budget. Runs a session in real time.",
        (seed("the virtual trainee"), seconds(30, "how much of the session is measured, s"), CONFIG),
    ),
    Part(
        "latency",
        "on_time",
        "Being on time: motion to motor command, frame to voice (in real time), error to cue. Wants an idle machine.",
        (
            seed("trainees and radios"),
            Option("--sessions", "N", "sessions of each exercise", whole(1), 2),
            Option("--plays", "N", "how often the film plays, a minute each", whole(1), 3),
            CONFIG,
        ),
        example="--sessions 1 --json",
    ),
    Part(
        "time",
        "clocks",
        "The one clock: errors of the bands' times and of the camera's offset, and what they are worth; in simulated time.",
        (seed("bands and trainees"), seconds(600, "how long each band runs, s"), CONFIG),
        example="--seconds 120 --json",
    ),
    Part(
        "assign",
        "assignment",
        "How soon bands on wrong limbs are found over random trials, and whether a right one is ever called wrong.",
        (seed("the trials"), Option("--trials", "N", "how many with bands on wrong limbs", whole(1), 200)),
        example="--trials 40 --json",
    ),
    Part(
        "radio",
        "radio",
        "Four bands with the real firmware over a virtual Bluetooth: what is lost, how well times are known, the driver's cost.",
        (
            seed("the bands and of what is lost"),
            Option("--minutes", "M", "length of each of its two parts, in real time", number(0.2, 600), 0.5),
        ),
        example="--minutes 10 --json",
    ),
    Part(
        "render",
        "render",
        "Share of rendered frames in which the pose estimator finds the trainee, and the time of both.",
        (
            seed("the virtual trainee"),
            seconds(6, "how much of every set, s"),
            Option("--sessions", "N", "how many seeds, from --seed on", whole(1), 1),
        ),
    ),
    Part(
        "faults",
        "faults",
        "Every fault once, most in the middle of a set: when it is noticed, when all is well again, what the trainee hears and "
        "what is lost. Eye, chips, motors, disk, bundle and memory fail for real, the rest on a simulated appliance.",
        (
            seed("the trainees and the faults"),
            Option("--only", "A,B,...", "these faults alone; a wrong name lists them"),
            Option("--cuts", "N", "power cuts of the session store", whole(1), 1000),
            CONFIG,
        ),
        example="--only camera_hang --json",
    ),
    Part(
        "soak",
        "soak",
        "A simulated appliance for hours of simulated time, with a fault every few minutes: memory, open files, threads, lost "
        "repetitions, stuck states. Ctrl-C ends it early and prints what was found.",
        (
            seed("the trainees and the faults"),
            Option("--hours", "H", "simulated time, h", number(0.01, 1000), 1),
            Option("--every", "S", "seconds between two faults; one has to be over first", number(40, 36000), 180),
            CONFIG,
        ),
        example="--hours 24 --json",
    ),
)
"""Every part, in the order of `spotter bench --help`. A new one is an entry here and its module."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "bench",
        help="measure parts of Spotter on this machine",
        description="Measure one part of Spotter on this machine, with the virtual trainee as its input.",
        epilog="example: spotter bench model --strict",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(metavar="PART", required=True)
    for part in PARTS:
        example = f"example: spotter bench {part.name} {part.example}"
        part_parser = parts.add_parser(part.name, help=part.help, description=part.help, epilog=example)
        for option in part.options:
            text = option.help if option.default is None else f"{option.help} (default {option.default:g})"
            part_parser.add_argument(option.flag, metavar=option.metavar, type=option.kind, default=option.default, help=text)
        rows.add_arguments(part_parser)
        part_parser.set_defaults(run=run, module=part.module)


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        figures = import_module(f"device.bench.{args.module}").measure(args, _Shown(bar))
    return rows.show(figures, args)


class _Shown:
    """Progress as a bar on standard error."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=None)

    def begin(self, steps: int, name: str) -> None:
        self._bar.update(self._task, total=steps, description=name)

    def step(self, name: str = "") -> None:
        self._bar.update(self._task, advance=1, description=name or None)
