"""From the camera to the voice in real time: a rendered film plays as a camera would, before the real eye process.

What is measured is the way from the mid-exposure of the frame that completes the deciding tick to the first sample of the cue:
the frame's decoding, the pose, the pipe, the tick's wait for that frame, the model, the coach, the order to the speaker. How
long an error lasts until it is one is the decision delay (`device.bench.latency`). The speaker writes a file; a sound device
adds its buffer.
"""

from __future__ import annotations

import bisect
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import radians
from pathlib import Path

from device.bench.latency import percentile
from device.config import CameraConfig, Config, with_settings
from device.drivers.camera_virtual import VirtualCamera
from device.drivers.imu_none import NoImu
from device.drivers.speaker_wav import WavSpeaker
from device.errors import EndOfStream, MediaError
from device.exercises import load_exercises
from device.messages import NS_PER_S, Pose, StageTiming
from device.rows import Row, row
from device.runtime.background import Threads
from device.runtime.bundle import Bundle
from device.runtime.core import Core
from device.runtime.eye import Eye, EyeSpec
from device.runtime.latency import LatencyMeter
from device.runtime.live_runner import LOOK_NS, LiveRunner, Watch
from device.runtime.model import StepModel
from device.runtime.services import services, watched
from device.runtime.session import Heard, Session, VoiceSink
from device.runtime.supervisor import Supervisor
from device.sim.scene import session_scene
from device.sim.script import PlannedHabit, RestBlock, SessionPlan, SetBlock
from device.sim.trainee import VirtualTrainee

WIDTH, HEIGHT, RATE_HZ = 640, 480, 15.0
SETS, REPETITIONS = 4, 2
"""An error is corrected no more than twice in a set where nobody heeds it (`coach.UNHEEDED`)."""
SHALLOW_RAD = radians(26.0)
LIMIT_MS = 250.0


@dataclass(slots=True)
class CameraPath:
    """Of each spoken cue in ms: `frame_ms` from the deciding frame's mid-exposure, `tick_ms` from the deciding tick's time, which
    lies before it. `pose_ms`: from mid-exposure until the pose is found, of every frame."""

    frame_ms: list[float] = field(default_factory=list)
    tick_ms: list[float] = field(default_factory=list)
    pose_ms: list[float] = field(default_factory=list)


@dataclass(slots=True)
class _Spoken:
    """A sink that keeps when frames were exposed; `timing` hears what was measured."""

    found: CameraPath
    frames_ns: list[int] = field(default_factory=list)
    spoken: list[StageTiming] = field(default_factory=list)

    def receive(self, message: Heard) -> None:
        if isinstance(message, Pose):
            self.frames_ns.append(message.t_ns)

    def close(self) -> None:
        """The film is over: find each cue's frame."""
        for cue in self.spoken:
            # A tick between two frames needs the later one; one that waited in vain had the newest there was.
            at = min(bisect.bisect_left(self.frames_ns, cue.t_ns), len(self.frames_ns) - 1)
            self.found.frame_ms.append((cue.end_ns - self.frames_ns[at]) / 1e6)
            self.found.tick_ms.append(cue.duration_ns / 1e6)
        self.spoken.clear()

    def timing(self, timing: StageTiming) -> None:
        if timing.section == "pose":
            self.found.pose_ms.append((timing.end_ns - timing.t_ns) / 1e6)
        elif timing.section == "voice":
            self.spoken.append(timing)


def film_plan() -> SessionPlan:
    """Sets of squats that are all much too shallow, so that nearly each is corrected."""
    shallow = PlannedHabit("shallow", "both", SHALLOW_RAD, 0)
    squats = SetBlock("squat", "both", REPETITIONS, "normal", (shallow,), radians(20.0))
    # The eye needs its time to be ready; the film plays already.
    return SessionPlan(radians(20.0), (RestBlock(3.0, ()), *(squats, RestBlock(4.0, ())) * SETS))


def film(seed: int, path: Path, on_second: Callable[[str], None], *, width: int = WIDTH, height: int = HEIGHT) -> None:
    """Render the plan into a video file. Raises MediaError where it can't be written."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE_HZ, (width, height))
    if not writer.isOpened():
        raise MediaError(f"{path}: no video can be written there. Make room on the disk.")
    config = CameraConfig(type="virtual", rate_hz=RATE_HZ, width=width, height=height)
    try:
        with VirtualCamera(config, VirtualTrainee(seed, film_plan(), deaf=True), session_scene(seed)) as camera:
            while True:
                frame = camera.read()
                writer.write(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR))
                if frame.seq % round(RATE_HZ) == 0:
                    on_second("rendering a film")
    except EndOfStream:
        return
    finally:
        writer.release()


def film_seconds(seed: int) -> int:
    """How long the film is, for a progress bar."""
    return round(VirtualTrainee(seed, film_plan(), deaf=True).duration_ns / NS_PER_S) + 1


def play(config: Config, bundle: Bundle, path: Path, said: Path, found: CameraPath) -> None:
    """Coach the film in real time once, and add what was measured to `found`."""
    config = with_settings(
        config,
        camera={"type": "file", "device": str(path)},
        imu={"type": "none"},
        coach={"min_between_s": 0.5, "repeat_after_s": 1.0},
    )
    spoken = _Spoken(found)
    with ExitStack() as stack:
        supervisor = Supervisor(services(config, watched(config)))
        eye = Eye(EyeSpec(config.camera, config.pose), on_timing=spoken.timing)
        watch = stack.enter_context(Watch(eye, NoImu(config.imu), supervisor, Threads()))
        watch.begin()
        watch.wait()
        speaker = stack.enter_context(WavSpeaker(config.speaker, said))
        meter = LatencyMeter(config.budget, clock=time.monotonic_ns, on_timing=spoken.timing)
        model = StepModel(bundle, config.model.runtime)
        core = Core(config, model, load_exercises(), watch.start_ns(time.monotonic_ns()))
        # The voice reports its last cue when the session is closed, before the sinks are.
        session = stack.enter_context(Session(core, [VoiceSink(speaker, meter), spoken]))
        for _ in LiveRunner(session, watch, config.signals.tick_hz, look_ns=LOOK_NS).run():
            pass


def camera_rows(config: Config, bundle: Bundle, seed: int, plays: int, on_step: Callable[[str], None]) -> list[Row]:
    """The rows of the film played `plays` times. `on_step` is called `film_seconds` times and once for each playing."""
    found = CameraPath()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.avi"
        film(seed, path, on_step)
        for _ in range(plays):
            play(config, bundle, path, Path(folder) / "said.wav", found)
            on_step("playing it in real time")
    return judged(found)


def judged(found: CameraPath) -> list[Row]:
    """The rows of what was found."""
    return [
        row("camera_path_p95_ms", percentile(found.frame_ms, 95), "ms", at_most=LIMIT_MS),
        row("camera_path_median_ms", percentile(found.frame_ms, 50), "ms"),
        row("camera_path_from_tick_p95_ms", percentile(found.tick_ms, 95), "ms"),
        row("camera_path_pose_found_p95_ms", percentile(found.pose_ms, 95), "ms"),
        row("camera_path_cues", len(found.frame_ms), "cues"),
    ]
