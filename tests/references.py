"""Short recordings in tests/data/replay and what the coach makes of them, as text: `make references` writes the text anew.

A time or an angle may be off by one in its last digit. The int8 step rounds what it is fed, so the last bits of another
processor's arithmetic come out as parts of a degree.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import lzma
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from device.config import config_from
from device.messages import (
    NS_PER_S,
    Advanced,
    ClockPing,
    Coached,
    Cue,
    Estimate,
    ImuBatch,
    Pose,
    Repetition,
    Sensed,
    SetEnded,
    SetStarted,
    Stage,
)
from device.runtime.bundle import Bundle
from device.runtime.live import build_core, config_bundle, repeat
from device.runtime.recording import FILE_NAME, Recorder, Recording, RecordingMeta, read_recording
from device.runtime.session import Heard, Session
from device.sim.bands import true_imu
from device.sim_clock.band import Air, Mishaps, SimulatedBand
from device.sim_clock.session import POSE_LATENCY_NS, SensedSession, sensed_session
from device.skeleton import BANDS, JOINTS

FOLDER = Path(__file__).parent / "data" / "replay"
UPDATE = "If this is meant, accept it with: make references"
BEFORE_NS, AFTER_NS = 2 * NS_PER_S, NS_PER_S
"""How much of a session is kept around its set."""
PERIOD_NS = NS_PER_S // 30
METRE, FRAME, FORCE, TURN = 1 / 256, 1 / 256, 1 / 8, 1 / 32
"""What landmarks (m, share of the picture) and bands (m/s^2, rad/s) are rounded to, so that a recording packs to a fifth."""

_NUMBER = re.compile(r"(?<![\w.#])[+-]?\d+(?:\.\d+)?(?!\w)")
"""A time or an angle; a count is written as `#3`, a second as `3s`."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A short session of the virtual trainee. `seen`, `felt`: with the camera, with the bands. `rebooting`: a band that reboots
    in the middle of the set."""

    name: str
    seed: int
    seen: bool = True
    felt: bool = True
    rebooting: int | None = None


SCENES = (
    Scene("push_up", 25),
    Scene("squat", 22, felt=False),
    Scene("lunge", 25),
    Scene("jumping_jack", 26, seen=False),
    Scene("bicep_curl", 25, rebooting=1),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python tests/references.py",
        description="Replay the recordings in tests/data/replay, show how what the coach makes of them differs from the "
        "references beside them, and write those anew.",
        epilog="example: make references\n         python tests/references.py --check",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where something differs")
    parser.add_argument("--record", action="store_true", help="make the recordings anew too, from the virtual trainee")
    args = parser.parse_args(arguments)
    if args.record and args.check:
        parser.error("--record writes, --check must not")
    bundle = config_bundle(config_from({}))
    changed = 0
    for scene in SCENES:
        if args.record:
            record(scene)
        found = settled(scene, described(scene, recording_of(scene), bundle))
        difference = differing(scene, found)
        changed += bool(difference)
        print(difference or f"{scene.name}: as it was")
        if difference and not args.check:
            reference(scene).write_text(found, encoding="utf-8")
    print(f"{changed} of {len(SCENES)} {'differ' if args.check else 'written anew'}.")
    return 1 if args.check and changed else 0


def reference(scene: Scene) -> Path:
    """The file with what the coach made of `scene`."""
    return FOLDER / f"{scene.name}.txt"


def packed(scene: Scene) -> Path:
    """The file with the recording of `scene`."""
    return FOLDER / f"{scene.name}.rec.xz"


def recording_of(scene: Scene) -> Recording:
    """The recording of `scene`, unpacked."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE_NAME
        file.write_bytes(lzma.decompress(packed(scene).read_bytes()))
        return read_recording(file)


def replayed(recording: Recording, bundle: Bundle) -> list[Coached]:
    """All that the coach puts out for `recording`, in order."""

    class Kept:
        name = "references"

        def receive(self, message: Heard) -> None:
            if isinstance(message, Coached):
                coached.append(message)

        def close(self) -> None:
            pass

    coached: list[Coached] = []
    core = build_core(config_from(recording.meta.config), recording.meta.start_ns, bundle=bundle)
    with Session(core, [Kept()]) as session:
        for _ in repeat(session, recording.events()):
            pass
    return coached


def as_bytes(coached: Sequence[Coached]) -> bytes:
    """Every bit of what was put out."""
    parts: list[bytes] = []
    for message in coached:
        parts.append(type(message).__name__.encode())
        for field in dataclasses.fields(message):
            value = getattr(message, field.name)
            parts.append(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return b"\n".join(parts)


def described(scene: Scene, recording: Recording, bundle: Bundle) -> str:
    """What the coach makes of `recording`, in lines: sets, repetitions and cues with their times, and a line for each second."""
    start_ns = recording.meta.start_ns
    coached = replayed(recording, bundle)
    sources = [*(["camera"] if scene.seen else []), *(["bands"] if scene.felt else [])]
    reboot = f", band {scene.rebooting} reboots" if scene.rebooting is not None else ""
    lines = [f"# {scene.name}: {' and '.join(sources)}{reboot}; bundle {bundle.version}"]
    for second, messages in groupby(_timed(coached, start_ns), key=lambda timed: timed[0] // NS_PER_S):
        within = [message for _, message in messages]
        lines.append(_second(second, [m for m in within if isinstance(m, Estimate)], bundle.classes))
        lines += [line for m in within if (line := _line(m, start_ns))]
    return "\n".join(lines) + "\n"


def settled(scene: Scene, found: str) -> str:
    """`found`, with the reference's line wherever only times and angles are off by one in their last digit."""
    expected, lines = _expected(scene), found.splitlines()
    masked = difflib.SequenceMatcher(
        None, [_masked(line) for line in expected], [_masked(line) for line in lines], autojunk=False
    )
    for block in masked.get_matching_blocks():
        for i, j in zip(range(block.a, block.a + block.size), range(block.b, block.b + block.size), strict=True):
            if _close(expected[i], lines[j]):
                lines[j] = expected[i]
    return "\n".join(lines) + "\n"


def differing(scene: Scene, found: str) -> str:
    """How `found` differs from the reference, as a unified diff; empty where it does not."""
    names = (f"{reference(scene).name} (reference)", f"{reference(scene).name} (found)")
    return "\n".join(difflib.unified_diff(_expected(scene), found.splitlines(), *names, lineterm=""))


def _expected(scene: Scene) -> list[str]:
    file = reference(scene)
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def _masked(line: str) -> str:
    return line if line.startswith("#") else _NUMBER.sub("0", line)


def _close(expected: str, found: str) -> bool:
    pairs = list(zip(_NUMBER.findall(expected), _NUMBER.findall(found), strict=True))
    return all(abs(float(a) - float(b)) < (0.15 if "." in a else 1.5) for a, b in pairs)


def _timed(coached: Sequence[Coached], start_ns: int) -> Iterator[tuple[int, Coached]]:
    """Each message with the time of the tick that it came out of; what it says may be of an earlier time."""
    tick_ns = 0
    for message in coached:
        tick_ns = message.t_ns - start_ns if isinstance(message, Estimate) else tick_ns
        yield tick_ns, message


def _second(second: int, estimates: list[Estimate], classes: tuple[str, ...]) -> str:
    """Exercise and stage of most ticks, and the mean angles in degrees, left and right."""
    exercise = Counter(classes[int(np.argmax(e.exercise))] for e in estimates).most_common(1)[0][0]
    stage = Counter(Stage(int(np.argmax(e.stage))).name.lower() for e in estimates).most_common(1)[0][0]
    angles = np.degrees(np.mean([e.angles for e in estimates], axis=0))
    sides = zip(JOINTS[::2], angles[::2], angles[1::2], strict=True)
    joints = "  ".join(f"{joint.name.removeprefix('left_')} {left:.0f} {right:.0f}" for joint, left, right in sides)
    return f"{second:6d}s {exercise:<13}{stage:<10} {joints}"


def _line(message: Coached, start_ns: int) -> str:
    at = f"{_seconds(message.t_ns, start_ns):>7}"
    match message:
        case SetStarted():
            return f"{at} set of {message.exercise}"
        case Repetition():
            worst = ", ".join(f"{d.joint} {np.degrees(d.deviation_rad):+.0f}" for d in message.worst)
            span = f"{_seconds(message.start_ns, start_ns)} to {_seconds(message.end_ns, start_ns)}"
            return f"{at} repetition #{message.index} of {message.exercise}, {message.variant}, {span}: {worst or 'good'}"
        case SetEnded():
            return f"{at} end of a set of #{message.repetitions} {message.exercise}"
        case Cue():
            joint = f" {message.joint} {np.degrees(message.deviation_rad):+.0f}" if message.joint else ""
            felt = f", {' '.join(BANDS[band] for band in message.bands)} by {message.intensity:.1f}" if message.bands else ""
            return f"{at} {message.kind}{joint}: {message.text}{felt}"
        case _:
            return ""


def _seconds(t_ns: int, start_ns: int) -> str:
    return f"{(t_ns - start_ns) / NS_PER_S:.1f}"


def record(scene: Scene) -> None:
    """Make the recording of `scene` anew."""
    session = sensed_session(scene.seed, scene.name, repetitions=3)
    done = session.trainee.sets[0]
    first_ns, last_ns = done.start_ns - BEFORE_NS, done.end_ns + AFTER_NS
    with tempfile.TemporaryDirectory() as folder:
        with Recorder(folder, RecordingMeta(start_ns=first_ns)) as recorder:
            for event in _stepped(list(_arriving(scene, session, first_ns, last_ns)), first_ns, last_ns):
                recorder.write(event)
        data = (Path(folder) / FILE_NAME).read_bytes()
    FOLDER.mkdir(parents=True, exist_ok=True)
    packed(scene).write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


def _arriving(scene: Scene, session: SensedSession, first_ns: int, last_ns: int) -> Iterator[tuple[int, Sensed]]:
    """What reaches the host, and when: all exchanges of clocks from the beginning of the session, the rest from `first_ns` on."""
    heard = [(t_ns, message) for t_ns, message, _ in session.heard]
    if scene.rebooting is not None:
        heard = [(t_ns, m) for t_ns, m in heard if m.band != scene.rebooting]
        heard += _rebooting(scene.seed, scene.rebooting, session, (first_ns + last_ns) / 2 / NS_PER_S)
    arrivals = heard if scene.felt else []
    if scene.seen:
        arrivals = arrivals + [(pose.t_ns + POSE_LATENCY_NS, pose) for pose in session.poses]
    for t_ns, message in sorted(arrivals, key=lambda arrival: arrival[0]):
        if t_ns <= last_ns and (t_ns >= first_ns or isinstance(message, ClockPing)):
            yield t_ns, _rounded(message)


def _rebooting(seed: int, band: int, session: SensedSession, reboot_s: float) -> list[tuple[int, Sensed]]:
    seconds = session.trainee.duration_ns / NS_PER_S
    link = SimulatedBand(seed, band, seconds=seconds, air=Air(15.0), mishaps=Mishaps(reboot_s=reboot_s)).heard()
    arrivals: list[tuple[int, Sensed]] = []
    for one in link:
        message = one.message
        if isinstance(message, ImuBatch):
            values = true_imu(session.trainee, one.truth_ns, seed)[:, band].astype(np.float32)
            message = replace(message, values=values)
        arrivals.append((one.t_ns, message))
    return arrivals


def _stepped(arrivals: list[tuple[int, Sensed]], first_ns: int, last_ns: int) -> Iterator[Sensed | Advanced]:
    """What arrived, with the core working every PERIOD_NS."""
    waiting = iter(arrivals)
    following = next(waiting, None)
    for now_ns in range(first_ns, last_ns, PERIOD_NS):
        while following is not None and following[0] <= now_ns:
            yield following[1]
            following = next(waiting, None)
        yield Advanced(now_ns)


def _rounded(message: Sensed) -> Sensed:
    if isinstance(message, Pose):
        return replace(message, image=_to(message.image, FRAME), world=_to(message.world, METRE))
    if isinstance(message, ImuBatch):
        return replace(message, values=np.hstack([_to(message.values[:, :3], FORCE), _to(message.values[:, 3:], TURN)]))
    return message


def _to(values: np.ndarray, step: float) -> np.ndarray:
    """`values` rounded to the nearest multiple of `step`, float32."""
    return (np.round(values / step) * step).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
