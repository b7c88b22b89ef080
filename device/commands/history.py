"""`spotter history`: past sessions, one of them, or the progress over all of them as a picture."""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from device.errors import SpotterError, StoreError

if TYPE_CHECKING:
    from device.runtime.history import PastSession


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "history",
        help="past sessions and progress",
        description="List past sessions, show one of them set by set, or draw the progress over all of them.",
        epilog="example: spotter history 3\n         spotter history --plot progress.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("id", nargs="?", type=int, metavar="ID", help="show the sets of this session")
    parser.add_argument("--config", metavar="FILE", help="settings file (TOML); store.path says where the sessions are")
    parser.add_argument("--store", metavar="FILE", help="database of sessions; wins over the settings file")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--plot", metavar="FILE.png", help="draw each exercise's mean deviation over the sessions")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from device.config import load_config
    from device.runtime.history import read_sessions

    path = args.store or load_config(args.config).store.path
    sessions = read_sessions(path, args.id)
    if args.id is not None and not sessions:
        raise StoreError(f"{path}: no session {args.id}. `spotter history` lists those that there are.")
    if args.plot:
        _plot(sessions, args.plot)
    if args.json:
        print(json.dumps({"sessions": [session_as_json(s) for s in sessions]}))
    elif args.id is not None:
        _print_session(sessions[0])
    elif not sessions:
        print(f"No sessions in {path} yet. `spotter run` keeps one each time that somebody trains.")
    else:
        _print_list(sessions)
    return 0


def session_as_json(session: PastSession) -> dict[str, Any]:
    """A session for machines: times in s since its start, deviations in degrees."""
    return {
        "id": session.id,
        "trainee": session.trainee,
        "source": session.source,
        "bundle": session.bundle,
        "started": session.started,
        "duration_s": _seconds(session.duration_ns),
        "status": session.status,
        "reps": session.repetitions,
        "corrections": session.corrections,
        "mean_deviation_deg": _degrees(session.mean_deviation_rad),
        "sets": [
            {
                "exercise": s.exercise,
                "reps": s.repetitions,
                "start_s": _seconds(s.start_ns),
                "end_s": _seconds(s.end_ns),
                "mean_deviation_deg": _degrees(s.worst_rad),
                "deviations": {joint: _degrees(rad) for joint, rad in s.joints},
                "cues": [
                    {"t_s": _seconds(c.t_ns), "kind": c.kind, "joint": c.joint, "sign": c.sign, "text": c.text} for c in s.cues
                ],
            }
            for s in session.sets
        ],
    }


def _print_list(sessions: list[PastSession]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("id", box=box.SIMPLE_HEAD, caption="deviation: mean of each repetition's largest", caption_justify="left")
    table.add_column("date", no_wrap=True)
    table.add_column("trainee")
    for heading in ("sets", "reps", "cues", "deviation"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for s in sessions:
        counts = (str(len(s.sets)), str(s.repetitions), str(s.corrections), _in_degrees(s.mean_deviation_rad))
        table.add_row(str(s.id), _date(s), s.trainee, *counts, s.status)
    Console().print(table)


def _print_session(session: PastSession) -> None:
    from rich.console import Console
    from rich.table import Table

    duration = f", {session.duration_ns / 1e9:.0f} s" if session.duration_ns is not None else ""
    print(f"Session {session.id} of {session.trainee}, {_date(session)}{duration}, {session.status} ({session.source})")
    if not session.sets:
        print("No set of an exercise was seen in it.")
        return
    table = Table("exercise", "start")
    for heading in ("reps", "mean deviation"):
        table.add_column(heading, justify="right")
    table.add_column("worst joints")
    table.add_column("cues")
    for s in session.sets:
        joints = [f"{joint.replace('_', ' ')} {math.degrees(rad):+.0f}°" for joint, rad in s.joints[:3]]
        cues = [f"{c.t_ns / 1e9:.0f} s {c.text}" for c in s.cues if c.kind != "summary"]
        start = f"{s.start_ns / 1e9:.0f} s"
        row = (s.exercise, start, str(s.repetitions), _in_degrees(s.worst_rad), "\n".join(joints), "\n".join(cues))
        table.add_row(*row, end_section=True)
    Console().print(table)


def _plot(sessions: list[PastSession], path: str) -> None:
    series = progress(sessions)
    if not series:
        raise SpotterError("No repetitions to draw yet. `spotter run` keeps a session each time that somebody trains.")
    from device.report.needs import require_report

    require_report("A plot")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for exercise, points in series.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=exercise.replace("_", " "))
    axes.set(xlabel="session", ylabel="mean worst deviation (degrees)", title="Progress")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise StoreError(f"{path}: can't be written ({error.strerror}). Give a file in a folder with room.") from error


def progress(sessions: list[PastSession]) -> dict[str, list[tuple[int, float]]]:
    """For each exercise its (session id, mean deviation in degrees) where it was done."""
    from device.runtime.history import mean_deviation_rad

    series: dict[str, list[tuple[int, float]]] = {}
    for session in sessions:
        for exercise in dict.fromkeys(s.exercise for s in session.sets):
            mean = mean_deviation_rad(s for s in session.sets if s.exercise == exercise)
            if mean is not None:
                series.setdefault(exercise, []).append((session.id, math.degrees(mean)))
    return series


def _date(session: PastSession) -> str:
    return session.started[:16].replace("T", " ")


def _seconds(t_ns: int | None) -> float | None:
    return None if t_ns is None else round(t_ns / 1e9, 3)


def _degrees(rad: float | None) -> float | None:
    return None if rad is None else round(math.degrees(rad), 2)


def _in_degrees(rad: float | None) -> str:
    return "" if rad is None else f"{math.degrees(rad):.1f}°"
