"""What runs inside the eye process: camera, pose estimator, and the pipe to the parent. Started by `device.runtime.eye`."""

from __future__ import annotations

import os
import queue
import select
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from device.drivers.base import Camera
from device.drivers.registry import create_camera
from device.errors import EndOfStream, SpotterError
from device.messages import Cue, Frame, Pose
from device.runtime.eye import END, FAILED, POSE, READY, RECORD, EyeSpec, LookAt
from device.runtime.pose import PoseEstimator
from device.runtime.pose_engine import make_estimator

AHEAD_FRAMES = 3
AHEAD_S = 0.25
"""How far the camera may run ahead of what the parent has asked for, in lockstep.

It is exact: the virtual trainee reacts to a cue 0.4 s after hearing it at the earliest, so frames up to that time don't
depend on it, whether they were drawn before or after the cue came. The rest to 0.4 s is for cues stamped a little before
the newest pose.
"""


class Took(NamedTuple):
    """When a section began (host, ns) and how long it took."""

    start_ns: int
    duration_ns: int


class Outlet:
    """Records to the parent. What doesn't fit into the pipe is dropped where `patient` is False."""

    def __init__(self, pipe: Connection[Any, Any]) -> None:
        self._pipe = pipe

    def pose(self, pose: Pose, camera: Took, estimating: Took, *, patient: bool) -> None:
        if not patient and not select.select([], [self._pipe], [], 0)[1]:
            return
        record = np.zeros((), dtype=RECORD)
        record["kind"], record["present"] = POSE, pose.present
        for name in ("t_ns", "sigma_ns", "seq", "width", "height", "image", "world"):
            record[name] = getattr(pose, name)
        record["camera_start_ns"], record["camera_ns"] = camera
        record["pose_start_ns"], record["pose_ns"] = estimating
        self._pipe.send_bytes(record.tobytes())

    def word(self, kind: int, error: BaseException | None = None) -> None:
        record = np.zeros((), dtype=RECORD)
        record["kind"] = kind
        if error is not None:
            record["error"] = type(error).__name__.encode()
            text = str(error) if isinstance(error, SpotterError) else f"The eye failed: {type(error).__name__}: {error}"
            record["text"] = text.encode()[: RECORD["text"].itemsize]
        self._pipe.send_bytes(record.tobytes())


class Commands:
    """Listens to the parent: counts the frames that it has asked for, passes cues on, and ends the process with the pipe.

    `every`: a live eye looks at every so manieth frame only.
    """

    def __init__(self, pipe: Connection[Any, Any], camera: Camera) -> None:
        self._pipe = pipe
        self._hear = getattr(camera, "hear", None)
        self._asked = 0
        self.every = 1
        self._changed = threading.Condition()
        self.camera_lock = threading.Lock()
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    def wait_for(self, frame: int) -> None:
        """Block until frame number `frame` (0, 1, ...) has been asked for."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked > frame)

    def _listen(self) -> None:
        while True:
            try:
                command = self._pipe.recv()
            except (EOFError, OSError):
                # The parent is gone or wants no more. A camera that hangs must not keep the process.
                os._exit(0)
            if isinstance(command, Cue):
                if self._hear is not None:
                    with self.camera_lock:
                        self._hear(command)
            elif isinstance(command, LookAt):
                self.every = max(1, command.every)
            else:
                with self._changed:
                    self._asked += 1
                    self._changed.notify_all()


def serve(pipe: Connection[Any, Any]) -> None:
    """Be the eye until the camera ends, something fails, or the parent goes."""
    outlet = Outlet(pipe)
    try:
        spec: EyeSpec = pipe.recv()
        with _camera(spec) as camera, make_estimator(spec.pose) as estimator:
            commands = Commands(pipe, camera)
            outlet.word(READY)
            if spec.lockstep:
                _lockstep(camera, estimator, commands, outlet, spec.camera.rate_hz)
            else:
                _live(camera, estimator, commands, outlet)
    except EndOfStream as end:
        outlet.word(END, end)
        _linger()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        outlet.word(FAILED, error)
        _linger()


def _linger() -> None:
    """Stay until the parent closes the pipe: whether it asks again or stops, it must not find the pipe broken."""
    while True:
        signal.pause()


def _camera(spec: EyeSpec) -> Camera:
    if spec.camera.type == "virtual" and spec.virtual is not None:
        from device.sim.scene import session_scene
        from device.sim.trainee import VirtualTrainee

        who = spec.virtual
        trainee = VirtualTrainee(who.seed, who.plan, deaf=who.deaf, exercises=who.exercises)
        scene = session_scene(who.seed)
        return create_camera(spec.camera, trainee=trainee, scene=scene, start_ns=who.start_ns, realtime=who.realtime)
    if spec.camera.type == "file" and spec.lockstep:
        return create_camera(spec.camera, start_ns=0)
    return create_camera(spec.camera)


def _lockstep(camera: Camera, estimator: PoseEstimator, commands: Commands, outlet: Outlet, rate_hz: float) -> None:
    """Every frame in order. Drawing frame k + 1 overlaps with finding the pose in frame k."""
    ahead = min(AHEAD_FRAMES, int(AHEAD_S * rate_hz))
    frames: queue.Queue[tuple[Frame, Took] | BaseException] = queue.Queue()

    def read() -> None:
        index = 0
        try:
            while True:
                commands.wait_for(index - ahead)
                with commands.camera_lock:
                    frames.put(_timed_read(camera))
                index += 1
        except BaseException as error:
            frames.put(error)

    threading.Thread(target=read, name="camera", daemon=True).start()
    while True:
        _estimate(estimator, frames.get(), outlet, patient=True)


def _live(camera: Camera, estimator: PoseEstimator, commands: Commands, outlet: Outlet) -> None:
    """The newest frame, always: frames that come while a pose is being found replace each other."""
    slot: list[tuple[Frame, Took] | BaseException] = []
    filled = threading.Condition()

    def read() -> None:
        going, count = True, 0
        while going:
            item: tuple[Frame, Took] | BaseException
            try:
                item = _timed_read(camera)
            except BaseException as error:
                item, going = error, False
            count += 1
            if going and count % commands.every:
                continue
            with filled:
                slot[:] = [item]
                filled.notify()

    threading.Thread(target=read, name="camera", daemon=True).start()
    while True:
        with filled:
            filled.wait_for(lambda: bool(slot))
            item = slot.pop()
        _estimate(estimator, item, outlet, patient=False)


def _timed_read(camera: Camera) -> tuple[Frame, Took]:
    """The next frame. Its time begins with its exposure: before that a live camera is only waited for."""
    asked_ns = time.monotonic_ns()
    frame = camera.read()
    done_ns = time.monotonic_ns()
    start_ns = max(asked_ns, min(frame.t_ns, done_ns))
    return frame, Took(start_ns, done_ns - start_ns)


def _estimate(estimator: PoseEstimator, item: tuple[Frame, Took] | BaseException, outlet: Outlet, *, patient: bool) -> None:
    if isinstance(item, BaseException):
        raise item
    frame, camera = item
    start = time.monotonic_ns()
    pose = estimator.estimate(frame)
    outlet.pose(pose, camera, Took(start, time.monotonic_ns() - start), patient=patient)


def main() -> None:
    # Ctrl-C in a terminal reaches the whole group; when to end is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import cv2

    # OpenCV's threads would take the cores from the pose network's for pictures too small to share.
    cv2.setNumThreads(1)
    serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    main()
