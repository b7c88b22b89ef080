"""The folder that an evaluation on recorded people leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from device.errors import DatasetError
from device.messages import EXERCISES
from device.rows import Report, as_json
from export.datasets.clip import Clip
from export.kept import replace_file
from export.people.figures import confusion, worst
from export.people.intervals import COVERED, Intervals, intervals
from export.people.plots import draw_confusion, draw_people, draw_repetitions, draw_seen
from export.people.watch import Seen

WORST = 6
"""Clips of each set and part that are drawn."""


def groups_of(seen: Sequence[Seen]) -> dict[str, list[Seen]]:
    """Clips by set, and by part where a set was played in several; `ui_prmd` or `utd_mhad-bands`."""
    parts = {(one.source, one.part) for one in seen}
    several = {source for source, _ in parts if sum(other == source for other, _ in parts) > 1 and source != "ui_prmd"}
    groups: dict[str, list[Seen]] = {}
    for one in seen:
        groups.setdefault(f"{one.source}-{one.part}" if one.source in several else one.source, []).append(one)
    return groups


def chosen_clips(seen: Sequence[Seen]) -> list[Seen]:
    """The worst clips of every group."""
    return [one for group in groups_of(seen).values() for one in worst(group, WORST)]


def write_report(folder: Path, figures: Report, seen: Sequence[Seen], drawn: Iterable[tuple[Clip, Seen]]) -> None:
    """people.json, people.md and people/*.png in `folder`. `drawn`: the worst clips with what they hold. Raises DatasetError."""
    pictures = folder / "people"
    for name, group in groups_of(seen).items():
        draw_confusion(group, pictures / f"confusion-{name}.png", f"{name}: {len(group)} clips")
        draw_people(group, pictures / f"persons-{name}.png", f"{name}: each person")
    draw_repetitions([one for one in seen if one.part != "bands" or one.source == "crossfit_imu"], pictures / "repetitions.png")
    names = []
    for clip, one in drawn:
        names.append(f"worst-{one.source}-{one.part}-{one.name}.png")
        draw_seen(clip, one, pictures / names[-1])
    spread = intervals(seen)
    machine_readable = as_json(figures) | {"intervals": spread, "clips": [_clip(one) for one in seen]}
    _write(folder / "people.json", json.dumps(machine_readable, indent=1) + "\n")
    _write(folder / "people.md", markdown(figures, seen, names, spread))


def markdown(figures: Report, seen: Sequence[Seen], pictures: Sequence[str], spread: Intervals) -> str:
    """The figures as a table with what they might have been of other people, the confusions, and the worst clips."""
    lines = [
        "# Recorded people", "", f"Machine: {figures.machine}. Bundle: {figures.bundle}. {len(seen)} clips watched.", "",
        f"| figure | value | {COVERED:.0%} of draws of people | unit | limit | |", "| --- | ---: | --- | --- | --- | --- |",
    ]  # fmt: skip
    for r in figures.rows:
        value = "-" if r.value is None else f"{r.value:.3g}"
        between = "{:.2f} to {:.2f}".format(*spread[r.name]) if r.name in spread else ""
        lines.append(f"| {r.name} | {value} | {between} | {r.unit} | {r.limit or ''} | {r.verdict} |")
    for name, group in groups_of(seen).items():
        labels, counts = confusion(group)
        lines += ["", f"## {name}", "", f"| activity (class) | {' | '.join(EXERCISES)} |", f"| --- |{' ---: |' * len(EXERCISES)}"]
        lines += [
            f"| {label} | {' | '.join(str(n) if n else '' for n in row)} |" for label, row in zip(labels, counts, strict=True)
        ]
        lines += ["", f"![confusion](people/confusion-{name}.png) ![each person](people/persons-{name}.png)"]
    lines += ["", "## Repetitions", "", "![repetitions](people/repetitions.png)", "", "## The worst clips", ""]
    lines += [f"![{name}](people/{name})" for name in pictures]
    return "\n".join(lines) + "\n"


def _clip(one: Seen) -> dict[str, Any]:
    return {
        "set": one.source, "name": one.name, "person": one.subject, "part": one.part, "seconds": round(one.seconds, 2),
        "activity": one.truth.activity, "exercise": one.truth.exercise, "seen": one.exercise,
        "share": None if one.truth.exercise is None else round(one.share, 3), "reps": one.truth.count,
        "counted": {name: one.count(name) for name in EXERCISES if one.count(name)},
        "count_error": one.count_error if one.has_count else None,
    }  # fmt: skip


def _write(file: Path, text: str) -> None:
    try:
        replace_file(file, text.encode())
    except OSError as error:
        raise DatasetError(f"{file}: can't be written ({error.strerror}). Make room, or give --out another folder.") from error
