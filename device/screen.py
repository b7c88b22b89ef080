"""The terminal while a session runs: what is being done, how well, and how long each section takes."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from device.config import BudgetConfig
from device.messages import Cue, Degraded, Deviation, ServiceChanged, ServiceState, Stage, StageTiming

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from device.runtime.session import Heard

REFRESH_S = 0.1
LINE_S = 1.0
REMEMBERED = 128
"""Newest durations of a section that its median and maximum are taken from."""


class Progress(Protocol):
    """Where the core is; `device.runtime.core.Progress` is the one."""

    @property
    def exercise(self) -> str: ...

    @property
    def stage(self) -> Stage: ...

    @property
    def repetitions(self) -> int: ...

    @property
    def phase(self) -> float: ...

    @property
    def worst(self) -> Deviation | None: ...


class Screen:
    """A live view on a terminal; a line a second where the stream is none; nothing when `quiet`.

    As a context manager it restores the terminal, whatever happens. It is also a sink of the session, for the cues, and
    `timing` is what the core and the eye report their sections to. It writes to standard error, so that results can be piped.
    """

    name = "screen"

    def __init__(self, budget: BudgetConfig, *, title: str = "", quiet: bool = False, stream: TextIO | None = None) -> None:
        self._budgets_ms = {f.name.removesuffix("_ms"): float(getattr(budget, f.name)) for f in fields(budget)}
        # The skeleton's way to the motor has the voice's budget: they say the same at the same time.
        self._budgets_ms["form_haptic"] = budget.voice_ms
        self._durations_ms: dict[str, deque[float]] = {name: deque(maxlen=REMEMBERED) for name in self._budgets_ms}
        self._title = title
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._live: Live | None = None
        self._shown_s = -math.inf
        self._cue = ""
        self._without: dict[str, ServiceState] = {}
        self._degraded: Degraded | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._stream.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self._stream), auto_refresh=False, transient=False)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def receive(self, message: Heard) -> None:
        """Remember the last cue, what does not work, and what was given up to keep the budget."""
        if isinstance(message, Cue):
            self._cue = message.text
        elif isinstance(message, ServiceChanged):
            if message.state is ServiceState.RUNNING:
                self._without.pop(message.service, None)
            elif message.state is not ServiceState.STARTING:
                self._without[message.service] = message.state
        elif isinstance(message, Degraded):
            self._degraded = message if message.level else None

    def close(self) -> None:
        """Leave the last picture on the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def timing(self, timing: StageTiming) -> None:
        """Take the duration of one section."""
        durations = self._durations_ms.get(timing.section)
        if durations is not None:
            durations.append(timing.duration_ns / 1e6)

    @property
    def due(self) -> bool:
        """Whether `update` would show something now."""
        return not self._quiet and time.monotonic() - self._shown_s >= (REFRESH_S if self._live is not None else LINE_S)

    def update(self, progress: Progress, timings: Iterable[StageTiming] = (), *, elapsed_s: float, total_s: float = 0.0) -> None:
        """Show the state at `elapsed_s` of the session (of `total_s`, where its end is known). Cheap when called too often."""
        for timing in timings:
            self.timing(timing)
        if not self.due:
            return
        self._shown_s = time.monotonic()
        if self._live is not None:
            self._live.update(self._picture(progress, elapsed_s, total_s), refresh=True)
        else:
            print(self._line(progress, elapsed_s, total_s), file=self._stream, flush=True)

    def note(self, what: str) -> None:
        """Say what is being done while there is nothing to show."""
        if not self._quiet:
            print(f"{what} ...", file=self._stream, flush=True)

    def latencies(self) -> dict[str, tuple[float, float, float]]:
        """(median, maximum, budget) in ms of every section that was timed."""
        return {
            name: (statistics.median(durations), max(durations), self._budgets_ms[name])
            for name, durations in self._durations_ms.items()
            if durations
        }

    def _line(self, progress: Progress, elapsed_s: float, total_s: float) -> str:
        over = [f"{name} {median:.1f} ms" for name, (median, _, budget) in self.latencies().items() if median > budget]
        parts = [
            f"{_clock(elapsed_s)}{' of ' + _clock(total_s) if total_s else ''}",
            _exercise(progress),
            progress.stage.name.lower(),
            f"{progress.repetitions} reps",
            _worst(progress.worst),
            f'"{self._cue}"' if self._cue else "",
            f"without {', '.join(self._without)}" if self._without else "",
            f"over budget: {', '.join(over)}" if over else "",
            f"slowed down: {self._degraded.rung} ({self._degraded.reason})" if self._degraded is not None else "",
        ]
        return "  ".join(part for part in parts if part)

    def _picture(self, progress: Progress, elapsed_s: float, total_s: float) -> RenderableType:
        from rich.columns import Columns
        from rich.panel import Panel
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        state = Table.grid(padding=(0, 2))
        for label, value in (
            ("exercise", Text(_exercise(progress), style="bold")),
            ("stage", progress.stage.name.lower()),
            ("repetitions", Text(str(progress.repetitions), style="bold")),
            ("phase", ProgressBar(total=1.0, completed=min(max(progress.phase, 0.0), 1.0), width=24)),
            ("worst", _worst(progress.worst) or "-"),
            ("without", Text(", ".join(self._without), style="red") if self._without else "-"),
            ("last cue", Text(self._cue, style="yellow") if self._cue else "-"),
            ("time", f"{_clock(elapsed_s)}{' of ' + _clock(total_s) if total_s else ''}"),
        ):
            state.add_row(Text(label, style="dim"), value)
        if self._degraded is not None:
            state.add_row(Text("slowed down", style="dim"), Text(f"{self._degraded.rung}: {self._degraded.reason}", style="red"))
        if total_s:
            state.add_row("", ProgressBar(total=total_s, completed=min(elapsed_s, total_s), width=24))
        sections = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for heading in ("section", "median", "max", "budget"):
            sections.add_column(heading, justify="left" if heading == "section" else "right")
        for name, (median, worst, budget) in self.latencies().items():
            style = "red" if median > budget else "green"
            sections.add_row(name, Text(f"{median:.2f}", style=style), f"{worst:.2f}", Text(f"{budget:g} ms", style="dim"))
        return Panel(Columns([state, sections], padding=(0, 6)), title=self._title or "spotter", title_align="left")


def _exercise(progress: Progress) -> str:
    return progress.exercise.replace("_", " ") if progress.exercise not in ("", "none") else "no exercise"


def _worst(worst: Deviation | None) -> str:
    if worst is None:
        return ""
    return f"{worst.joint.replace('_', ' ')} {math.degrees(worst.deviation_rad):+.0f}°"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
