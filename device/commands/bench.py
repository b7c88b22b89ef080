"""`spotter bench`: figures of single parts, in the rows that every command shares."""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING

from device import rows
from device.commands import bench_faults

if TYPE_CHECKING:
    from device.config import Config
    from device.demo.loop import ObservedModel
    from device.messages import Sensed, StageTiming
    from device.runtime.bundle import Bundle

POSE_HZ = 15


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "bench",
        help="measure the model, the core, the pose estimators, the renderer, or what faults do",
        description="Measure one part of Spotter on this machine, with the virtual trainee as its input.",
        epilog="example: spotter bench model --strict",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(metavar="PART", required=True)
    for name, measure, seconds, text in (
        (
            "model",
            _model,
            60.0,
            "The model step: its time on each runtime, int8 against float, the step against the window, its size.",
        ),
        ("core", _core, 60.0, "Time that each section of the core takes for a tick, against its budget."),
        ("pose", _pose, 3.0, "The pose estimators side by side: time, agreement, memory, start. Wants an idle machine."),
        ("render", _render, 6.0, "Share of rendered frames in which the pose estimator finds the trainee, and the time of both."),
    ):
        part = parts.add_parser(name, help=text, description=text, epilog=f"example: spotter bench {name} --seed 7 --json")
        part.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the virtual trainee (default 0)")
        of = "every set" if measure in (_pose, _render) else "the session"
        part.add_argument("--seconds", type=float, default=seconds, metavar="S", help=f"how much of {of} (default {seconds:g} s)")
        if measure is _render:
            part.add_argument("--sessions", type=int, default=1, metavar="N", help="how many seeds, from --seed on (default 1)")
        elif measure is not _pose:
            part.add_argument("--config", metavar="FILE", help="settings file (TOML)")
        rows.add_arguments(part)
        part.set_defaults(run=measure)
    text = "The one clock: errors of the bands' times and of the camera's offset, and what they are worth; in simulated time."
    part = parts.add_parser("time", help=text, description=text, epilog="example: spotter bench time --seconds 120 --json")
    part.add_argument("--seed", type=int, default=0, metavar="N", help="seed of bands and trainees (default 0)")
    part.add_argument("--seconds", type=float, default=600.0, metavar="S", help="how long each band runs (default 600 s)")
    part.add_argument("--config", metavar="FILE", help="settings file (TOML)")
    rows.add_arguments(part)
    part.set_defaults(run=_time)
    text = "How soon bands on wrong limbs are found over random trials, and whether a right one is ever called wrong."
    part = parts.add_parser("assign", help=text, description=text, epilog="example: spotter bench assign --trials 40 --json")
    part.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the trials (default 0)")
    part.add_argument("--trials", type=int, default=200, metavar="N", help="how many with bands on wrong limbs (default 200)")
    rows.add_arguments(part)
    part.set_defaults(run=_assign)
    text = (
        "Four bands with the real firmware over a virtual Bluetooth: what is lost, how well times are known, the driver's cost."
    )
    part = parts.add_parser("radio", help=text, description=text, epilog="example: spotter bench radio --minutes 10 --json")
    part.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the bands and of what is lost (default 0)")
    part.add_argument(
        "--minutes", type=_minutes, default=0.5, metavar="M", help="length of each of its two parts, in real time (default 0.5)"
    )
    rows.add_arguments(part)
    part.set_defaults(run=_radio)
    bench_faults.add_parts(parts)


def _minutes(text: str) -> float:
    value = float(text)
    if not 0.2 <= value <= 600:
        raise argparse.ArgumentTypeError("must be 0.2 to 600 minutes")
    return value


def _model(args: argparse.Namespace) -> int:
    from device.config import load_config
    from device.runtime.live import config_bundle
    from device.runtime.model import available_runtimes

    config = load_config(args.config)
    bundle = config_bundle(config)
    runtimes = available_runtimes()
    with _progress(3 + 2 * len(runtimes)) as step:
        observed, _ = _session(config, bundle, args.seed, args.seconds)
        step("time of a step")
        measured = [rows.row("model_step_ms", statistics.median(observed.durations_ns) / 1e6, "ms", at_most=1.0)]
        for runtime in runtimes:
            for precision in ("int8", "float"):
                name = f"model_step_{runtime}_{precision}_ms"
                measured.append(rows.row(name, _step_ms(bundle, runtime, precision, observed), "ms"))
                step("parity")
        measured += _parity(bundle, config.model.runtime, runtimes, observed)
        step("")
    measured.append(rows.row("bundle_kb", bundle.size_bytes / 1e3, "KB", at_most=300))
    return rows.show(rows.report(measured, seed=args.seed, bundle=bundle.version), args)


def _core(args: argparse.Namespace) -> int:
    from device.config import load_config
    from device.runtime.live import config_bundle

    config = load_config(args.config)
    bundle = config_bundle(config)
    with _progress(1) as step:
        _, timings = _session(config, bundle, args.seed, args.seconds)
        step("")
    durations: dict[str, list[float]] = defaultdict(list)
    for timing in timings:
        durations[timing.section].append(timing.duration_ns / 1e3)
    budgets = {f.name.removesuffix("_ms"): 1e3 * float(getattr(config.budget, f.name)) for f in fields(config.budget)}
    measured = [
        rows.row(f"{section}_us", statistics.median(values), "us", at_most=budgets.get(section))
        for section, values in durations.items()
    ]
    return rows.show(rows.report(measured, seed=args.seed, bundle=bundle.version), args)


def _session(config: Config, bundle: Bundle, seed: int, seconds: float) -> tuple[ObservedModel, list[StageTiming]]:
    """A core that goes through `seconds` of a virtual session: what its model was fed, and how long each section took."""
    from device.demo.loop import ObservedModel
    from device.exercises import load_exercises
    from device.runtime.core import Core
    from device.runtime.live import play
    from device.runtime.model import StepModel
    from device.runtime.session import Session

    observed = ObservedModel(StepModel(bundle, config.model.runtime, config.model.precision))
    timings: list[StageTiming] = []
    core = Core(config, observed, load_exercises(), 0, on_timing=timings.append)
    with Session(core, []) as session:
        for _ in play(session, sensed(config, seed, seconds)):
            pass
    return observed, timings


def sensed(config: Config, seed: int, seconds: float) -> Iterator[Sensed]:
    """What a faultless eye and the bands see of the first `seconds` of a virtual session, in order of time."""
    import numpy as np

    from device.drivers.imu_virtual import VirtualImu
    from device.messages import NS_PER_S, Pose
    from device.sim.scene import session_scene
    from device.sim.trainee import VirtualTrainee
    from device.skeleton import mid_hip

    trainee = VirtualTrainee(seed)
    camera = session_scene(seed).camera
    length_ns = min(round(seconds * NS_PER_S), trainee.duration_ns)
    times = np.arange(length_ns * POSE_HZ // NS_PER_S, dtype=np.int64) * NS_PER_S // POSE_HZ
    landmarks = trainee.pose(times)
    world = camera.to_camera(landmarks - mid_hip(landmarks)[:, None]).astype(np.float32)
    image = np.ones((len(times), world.shape[1], 4), np.float32)
    image[..., :2] = camera.project(landmarks)[0] / (camera.width, camera.height)
    image[..., 2] = world[..., 2]
    with VirtualImu(config.imu, trainee, seed=seed) as bands:
        for i, t_ns in enumerate(times.tolist()):
            yield from bands.read(t_ns)
            yield Pose(t_ns, 0, i, image[i], world[i], camera.width, camera.height, True)


def _step_ms(bundle: Bundle, runtime: str, precision: str, observed: ObservedModel) -> float:
    from device.demo.loop import ObservedModel
    from device.runtime.model import StepModel

    model = ObservedModel(StepModel(bundle, runtime, precision))
    for i, (nodes, bands) in enumerate(zip(observed.skeleton, observed.inertial, strict=True)):
        model.step(nodes, bands, i, i)
    return statistics.median(model.durations_ns) / 1e6


def _parity(bundle: Bundle, runtime: str, runtimes: tuple[str, ...], observed: ObservedModel) -> list[rows.Row]:
    import numpy as np

    from device.runtime.model import StepModel
    from device.runtime.parity import parity_rows

    skeleton, inertial = np.stack(observed.skeleton), np.stack(observed.inertial)
    measured = parity_rows(bundle, skeleton, inertial, runtime=runtime)
    if len(runtimes) > 1:
        steps = [StepModel(bundle, name, "float") for name in runtimes]
        worst = 0.0
        for nodes, bands in zip(skeleton, inertial, strict=True):
            first, *others = [step.step_raw(nodes, bands) for step in steps]
            worst = max(worst, *(float(np.abs(first[key] - other[key]).max()) for other in others for key in first))
        measured.append(rows.row("runtime_diff", worst, "", at_most=1e-3))
    return measured


def _time(args: argparse.Namespace) -> int:
    from device.bench.clocks import clock_rows, coached_rows, offset_rows, step_count
    from device.config import load_config
    from device.runtime.live import config_bundle

    config = load_config(args.config)
    bundle = config_bundle(config)
    with _progress(step_count()) as step:
        measured = clock_rows(args.seed, args.seconds, lambda: step("bands' clocks"))
        measured += offset_rows(args.seed, lambda: step("camera against bands"))
        measured += coached_rows(config, bundle, args.seed, lambda: step("coached sessions"))
    return rows.show(rows.report(measured, seed=args.seed, bundle=bundle.version), args)


def _assign(args: argparse.Namespace) -> int:
    from device.bench.assignment import assignment_rows, trial_count

    count = trial_count(args.trials)
    with _progress(count) as step:
        measured = assignment_rows(args.trials, args.seed, lambda done: step(f"trial {done} of {count}"))
    return rows.show(rows.report(measured, seed=args.seed), args)


def _pose(args: argparse.Namespace) -> int:
    from device.bench.pose import pose_rows

    with _progress(2) as step:
        measured = pose_rows(args.seed, args.seconds, step)
    return rows.show(rows.report(measured, seed=args.seed), args)


def _radio(args: argparse.Namespace) -> int:
    from device.bench.radio import radio_rows

    with _progress(2) as step:
        measured = radio_rows(args.minutes, args.seed, step)
    return rows.show(rows.report(measured, seed=args.seed), args)


def _render(args: argparse.Namespace) -> int:
    from device.sim.detectability import measure
    from device.sim.detectability import rows as judged

    with _progress(1) as step:
        seen = measure(range(args.seed, args.seed + args.sessions), args.seconds)
        step("")
    return rows.show(rows.report(judged(seen), seed=args.seed), args)


@contextmanager
def _progress(steps: int) -> Iterator[Callable[[str], None]]:
    """A bar of `steps` on standard error; calling what it gives finishes a step and names the next."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("virtual session", total=steps)
        yield lambda name: bar.update(task, advance=1, description=name)
