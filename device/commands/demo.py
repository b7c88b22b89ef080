"""`spotter demo`: a session of the virtual trainee through the whole coach, with a film, plots and scores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from device import rows

if TYPE_CHECKING:
    from device.config import Config
    from device.demo.run import DemoResult


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="coach the virtual trainee and score it against the truth",
        description="Coach a virtual trainee over all exercises, from rendered pictures and simulated bands to spoken and felt "
        "corrections that the trainee reacts to. Writes a film, the voice, a plot of each set and a summary, and prints the "
        "scores against what the trainee really did.",
        epilog="example: spotter demo --seed 7 --realtime\n         spotter demo --sets squat,lunge --reps 5 --out out/legs\n"
        "         spotter demo --radio --sets squat --reps 4\n         spotter demo --faults 3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="the trainee, the room and all errors follow from it (default 1)")
    parser.add_argument("--realtime", action="store_true", help="keep time with the clock instead of going as fast as it can")
    parser.add_argument(
        "--radio", action="store_true", help="bands with the real firmware over a virtual Bluetooth, in real time"
    )
    parser.add_argument(
        "--faults",
        metavar="SEED",
        type=int,
        help="a session during which camera, bands, speaker, motors and disk fail one after the other: on the simulated "
        "appliance (real loop, supervision, core and store; no pictures, no film), with trainees who don't listen",
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="where the files go (default out/demo-SEED)")
    parser.add_argument("--sets", metavar="A,B,...", help="exercises to do, in order (default all, in random order)")
    parser.add_argument("--reps", metavar="N", type=int, help="repetitions of every set, 1 to 30 (default 6 to 8)")
    parser.add_argument("--no-film", action="store_true", help="make no film")
    parser.add_argument("--config", metavar="FILE", help="settings file (TOML)")
    parser.add_argument("--quiet", action="store_true", help="show nothing while it runs")
    rows.add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from device.config import load_config
    from device.demo.run import DemoOptions, run_demo
    from device.screen import Screen

    config = load_config(args.config)
    _check(args)
    if args.faults is not None:
        return _faulty(config, args)
    options = DemoOptions(
        seed=args.seed,
        out=args.out or Path("out") / f"demo-{args.seed}",
        sets=[name.strip() for name in args.sets.split(",")] if args.sets else None,
        reps=args.reps,
        realtime=args.realtime,
        film=not args.no_film,
        radio=args.radio,
    )
    screen = Screen(config.budget, title=f"demo, seed {args.seed}", quiet=args.quiet)
    result = run_demo(config, options, screen)
    status = rows.show(result.figures, args)
    if not args.json:
        print(_files(result))
    return status


def _faulty(config: Config, args: argparse.Namespace) -> int:
    from device.bench.faults import SIMULATED
    from device.bench.outcomes import print_outcomes
    from device.demo.faults import run_faulty_demo
    from device.screen import Screen

    screen = Screen(config.budget, title=f"demo with faults, seed {args.faults}", quiet=args.quiet)
    out = args.out or Path("out") / f"faults-{args.faults}"
    done = run_faulty_demo(config, args.faults, out, screen, realtime=args.realtime)
    if not args.json:
        print_outcomes(done.outcomes, lambda _: SIMULATED)
        print(f"{done.counted} repetitions were counted of {done.true}. The session is in {done.store}.")
    return rows.show(done.figures, args)


def _check(args: argparse.Namespace) -> None:
    from device.errors import ConfigError

    if args.faults is not None and args.faults < 0:
        raise ConfigError(f"--faults must be 0 or more, not {args.faults}.")
    if args.faults is not None and (args.sets or args.reps or args.radio):
        raise ConfigError("--faults makes a session of its own: leave out --sets, --reps and --radio.")
    if args.seed < 0:
        raise ConfigError(f"--seed must be 0 or more, not {args.seed}.")
    if args.reps is not None and not 1 <= args.reps <= 30:
        raise ConfigError(f"--reps must be 1 to 30, not {args.reps}.")


def _files(result: DemoResult) -> str:
    folder = result.folder
    replayed = f"{folder.recording.name}/  (spotter replay --recording {folder.recording})"
    return folder.listing(("summary", folder.result.name), ("recording", replayed))
