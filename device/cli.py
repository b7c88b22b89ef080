"""The `spotter` command: one table of commands, one place where errors and signals become an exit status."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from device import __version__
from device.errors import SpotterError
from device.stopping import Terminated, terminate

COMMANDS: tuple[str, ...] = ("run", "demo", "replay", "record", "history", "band", "config", "bench")
"""Modules of `device.commands`. Each has `add_parser(subparsers)`, which sets the default `run`: args -> exit status.
They import nothing heavy until they run, so that `spotter --help` answers at once."""

INTERRUPTED = 130
TERMINATED = 143


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="spotter",
        description="Watches a trainee with one camera and four bands, counts repetitions and corrects by voice and vibration.",
        epilog="example: spotter demo --seed 7 --out demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"spotter {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"device.commands.{name}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit status: 1 after an error of Spotter's, 130 after Ctrl-C, 143 after SIGTERM."""
    args = build_parser().parse_args(argv)
    reports = _Reports(logging.WARNING)
    logging.getLogger().addHandler(reports)
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        status = int(args.run(args))
        sys.stdout.flush()
        return status
    except SpotterError as error:
        return _fail(str(error))
    except KeyboardInterrupt as stop:
        _fail("stopped.")
        return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
    except OSError as error:
        # What was printed can't be delivered: the reader of a pipe (`| head`) went away, or the disk is full. The
        # interpreter's own flush at exit must not complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1 if isinstance(error, BrokenPipeError) else _fail(str(error))
    finally:
        signal.signal(signal.SIGTERM, before)
        logging.getLogger().removeHandler(reports)


class _Reports(logging.Handler):
    """Warnings as lines on whatever standard error is at that moment: the live view borrows it."""

    def emit(self, record: logging.LogRecord) -> None:
        _fail(self.format(record))


def _fail(text: str) -> int:
    print(f"spotter: {' '.join(text.split())}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
