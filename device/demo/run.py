"""One demo from beginning to end: the session, its files and its figures."""

from __future__ import annotations

import dataclasses
import logging
import math
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from device.config import Config, with_settings
from device.demo.film import Film, FilmFormat, add_sound
from device.demo.folder import DemoFolder, prepare_folder
from device.demo.hud import Hud
from device.demo.log import LogBook, SessionLog
from device.demo.loop import Ears, ObservedModel, lockstep
from device.demo.plots import TrueAngles, plot_set
from device.demo.scores import SessionTruth, coaching_rows, injected_errors
from device.demo.stage import Staging, set_stage
from device.demo.summary import summarise
from device.drivers.haptic_virtual import VirtualHaptic
from device.drivers.imu_virtual import VirtualImu
from device.drivers.speaker_wav import WavSpeaker
from device.errors import SpotterError, StoreError
from device.messages import NS_PER_S
from device.rows import Report, Row, machine, report, row
from device.runtime.bundle import MANIFEST, Bundle, sha256
from device.runtime.coach import threshold_rad
from device.runtime.core import Core
from device.runtime.eye import Eye
from device.runtime.live import config_bundle
from device.runtime.model import StepModel
from device.runtime.parity import int8_agreement, reference_window, stream_window_difference
from device.runtime.recording import Recorder, RecordingMeta
from device.runtime.session import COMPLETE, INTERRUPTED, STOPPED, HapticSink, RecordingSink, Session, Sink, StoreSink, VoiceSink
from device.runtime.store import SessionStore
from device.runtime.summary import SetCollector
from device.screen import Screen
from device.sim.trainee import VirtualTrainee

log = logging.getLogger(__name__)

WINDOW_TICKS = 64
"""Ticks that the comparison with the window form needs at least."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to do. `sets`, `reps`: None leaves them to the seed."""

    seed: int
    out: Path
    sets: list[str] | None = None
    reps: int | None = None
    realtime: bool = False
    film: bool = True


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The figures, where the files are, and what went wrong without stopping the session."""

    figures: Report
    folder: DemoFolder
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Run:
    """One demo under way. `now_ns`: simulated time so far. `warnings`: what went wrong without stopping it."""

    config: Config
    options: DemoOptions
    folder: DemoFolder
    bundle: Bundle
    staging: Staging
    trainee: VirtualTrainee
    model: ObservedModel
    book: LogBook
    collector: SetCollector
    began_s: float
    now_ns: int = 0
    warnings: list[str] = field(default_factory=list)

    def warn(self, what: str | None) -> None:
        if what is not None:
            self.warnings.append(what)
            log.warning("%s", what)


def run_demo(config: Config, options: DemoOptions, screen: Screen, note: Callable[[str], None] = lambda _: None) -> DemoResult:
    """Run a session of the virtual trainee and write everything to `options.out`. `note` is told what is done when the
    `screen` has nothing to show.

    Raises StoreError before anything starts where the folder can't be used, BundleError, ExerciseError. On Ctrl-C
    (KeyboardInterrupt) and on an error on the way the session is saved and all files are finished before it goes on.
    """
    run = _prepare(config, options)
    note("starting the eye")
    try:
        _session(run, screen)
    except (KeyboardInterrupt, SpotterError) as error:
        _add_sound(run)
        status = STOPPED if isinstance(error, KeyboardInterrupt) else INTERRUPTED
        _write_summary(run, status, [], None, {"name": machine()})
        raise
    _add_sound(run)
    note("drawing the plots")
    session_log, truth = run.book.log(), _truth(run)
    _plot(run, session_log, truth)
    note("comparing with the truth")
    rows = [*coaching_rows(session_log, truth, run.config.coach), *model_rows(run.model, run.bundle, run.config.model.runtime)]
    wall_s = time.perf_counter() - run.began_s
    rows.append(row("realtime_factor", wall_s / (run.trainee.duration_ns / NS_PER_S), "ratio", at_most=1.5))
    timings = {"name": machine(), "wall_s": round(wall_s, 2), "sections_ms": screen.latencies()}
    _write_summary(run, COMPLETE, rows, truth, timings)
    figures = report(rows, seed=options.seed, bundle=run.bundle.version)
    return DemoResult(figures, run.folder, tuple(run.warnings))


def model_rows(model: ObservedModel, bundle: Bundle, runtime: str) -> list[Row]:
    """How the forms of the model agree on the features of this session, how long a step took, and the bundle's size."""
    skeleton, inertial = np.array(model.skeleton, np.float32), np.array(model.inertial, np.float32)
    agreement = int8_agreement(bundle, skeleton, inertial, runtime=runtime) if len(skeleton) else None
    # The window form lies beside a bundle that was built here, never in an appliance's image.
    compared = len(skeleton) >= WINDOW_TICKS and reference_window(bundle).is_file()
    difference = stream_window_difference(bundle, skeleton, inertial, runtime=runtime) if compared else None
    step_ms = statistics.median(model.durations_ns) / 1e6 if model.durations_ns else None
    return [
        row("int8_agreement", agreement.exercise if agreement else None, "share", at_least=0.99),
        row("int8_angle_diff_deg", math.degrees(agreement.angle_rad) if agreement else None, "deg", at_most=2.0),
        row("stream_window_diff", difference, "", at_most=1e-4),
        row("model_step_ms", step_ms, "ms", at_most=1.0),
        row("bundle_kb", bundle.size_bytes / 1000, "KB", at_most=300.0),
    ]


def _prepare(config: Config, options: DemoOptions) -> _Run:
    began_s = time.perf_counter()
    config = with_settings(
        config, camera={"type": "virtual"}, imu={"type": "virtual"}, speaker={"type": "wav"}, haptic={"type": "virtual"}
    )
    staging = set_stage(options.seed, config, options.sets, options.reps)
    bundle = config_bundle(config)
    model = ObservedModel(StepModel(bundle, config.model.runtime, config.model.precision))
    folder = prepare_folder(options.out, options.seed)
    book = LogBook(bundle.classes, raw=model.raw)
    return _Run(config, options, folder, bundle, staging, staging.trainee(), model, book, SetCollector(), began_s)


def _session(run: _Run, screen: Screen) -> None:
    config, options, trainee = run.config, run.options, run.trainee
    ears, hud = Ears(), Hud(trainee.exercises, threshold_rad(config.coach))
    with ExitStack() as stack:
        film = None
        if options.film:
            film_format = FilmFormat(config.camera.width, config.camera.height, config.camera.rate_hz, 0)
            film = Film(run.folder.film, run.staging, film_format)
            stack.callback(lambda: run.warn(film.close()))
        eye = stack.enter_context(Eye(run.staging.eye(), on_timing=screen.timing))
        bands = stack.enter_context(VirtualImu(config.imu, trainee, seed=options.seed))
        core = Core(config, run.model, trainee.exercises, 0, on_timing=screen.timing)
        sinks: list[Sink] = [run.book, run.collector, ears, hud, screen, *_outputs(run)]
        session = stack.enter_context(Session(core, sinks))
        stack.enter_context(screen)
        for moment in lockstep(session, eye, bands, ears, [trainee.hear], realtime=options.realtime):
            run.now_ns = moment.now_ns
            if film is not None:
                film.show(hud.frame(moment.pose, core.progress, core.deviations, moment.heard))
            screen.update(core.progress, elapsed_s=moment.pose.t_ns / NS_PER_S, total_s=trainee.duration_ns / NS_PER_S)


def _outputs(run: _Run) -> list[Sink]:
    """The sinks of an appliance, each on its own file."""
    config, folder = run.config, run.folder
    speaker = WavSpeaker(config.speaker, folder.voice, 0)
    haptic = VirtualHaptic(config.haptic)
    store = SessionStore(folder.store)
    speaker.open()
    haptic.open()
    store.begin("virtual trainee", f"demo, seed {run.options.seed}", run.bundle.version, 0)
    meta = RecordingMeta(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        config=dataclasses.asdict(config),
        bundle=sha256(run.bundle.folder / MANIFEST),
        extra={"seed": run.options.seed},
    )
    recorder = Recorder(folder.recording, meta)
    return [VoiceSink(speaker), HapticSink(haptic), StoreSink(store), RecordingSink(recorder)]


def _add_sound(run: _Run) -> None:
    if run.folder.film.is_file() and run.folder.voice.is_file():
        run.warn(add_sound(run.folder.film, run.folder.voice))


def _truth(run: _Run) -> SessionTruth:
    trainee = run.trainee
    return SessionTruth(
        duration_ns=trainee.duration_ns,
        sets=trainee.sets,
        classes=tuple(trainee.exercises[done.exercise].model_class for done in trainee.sets),
        errors=injected_errors(trainee.sets, trainee.truth),
        angles=trainee.track(np.array([e.t_ns for e in run.book.estimates], np.int64)).angles,
    )


def _plot(run: _Run, session_log: SessionLog, truth: SessionTruth) -> None:
    for number, done in enumerate(session_log.sets, start=1):
        true = max(truth.sets, key=lambda t: min(t.end_ns, done.end_ns) - max(t.start_ns, done.start_ns), default=None)
        known = TrueAngles(truth.angles, len(true.repetitions)) if true is not None else None
        path = run.folder.plot(number, done.exercise)
        try:
            plot_set(path, session_log, done, run.trainee.exercises[done.exercise], number, known)
        except StoreError as error:
            path.unlink(missing_ok=True)
            run.warn(str(error))
            return


def _write_summary(run: _Run, status: str, rows: list[Row], truth: SessionTruth | None, timings: dict[str, Any]) -> None:
    summary = summarise(
        status=status,
        seed=run.options.seed,
        config=run.config,
        bundle=run.bundle,
        duration_ns=run.now_ns,
        sets=run.collector.sets,
        rows=rows,
        truth=truth,
        cues=run.book.log().cues,
        warnings=run.warnings,
        machine=timings,
    )
    try:
        run.folder.write_summary(summary)
    except StoreError as error:
        # The figures are still worth printing.
        run.warn(str(error))
