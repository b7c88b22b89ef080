"""One demo from beginning to end: the session, its files and its figures."""

from __future__ import annotations

import dataclasses
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from device.config import Config, with_settings
from device.demo.folder import DemoFolder
from device.demo.loop import Ears, ObservedModel, lockstep
from device.demo.scores import SessionTruth, coaching_rows, injected_errors
from device.demo.stage import Staging, set_stage
from device.demo.summary import summarise
from device.drivers.base import ImuSource
from device.drivers.haptic_virtual import VirtualHaptic
from device.drivers.imu_virtual import VirtualImu
from device.errors import SpotterError, StoreError
from device.messages import NS_PER_S, SetEnded
from device.report.files import SessionFiles
from device.report.log import LogBook
from device.report.needs import require_report
from device.report.plots import TrueAngles
from device.rows import Report, Row, machine, report, row
from device.runtime.bundle import MANIFEST, Bundle, sha256
from device.runtime.core import Core
from device.runtime.eye import Eye
from device.runtime.latency import LatencyMeter
from device.runtime.live import config_bundle
from device.runtime.model import StepModel
from device.runtime.parity import parity_rows
from device.runtime.recording import Recorder, RecordingMeta
from device.runtime.session import COMPLETE, INTERRUPTED, STOPPED, HapticSink, RecordingSink, Session, Sink, StoreSink
from device.runtime.store import SessionStore
from device.runtime.summary import SetCollector
from device.screen import Screen
from device.sim.trainee import VirtualTrainee
from device.sim_radio.worn import WornBands


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to do. `sets`, `reps`: None leaves them to the seed. `radio`: bands with the real firmware over a virtual Bluetooth,
    in real time."""

    seed: int
    out: Path
    sets: list[str] | None = None
    reps: int | None = None
    realtime: bool = False
    film: bool = True
    radio: bool = False


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The figures, where the files are, and what went wrong without stopping the session."""

    figures: Report
    folder: DemoFolder
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Run:
    """One demo under way. `now_ns`: simulated time so far."""

    config: Config
    options: DemoOptions
    folder: DemoFolder
    bundle: Bundle
    staging: Staging
    trainee: VirtualTrainee
    model: ObservedModel
    book: LogBook
    files: SessionFiles
    collector: SetCollector
    meter: LatencyMeter
    began_s: float
    now_ns: int = 0


def run_demo(config: Config, options: DemoOptions, screen: Screen) -> DemoResult:
    """Run a session of the virtual trainee and write everything to `options.out`.

    Raises StoreError before anything starts where the folder can't be used, DriverUnavailable, BundleError, ExerciseError. On
    Ctrl-C (KeyboardInterrupt) and on an error on the way the session is saved and all files are finished before it goes on.
    """
    run = _prepare(config, options, screen)
    screen.note("starting the eye")
    try:
        _session(run, screen)
    except (KeyboardInterrupt, SpotterError) as error:
        status = STOPPED if isinstance(error, KeyboardInterrupt) else INTERRUPTED
        _write_summary(run, status, [], None, {"name": machine()})
        raise
    truth = _truth(run)
    run.files.plot(lambda done: _true_angles(truth, done))
    screen.note("comparing with the truth")
    rows = [*coaching_rows(run.book.log(), truth, run.config.coach), *model_rows(run.model, run.bundle, run.config.model.runtime)]
    wall_s = time.perf_counter() - run.began_s
    paced = options.realtime or options.radio
    rows.append(row("realtime_factor", wall_s / (run.trainee.duration_ns / NS_PER_S), "ratio", at_most=None if paced else 1.5))
    timings = {"name": machine(), "wall_s": round(wall_s, 2), "sections_ms": screen.latencies()}
    _write_summary(run, COMPLETE, rows, truth, timings)
    figures = report(rows, seed=options.seed, bundle=run.bundle.version)
    return DemoResult(figures, run.folder, tuple(run.files.warnings))


def model_rows(model: ObservedModel, bundle: Bundle, runtime: str) -> list[Row]:
    """How the forms of the model agree on the features of this session, how long a step took, and the bundle's size."""
    skeleton, inertial = np.array(model.skeleton, np.float32), np.array(model.inertial, np.float32)
    step_ms = statistics.median(model.durations_ns) / 1e6 if model.durations_ns else None
    return [
        *parity_rows(bundle, skeleton, inertial, runtime=runtime),
        row("model_step_ms", step_ms, "ms", at_most=1.0),
        row("bundle_kb", bundle.size_bytes / 1000, "KB", at_most=300.0),
    ]


def _prepare(config: Config, options: DemoOptions, screen: Screen) -> _Run:
    began_s = time.perf_counter()
    require_report("The demo")
    config = with_settings(
        config, camera={"type": "virtual"}, imu={"type": "virtual"}, speaker={"type": "wav"}, haptic={"type": "virtual"}
    )
    staging = set_stage(options.seed, config, options.sets, options.reps)
    bundle = config_bundle(config)
    model = ObservedModel(StepModel(bundle, config.model.runtime))
    folder = DemoFolder(options.out)
    folder.prepare({"status": "running", "seed": options.seed})
    book = LogBook(bundle.classes, raw=model.raw)
    files = SessionFiles(folder, config, staging.exercises, book, screen.note)
    meter = LatencyMeter(config.budget, on_timing=screen.timing)
    return _Run(config, options, folder, bundle, staging, staging.trainee(), model, book, files, SetCollector(), meter, began_s)


def _session(run: _Run, screen: Screen) -> None:
    config, options, trainee = run.config, run.options, run.trainee
    ears = Ears()
    with ExitStack() as stack:
        stack.enter_context(run.files)
        if options.film:
            run.files.start_film(run.staging, config.camera.rate_hz)
        eye = stack.enter_context(Eye(run.staging.eye(), on_timing=screen.timing))
        listeners = [trainee.hear]
        if options.radio:
            worn = WornBands(config.imu, run.staging.trainee(), seed=options.seed)
            listeners.append(worn.hear)
        bands: ImuSource = worn if options.radio else VirtualImu(config.imu, trainee, seed=options.seed)
        stack.enter_context(bands)
        core = Core(config, run.model, trainee.exercises, 0, on_timing=screen.timing)
        sinks: list[Sink] = [*run.files.sinks(run.meter), run.collector, ears, screen, *_outputs(run)]
        session = stack.enter_context(Session(core, sinks))
        stack.enter_context(screen)
        realtime = options.realtime or options.radio
        for moment in lockstep(session, eye, bands, ears, listeners, realtime=realtime):
            run.now_ns = moment.now_ns
            run.files.show(core, moment.heard)
            screen.update(core.progress, elapsed_s=moment.pose.t_ns / NS_PER_S, total_s=trainee.duration_ns / NS_PER_S)


def _outputs(run: _Run) -> list[Sink]:
    """The other sinks of an appliance, each on its own file."""
    config, folder = run.config, run.folder
    haptic = VirtualHaptic(config.haptic)
    store = SessionStore(folder.store)
    haptic.open()
    store.begin("virtual trainee", f"demo, seed {run.options.seed}", run.bundle.version, 0)
    meta = RecordingMeta(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        config=dataclasses.asdict(config),
        bundle=sha256(run.bundle.folder / MANIFEST),
        extra={"seed": run.options.seed},
    )
    recorder = Recorder(folder.recording, meta)
    return [HapticSink(haptic, run.meter), StoreSink(store), RecordingSink(recorder)]


def _truth(run: _Run) -> SessionTruth:
    trainee = run.trainee
    return SessionTruth(
        duration_ns=trainee.duration_ns,
        sets=trainee.sets,
        classes=tuple(trainee.exercises[done.exercise].model_class for done in trainee.sets),
        errors=injected_errors(trainee.sets, trainee.truth),
        angles=trainee.track(np.array([e.t_ns for e in run.book.estimates], np.int64)).angles,
    )


def _true_angles(truth: SessionTruth, done: SetEnded) -> TrueAngles | None:
    true = max(truth.sets, key=lambda t: min(t.end_ns, done.end_ns) - max(t.start_ns, done.start_ns), default=None)
    return TrueAngles(truth.angles, len(true.repetitions)) if true is not None else None


def _write_summary(run: _Run, status: str, rows: list[Row], truth: SessionTruth | None, timings: dict[str, Any]) -> None:
    summary = summarise(
        status=status,
        seed=run.options.seed,
        config=run.config,
        bundle=run.bundle,
        duration_ns=run.now_ns,
        sets=run.collector.sets,
        latency=run.meter.as_json(),
        rows=rows,
        truth=truth,
        cues=run.book.log().cues,
        warnings=run.files.warnings,
        machine=timings,
    )
    try:
        run.folder.write_result(summary)
    except StoreError as error:
        # The figures are still worth printing.
        run.files.warn(str(error))
