"""`spotter config show|check`: the settings with their meaning, and whether a file of them is right."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from device.config import Setting


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "config",
        help="show the settings or check a file of them",
        description="Show every setting with its value, unit, range and meaning, or check a file.",
        epilog="example: spotter config show > spotter.toml && spotter config check spotter.toml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser(
        "show",
        help="print the settings as TOML with comments, ready to be saved",
        description="Print every setting as TOML; each is preceded by its meaning, unit and range.",
        epilog="example: spotter config show --config spotter.toml --json",
    )
    show.add_argument("--config", metavar="FILE", help="settings that differ from the defaults (TOML)")
    show.add_argument("--json", action="store_true", help="print them as JSON")
    show.set_defaults(run=_show)
    check = actions.add_parser(
        "check",
        help="say whether a settings file is right",
        description="Load a settings file and say what is wrong with it; exit with 1 when something is.",
        epilog="example: spotter config check /etc/spotter.toml",
    )
    check.add_argument("file", metavar="FILE", help="settings file (TOML)")
    check.set_defaults(run=_check)


def as_toml(rows: Iterable[Setting]) -> str:
    """The settings as TOML that `load_config` takes back, each under a comment with its meaning, unit and range."""
    lines: list[str] = []
    section = ""
    for row in rows:
        table, key = row.path.split(".", 1)
        if table != section:
            lines += [*([""] if section else []), f"[{table}]"]
            section = table
        lines += [f"# {row.description}{_range(row)}", f"{key} = {_literal(row.value)}"]
    return "\n".join(lines) + "\n"


def _show(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from device.config import load_config, settings

    rows = list(settings(load_config(args.config)))
    print(json.dumps({"settings": [asdict(row) for row in rows]}) if args.json else as_toml(rows), end="\n" if args.json else "")
    return 0


def _check(args: argparse.Namespace) -> int:
    from device.config import load_config

    load_config(args.file)
    print(f"{args.file}: OK")
    return 0


def _range(row: Setting) -> str:
    unit = f" {row.unit}" if row.unit else ""
    if row.choices:
        return f" One of {', '.join(row.choices)}."
    if row.low is not None and row.high is not None:
        return f" {row.low:g} to {row.high:g}{unit}."
    return f" In{unit}." if unit else ""


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_literal(item)}" for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(_literal(item) for item in value)}]"
    if isinstance(value, float):
        return repr(value)
    # JSON's texts, whole numbers and booleans are also TOML's, DEL aside.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
