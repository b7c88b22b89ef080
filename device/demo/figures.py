"""`python -m device.demo.figures SEED...`: the demo's scores over several sessions, as a table in Markdown.

One session holds five sets and some four errors, so its shares are coarse; the means over ten sessions are what the
documentation states.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean

from device import rows
from device.config import Config, load_config
from device.demo.run import DemoOptions, run_demo
from device.rows import Report, Row
from device.screen import Screen

HEADER = """# Figures of the demo

`spotter demo --seed N --json` for sessions that nothing was tuned on, each with another body, room, camera, order, tempo
and habits. The last columns are the mean and the limit it is judged by. Made anew by `make figures SEEDS="{seeds}"`.

Machine: {machine}. Bundle: {bundle}.

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sessions, write the table, print the means; 1 when one is not ok under --strict."""
    parser = argparse.ArgumentParser(
        prog="python -m device.demo.figures", description=__doc__, epilog="example: python -m device.demo.figures 101 102 103"
    )
    parser.add_argument("seeds", metavar="SEED", type=int, nargs="+", help="sessions to run")
    parser.add_argument("--out", metavar="FILE", type=Path, help="where the table goes (default: it is not written)")
    parser.add_argument("--processes", metavar="N", type=int, default=1, help="sessions at a time (default %(default)s)")
    parser.add_argument("--config", metavar="FILE", help="settings file (TOML)")
    rows.add_arguments(parser)
    args = parser.parse_args(arguments)
    config = load_config(args.config)
    # Fresh interpreters: the estimator's threads do not survive a fork.
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        reports = []
        for seed, figures in zip(args.seeds, pool.map(_figures, args.seeds, [config] * len(args.seeds)), strict=True):
            reports.append(figures)
            print(f"seed {seed} done, {len(reports)} of {len(args.seeds)}", file=sys.stderr, flush=True)
    means = [_mean([report.rows[i] for report in reports]) for i in range(len(reports[0].rows))]
    if args.out is not None:
        args.out.write_text(markdown(args.seeds, reports, means), encoding="utf-8")
    return rows.show(rows.report(means, bundle=reports[0].bundle), args)


def _figures(seed: int, config: Config) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        options = DemoOptions(seed=seed, out=Path(folder) / "demo", film=False)
        return run_demo(config, options, Screen(config.budget, quiet=True)).figures


def markdown(seeds: Sequence[int], reports: Sequence[Report], means: Sequence[Row]) -> str:
    """The table: a line for each figure, a column for each session, then the mean and its limit."""
    lines = [
        f"| figure | {' | '.join(map(str, seeds))} | mean | limit | ok |",
        f"| --- |{' ---: |' * len(seeds)} ---: | --- | --- |",
    ]
    for i, mean in enumerate(means):
        values = " | ".join(_text(report.rows[i]) for report in reports)
        lines.append(f"| {mean.name} | {values} | {_text(mean)} | {mean.limit or ''} | {'yes' if mean.ok else 'no'} |")
    header = HEADER.format(seeds=" ".join(map(str, seeds)), machine=reports[0].machine, bundle=reports[0].bundle)
    return header + "\n".join(lines) + "\n"


def _mean(same: Sequence[Row]) -> Row:
    """The mean of one figure, judged by the limit that its sessions share; sessions in which it means nothing are left out."""
    measured = [row for row in same if row.value is not None]
    if not measured:
        return same[0]
    value = fmean(row.value for row in measured if row.value is not None)
    limit = next((row.limit for row in measured if row.limit is not None), None)
    return replace(measured[0], value=value, limit=limit, ok=rows.within(value, limit))


def _text(row: Row) -> str:
    return "-" if row.value is None else f"{row.value:.3g}"


if __name__ == "__main__":
    raise SystemExit(main())
