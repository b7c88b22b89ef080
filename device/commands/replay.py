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

from device.errors import StoreError

if TYPE_CHECKING:
    from device.config import Config
    from device.messages import Advanced, Sensed
    from device.runtime.recording import Recording
    from device.screen import Screen


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "replay",
        help="run the coach over a video or a recording",
        description="Run the coach over a video of a person, a recorded session, or landmarks, and list the sets that it saw.",
        epilog="example: spotter replay squats.mp4 --json\n         spotter replay --recording sessions/monday --out report",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("video", nargs="?", metavar="VIDEO", help="video file of one person; there are no bands then")
    source.add_argument("--recording", metavar="FOLDER", help="session that `spotter record` wrote, with its bands")
    source.add_argument("--landmarks", metavar="FILE.npz", help="landmarks `norm`, `world` and their times `t`")
    parser.add_argument(
        "--config", metavar="FILE", help="settings file (TOML); a recording brings its own where this is not given"
    )
    parser.add_argument("--out", metavar="FOLDER", help="write sets.json and voice.wav, all that would have been said, there")
    parser.add_argument("--json", action="store_true", help="print the sets as JSON")
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class Source:
    """What is replayed. `duration_s`: 0 where it is not known beforehand."""

    start_ns: int
    duration_s: float
    events: Iterator[Sensed | Advanced]


def run(args: argparse.Namespace) -> int:
    from device.drivers.speaker_wav import WavSpeaker
    from device.messages import NS_PER_S
    from device.runtime.live import build_core, config_bundle, repeat
    from device.runtime.recording import read_recording
    from device.runtime.session import Session, Sink, VoiceSink
    from device.runtime.summary import SetCollector, as_json
    from device.screen import Screen

    recording = read_recording(args.recording) if args.recording is not None else None
    config = _settings(args.config, recording)
    bundle = config_bundle(config)
    out = _output_folder(args.out)
    collector = SetCollector()
    # Progress goes to standard error; where that is a file beside `--json`, nobody watches it.
    screen = Screen(config.budget, title="replay", quiet=args.json and not sys.stderr.isatty())
    sinks: list[Sink] = [collector, screen]
    with ExitStack() as stack:
        source = _source(args, recording, config, stack, screen)
        core = build_core(config, source.start_ns, bundle=bundle, on_timing=screen.timing)
        if out is not None:
            speaker = WavSpeaker(config.speaker, out / "voice.wav", source.start_ns)
            speaker.open()
            sinks.append(VoiceSink(speaker))
        with screen, Session(core, sinks) as session:
            for now_ns in repeat(session, source.events):
                screen.update(core.progress, elapsed_s=(now_ns - source.start_ns) / NS_PER_S, total_s=source.duration_s)
    found = as_json(collector.sets, source.start_ns)
    if out is not None:
        _write(out / "sets.json", found)
    if args.json:
        print(json.dumps(found))
    else:
        print_sets(found)
    return 0


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
    from device.runtime.eye import Eye, EyeSpec
    from device.runtime.live import stepped

    camera = with_settings(config, camera={"type": "file", "device": path}).camera
    eye = stack.enter_context(Eye(EyeSpec(camera, config.pose, lockstep=True), on_timing=screen.timing))
    eye.wait_ready()

    def poses() -> Iterator[Sensed]:
        while True:
            try:
                yield eye.next()
            except EndOfStream:
                return

    return Source(0, video_duration_s(path), stepped(poses()))


def video_duration_s(path: str) -> float:
    """Length that the file states (s); 0 where it states none, or nonsense."""
    import cv2

    capture = cv2.VideoCapture(path)
    rate_hz, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    return frames / rate_hz if 0 < rate_hz <= 1000 and 0 < frames < 1e7 else 0.0


def _output_folder(path: str | None) -> Path | None:
    if path is None:
        return None
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: can't be written ({error.strerror}). Give --out a folder that can.") from error
    return folder


def _write(path: Path, found: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path}: can't be written ({error.strerror}). Give --out a folder that can, with room.") from error
