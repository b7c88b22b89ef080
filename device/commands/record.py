"""`spotter record`: write down what the eye and the bands sense, to be replayed later."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from device.commands.run import coach_live, seconds

if TYPE_CHECKING:
    from device.messages import Coached, Sensed
    from device.runtime.recording import Recorder


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "record",
        help="record landmarks and bands for `spotter replay`",
        description="Record the landmarks and the bands' signals until Ctrl-C; pictures are never kept.",
        epilog="example: spotter record sessions/monday --duration 120 --coach",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", help="new folder for the recording")
    parser.add_argument("--coach", action="store_true", help="coach meanwhile, as `spotter run` does")
    parser.add_argument("--config", metavar="FILE", help="settings file (TOML)")
    parser.add_argument("--trainee", metavar="NAME", help="with --coach: name under which the session is kept")
    parser.add_argument("--duration", type=seconds, metavar="S", help="stop after this many seconds")
    parser.add_argument("--json", action="store_true", help="with --coach: print the sets as JSON at the end")
    parser.set_defaults(run=run, command="record")


def run(args: argparse.Namespace) -> int:
    if args.coach:
        return coach_live(args, Path(args.folder))

    from device.config import load_config
    from device.messages import NS_PER_S
    from device.runtime import live
    from device.runtime.background import Threads
    from device.runtime.live_runner import LiveRunner, Watch
    from device.runtime.services import services, watched
    from device.runtime.supervisor import Supervisor
    from device.stopping import between_steps

    config = load_config(args.config)
    # Nothing comes out of a core here.
    supervisor = Supervisor(services(config, set(watched(config)) - {"core"}))
    with ExitStack() as stack:
        check = stack.enter_context(between_steps())
        watch = stack.enter_context(Watch(live.make_eye(config), live.make_bands(config), supervisor, Threads()))
        watch.wait(check=check)
        start_ns = watch.start_ns(time.monotonic_ns())
        recorder = live.open_recorder(Path(args.folder), config, None, start_ns, stack)
        until_ns = None if args.duration is None else start_ns + round(args.duration * NS_PER_S)
        shown_s = 0
        for now_ns in LiveRunner(Notebook(recorder), watch, config.signals.tick_hz, check=check).run(until_ns):
            elapsed_s = (now_ns - start_ns) // NS_PER_S
            if elapsed_s > shown_s and not args.json:
                shown_s = elapsed_s
                print(f"recording, {elapsed_s} s", file=sys.stderr, flush=True)
    print(f"Recorded into {args.folder}. See what the coach makes of it: spotter replay --recording {args.folder}")
    return 0


class Notebook:
    """In place of a session: what is sensed is written down, and nothing is made of it. A full disk ends it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def push(self, message: Sensed) -> None:
        self._recorder.write(message)

    def advance(self, now_ns: int) -> list[Coached]:
        from device.messages import Advanced

        self._recorder.write(Advanced(now_ns))
        return []
