"""The eye of a simulated appliance, and what can go wrong with it as the core's side of the pipe sees it.

Modelled: the eye process and its camera. The real process with a real camera driver that fails is in `device.sim.faults.process`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from device.errors import EyeError
from device.messages import NS_PER_S, Pose
from device.sim.faults.feed import Placed
from device.sim_clock.session import POSE_LATENCY_NS

STARTING_NS = 2 * NS_PER_S
"""A process, its camera and its networks: 1.3 s on a desktop."""


class FeedEye:
    """Takes poses from the pieces as the eye would find them, `POSE_LATENCY_NS` after each picture. It is `Watching`.

    A fault sets what is public. `hangs`: the process is there and says nothing; a new one is well. `unkillable_ns`: how long it
    takes until an ended process is out of the way. `broken`: why it fails as soon as it is asked; empty while it works.
    `age_ns`: how much older than it should be each picture is. `keeps`: one of so many pictures comes. `dropped`: poses that
    never reached the core. `started`: how often.
    """

    def __init__(self, pieces: Iterator[Placed], clock: Callable[[], int]) -> None:
        self.hangs = False
        self.unkillable_ns = 0
        self.broken = ""
        self.age_ns = 0
        self.keeps = 1
        self.dropped = 0
        self.started = 0
        self._clock = clock
        self._poses = _numbered(pieces)
        self._next = next(self._poses, None)
        self._running = False
        self._killed = False
        self._ready_ns = 0
        self._ended_ns = 0

    @property
    def ready(self) -> bool:
        return self._running and self._clock() >= self._ready_ns and not self.broken

    @property
    def dismissed(self) -> bool:
        return not self._running and self._clock() >= self._ended_ns

    def start(self) -> None:
        self.started += 1
        self._running, self._killed, self.hangs = True, False, False
        self._ready_ns = self._clock() + (0 if self.started == 1 else STARTING_NS)

    def dismiss(self) -> None:
        self._running = False
        self._ended_ns = self._clock() + self.unkillable_ns

    def stop(self) -> None:
        self.dismiss()

    def kill(self) -> None:
        """The process is ended by somebody else; a new one is well."""
        self._killed = True

    def poses(self) -> list[Pose]:
        """Raises EyeError when it is broken."""
        now_ns = self._clock()
        arrived = self._arrived(now_ns)
        if self.broken or self._killed or not self._running or self.hangs or now_ns < self._ready_ns:
            self.dropped += len(arrived)
            arrived = []
        if self._killed or self.broken:
            raise EyeError(self.broken or "The eye process was ended by SIGKILL. It can be started again; the bands go on.")
        return arrived

    def _arrived(self, now_ns: int) -> list[Pose]:
        arrived: list[Pose] = []
        while self._next is not None and self._next.t_ns + POSE_LATENCY_NS + self.age_ns <= now_ns:
            if self._next.seq % self.keeps == 0:
                arrived.append(self._next)
            else:
                self.dropped += 1
            self._next = next(self._poses, None)
        return arrived


def _numbered(pieces: Iterator[Placed]) -> Iterator[Pose]:
    count = 0
    for here in pieces:
        for pose in here.piece.poses:
            yield replace(pose, t_ns=here.start_ns + pose.t_ns, seq=count)
            count += 1
