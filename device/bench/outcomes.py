"""What became of faults, for people: tables and lines on standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device.bench.soak import SoakFindings
    from device.sim.faults.outcome import Outcome


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
    kinds = (
        ("stuck", found.stuck),
        ("miscounted", found.missed),
        ("counted outside of a set", found.ghosts),
        ("counted outside of a set during a fault", found.touched_ghosts),
    )
    for what, problems in kinds:
        for problem in problems:
            print(f"{what}: {problem}")
