"""What an experiment gives: rows, tables and panels, each with the paper's beside ours, and where the two disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from device.rows import Row
from export.simulation.measures import Order


@dataclass(frozen=True, slots=True)
class Series:
    """One line or group of bars. `values` by place on the x axis, None where there is none; `deviation`: standard deviations."""

    name: str
    values: Mapping[str, float | None]
    deviation: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Panel:
    """A plot of ours and the paper's beside it, with one y axis. `bars`: for places that have no order."""

    title: str
    x_label: str
    y_label: str
    ours: tuple[Series, ...]
    paper: tuple[Series, ...]
    bars: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table in Markdown."""

    heading: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One table or figure. `what`: what was measured, and how. `remarks`: where ours and the paper's disagree, in words."""

    name: str
    title: str
    what: str
    rows: tuple[Row, ...]
    tables: tuple[Table, ...] = ()
    panels: tuple[Panel, ...] = ()
    orders: tuple[Order, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def disagreements(self) -> tuple[str, ...]:
        """All sentences on what isn't as in the paper."""
        return (*(sentence for order in self.orders for sentence in order.sentences), *self.remarks)


def slug(name: str) -> str:
    """`TCN+GAT` as part of a row's name: `tcn_gat`."""
    return "_".join("".join(c.lower() if c.isalnum() else " " for c in name).split())


def number(value: float | None, digits: int = 3) -> str:
    """A figure in a table; `-` where there is none."""
    return "-" if value is None or value != value else f"{value:.{digits}f}"


def spread(mean: float, deviation: float, digits: int = 3) -> str:
    """Mean and standard deviation in a table."""
    return number(mean, digits) if deviation != deviation else f"{mean:.{digits}f} ± {deviation:.{digits}f}"
