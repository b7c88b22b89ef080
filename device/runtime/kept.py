"""A sink that is opened again when it fails, while the session goes on."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from device.errors import DriverError, SpotterError, StoreError
from device.messages import Advanced, ServiceState
from device.runtime.background import Background, within
from device.runtime.session import Heard, SessionClosed, Sink
from device.runtime.supervisor import Supervisor

log = logging.getLogger(__name__)

AT_ONCE = 20
"""Messages that waited, handed on in one step."""
CLOSE_S = 1.0
"""How long the end of a session waits for a device to be closed: a sound card that hangs must not keep the others open."""
LAST_S = 0.5
"""How long the end of a session waits for a sink that is being opened."""


class KeptSink:
    """Stands for the sink that `make` opens; it is a sink of the session and a keeper of the supervisor's service `name`.

    `make`: an open sink; it is called in the background, again after each failure, and raises DriverError or StoreError where
    that can't be. `keeps`: types of messages that wait for it while it is away, at most `bound` of them, and are handed on
    `at_once` a step; others are dropped, as a correction that comes late would mislead. When the session closes, a sink for
    which something waits is tried once more.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Sink],
        supervisor: Supervisor,
        background: Background,
        *,
        keeps: tuple[type, ...] = (),
        bound: int = 20_000,
        at_once: int = AT_ONCE,
    ) -> None:
        self.name = name
        self._make = make
        self._supervisor = supervisor
        self._background = background
        self._keeps = keeps
        self._bound = bound
        self._at_once = at_once
        self._waiting: deque[Heard] = deque()
        self._sink: Sink | None = None
        self._broken: Sink | None = None
        self._opening: Future[Sink] | None = None
        self._closing: Future[None] | None = None
        self._now_ns = 0
        self._closed = False
        self.lost = 0

    @property
    def waiting(self) -> int:
        """How many messages wait for it."""
        return len(self._waiting)

    def start(self, now_ns: int) -> None:
        if self._sink is not None:
            self._supervisor.opened(self.name, now_ns)
        elif self._opening is None:
            # One that hangs is waited for: no second one beside it.
            self._opening = self._background.submit(self._make)

    def stop(self, now_ns: int) -> None:  # noqa: ARG002
        broken, self._broken = self._broken, None
        if broken is not None:
            self._closing = self._background.submit(broken.close)

    def step(self, now_ns: int, _push: object = None) -> None:
        self._now_ns = now_ns
        if self._closing is not None and self._closing.done():
            error, self._closing = self._closing.exception(), None
            if error is not None:
                log.warning("The %s was not closed cleanly: %s", self.name, error)
        state = self._supervisor.state(self.name)
        if state is ServiceState.FAILED and self._broken is None and self._closing is None:
            self._supervisor.stopped(self.name, now_ns)
        if self._opening is not None and self._opening.done():
            opening, self._opening = self._opening, None
            self._take(opening, now_ns)
        if self._supervisor.state(self.name) is ServiceState.RUNNING:
            self._hand_on(self._at_once)

    def receive(self, message: Heard) -> None:
        if isinstance(message, Advanced):
            self._now_ns = message.t_ns
        if isinstance(message, SessionClosed):
            self._finish(message)
        elif self._sink is None or self._waiting:
            self._keep(message)
        else:
            self._hand(message)

    def close(self) -> None:
        """Close the sink; one that is just being opened is closed as soon as it is."""
        if self._closed:
            return
        self._closed = True
        if self._opening is not None:
            self._opening.add_done_callback(_close_late)
        sinks, self._broken, self._sink = (self._broken, self._sink), None, None
        for sink in sinks:
            if sink is not None and not within(self._background, sink.close, CLOSE_S):
                log.warning("The %s was not closed within %g s, and is left.", self.name, CLOSE_S)

    def _take(self, opening: Future[Sink], now_ns: int) -> None:
        error = opening.exception()
        if error is None:
            self._sink = opening.result()
            self._supervisor.opened(self.name, now_ns)
            return
        reason = str(error) if isinstance(error, SpotterError) else f"{type(error).__name__}: {error}"
        self._supervisor.failed(self.name, now_ns, reason)

    def _hand(self, message: Heard) -> bool:
        assert self._sink is not None
        try:
            self._sink.receive(message)
        except (DriverError, StoreError) as error:
            self._broken, self._sink = self._sink, None
            self._supervisor.failed(self.name, self._now_ns, str(error))
            if isinstance(message, self._keeps):
                self._waiting.appendleft(message)
            return False
        return True

    def _hand_on(self, most: int) -> None:
        for _ in range(min(most, len(self._waiting))):
            if self._sink is None or not self._hand(self._waiting.popleft()):
                return

    def _keep(self, message: Heard) -> None:
        if not isinstance(message, self._keeps):
            return
        if len(self._waiting) < self._bound:
            self._waiting.append(message)
        else:
            self.lost += 1

    def _finish(self, closed: SessionClosed) -> None:
        """The session is over: what waits is handed on now, or lost."""
        self._now_ns = closed.t_ns
        if self._sink is None and self._keeps:
            try:
                self._sink = self._last_attempt()
            except (DriverError, StoreError, TimeoutError) as error:
                log.warning("The %s could not be opened for the end of the session: %s", self.name, error)
        self._hand_on(len(self._waiting))
        if self._sink is not None:
            self._hand(closed)
        self.lost += len(self._waiting)
        if self.lost:
            log.warning("The %s lost %d messages of this session.", self.name, self.lost)

    def _last_attempt(self) -> Sink:
        """The sink, opened; waits for LAST_S where that is just being done. Raises TimeoutError."""
        if self._closing is not None:
            self._closing.exception(LAST_S)
        if self._opening is not None:
            # Where that takes longer, `close` sees to what comes of it.
            sink = self._opening.result(LAST_S)
            self._opening = None
            return sink
        broken, self._broken = self._broken, None
        if broken is not None:
            broken.close()
        return self._make()


def _close_late(opening: Future[Sink]) -> None:
    if opening.exception() is None:
        opening.result().close()
