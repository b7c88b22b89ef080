"""The eye: a process of its own that holds the camera and the pose estimator. Only landmarks leave it, never a picture.

It is started with a pickled `EyeSpec`, takes small commands, and sends records of one fixed size, too small for a
picture. It dies with its parent: the end of the pipe ends it.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np

import device.errors
from device.config import CameraConfig, PoseConfig
from device.errors import EndOfStream, EyeError, SpotterError
from device.exercises import Exercise
from device.messages import Cue, Pose, StageTiming
from device.sim.script import SessionPlan
from device.skeleton import N_NODES

START_TIMEOUT_S = 60.0
"""Loading MediaPipe takes 2 s on a desktop and some 15 s on a Raspberry Pi with a cold card."""

END_S = 0.3
"""How long a process has to end by itself once its pipe is closed, before it is killed."""
KILLED_S = 1.0
"""How long it has to be gone once it is killed. One that the kernel holds for a hung camera (state D) is then given up."""

MOST_GIVEN_UP = 3
"""Processes that can't be killed, above which no other one is started: each keeps its memory."""

log = logging.getLogger(__name__)

READY, POSE, END, FAILED = range(4)
RECORD = np.dtype(
    [
        ("kind", "u1"), ("present", "u1"), ("width", "<i4"), ("height", "<i4"),
        ("t_ns", "<i8"), ("sigma_ns", "<i8"), ("seq", "<i8"),
        ("camera_start_ns", "<i8"), ("camera_ns", "<i8"), ("pose_start_ns", "<i8"), ("pose_ns", "<i8"),
        ("image", "<f4", (N_NODES, 4)), ("world", "<f4", (N_NODES, 3)), ("error", "S32"), ("text", "S640"),
    ]
)  # fmt: skip
"""All that ever leaves the eye: one pose with its timings, or why there are no more."""


@dataclass(frozen=True, slots=True)
class VirtualSubject:
    """Whom a virtual camera sees; the eye builds its own trainee from this, equal to the parent's.

    `start_ns`: host time of the trainee's time zero. `realtime`: frames come at their time instead of as fast as asked.
    """

    seed: int
    plan: SessionPlan | None = None
    deaf: bool = False
    exercises: Mapping[str, Exercise] | None = None
    start_ns: int = 0
    realtime: bool = False


@dataclass(frozen=True, slots=True)
class EyeSpec:
    """What the eye does. `lockstep`: every frame, when asked for it (simulation, files); otherwise the newest frame, always.

    `virtual`: the trainee in front of a camera of type virtual.
    """

    camera: CameraConfig
    pose: PoseConfig = field(default_factory=PoseConfig)
    virtual: VirtualSubject | None = None
    lockstep: bool = False


@dataclass(frozen=True, slots=True)
class LookAt:
    """Command to a live eye: find the pose in every `every`-th frame only."""

    every: int


class Eye:
    """The parent's end of the eye process.

    `timeout_s`: silence after which the eye counts as hung where it is waited for. `on_timing` gets the times that `camera` and
    `pose` took for each pose. After an EyeError, `stop` and `start` make a new process.
    """

    def __init__(self, spec: EyeSpec, *, timeout_s: float = 5.0, on_timing: Callable[[StageTiming], None] | None = None) -> None:
        self._spec = spec
        self._timeout_s = timeout_s
        self._on_timing = on_timing
        self._process: subprocess.Popen[bytes] | None = None
        self._leaving: list[_Leaving] = []
        self._pipe: Connection[Any, Any] | None = None
        self._ready = False
        self._received: deque[Pose] = deque()
        self._ended: SpotterError | None = None
        self._every = 1

    def start(self) -> None:
        """Start the process without waiting for it; it is ready some seconds later (`ready`, `wait_ready`).

        One that still runs is let go. Raises EyeError where no process can be started, or too many can't be ended.
        """
        self.dismiss()
        if sum(leaving.given_up for leaving in self._leaving) >= MOST_GIVEN_UP:
            raise EyeError(f"{MOST_GIVEN_UP} processes of the eye hang in the kernel and can't be killed. Restart the computer.")
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "device.runtime.eye_process", str(theirs.fileno())]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            try:
                self._process = subprocess.Popen(
                    command, pass_fds=(theirs.fileno(),), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
                )
            except OSError as error:
                ours.close()
                raise EyeError(f"No process can be started for the eye ({error}). Free memory, or end other programs.") from error
        self._pipe = Connection(ours.detach())
        self._send(self._spec)
        if self._every > 1:
            self._send(LookAt(self._every))

    def stop(self) -> None:
        """End the process, hung or not, and forget its poses; at most END_S + KILLED_S. Stopping twice is harmless."""
        self.dismiss()
        while not self.dismissed:
            time.sleep(0.005)

    def dismiss(self) -> None:
        """Let the process go without waiting for it, and forget its poses. `dismissed` sees to its end."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._leaving.append(_Leaving(self._process, time.monotonic()))
        self._process, self._pipe, self._ready, self._ended = None, None, False, None
        self._received.clear()

    @property
    def dismissed(self) -> bool:
        """Whether every process that was let go has ended, or was given up because even SIGKILL did not end it. Never waits."""
        self._leaving = [leaving for leaving in self._leaving if not leaving.ended()]
        return all(leaving.given_up for leaving in self._leaving)

    @property
    def ready(self) -> bool:
        """Whether camera and estimator are open."""
        return self._ready

    @property
    def alive(self) -> bool:
        """Whether the process runs, hung or not."""
        return self._process is not None and self._process.poll() is None

    def wait_ready(self) -> None:
        """Block until camera and estimator are open. Raises what their opening raised, EyeError when nothing comes."""
        while not self._ready:
            self._receive(self._patience_s())

    def next(self) -> Pose:
        """Lockstep: the next frame's pose. Raises EndOfStream after the last one, EyeError when the eye died or hangs."""
        self.wait_ready()
        if self._ended is None:
            self._send("next")
        while not self._received:
            self._raise_ended()
            self._receive(self._patience_s())
        return self._received.popleft()

    def poses(self) -> list[Pose]:
        """Live: what has come since the last call; never waits. Raises what the eye failed with, EyeError when it died,
        EndOfStream after the last pose. That it is silent is for the caller to notice."""
        while self._ended is None and self._receive(0.0):
            pass
        if not self._received:
            self._raise_ended()
        arrived = list(self._received)
        self._received.clear()
        return arrived

    def hear(self, cue: Cue) -> None:
        """Let the virtual trainee in front of the camera hear `cue`; other cameras don't listen."""
        if self._ended is None:
            self._send(cue)

    def look_at(self, every: int) -> None:
        """Live: find the pose in every `every`-th frame only, from now on and after each start."""
        self._every = every
        if self._pipe is not None and self._ended is None:
            self._send(LookAt(every))

    def use(self, camera: CameraConfig) -> None:
        """Take another rate or size from the next start on."""
        self._spec = replace(self._spec, camera=camera)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _patience_s(self) -> float:
        return self._timeout_s if self._ready else START_TIMEOUT_S

    def _send(self, command: object) -> None:
        if self._pipe is None:
            raise EyeError("The eye is not started. Call start before asking it.")
        try:
            self._pipe.send(command)
        except OSError:
            # It may have said why before it went: that is read first, and raised.
            while self._ended is None and self._receive(0.5):
                pass
            self._raise_ended()

    def _receive(self, timeout_s: float) -> bool:
        """Take one record if it comes within `timeout_s`; False if none came and `timeout_s` is 0."""
        if self._pipe is None:
            raise EyeError("The eye is not started. Call start before asking it.")
        self._raise_ended()
        try:
            if not _readable(self._pipe, timeout_s):
                if timeout_s > 0:
                    self._fail(f"did not answer within {timeout_s:g} s")
                return False
            record = np.frombuffer(self._pipe.recv_bytes(RECORD.itemsize), dtype=RECORD)[0]
        except (OSError, EOFError):
            self._fail(self._how_it_died())
        self._take(record)
        return True

    def _take(self, record: Any) -> None:
        kind = int(record["kind"])
        if kind == READY:
            self._ready = True
        elif kind == POSE:
            pose = Pose(
                int(record["t_ns"]),
                int(record["sigma_ns"]),
                int(record["seq"]),
                np.array(record["image"]),
                np.array(record["world"]),
                int(record["width"]),
                int(record["height"]),
                bool(record["present"]),
            )
            self._received.append(pose)
            if self._on_timing is not None:
                for section in ("camera", "pose"):
                    took_ns, start_ns = int(record[f"{section}_ns"]), int(record[f"{section}_start_ns"])
                    self._on_timing(StageTiming(pose.t_ns, section, took_ns, start_ns))
        else:
            text = bytes(record["text"]).decode("utf-8", "ignore")
            error = getattr(device.errors, bytes(record["error"]).decode(), EyeError) if kind == FAILED else EndOfStream
            self._ended = error(text)
            if not self._ready:
                self._raise_ended()

    def _raise_ended(self) -> None:
        if self._ended is not None and not self._received:
            raise self._ended

    def _fail(self, what: str) -> NoReturn:
        raise EyeError(f"The eye process (camera {self._spec.camera.type}) {what}. It can be started again; the bands go on.")

    def _how_it_died(self) -> str:
        if self._process is None:
            return "is gone"
        try:
            # The kernel closes the pipe a moment before it has the status; the core's loop waits for no longer than that.
            code = self._process.wait(0.02)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"


def _readable(pipe: Connection, timeout_s: float) -> bool:
    """Whether there is something to read, or the other end is closed. `Connection.poll` makes a selector each time, which takes
    longer than all else in a look at an eye that has nothing."""
    poller = select.poll()
    poller.register(pipe.fileno(), select.POLLIN)
    return bool(poller.poll(1e3 * timeout_s))


class _Leaving:
    """A process that was let go: ends by itself, is killed, or is given up."""

    def __init__(self, process: subprocess.Popen[bytes], since_s: float) -> None:
        self._process = process
        self._since_s = since_s
        self._killed_s: float | None = None
        self.given_up = False

    def ended(self) -> bool:
        """Whether it is gone; kills it when it is time."""
        if self._process.poll() is not None:
            return True
        now_s = time.monotonic()
        if self._killed_s is None:
            if now_s - self._since_s >= END_S:
                self._process.kill()
                self._killed_s = now_s
        elif not self.given_up and now_s - self._killed_s >= KILLED_S:
            self.given_up = True
            log.error(
                "The eye process %d can't be killed: the kernel holds it, most likely for a hung camera. It is left behind; "
                "if the camera does not come back, restart the computer.",
                self._process.pid,
            )
        return False
