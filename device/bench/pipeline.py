"""The whole pipeline as it runs on an appliance: the core's share of the processor, memory, start, and each section's time.

All of it over one rendered video, and its bands, of the virtual trainee. A bare loop of `mp.solutions.pose` over the same video
says what the machine is worth: the core's processor time is a share of that loop's, both as fast as they go. In real time the
core takes more, for between two ticks others have the caches.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from device.bench.pose import use, write_video
from device.bench.processes import busy_s, child, cpu_s, resident_mb
from device.bench.progress import Progress
from device.bench.session import coached
from device.config import BudgetConfig, CameraConfig, Config, load_config
from device.drivers.camera_virtual import VirtualCamera
from device.drivers.imu_virtual import VirtualImu
from device.errors import DriverError, EndOfStream
from device.messages import NS_PER_S, Frame, ImuBatch, Sensed, StageTiming
from device.rows import Report, Row, report, row
from device.runtime.bundle import Bundle
from device.runtime.eye import Eye, EyeSpec
from device.runtime.live import config_bundle
from device.runtime.model import StepModel
from device.runtime.recording import Recorder, RecordingMeta, read_recording
from device.sim.scene import session_scene
from device.sim.trainee import VirtualTrainee

STARTS = 3
PASSES = 3
"""Of the core over the same messages; each takes a second, in which others of the machine can take the caches."""
SETTLED_S = 3.0
"""Time from a session's beginning until what it takes is steady."""
MARGIN_S = SETTLED_S + 5.0
"""How much longer the video is than what is measured of the session."""
START_TIMEOUT_S = 90.0
STORE = "sessions.sqlite"
POSE_LATENCY_NS = 60_000_000


@dataclass(frozen=True, slots=True)
class Scene:
    """`video`, and `bands`, the folder of a recording that begins with it; `frames` of the video at `rate_hz`."""

    video: Path
    bands: Path
    frames: int
    rate_hz: float


@dataclass(frozen=True, slots=True)
class Steady:
    """Processor time in s for each second of a session, and resident memory, of both processes."""

    core_cpu: float
    eye_cpu: float
    core_mb: float
    eye_mb: float


def measure(args: Namespace, progress: Progress) -> Report:
    """All figures, `args.seconds` of a session in real time. Raises DriverError, EyeError."""
    config = load_config(args.config)
    bundle = config_bundle(config)
    progress.begin(6, "drawing the video")
    began_s, busy_before_s = time.monotonic(), busy_s()
    with tempfile.TemporaryDirectory() as folder:
        scene = draw(Path(folder), config, args.seed, args.seconds + MARGIN_S)
        progress.step("a bare loop of mp.solutions.pose")
        loop = use("mediapipe", scene.video).cpu_s / scene.frames * scene.rate_hz
        progress.step(f"a session of {args.seconds + MARGIN_S:.0f} s")
        steady = session(Path(folder), config, scene, args.seconds)
        progress.step("cold starts of the core")
        core_s = statistics.median(started("core", scene) for _ in range(STARTS))
        progress.step("cold starts with the eye")
        pose_s = statistics.median(started("pose", scene) for _ in range(STARTS))
        progress.step("each section")
        timings, core_cpu = flat_out(config, bundle, scene)
        progress.step()
    rows = [
        row("core_cpu_share", core_cpu / loop, at_most=0.10),
        row("cold_start_core_s", core_s, "s", at_most=3),
        row("cold_start_pose_s", pose_s, "s", at_most=6),
        row("core_rss_mb", steady.core_mb, "MB", at_most=120),
        row("eye_rss_mb", steady.eye_mb, "MB", at_most=250),
        *judged(timings, config.budget),
        row("core_cpu_share_in_real_time", steady.core_cpu / loop),
        row("core_cpu_ms_per_s", core_cpu * 1e3, "ms/s"),
        row("eye_cpu_ms_per_s", steady.eye_cpu * 1e3, "ms/s"),
        row("bare_loop_cpu_ms_per_s", loop * 1e3, "ms/s"),
        # The starts are in wall time: on a machine that is full they say little.
        row("machine_busy", (busy_s() - busy_before_s) / (time.monotonic() - began_s) / (os.cpu_count() or 1)),
    ]
    return report(rows, seed=args.seed, bundle=bundle.version)


def draw(folder: Path, config: Config, seed: int, seconds: float) -> Scene:
    """The trainee's first set as a video of `seconds`, and what the bands send meanwhile as a recording."""
    trainee = VirtualTrainee(seed, deaf=True)
    first_ns = max(0, trainee.sets[0].start_ns - 2 * NS_PER_S)
    camera = CameraConfig(type="virtual")
    count = int(seconds * camera.rate_hz)
    write_video(folder / "video.mp4", _frames(camera, trainee, seed, first_ns), count)
    with (
        VirtualImu(config.imu, trainee, seed=seed, epoch_ns=-first_ns) as bands,
        Recorder(folder / "bands", RecordingMeta()) as recorder,
    ):
        for batch in bands.read(round(seconds * NS_PER_S)):
            if batch.t_ns >= 0:
                recorder.write(batch)
    return Scene(folder / "video.mp4", folder / "bands", count, camera.rate_hz)


def _frames(config: CameraConfig, trainee: VirtualTrainee, seed: int, first_ns: int) -> Iterator[Frame]:
    with VirtualCamera(config, trainee, session_scene(seed)) as camera:
        camera.skip_to(first_ns)
        while True:
            yield camera.read()


def session(folder: Path, config: Config, scene: Scene, seconds: float) -> Steady:
    """`spotter run` over the video and the bands in real time, looked at from outside. Raises DriverError where it fails."""
    settings = folder / "spotter.toml"
    runtime = f'[model]\nbundle = "{config.model.bundle}"\nruntime = "{config.model.runtime}"\n'
    settings.write_text(
        f"{runtime}[pose]\nthreads = {config.pose.threads}\n"
        f'[camera]\ntype = "file"\ndevice = "{scene.video}"\n[imu]\ntype = "recording"\ndevice = "{scene.bands}"\n'
        f'[speaker]\ntype = "none"\n[haptic]\ndevice = "{folder}/haptic.jsonl"\n[store]\npath = "{folder}/{STORE}"\n'
    )
    command = [sys.executable, "-m", "device.cli", "run", "--config", str(settings), "--json"]
    with subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as core:
        try:
            eye = _eye_of(core, folder / STORE)
            time.sleep(SETTLED_S)
            began_s, core_s, eye_s = time.monotonic(), cpu_s(core.pid), cpu_s(eye)
            time.sleep(seconds)
            took_s = time.monotonic() - began_s
            return Steady(
                (cpu_s(core.pid) - core_s) / took_s, (cpu_s(eye) - eye_s) / took_s, resident_mb(core.pid), resident_mb(eye)
            )
        except FileNotFoundError as error:
            core.kill()
            raise DriverError(f"spotter run ended before it was measured: {_last_words(core)}") from error
        finally:
            core.terminate()


def started(what: str, scene: Scene) -> float:
    """Seconds that a fresh process took to its first tick. `what`: core or pose. Raises DriverError where it fails."""
    command = [sys.executable, "-m", "device.bench.start_process", what, str(scene.video), str(time.monotonic_ns())]
    try:
        done = subprocess.run(
            command, env=_environment(), capture_output=True, text=True, timeout=START_TIMEOUT_S, check=True
        )  # fmt: skip
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"A fresh {what} made no tick: {str(error.stderr or error).strip()[-500:]}") from error
    return float(done.stdout)


def flat_out(config: Config, bundle: Bundle, scene: Scene) -> tuple[list[StageTiming], float]:
    """The eye in lockstep, then the core on what the eye and the bands found: each section's times, and the core's processor time
    in s for a second of the video, the median of PASSES."""
    timings: list[StageTiming] = []
    camera = CameraConfig(type="file", device=str(scene.video))
    arrivals: list[tuple[int, Sensed]] = [
        (batch.t_ns, batch) for batch in read_recording(scene.bands) if isinstance(batch, ImuBatch)
    ]
    with Eye(EyeSpec(camera, config.pose, lockstep=True), on_timing=timings.append) as eye:
        eye.wait_ready()
        try:
            while True:
                pose = eye.next()
                arrivals.append((pose.t_ns + POSE_LATENCY_NS, pose))
        except EndOfStream:
            pass
    model = StepModel(bundle, config.model.runtime)
    messages = [message for _, message in sorted(arrivals, key=lambda arrival: arrival[0])]
    taken_s = []
    for _ in range(PASSES):
        # The core is one thread; others of this process draw the progress.
        before_s = time.thread_time()
        timings += coached(config, model, messages)
        taken_s.append(time.thread_time() - before_s)
    return timings, statistics.median(taken_s) * scene.rate_hz / scene.frames


def judged(timings: Sequence[StageTiming], budget: BudgetConfig) -> list[Row]:
    """A row for each section that was timed: its median, and the limit that the settings name."""
    durations: dict[str, list[float]] = defaultdict(list)
    for timing in timings:
        durations[timing.section].append(timing.duration_ns / 1e6)
    budgets = {f.name.removesuffix("_ms"): float(getattr(budget, f.name)) for f in fields(budget)}
    return [row(f"{name}_ms", statistics.median(taken), "ms", at_most=budgets.get(name)) for name, taken in durations.items()]


def _eye_of(core: subprocess.Popen[str], store: Path) -> int:
    """The eye of a session that has just been started, once there is one and the session has begun in its store."""
    until_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until_s and core.poll() is None:
        eye = child(core.pid, "device.runtime.eye_process")
        if eye is not None and store.exists():
            return eye
        time.sleep(0.05)
    raise FileNotFoundError("There is no eye.")


def _last_words(core: subprocess.Popen[str]) -> str:
    return (core.communicate(timeout=10)[1] or "").strip()[-500:] or f"exit status {core.returncode}"


def _environment() -> dict[str, str]:
    """The modules that this process has, wherever it was started."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
