"""The shell around the supervisor for what is watched with: starts, stops and reads the eye and the bands as it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from device.drivers.base import ImuSource
from device.errors import DriverError, EndOfStream, SpotterError
from device.messages import Pose, Sensed, ServiceState
from device.runtime.background import Background, within
from device.runtime.supervisor import Supervisor
from device.skeleton import BANDS

CLOSE_S = 1.0
"""How long the end of a session waits for the bands to be closed."""

log = logging.getLogger(__name__)

STARTING, RUNNING, FAILED = ServiceState.STARTING, ServiceState.RUNNING, ServiceState.FAILED

Push = Callable[[Sensed], None]


class Keeper(Protocol):
    """Keeps one service as the supervisor wants it. None of it blocks."""

    name: str

    def start(self, now_ns: int) -> None:
        """Begin to start it; what comes of it is reported by `step`."""

    def stop(self, now_ns: int) -> None:
        """Begin to stop it; `step` reports when it is out of the way."""

    def step(self, now_ns: int, push: Push) -> None:
        """See how it is, and push what it brought. Raises EndOfStream when a finite source is done."""


class Watching(Protocol):
    """What is asked of the eye; `device.runtime.eye.Eye` is the one."""

    @property
    def ready(self) -> bool: ...

    @property
    def dismissed(self) -> bool: ...

    def start(self) -> None: ...

    def dismiss(self) -> None: ...

    def stop(self) -> None: ...

    def poses(self) -> list[Pose]: ...


class EyeKeeper:
    """Keeps the eye. Stale poses and those that repeat themselves don't reach the core, and don't count as data.

    `error`: what its newest failure raised.
    """

    name = "eye"

    def __init__(self, eye: Watching, supervisor: Supervisor) -> None:
        self._eye = eye
        self._supervisor = supervisor
        self._opened = False
        self.error: SpotterError | None = None

    def start(self, now_ns: int) -> None:
        self._opened = False
        try:
            self._eye.start()
        except SpotterError as error:
            self._fail(now_ns, error)

    def stop(self, now_ns: int) -> None:  # noqa: ARG002
        self._eye.dismiss()

    def step(self, now_ns: int, push: Push) -> None:
        state = self._supervisor.state(self.name)
        if state is FAILED and self._eye.dismissed:
            self._supervisor.stopped(self.name, now_ns)
        if state not in (STARTING, RUNNING):
            return
        try:
            poses = self._eye.poses()
        except EndOfStream:
            raise
        except SpotterError as error:
            self._fail(now_ns, error)
            return
        if not self._opened and self._eye.ready:
            self._opened = True
            self._supervisor.opened(self.name, now_ns)
        for pose in poses:
            if self._supervisor.heard(self.name, now_ns, pose.t_ns):
                push(pose)

    def _fail(self, now_ns: int, error: SpotterError) -> None:
        self.error = error
        self._supervisor.failed(self.name, now_ns, str(error))


class BandsKeeper:
    """Keeps the source of the bands; it is opened and closed in the background.

    `error`: what its newest failure raised.
    """

    name = "bands"

    def __init__(self, source: ImuSource, supervisor: Supervisor, background: Background) -> None:
        self._source = source
        self._supervisor = supervisor
        self._background = background
        self._opening: Future[None] | None = None
        self._closing: Future[None] | None = None
        self._open = False
        self.error: SpotterError | None = None

    def start(self, now_ns: int) -> None:
        if self._open:
            self._supervisor.opened(self.name, now_ns)
        elif self._opening is None:
            # One that hangs is waited for: no second one beside it.
            self._opening = self._background.submit(self._source.open)

    def stop(self, now_ns: int) -> None:  # noqa: ARG002
        if self._open:
            self._open = False
            self._closing = self._background.submit(self._source.close)

    def step(self, now_ns: int, push: Push) -> None:
        if self._closing is not None and self._closing.done():
            error, self._closing = self._closing.exception(), None
            if error is not None:
                log.warning("The bands were not closed cleanly: %s", error)
        if self._supervisor.state(self.name) is FAILED and not self._open and self._closing is None:
            self._supervisor.stopped(self.name, now_ns)
        if self._opening is not None and self._opening.done():
            error, self._opening = self._opening.exception(), None
            if error is None:
                self._open = True
                self._supervisor.opened(self.name, now_ns)
            else:
                self._fail(now_ns, error)
        if self._supervisor.state(self.name) is RUNNING:
            self._read(now_ns, push)

    def close(self) -> None:
        """Close the source; if it is just being opened, as soon as it is."""
        if self._opening is not None and not self._opening.done():
            self._opening.add_done_callback(lambda _: self._source.close())
        elif not within(self._background, self._source.close, CLOSE_S):
            log.warning("The bands were not closed within %g s, and are left.", CLOSE_S)

    def _read(self, now_ns: int, push: Push) -> None:
        try:
            # Of what came meanwhile the pings first: they can only make the batches' times better.
            for ping in self._source.pings(now_ns):
                push(ping)
            for batch in self._source.read(now_ns):
                self._supervisor.heard(self.name, now_ns)
                self._supervisor.heard(BANDS[batch.band], now_ns, count=len(batch.times_ns))
                push(batch)
        except EndOfStream:
            raise
        except DriverError as error:
            self._fail(now_ns, error)

    def _fail(self, now_ns: int, error: BaseException) -> None:
        self.error = (
            error if isinstance(error, SpotterError) else DriverError(f"The bands failed: {type(error).__name__}: {error}")
        )
        self._supervisor.failed(self.name, now_ns, str(self.error))
