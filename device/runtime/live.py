"""Puts the parts of a session together, and runs one in real time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Protocol

from device.config import Config
from device.drivers.base import ImuSource
from device.drivers.imu_none import NoImu
from device.drivers.registry import create_haptic, create_imu, create_speaker
from device.errors import DriverError, EndOfStream, SpotterError
from device.exercises import load_exercises
from device.messages import NS_PER_S, Advanced, Coached, Pose, Sensed, StageTiming
from device.runtime.bundle import MANIFEST, Bundle, load_bundle, sha256
from device.runtime.calibration import FILE_NAME, CalibratedImu, CalibrationStore
from device.runtime.core import Core
from device.runtime.eye import Eye, EyeSpec
from device.runtime.latency import LatencyMeter
from device.runtime.model import StepModel
from device.runtime.offset_file import recorded
from device.runtime.recording import Recorder, RecordingMeta
from device.runtime.session import HapticSink, Session, Sink, StoreSink, VoiceSink
from device.runtime.store import SessionStore
from device.runtime.sync import UNKNOWN, CameraOffset

log = logging.getLogger(__name__)

RESTART_AFTER_S = (0.0, 1.0, 2.0, 5.0, 10.0)
"""How long an eye that failed rests before it is started again, for the first failure in a row, the second, and so on."""
LOOK_NS = 5_000_000
"""Time between two looks at the eye and the bands of an appliance: a vibration for what the bands show can't wait for a tick."""
UNCALIBRATED = ("none", "virtual", "recording")
"""Sources of bands whose samples are as they are: there is no sensor to calibrate."""


def build_core(
    config: Config,
    start_ns: int,
    *,
    bundle: Bundle | None = None,
    on_timing: Callable[[StageTiming], None] | None = None,
    offset: CameraOffset = UNKNOWN,
) -> Core:
    """A core with the model, exercises and prompts that `config` names; its grid of ticks begins at `start_ns`.

    `bundle`: one that was loaded before; None loads the config's. `offset`: of the bands against the camera, from earlier
    sessions. Raises BundleError, ExerciseError, MediaError.
    """
    bundle = bundle or config_bundle(config)
    model = StepModel(bundle, config.model.runtime, config.model.precision)
    exercises = load_exercises(config.exercises.folder or None, config.exercises.enabled)
    return Core(config, model, exercises, start_ns, on_timing=on_timing, offset=offset, responses=bundle.responses)


def config_bundle(config: Config) -> Bundle:
    """The bundle that `config` names, checked; raises BundleError."""
    return load_bundle(config.model.bundle or None)


def play(session: Session, messages: Iterable[Sensed]) -> Iterator[int]:
    """Feed what was sensed, in order, as fast as it goes; the core works after each message, at the time of the newest.

    Yields the session's time (ns) after each message. The same messages give the same outputs.
    """
    return repeat(session, stepped(messages))


def repeat(session: Session, events: Iterable[Sensed | Advanced]) -> Iterator[int]:
    """Feed what was recorded; the core works where it did then, so it says what it said. Yields each `Advanced`'s time (ns)."""
    for event in events:
        if isinstance(event, Advanced):
            session.advance(event.t_ns)
            yield event.t_ns
        else:
            session.push(event)


def stepped(messages: Iterable[Sensed]) -> Iterator[Sensed | Advanced]:
    """`messages` with the core working after each, at the time of the newest one."""
    now_ns: int | None = None
    for message in messages:
        now_ns = message.t_ns if now_ns is None else max(now_ns, message.t_ns)
        yield message
        yield Advanced(now_ns)


def open_outputs(
    config: Config,
    bundle: Bundle,
    source: str,
    start_ns: int,
    stack: ExitStack,
    bands: ImuSource | None = None,
    meter: LatencyMeter | None = None,
) -> list[Sink]:
    """Sinks of a session in real time: motors, voice and store, opened; `stack` closes them if the session never begins.

    `source`: what the store says that it came from. `bands`: opened, which the `band` haptic driver vibrates. `meter` measures
    when motors and voice act. Raises DriverError, StoreError.
    """
    parts = {"source": bands} if config.haptic.type == "band" else {}
    haptic = stack.enter_context(create_haptic(config.haptic, **parts))
    speaker = stack.enter_context(create_speaker(config.speaker))
    store = SessionStore(config.store.path)
    stack.callback(store.close)
    store.begin(config.store.trainee, source, bundle.version, start_ns)
    return [HapticSink(haptic, meter), VoiceSink(speaker, meter), StoreSink(store)]


def open_recorder(
    folder: Path, config: Config, bundle: Bundle | None, start_ns: int, stack: ExitStack, *, offset: CameraOffset = UNKNOWN
) -> Recorder:
    """A recorder into `folder`; `stack` closes it. `bundle`: None where nothing is coached. `offset`: what the core began with.
    Raises StoreError."""
    meta = RecordingMeta(
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        config=asdict(config),
        bundle=sha256(bundle.folder / MANIFEST) if bundle is not None else "",
        start_ns=start_ns,
        extra=recorded(offset),
    )
    return stack.enter_context(Recorder(folder, meta))


def open_bands(config: Config, stack: ExitStack) -> ImuSource:
    """The bands that `config` names, opened and calibrated; `stack` closes them. Raises DriverError."""
    source = create_imu(config.imu)
    if config.imu.type not in UNCALIBRATED:
        source = CalibratedImu(source, CalibrationStore(Path(config.store.path).expanduser().with_name(FILE_NAME)))
    return stack.enter_context(source)


def open_eye(config: Config, stack: ExitStack, *, on_timing: Callable[[StageTiming], None] | None = None) -> Eye:
    """The eye before the camera that `config` names, ready; `stack` stops it. Raises DriverError, MediaError, EyeError."""
    eye = stack.enter_context(Eye(EyeSpec(config.camera, config.pose), on_timing=on_timing))
    eye.wait_ready()
    return eye


class Watching(Protocol):
    """What a live session asks of the eye; `device.runtime.eye.Eye` is the one."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def poses(self) -> list[Pose]: ...


class Fed(Protocol):
    """What is fed: a `Session`, or whatever else takes in what is sensed."""

    def push(self, message: Sensed) -> None: ...

    def advance(self, now_ns: int) -> list[Coached]: ...


class LiveRunner:
    """Feeds a session from the eye and the bands in real time.

    An eye that fails is started again, with growing rests, while the bands go on; bands that fail are left out. When nothing
    is left to watch with, the last error is raised. A finite source that is done (a video) ends the run. `look_ns`: time between
    two looks at eye and bands; None is once a tick.
    """

    def __init__(
        self,
        session: Fed,
        eye: Watching,
        bands: ImuSource,
        tick_hz: float,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
        look_ns: int | None = None,
    ) -> None:
        self._session = session
        self._eye: Watching | None = eye
        # The source `none` never fails and never delivers: with it alone nobody is watched.
        self._bands: ImuSource | None = None if isinstance(bands, NoImu) else bands
        self._period_ns = min(round(NS_PER_S / tick_hz), look_ns or NS_PER_S)
        self._clock = clock
        self._sleep = sleep
        self._failures = 0
        self._restart_ns: int | None = None

    def run(self, until_ns: int | None = None) -> Iterator[int]:
        """Run until `until_ns` (host monotonic) or the end of a source. Yields the time (ns) after each step."""
        due_ns = self._clock()
        while until_ns is None or due_ns < until_ns:
            now_ns = self._clock()
            try:
                self._read_bands(now_ns)
                self._read_eye(now_ns)
            except EndOfStream:
                return
            self._session.advance(now_ns)
            yield now_ns
            # A step that took too long is not made up for: the grid of ticks is the core's, not this loop's.
            due_ns = max(due_ns + self._period_ns, self._clock())
            self._sleep(max(0, due_ns - self._clock()) / NS_PER_S)

    def _read_bands(self, now_ns: int) -> None:
        if self._bands is None:
            return
        try:
            # Of what came meanwhile the pings first: they can only make the batches' times better.
            for ping in self._bands.pings(now_ns):
                self._session.push(ping)
            for batch in self._bands.read(now_ns):
                self._session.push(batch)
        except EndOfStream:
            raise
        except DriverError as error:
            self._bands.close()
            self._bands = None
            if self._eye is None:
                raise
            log.warning("The session goes on without the bands: %s", error)

    def _read_eye(self, now_ns: int) -> None:
        if self._eye is None:
            return
        if self._restart_ns is not None:
            if now_ns < self._restart_ns:
                return
            self._restart_ns = None
            self._eye.start()
        try:
            poses = self._eye.poses()
        except EndOfStream:
            raise
        except SpotterError as error:
            self._eye.stop()
            self._rest_eye(now_ns, error)
            return
        if poses:
            self._failures = 0
        for pose in poses:
            self._session.push(pose)

    def _rest_eye(self, now_ns: int, error: SpotterError) -> None:
        if self._failures < len(RESTART_AFTER_S):
            rest_s = RESTART_AFTER_S[self._failures]
            self._restart_ns = now_ns + round(rest_s * NS_PER_S)
            self._failures += 1
            log.warning("The eye is started again in %g s: %s", rest_s, error)
            return
        self._eye = None
        if self._bands is None:
            raise error
        log.warning("The session goes on with the bands alone, the eye failed %d times in a row: %s", self._failures, error)
