"""`spotter run`: coach the person before the camera, now."""

from __future__ import annotations

import argparse
import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from device.messages import StageTiming
    from device.runtime.summary import SetCollector


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "run",
        help="coach the person before the camera",
        description="Coach the person before the camera until Ctrl-C, and keep the session for `spotter history`.",
        epilog="example: spotter run --config /etc/spotter.toml --trainee ada",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_live_arguments(parser)
    parser.set_defaults(run=run, command="run")


def add_live_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the commands that read the camera and the bands in real time."""
    parser.add_argument("--config", metavar="FILE", help="settings file (TOML)")
    parser.add_argument("--trainee", metavar="NAME", help="name under which the session is kept; wins over the settings file")
    parser.add_argument("--duration", type=seconds, metavar="S", help="stop after this many seconds")
    parser.add_argument("--json", action="store_true", help="print the sets as JSON at the end, and nothing before")


def seconds(text: str) -> float:
    """A positive number of seconds, for argparse."""
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("must be more than 0 s")
    return value


def run(args: argparse.Namespace) -> int:
    return coach_live(args, None)


def coach_live(args: argparse.Namespace, recording: Path | None) -> int:
    """A coached session in real time; also written to the folder `recording` where there is one."""
    from device.config import load_config, with_settings
    from device.messages import NS_PER_S
    from device.runtime.ladder import Ladder
    from device.runtime.laddered_eye import LadderedEye
    from device.runtime.latency import LatencyMeter
    from device.runtime.live import (
        LOOK_NS,
        LiveRunner,
        build_core,
        config_bundle,
        open_bands,
        open_eye,
        open_outputs,
        open_recorder,
    )
    from device.runtime.offset_file import load_offset, save_offset
    from device.runtime.session import RecordingSink, Session, Sink
    from device.runtime.summary import SetCollector
    from device.screen import Screen

    config = load_config(args.config)
    if args.trainee is not None:
        config = with_settings(config, store={"trainee": args.trainee})
    bundle = config_bundle(config)
    screen = Screen(config.budget, title=f"spotter, {config.store.trainee}", quiet=args.json)
    collector = SetCollector()
    meter = LatencyMeter(config.budget, clock=time.monotonic_ns, on_timing=screen.timing)
    ladder = Ladder(config.budget, without_camera=config.imu.type != "none")

    def timing(taken: StageTiming) -> None:
        screen.timing(taken)
        ladder.timing(taken)

    def show() -> None:
        meter.report()
        _show(collector, {"latency": meter.as_json(), "ladder": ladder.as_json(start_ns)}, start_ns, args.json)

    start_ns = 0
    try:
        with ExitStack() as stack:
            bands = open_bands(config, stack)
            eye = open_eye(config, stack, on_timing=timing)
            start_ns = time.monotonic_ns()
            offset = load_offset(config.store.path)
            core = build_core(config, start_ns, bundle=bundle, on_timing=timing, offset=offset)
            stack.callback(lambda: save_offset(config.store.path, core.camera_offset))
            outputs = open_outputs(config, bundle, args.command, start_ns, stack, bands, meter)
            sinks: list[Sink] = [collector, screen, *outputs]
            if recording is not None:
                sinks.append(RecordingSink(open_recorder(recording, config, bundle, start_ns, stack, offset=offset)))
            stack.enter_context(screen)
            session = stack.enter_context(Session(core, sinks))
            until_ns = None if args.duration is None else start_ns + round(args.duration * NS_PER_S)
            watched = LadderedEye(eye, ladder, config.camera, on_change=session.tell)
            for now_ns in LiveRunner(session, watched, bands, config.signals.tick_hz, look_ns=LOOK_NS).run(until_ns):
                screen.update(core.progress, elapsed_s=(now_ns - start_ns) / NS_PER_S, total_s=args.duration or 0.0)
    except KeyboardInterrupt:
        show()
        raise
    show()
    return 0


def _show(collector: SetCollector, kept: dict[str, Any], start_ns: int, machine: bool) -> None:
    from device.commands.replay import print_sets
    from device.runtime.summary import as_json

    found = as_json(collector.sets, start_ns) | kept
    if machine:
        print(json.dumps(found))
    else:
        print_sets(found)
