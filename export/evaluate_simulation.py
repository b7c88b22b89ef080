"""`python -m export.evaluate_simulation`: every table and figure of the paper on virtual trainees whom no weights ever saw.

The shipped int8 bundle is measured on the device's own runtime, streamed as it would be live; what it is compared with is trained
here, on emulated sessions and rendered clips, with a short recipe. What was trained and measured is kept, so the command can be
cut off and goes on where it was; a report holds the experiments that were asked for. With the defaults it takes at most some 90
minutes on two free cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from device import rows
from device.config import load_config
from device.errors import SpotterError
from device.report.needs import require_report
from export.clips import DEFAULT_CACHE
from export.kept import DEFAULT, check_writable
from export.simulation import coaching, recognition
from export.simulation.material import Amounts
from export.simulation.report import write_report
from export.simulation.run import Options, Run
from export.simulation.sections import Section
from export.train import Recipe
from export.zoo.tcn_gat import DILATIONS

EXPERIMENTS: Mapping[str, Callable[[Run], Section]] = {
    "main": coaching.main_figures,
    "table1": recognition.table1,
    "table2": coaching.table2,
    "table3": coaching.table3,
    "table4": recognition.table4,
    "table5": recognition.table5,
    "figure3": recognition.figure3,
    "figure4": recognition.figure4,
    "figure5": recognition.figure5,
    "figure6": recognition.figure6,
    "figure7": coaching.figure7,
    "figure8": coaching.figure8,
    "figure9": coaching.figure9,
    "figure10": coaching.figure10,
}
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiments and write the report; 1 on an error, or where a figure misses its limit under --strict."""
    args = _parser().parse_args(arguments)
    try:
        require_report("The evaluation")
        check_writable(args.out)
        check_writable(args.cache.expanduser())
        with Working() as working:
            run = _run(args, working)
            chosen = list(dict.fromkeys(args.only or EXPERIMENTS))
            sections = []
            for i, name in enumerate(chosen):
                working.report("experiments", i, len(chosen))
                sections.append(EXPERIMENTS[name](run))
            working.report("experiments", len(chosen), len(chosen))
        figures = rows.report([row for section in sections for row in section.rows], bundle=run.bundle.version)
        write_report(args.out, figures, sections, _conditions(args))
    except SpotterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What was trained and measured is kept: the same command goes on from there.", file=sys.stderr)
        return INTERRUPTED
    status = rows.show(figures, args)
    print(f"{args.out / 'simulation.md'} has the tables, {args.out / 'simulation'} the pictures", file=sys.stderr)
    return status


class Working:
    """Progress bars, one for each thing that is being done; those that are done go away."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Bars(*columns, console=Console(stderr=True))
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Working:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def report(self, what: str, done: int, total: int) -> None:
        """`done` of `total` of `what` are done."""
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)
        if done >= total:
            self._bars.remove_task(self._tasks.pop(what))
            if not self._bars.console.is_terminal:
                self._bars.console.print(f"done: {what}", highlight=False)


def _parser() -> argparse.ArgumentParser:
    recipe, amounts = Recipe(), Amounts()
    parser = argparse.ArgumentParser(
        prog="python -m export.evaluate_simulation",
        description=__doc__,
        epilog="example: python -m export.evaluate_simulation --only table5 figure4 --steps 300 --seeds 3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="NAME", nargs="+", choices=sorted(EXPERIMENTS), help="these experiments (default: all)")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("reports"), help="where to (default: %(default)s)")
    parser.add_argument("--steps", type=_at_least(1), default=600, help="steps of each training (default: %(default)s)")
    parser.add_argument("--seeds", type=_at_least(1), default=5, help="seeds of each network in table 5 (default: %(default)s)")
    parser.add_argument(
        "--sessions", type=_at_least(2), default=amounts.sessions, help="emulated sessions to learn from (default: %(default)s)"
    )
    parser.add_argument(
        "--clips", type=_at_least(1), default=amounts.clips,
        help="rendered clips to learn from, rendered where absent (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--unseen-sessions", type=_at_least(1), default=amounts.unseen_sessions, help="to judge by (default: %(default)s)"
    )
    parser.add_argument(
        "--unseen-clips", type=_at_least(1), default=amounts.unseen_clips,
        help="rendered clips to judge the shipped coach by (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--drills", type=_at_least(1), default=4, help="sessions of a kind in the loop (default: %(default)s)")
    parser.add_argument("--demos", type=_at_least(1), default=6, help="of those with real pictures (default: %(default)s)")
    parser.add_argument(
        "--windows", type=int, nargs="+", choices=sorted(DILATIONS), default=[32, 48, 64, 80, 96], metavar="TICKS",
        help="of figure 5 (default: 32 48 64 80 96)",
    )  # fmt: skip
    parser.add_argument(
        "--thresholds", type=float, nargs="+", default=[3, 5, 7, 9, 11, 13], metavar="DEGREES",
        help="of figure 7 (default: 3 5 7 9 11 13)",
    )  # fmt: skip
    parser.add_argument(
        "--occlusions", type=int, nargs="+", choices=range(91), default=[0, 15, 30, 45], metavar="PERCENT",
        help="of figure 6 (default: 0 15 30 45)",
    )  # fmt: skip
    parser.add_argument("--batch", type=_at_least(1), default=recipe.batch, help="stretches of a step (default: %(default)s)")
    parser.add_argument("--processes", type=int, choices=(1, 2), default=2, help="processor cores (default: %(default)s)")
    parser.add_argument("--cache", metavar="FOLDER", type=Path, default=DEFAULT, help="trainings (default: %(default)s)")
    parser.add_argument("--clip-cache", metavar="FOLDER", type=Path, default=DEFAULT_CACHE, help="clips (default: %(default)s)")
    parser.add_argument("--config", metavar="FILE", help="settings file (TOML)")
    rows.add_arguments(parser)
    return parser


def _at_least(lowest: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if (value := int(text)) < lowest:
            raise argparse.ArgumentTypeError(f"must be at least {lowest}")
        return value

    return number


def _run(args: argparse.Namespace, working: Working) -> Run:
    options = Options(
        seeds=args.seeds, drills=args.drills, demos=args.demos, windows=tuple(sorted(set(args.windows))),
        thresholds=tuple(sorted(set(args.thresholds))), occlusions=tuple(sorted({0, *args.occlusions})), processes=args.processes,
    )  # fmt: skip
    recipe = dataclasses.replace(Recipe(), steps=args.steps, batch=args.batch, threads=args.processes)
    amounts = Amounts(args.clips, args.sessions, args.unseen_sessions, args.unseen_clips)
    return Run(options, recipe, amounts, load_config(args.config), args.cache.expanduser(), args.clip_cache, working.report)


def _conditions(args: argparse.Namespace) -> list[str]:
    return [
        f"The networks to compare learned for {args.steps} steps of {args.batch} stretches from {args.sessions} emulated "
        f"sessions and {args.clips} rendered clips (seeds 1,000,000 and 2,000,000 on); the shipped bundle learned longer, from "
        "more.",
        f"Networks are judged on {args.unseen_sessions} emulated sessions, coaching on {args.drills} sessions of a kind (seeds "
        f"4,000,000 and 4,100,000 on); bodies, habits and views are new in all of them.",
        "The step times are of this machine, one thread; the networks to compare run in PyTorch, the shipped bundle in TFLite.",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
