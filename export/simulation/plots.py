"""Panels as pictures: ours on the left, the paper's on the right, on one scale."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.kept import write_whole
from export.simulation.sections import Panel, Section, Series

COLOURS = ("#1f4e79", "#c8501e", "#2c8a3d", "#7b3294", "#e0a214")
MARKS = "o^sDv"


def draw_section(section: Section, path: Path) -> None:
    """All panels of a section below each other. Raises StoreError where the file can't be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.6 + 3.3 * len(section.panels)), dpi=100, layout="constrained")
    grid = figure.subplots(len(section.panels), 2, sharey="row", squeeze=False)
    for (left, right), panel in zip(grid, section.panels, strict=True):
        shared = [] if panel.bars else _places([*panel.ours, *panel.paper])
        _draw(left, panel, panel.ours, "Spotter", shared)
        _draw(right, panel, panel.paper, "paper, what it states", shared)
        left.set_ylabel(panel.y_label)
        if panel.bars:
            _stretch(left, [*panel.ours, *panel.paper])
    figure.suptitle(section.title, x=0.01, ha="left", fontweight="bold")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_whole(path, picture.getvalue())


def _places(series: Sequence[Series]) -> list[str]:
    """Places on the x axis, numbers in their order."""
    places = list(dict.fromkeys(place for one in series for place in one.values))
    return sorted(places, key=float) if all(place.replace(".", "", 1).isdigit() for place in places) else places


def _measured(one: Series) -> dict[str, float]:
    return {place: value for place, value in one.values.items() if value is not None and math.isfinite(value)}


def _draw(axes: Any, panel: Panel, series: Sequence[Series], whose: str, shared: Sequence[str]) -> None:
    """`shared`: places that the panel's other half has too; bars have only their own."""
    axes.set_title(f"{panel.title}, {whose}", loc="left", fontsize=10)
    axes.set_xlabel(panel.x_label)
    axes.grid(axis="y", alpha=0.3)
    places = list(shared or _places(series))
    for i, one in enumerate(series):
        shown = [(places.index(place), value, one.deviation.get(place, 0.0)) for place, value in _measured(one).items()]
        if not shown:
            continue
        x, y, off = (np.array(column, float) for column in zip(*shown, strict=True))
        colour = COLOURS[i % len(COLOURS)]
        if panel.bars:
            bars = axes.bar(x, y, width=0.6, yerr=off if off.any() else None, capsize=4, color=colour)
            axes.bar_label(bars, [f"{value:.3g}" for value in y], padding=2, fontsize=8)
        else:
            axes.errorbar(
                x, y, yerr=off if off.any() else None, marker=MARKS[i % len(MARKS)], color=colour, label=one.name, capsize=3
            )
    axes.set_xticks(range(len(places)), places, fontsize=8)
    if places:
        axes.set_xlim(-0.6, len(places) - 0.4)
    if len(series) > 1:
        axes.legend(fontsize=8)


def _stretch(axes: Any, series: Sequence[Series]) -> None:
    """A scale on which bars of nearly one height can be told apart; where it doesn't begin at 0 the axis says so."""
    ends = [
        value + sign * one.deviation.get(place, 0.0)
        for one in series for place, value in _measured(one).items() for sign in (-1, 1)
    ]  # fmt: skip
    if not ends:
        return
    low, high = min(ends), max(ends)
    bottom = 0.0 if low < 0 or low < 0.5 * high else max(0.0, low - 0.5 * (high - low) - 0.02 * high)
    axes.set_ylim(bottom if low >= 0 else low * 1.2, high + 0.15 * (high - bottom) + 1e-6)
    if bottom > 0:
        axes.set_ylabel(f"{axes.get_ylabel()} (from {bottom:.3g})")
