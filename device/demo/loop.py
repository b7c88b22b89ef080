"""Camera, bands and coach in step, in simulated time, with a trainee who hears what is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.drivers.base import ImuSource
from device.errors import EndOfStream
from device.messages import NS_PER_S, Array, ClockPing, Cue, Estimate, ImuBatch, Pose, Sensed
from device.runtime.core import Stepping
from device.runtime.evidence import Response
from device.runtime.features import FeatureConstants
from device.runtime.live import play
from device.runtime.session import Heard, Session
from device.skeleton import N_JOINTS, joint_angles

POSE_LATENCY_NS = 60_000_000
"""From mid-exposure until the pose is in the core: the budget of the pose section."""


class Watcher(Protocol):
    """Poses of the trainee's pictures, in order."""

    def next(self) -> Pose:
        """The pose of the next picture; raises EndOfStream after the last."""

    def hear(self, cue: Cue) -> None:
        """Let the trainee in the pictures react."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One picture, once the core has worked on it. `now_ns`: simulated time. `heard`: cues since the picture before, timed
    when they were heard."""

    now_ns: int
    pose: Pose
    heard: tuple[Cue, ...]


class Ears:
    """A sink that keeps what is said and felt until the trainee hears it."""

    name = "trainee"

    def __init__(self) -> None:
        self._cues: list[Cue] = []

    def receive(self, message: Heard) -> None:
        if isinstance(message, Cue):
            self._cues.append(message)

    def close(self) -> None:
        self._cues.clear()

    def take(self, now_ns: int) -> list[Cue]:
        """The cues since the last call, as heard at `now_ns`."""
        cues, self._cues = self._cues, []
        return [replace(cue, t_ns=now_ns) for cue in cues]


class ObservedModel:
    """Hands every step to `model` and keeps what the scores need: features, raw angles by time, wall time of each step."""

    def __init__(self, model: Stepping) -> None:
        self._model = model
        self.skeleton: list[Array] = []
        self.inertial: list[Array] = []
        self.durations_ns: list[int] = []
        self.raw: dict[int, NDArray[np.float64]] = {}
        self._last = np.full(N_JOINTS, np.nan)

    @property
    def classes(self) -> tuple[str, ...]:
        return self._model.classes

    @property
    def constants(self) -> FeatureConstants:
        return self._model.constants

    @property
    def responses(self) -> Mapping[str, Mapping[str, Response]]:
        return self._model.responses

    def reset(self) -> None:
        self._model.reset()

    def step(self, skeleton: Array, inertial: Array, t_ns: int, seq: int) -> Estimate:
        started = time.perf_counter_ns()
        estimate = self._model.step(skeleton, inertial, t_ns, seq)
        self.durations_ns.append(time.perf_counter_ns() - started)
        self.skeleton.append(skeleton)
        self.inertial.append(inertial)
        # Where nobody is seen the last angles stand, as the aligner holds the last landmarks.
        if skeleton[0, 10] > 0:
            # The features' positions are the landmarks, moved and scaled, which changes no angle.
            self._last = joint_angles(skeleton[:, :3])
        self.raw[t_ns] = self._last
        return estimate


def lockstep(
    session: Session,
    eye: Watcher,
    bands: ImuSource,
    ears: Ears,
    listeners: Sequence[Callable[[Cue], None]],
    *,
    start_ns: int = 0,
    realtime: bool = False,
) -> Iterator[Moment]:
    """Go through the session picture by picture until the eye has no more.

    Poses come `POSE_LATENCY_NS` after mid-exposure, among the bands' batches in order of arrival, as a recording has them: so
    its replay gives the same. A cue is heard by the eye's trainee and all `listeners` when the core puts it out; `ears` is one
    of the session's sinks. `realtime` holds each picture until its time on the wall clock.
    """
    heard: list[Cue] = []
    messages = _Arrivals(eye, bands, start_ns, realtime)
    for now_ns in play(session, messages):
        for cue in ears.take(messages.arrival_ns):
            eye.hear(cue)
            for listener in listeners:
                listener(cue)
            heard.append(cue)
        if messages.pose is not None:
            yield Moment(max(now_ns, messages.arrival_ns), messages.pose, tuple(heard))
            heard.clear()


class _Arrivals:
    """Messages in order of arrival. `pose`: the newest message where it is a pose. `arrival_ns`: of the newest pose, or of
    the one that the newest batch is on the way with."""

    def __init__(self, eye: Watcher, bands: ImuSource, start_ns: int, realtime: bool) -> None:
        self.pose: Pose | None = None
        self.arrival_ns = start_ns
        self._eye, self._bands = eye, bands
        self._start_ns, self._realtime = start_ns, realtime

    def __iter__(self) -> Iterator[Sensed]:
        began_ns: int | None = None
        while True:
            try:
                pose = self._eye.next()
            except EndOfStream:
                return
            # The eye takes seconds to be ready; the session begins with its first picture.
            began_ns = began_ns if began_ns is not None else time.monotonic_ns()
            self.arrival_ns = pose.t_ns + POSE_LATENCY_NS
            if self._realtime:
                ahead_ns = self.arrival_ns - self._start_ns - (time.monotonic_ns() - began_ns)
                time.sleep(max(0, ahead_ns) / NS_PER_S)
            for message in self._felt(self.arrival_ns):
                self.pose = None
                yield message
            self.pose = pose
            yield pose

    def _felt(self, until_ns: int) -> list[ImuBatch | ClockPing]:
        pings = self._bands.pings(until_ns)
        try:
            batches = self._bands.read(until_ns)
        except EndOfStream:
            batches = []
        return sorted([*pings, *batches], key=lambda message: message.t_ns) if pings else [*batches]
