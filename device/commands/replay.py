"""`spotter replay`: what the coach makes of a video, a recorded session, or landmarks that were extracted before."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from device.config import Config
    from device.messages import Advanced, Sensed
    from device.report.files import SessionFiles
    from device.report.film import PictureSource
    from device.report.folder import ReportFolder
    from device.runtime.core import Core
    from device.runtime.recording import Recording
    from device.runtime.session import Sink
    from device.screen import Screen

MAX_FILM_HZ = 60.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "replay",
        help="run the coach over a video or a recording",
        description="Run the coach over a video of a person, a recorded session, or landmarks, and list the sets that it saw. "
        "With --out it also writes what the coach said, a plot of each set, and of a video an annotated film.",
        epilog="example: spotter replay squats.mp4 --out report\n         spotter replay --recording sessions/monday --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("video", nargs="?", metavar="VIDEO", help="video file of one person; there are no bands then")
    source.add_argument("--recording", metavar="FOLDER", help="session that `spotter record` wrote, with its bands")
    source.add_argument("--landmarks", metavar="FILE.npz", help="landmarks `norm`, `world` and their times `t`")
    parser.add_argument(
        "--config", metavar="FILE", help="settings file (TOML); a recording brings its own where this is not given"
    )
    parser.add_argument("--out", metavar="FOLDER", help="write the sets, the voice, a plot of each set and a video's film there")
    parser.add_argument("--no-film", action="store_true", help="make no film")
    parser.add_argument("--json", action="store_true", help="print the sets as JSON")
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class Source:
    """What is replayed. `duration_s`: 0 where it is not known beforehand. `pictures`: what a film is made of, `rate_hz` of them
    a second; None where there are landmarks only."""

    start_ns: int
    duration_s: float
    events: Iterator[Sensed | Advanced]
    pictures: PictureSource | None = None
    rate_hz: float = 0.0


def run(args: argparse.Namespace) -> int:
    from device.drivers.haptic_virtual import VirtualHaptic
    from device.drivers.speaker_none import SilentSpeaker
    from device.report.folder import ReportFolder
    from device.report.needs import require_report
    from device.runtime.latency import LatencyMeter
    from device.runtime.live import build_core, config_bundle
    from device.runtime.offset_file import offset_of
    from device.runtime.recording import read_recording
    from device.runtime.session import HapticSink, VoiceSink
    from device.runtime.summary import SetCollector, as_json
    from device.runtime.sync import UNKNOWN
    from device.screen import Screen

    recording = read_recording(args.recording) if args.recording is not None else None
    config = _settings(args.config, recording)
    bundle = config_bundle(config)
    folder = None
    if args.out is not None:
        require_report("A report")
        folder = ReportFolder(Path(args.out))
    collector = SetCollector()
    # Progress goes to standard error; where that is a file beside `--json`, nobody watches it.
    screen = Screen(config.budget, title="replay", quiet=args.json and not sys.stderr.isatty())
    with ExitStack() as stack:
        source = _source(args, recording, config, stack, screen)
        offset = offset_of(recording.meta.extra) if recording is not None else UNKNOWN
        core = build_core(config, source.start_ns, bundle=bundle, on_timing=screen.timing, offset=offset)
        meter = LatencyMeter(config.budget, on_timing=screen.timing)
        haptic = stack.enter_context(VirtualHaptic(config.haptic))
        # Where no voice is written, what is said takes its time all the same.
        outputs: list[Sink] = [HapticSink(haptic, meter)]
        files = None
        if folder is not None:
            _prepare(folder, args.video)
            # On Ctrl-C too: what was found so far.
            stack.callback(lambda: folder.write_result(as_json(collector.sets, source.start_ns) | {"latency": meter.as_json()}))
            files = stack.enter_context(_files(folder, config, core, source, screen, film=not args.no_film))
            outputs += files.sinks(meter)
        else:
            outputs.append(VoiceSink(stack.enter_context(SilentSpeaker(config.speaker)), meter))
        _watch(source, core, [collector, screen, *outputs], files, screen)
    meter.report()
    found = as_json(collector.sets, source.start_ns) | {"latency": meter.as_json()}
    if args.json:
        print(json.dumps(found))
        return 0
    print_sets(found)
    if folder is not None:
        print(folder.listing(("sets", folder.result.name)))
    return 0


def _watch(source: Source, core: Core, sinks: list[Sink], files: SessionFiles | None, screen: Screen) -> None:
    from device.messages import NS_PER_S
    from device.runtime.live import repeat
    from device.runtime.session import Session

    with screen, Session(core, sinks) as session:
        for now_ns in repeat(session, source.events):
            if files is not None:
                files.show(core)
            screen.update(core.progress, elapsed_s=(now_ns - source.start_ns) / NS_PER_S, total_s=source.duration_s)
    if files is not None:
        files.plot()


def print_sets(found: dict[str, Any]) -> None:
    """The sets of `device.runtime.summary.as_json` as a table."""
    from rich.console import Console
    from rich.table import Table

    if not found["sets"]:
        print("No set of an exercise was seen.")
        return
    table = Table("exercise")
    for heading in ("from", "to", "reps"):
        table.add_column(heading, justify="right")
    table.add_column("mean deviation")
    table.add_column("cues")
    for done in found["sets"]:
        worst = sorted(done["deviations"].items(), key=lambda item: -abs(item[1]))[:3]
        joints = "\n".join(f"{joint.replace('_', ' ')} {degrees:+.0f}°" for joint, degrees in worst if abs(degrees) >= 0.5)
        cues = "\n".join(f"{cue['t_s']:.1f} s {cue['text']}" for cue in done["cues"])
        times = (f"{done['start_s']:.1f} s", f"{done['end_s']:.1f} s")
        table.add_row(done["exercise"].replace("_", " "), *times, str(done["reps"]), joints, cues, end_section=True)
    Console().print(table)


def _settings(path: str | None, recording: Recording | None) -> Config:
    """Those of the file, else those with which the recording was made, else the defaults."""
    from device.config import config_from, load_config

    if path is not None or recording is None:
        return load_config(path)
    return config_from(recording.meta.config, str(recording.path))


def _source(args: argparse.Namespace, recording: Recording | None, config: Config, stack: ExitStack, screen: Screen) -> Source:
    from device.messages import NS_PER_S
    from device.runtime.live import stepped

    if args.landmarks is not None:
        from device.runtime.landmarks import read_landmarks

        poses = read_landmarks(args.landmarks)
        start_ns = poses[0].t_ns
        return Source(start_ns, (poses[-1].t_ns - start_ns) / NS_PER_S, stepped(poses))
    if recording is not None:
        last_ns = max((message.t_ns for message in recording), default=recording.meta.start_ns)
        events = recording.events() if recording.stepped else stepped(recording)
        return Source(recording.meta.start_ns, (last_ns - recording.meta.start_ns) / NS_PER_S, events)
    return _video(args.video, config, stack, screen)


def _video(path: str, config: Config, stack: ExitStack, screen: Screen) -> Source:
    from device.config import with_settings
    from device.errors import EndOfStream
    from device.report.video import VideoSource
    from device.runtime.eye import Eye, EyeSpec
    from device.runtime.live import stepped

    camera = with_settings(config, camera={"type": "file", "device": path}).camera
    screen.note("starting the eye")
    eye = stack.enter_context(Eye(EyeSpec(camera, config.pose, lockstep=True), on_timing=screen.timing))
    eye.wait_ready()

    def poses() -> Iterator[Sensed]:
        while True:
            try:
                yield eye.next()
            except EndOfStream:
                return

    rate_hz, duration_s = video_timing(path)
    return Source(0, duration_s, stepped(poses()), VideoSource(camera), min(rate_hz, MAX_FILM_HZ))


def video_timing(path: str) -> tuple[float, float]:
    """Rate (Hz) and length (s) that the file states; where it states none, or nonsense, the rate that its frames are taken at
    and 0."""
    import cv2

    from device.drivers.camera_file import ASSUMED_RATE_HZ

    capture = cv2.VideoCapture(path)
    rate_hz, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    if not 0 < rate_hz <= 1000:
        return ASSUMED_RATE_HZ, 0.0
    return rate_hz, frames / rate_hz if 0 < frames < 1e7 else 0.0


def _prepare(folder: ReportFolder, video: str | None) -> None:
    from device.errors import StoreError

    if video is not None and Path(video).resolve() == folder.film.resolve():
        raise StoreError(f"{video}: would be replaced by its own film. Give --out another folder.")
    folder.prepare({"status": "running"})


def _files(folder: ReportFolder, config: Config, core: Core, source: Source, screen: Screen, *, film: bool) -> SessionFiles:
    from device.report.files import SessionFiles
    from device.report.log import LogBook

    files = SessionFiles(folder, config, core.exercises, LogBook(core.classes, source.start_ns), screen.note)
    if film and source.pictures is not None:
        files.start_film(source.pictures, source.rate_hz)
    return files
