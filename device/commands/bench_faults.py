"""`spotter bench faults` and `spotter bench soak`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from device import rows

if TYPE_CHECKING:
    from device.bench.soak import SoakFindings
    from device.sim.faults.outcome import Outcome


def add_parts(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Both parts of `spotter bench`."""
    text = (
        "Every fault once, most in the middle of a set: when it is noticed, when all is well again, what the trainee hears and "
        "what is lost. Eye, chips, motors, disk, bundle and memory fail for real, the rest on a simulated appliance."
    )
    part = parts.add_parser(
        "faults", help=text, description=text, epilog="example: spotter bench faults --only camera_hang --json"
    )
    part.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the trainees and the faults (default 0)")
    part.add_argument("--only", metavar="A,B,...", help="these faults alone; --only help lists them")
    part.add_argument("--cuts", type=_count, default=1000, metavar="N", help="power cuts of the session store (default 1000)")
    part.add_argument("--config", metavar="FILE", help="settings file (TOML)")
    rows.add_arguments(part)
    part.set_defaults(run=_faults)
    text = (
        "A simulated appliance for hours of simulated time, with a fault every few minutes: memory, open files, threads, lost "
        "repetitions, stuck states. Ctrl-C ends it early and prints what was found."
    )
    part = parts.add_parser("soak", help=text, description=text, epilog="example: spotter bench soak --hours 24 --json")
    part.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the trainees and the faults (default 0)")
    part.add_argument("--hours", type=_hours, default=1.0, metavar="H", help="simulated time (default 1 h)")
    part.add_argument("--every", type=_seconds, default=180.0, metavar="S", help="time between two faults, about (default 180 s)")
    part.add_argument("--config", metavar="FILE", help="settings file (TOML)")
    rows.add_arguments(part)
    part.set_defaults(run=_soak)


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError("must be 1 to 1000000")
    return value


def _hours(text: str) -> float:
    value = float(text)
    if not 0.01 <= value <= 1000:
        raise argparse.ArgumentTypeError("must be 0.01 to 1000 hours")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 40 <= value <= 36000:
        raise argparse.ArgumentTypeError("must be 40 to 36000 seconds: one fault has to be over before the next")
    return value


def _faults(args: argparse.Namespace) -> int:
    from device.bench.faults import fault_rows, find, made_on
    from device.config import load_config
    from device.errors import ConfigError
    from device.runtime.live import config_bundle
    from device.sim.faults.table import FAULTS

    names = [kind.name for kind in FAULTS]
    if args.only == "help":
        print("\n".join(names))
        return 0
    wanted = [name.strip() for name in args.only.split(",")] if args.only else names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise ConfigError(f"--only: there is no fault {', '.join(unknown)}; there are {', '.join(names)}.")
    config = load_config(args.config)
    bundle = config_bundle(config)
    kinds = [kind for kind in FAULTS if kind.name in wanted]
    with _bar() as show:
        done = iter(range(len(kinds) + 2))
        found = find(args.seed, config, bundle, kinds, args.cuts, lambda name: show(next(done) / (len(kinds) + 1), name))
    if not args.json:
        print_outcomes(found.outcomes, made_on)
    return rows.show(rows.report(fault_rows(found), seed=args.seed, bundle=bundle.version), args)


def _soak(args: argparse.Namespace) -> int:
    from device.bench.soak import soak, soak_rows
    from device.config import load_config
    from device.runtime.live import config_bundle
    from device.sim.faults.trial import quiet

    config = load_config(args.config)
    bundle = config_bundle(config)
    with _bar() as show, quiet():
        found = soak(args.hours, args.seed, config, every_s=args.every, on_progress=show)
    if not args.json:
        print_soak(found)
    return rows.show(rows.report(soak_rows(found), seed=args.seed, bundle=bundle.version), args)


def print_outcomes(outcomes: Sequence[Outcome], made_on: Callable[[str], str]) -> None:
    """What became of each fault, as a table on standard output. `made_on`: what a fault was made on, by its name."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_lines=False)
    for heading, right in (
        ("fault", False), ("made on", False), ("noticed (s)", True), ("well after (s)", True),
        ("heard", False), ("lost", False), ("", False),
    ):  # fmt: skip
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for outcome in outcomes:
        table.add_row(
            outcome.fault,
            made_on(outcome.fault),
            "-" if outcome.detected_s is None else f"{outcome.detected_s:.2f}",
            "never" if outcome.recovered_s is None else f"{outcome.recovered_s:.2f}",
            " / ".join(outcome.heard) or "-",
            outcome.lost or "-",
            "[green]survived[/]" if outcome.survived else f"[red]{outcome.problem}[/]",
        )
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 150).print(table)


def print_soak(found: SoakFindings) -> None:
    """How long each kind of fault took to be over, and what went wrong, as text on standard output."""
    for name, recoveries_s in sorted(found.recoveries_s.items()):
        print(f"{name:20} {len(recoveries_s):4d} times, over after {max(recoveries_s):.2f} s at most")
    for what, problems in (("stuck", found.stuck), ("miscounted", found.missed)):
        for problem in problems:
            print(f"{what}: {problem}")


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[float, str], None]]:
    """A bar with the time left on standard error; what it gives takes the share done (0..1) and what goes on."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("begins", total=1.0)
        yield lambda share, what: bar.update(task, completed=share, description=what)
