"""The one format of printed figures: a table for people, JSON for machines."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `name` is snake_case, `limit` reads ">= 0.95" or "<= 2" and is None where there is none.

    `value` is None where it could not be measured, which is never ok against a limit.
    """

    name: str
    value: float | None
    unit: str
    limit: str | None
    ok: bool

    @property
    def verdict(self) -> str:
        """The row against its limit in a word: "ok", "missed", or nothing where there is no limit."""
        return "" if self.limit is None else "ok" if self.ok else "missed"


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one command with what they depend on."""

    rows: tuple[Row, ...]
    machine: str
    seed: int | None
    bundle: str | None

    @property
    def ok(self) -> bool:
        """Whether every row is."""
        return all(row.ok for row in self.rows)


def row(name: str, value: float | None, unit: str = "", *, at_least: float | None = None, at_most: float | None = None) -> Row:
    """A row judged against `at_least` or `at_most`; without either it is ok. NaN and infinity count as not measured."""
    measured = None if value is None or not math.isfinite(value) else float(value)
    limits = [f">= {at_least:g}"] if at_least is not None else []
    limits += [f"<= {at_most:g}"] if at_most is not None else []
    if measured is None:
        ok = not limits
    else:
        ok = (at_least is None or measured >= at_least) and (at_most is None or measured <= at_most)
    return Row(name, measured, unit, " and ".join(limits) or None, ok)


def within(value: float, limit: str | None) -> bool:
    """Whether `value` keeps a row's `limit`, as text."""
    bounds = [part.split() for part in limit.split(" and ")] if limit else []
    return all(value >= float(bound) if sense == ">=" else value <= float(bound) for sense, bound in bounds)


def report(rows: list[Row], *, seed: int | None = None, bundle: str | None = None) -> Report:
    """`rows` as measured on this machine."""
    return Report(tuple(rows), machine(), seed, bundle)


def machine() -> str:
    """This machine in a line: processor, cores that this process may use, architecture."""
    processor = _processor()
    cores = len(os.sched_getaffinity(0))
    return f"{processor}, {cores} core{'s' if cores != 1 else ''}, {platform.machine()}"


def as_json(figures: Report) -> dict[str, Any]:
    """`figures` as the mapping that `--json` prints."""
    return asdict(figures) | {"rows": [asdict(r) for r in figures.rows]}


def add_arguments(parser: ArgumentParser) -> None:
    """The two options of every command that prints figures: `--json` and `--strict`."""
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a figure misses its limit")


def show(figures: Report, args: Namespace) -> int:
    """Print `figures` as `args.json` asks. Returns the exit status: 1 where `args.strict` and a row is not ok."""
    if args.json:
        print(json.dumps(as_json(figures)))
    else:
        print_table(figures)
    return 1 if args.strict and not figures.ok else 0


def print_table(figures: Report) -> None:
    """The rows as a table on standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    origin = [figures.machine]
    origin += [f"seed {figures.seed}"] if figures.seed is not None else []
    origin += [f"bundle {figures.bundle}"] if figures.bundle else []
    table = Table(caption=" · ".join(origin), caption_justify="left")
    for heading in ("figure", "value", "unit", "limit", ""):
        table.add_column(heading, justify="right" if heading in ("value", "limit") else "left", no_wrap=True)
    for r in figures.rows:
        value = "not measured" if r.value is None else f"{r.value:.4g}"
        table.add_row(r.name, value, r.unit, r.limit or "", Text(r.verdict, style="green" if r.ok else "red"))
    # A pipe has no width of its own; 100 columns keep the rows whole.
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 100).print(table)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown processor"
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    return fields.get("model name") or fields.get("Model") or "unknown processor"
