"""The folder that an evaluation leaves behind: simulation.json, simulation.md and a picture of every figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from device.rows import Report, as_json
from export.kept import write_whole
from export.simulation.plots import draw_section
from export.simulation.sections import Section, Table


def write_report(folder: Path, figures: Report, sections: Sequence[Section], conditions: Sequence[str]) -> None:
    """Everything in `folder`; each file is whole or isn't there. `conditions`: under which it was measured. Raises StoreError."""
    for section in sections:
        if section.panels:
            draw_section(section, folder / "simulation" / f"{section.name}.png")
    extra = {
        "conditions": list(conditions),
        "disagreements": {section.name: list(section.disagreements) for section in sections if section.disagreements},
    }
    write_whole(folder / "simulation.json", (json.dumps(as_json(figures) | extra, indent=1) + "\n").encode())
    write_whole(folder / "simulation.md", markdown(figures, sections, conditions).encode())


def markdown(figures: Report, sections: Sequence[Section], conditions: Sequence[str]) -> str:
    """All sections: what was measured, the figures beside the paper's, and where they disagree."""
    limited = [r for r in figures.rows if r.limit is not None]
    lines = ["# Virtual trainees: every table and figure", "", f"Machine: {figures.machine}. Bundle: {figures.bundle}.", ""]
    lines += [f"- {condition}" for condition in conditions]
    if limited:
        lines += ["", "| figure | value | limit | |", "| --- | ---: | --- | --- |"]
        for r in limited:
            value = "not measured" if r.value is None else f"{r.value:.3g}"
            lines.append(f"| {r.name} | {value} | {r.limit} | {r.verdict} |")
    lines += ["", "## Where ours and the paper's disagree", "", *_disagreements(sections)]
    for section in sections:
        lines += ["", f"## {section.title}", "", section.what]
        for table in section.tables:
            lines += ["", *_table(table)]
        if section.panels:
            lines += ["", f"![{section.title}](simulation/{section.name}.png)"]
        if pairs := _pairs(section):
            lines += ["", f"{pairs}."]
        if section.disagreements:
            lines += ["", *(f"- {sentence}" for sentence in section.disagreements)]
    return "\n".join(lines) + "\n"


def _disagreements(sections: Sequence[Section]) -> list[str]:
    found = []
    for section in sections:
        if section.disagreements:
            pairs, count = _pairs(section), len(section.disagreements)
            found.append(f"- **{section.title}**: {count} point{'s' if count > 1 else ''}{f'; {pairs}' if pairs else ''}.")
    return ["Said in words below each.", "", *found] if found else ["Nowhere, as far as the paper gives figures."]


def _pairs(section: Section) -> str:
    same, pairs = sum(order.same for order in section.orders), sum(order.pairs for order in section.orders)
    return f"{same} of {pairs} pairs stand in the paper's order" if pairs else ""


def _table(table: Table) -> list[str]:
    return [
        f"| {' | '.join(table.heading)} |",
        f"| --- |{' ---: |' * (len(table.heading) - 1)}",
        *(f"| {' | '.join(line)} |" for line in table.lines),
    ]
