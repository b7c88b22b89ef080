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
    from device.runtime import live
    from device.runtime.background import Threads
    from device.runtime.bundle import last_good_bundle
    from device.runtime.ladder import Ladder
    from device.runtime.laddered_eye import LadderedEye
    from device.runtime.latency import LatencyMeter
    from device.runtime.live_runner import LOOK_NS, LiveRunner, Watch
    from device.runtime.notify import from_environment
    from device.runtime.offset_file import load_offset, save_offset
    from device.runtime.services import services, watched
    from device.runtime.session import Session
    from device.runtime.summary import SetCollector
    from device.runtime.supervisor import Supervisor
    from device.screen import Screen
    from device.stopping import between_steps

    config = load_config(args.config)
    if args.trainee is not None:
        config = with_settings(config, store={"trainee": args.trainee})
    screen = Screen(config.budget, title=f"spotter, {config.store.trainee}", quiet=args.json)
    collector = SetCollector()
    supervisor, background = Supervisor(services(config, watched(config))), Threads()
    meter = LatencyMeter(config.budget, clock=time.monotonic_ns, on_timing=screen.timing)
    ladder = Ladder(config.budget, without_camera=config.imu.type != "none")
    start_ns = 0

    def timing(taken: StageTiming) -> None:
        screen.timing(taken)
        ladder.timing(taken)

    def show() -> None:
        meter.report()
        parts = {
            "latency": meter.as_json(),
            "ladder": ladder.as_json(start_ns),
            "services": supervisor.report(time.monotonic_ns()),
        }
        _show(collector, parts, start_ns, args.json)

    try:
        with ExitStack() as stack:
            check = stack.enter_context(between_steps())
            notifier = from_environment()
            stack.callback(notifier.close)
            bands = live.make_bands(config)
            eye = LadderedEye(live.make_eye(config, on_timing=timing), ladder, config.camera, supervisor)
            watch = stack.enter_context(Watch(eye, bands, supervisor, background))
            # The eye takes longest: it loads while the model does.
            watch.begin()
            bundle = last_good_bundle(config.model.bundle)
            watch.wait(notifier, check=check)
            start_ns = watch.start_ns(time.monotonic_ns())
            offset = load_offset(config.store.path)
            core = live.build_core(config, start_ns, bundle=bundle, on_timing=timing, offset=offset)
            stack.callback(lambda: save_offset(config.store.path, core.camera_offset))
            kept = live.outputs(config, bundle, args.command, start_ns, supervisor, background, bands, meter)
            if recording is not None:
                recorder = live.open_recorder(recording, config, bundle, start_ns, stack, offset=offset)
                kept.append(live.kept_recording(recorder, supervisor, background))
            supervisor.add(services(config, [sink.name for sink in kept]))
            stack.enter_context(screen)
            session = stack.enter_context(Session(core, [collector, screen, *kept]))
            stack.callback(notifier.stopping)
            until_ns = None if args.duration is None else start_ns + round(args.duration * NS_PER_S)
            eye.on_change = session.tell
            runner = LiveRunner(
                session, watch, config.signals.tick_hz, look_ns=LOOK_NS, others=kept, notifier=notifier, check=check
            )
            for now_ns in runner.run(until_ns):
                if screen.due:
                    screen.update(core.progress, elapsed_s=(now_ns - start_ns) / NS_PER_S, total_s=args.duration or 0.0)
    except KeyboardInterrupt:
        show()
        raise
    show()
    return 0


def _show(collector: SetCollector, parts: dict[str, Any], start_ns: int, machine: bool) -> None:
    from device.commands.replay import print_sets
    from device.runtime.summary import as_json

    found = as_json(collector.sets, start_ns) | parts
    if machine:
        print(json.dumps(found))
    else:
        print_sets(found)
