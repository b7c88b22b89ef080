"""Puts the parts of a session together. `device.runtime.live_runner` runs one in real time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from device.config import Config
from device.drivers.base import ImuSource
from device.drivers.registry import create_haptic, create_imu, create_speaker
from device.exercises import load_exercises
from device.messages import Advanced, Sensed, StageTiming
from device.runtime.background import Background
from device.runtime.bundle import MANIFEST, Bundle, load_bundle, sha256
from device.runtime.calibration import FILE_NAME, CalibratedImu, CalibrationStore
from device.runtime.core import Core
from device.runtime.eye import Eye, EyeSpec
from device.runtime.kept import KeptSink
from device.runtime.latency import LatencyMeter
from device.runtime.model import StepModel
from device.runtime.offset_file import recorded
from device.runtime.recording import Recorder, RecordingMeta
from device.runtime.session import (
    KEPT_IN_STORE,
    RECORDED,
    HapticSink,
    RecordingSink,
    Session,
    Sink,
    StoreSink,
    VoiceSink,
)
from device.runtime.store import SessionStore
from device.runtime.supervisor import Supervisor
from device.runtime.sync import UNKNOWN, CameraOffset

STORE_PATIENCE_S = 0.1
"""How long the core's loop waits for a store that another process has locked; then the store is tried again later."""
STORED_AT_ONCE = 3
"""Messages that waited for the store, written in one tick: each is synced to the disk."""
RECORDING_BOUND = 15_000
"""Messages kept for a recording that can't be written: two minutes."""
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
    model = StepModel(bundle or config_bundle(config), config.model.runtime)
    exercises = load_exercises(config.exercises.folder or None, config.exercises.enabled)
    return Core(config, model, exercises, start_ns, on_timing=on_timing, offset=offset)


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


def outputs(
    config: Config,
    bundle: Bundle,
    source: str,
    start_ns: int,
    supervisor: Supervisor,
    background: Background,
    bands: ImuSource | None = None,
    meter: LatencyMeter | None = None,
) -> list[KeptSink]:
    """Sinks of a session in real time: vibration, voice and store. The supervisor has them opened, and anew when they fail.

    `source`: what the store says that it came from. `bands`: the source of the bands, which the `band` haptic driver vibrates.
    `meter` measures when motors and voice act. Raises UnknownDriver and DriverError where a driver can't even be constructed.
    """
    parts = {"source": bands} if config.haptic.type == "band" else {}
    haptic = create_haptic(config.haptic, **parts)
    speaker = create_speaker(config.speaker)
    store = SessionStore(config.store.path, patience_s=STORE_PATIENCE_S)
    began = datetime.now(UTC)

    def vibration() -> Sink:
        haptic.open()
        return HapticSink(haptic, meter)

    def voice() -> Sink:
        speaker.open()
        return VoiceSink(speaker, meter)

    def kept_sessions() -> Sink:
        if store.begun:
            store.resume()
        else:
            store.begin(config.store.trainee, source, bundle.version, start_ns, began)
        return StoreSink(store)

    return [
        KeptSink("vibration", vibration, supervisor, background),
        KeptSink("voice", voice, supervisor, background),
        KeptSink("store", kept_sessions, supervisor, background, keeps=KEPT_IN_STORE, at_once=STORED_AT_ONCE),
    ]


def kept_recording(recorder: Recorder, supervisor: Supervisor, background: Background) -> KeptSink:
    """The sink that writes into `recorder`, which is open; when it fails it goes on behind what was written."""

    def make() -> Sink:
        recorder.resume()
        return RecordingSink(recorder)

    return KeptSink("recording", make, supervisor, background, keeps=RECORDED, bound=RECORDING_BOUND)


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


def make_bands(config: Config) -> ImuSource:
    """The bands that `config` names, calibrated, not opened. Raises UnknownDriver, DriverError where that can't be."""
    source = create_imu(config.imu)
    if config.imu.type not in UNCALIBRATED:
        source = CalibratedImu(source, CalibrationStore(Path(config.store.path).expanduser().with_name(FILE_NAME)))
    return source


def make_eye(config: Config, *, on_timing: Callable[[StageTiming], None] | None = None) -> Eye:
    """The eye before the camera that `config` names, not started."""
    return Eye(EyeSpec(config.camera, config.pose), on_timing=on_timing)
