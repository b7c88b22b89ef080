"""A session in real time: the loop that feeds it from the eye and the bands, whatever becomes of these."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from device.drivers.base import ImuSource
from device.errors import DriverError, EndOfStream, SpotterError
from device.messages import NS_PER_S, Coached, Estimate, Sensed, ServiceChanged, ServiceState
from device.runtime.background import Background
from device.runtime.keepers import BandsKeeper, EyeKeeper, Keeper, Watching
from device.runtime.notify import Notifier, Pulse
from device.runtime.services import SERVICES
from device.runtime.supervisor import Do, Supervisor

log = logging.getLogger(__name__)

WAIT_S = 0.02
EXTEND_S = 10.0
"""Asked of systemd while the camera or the bands are waited for, again and again; a process that hangs asks no more."""
EARLY = 64
"""Messages kept from before the session: the first frames of a video."""

_RESTARTED = {service.name for service in SERVICES if service.restarts is not None}


class Fed(Protocol):
    """What is fed: a `Session`, or whatever else takes in what is sensed."""

    def push(self, message: Sensed) -> None: ...

    def advance(self, now_ns: int) -> list[Coached]: ...


class Watch:
    """What a session is watched with: the eye and the bands, as the supervisor wants them. As a context manager it ends both."""

    def __init__(self, eye: Watching, bands: ImuSource, supervisor: Supervisor, background: Background) -> None:
        self.supervisor = supervisor
        self.early: deque[Sensed] = deque(maxlen=EARLY)
        self._eye = eye
        self._bands = BandsKeeper(bands, supervisor, background) if "bands" in supervisor else None
        self._keepers: list[EyeKeeper | BandsKeeper] = [EyeKeeper(eye, supervisor)]
        if self._bands is not None:
            self._keepers.append(self._bands)

    def step(self, now_ns: int, push: Callable[[Sensed], None], others: Iterable[Keeper] = ()) -> None:
        """Let each keeper work, those of `others` too, then do what the supervisor wants. Raises EndOfStream."""
        keepers: list[Keeper] = [*self._keepers, *others]
        for keeper in keepers:
            keeper.step(now_ns, push)
        by_name = {keeper.name: keeper for keeper in keepers}
        for order in self.supervisor.step(now_ns):
            keeper = by_name[order.service]
            if order.do is Do.START:
                keeper.start(now_ns)
            else:
                keeper.stop(now_ns)

    def begin(self) -> None:
        """Start the eye and the bands without waiting for them."""
        self.step(time.monotonic_ns(), self.early.append)

    def wait(
        self,
        notifier: Notifier | None = None,
        *,
        check: Callable[[], None] = lambda: None,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Until the camera or the bands are open. Raises the first one's error once all have failed.

        `check` is called again and again; what it raises goes through.
        """
        asked_ns: int | None = None
        while not any(self.supervisor.is_open(keeper.name) for keeper in self._keepers):
            check()
            if all(self.supervisor.has_failed(keeper.name) for keeper in self._keepers):
                raise _told([keeper.error or self._silent(keeper.name) for keeper in self._keepers])
            now_ns = clock()
            if notifier is not None and (asked_ns is None or now_ns - asked_ns > NS_PER_S):
                asked_ns = now_ns
                notifier.extend(EXTEND_S)
            try:
                self.step(now_ns, self.early.append)
            except EndOfStream:
                return
            sleep(WAIT_S)

    def start_ns(self, now_ns: int) -> int:
        """When a session that begins at `now_ns` has its time zero: no later than what came before it."""
        return min((message.t_ns for message in self.early), default=now_ns)

    def _silent(self, name: str) -> SpotterError:
        return DriverError(f"The {name} could not be started. {self.supervisor.reason(name)} Check that the device is connected.")

    def close(self) -> None:
        """End the eye and the bands; closing twice is harmless."""
        self._eye.dismiss()
        if self._bands is not None:
            self._bands.close()
        self._eye.stop()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LiveRunner:
    """Feeds a session from the eye and the bands in real time, and lets the supervisor's orders be carried out.

    It never ends for what fails: that is started again, and the rest goes on meanwhile. A finite source that is done (a video)
    ends it. `others`: keepers of the session's sinks. `notifier`: to systemd. `check` is called between two steps; what it
    raises goes through.
    """

    def __init__(
        self,
        session: Fed,
        watch: Watch,
        tick_hz: float,
        *,
        others: Iterable[Keeper] = (),
        notifier: Notifier | None = None,
        check: Callable[[], None] = lambda: None,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._watch = watch
        self._supervisor = watch.supervisor
        self._others = tuple(others)
        self._notifier = notifier or Notifier()
        self._pulse = Pulse(self._notifier)
        self._check = check
        self._period_ns = round(NS_PER_S / tick_hz)
        self._clock = clock
        self._sleep = sleep

    def run(self, until_ns: int | None = None) -> Iterator[int]:
        """Run until `until_ns` (host monotonic) or the end of a source. Yields the time (ns) after each step."""
        while self._watch.early:
            self._session.push(self._watch.early.popleft())
        due_ns = self._clock()
        while until_ns is None or due_ns < until_ns:
            self._check()
            now_ns = self._clock()
            try:
                self._watch.step(now_ns, self._session.push, self._others)
            except EndOfStream:
                return
            self._tell_changes()
            ticks = sum(isinstance(message, Estimate) for message in self._session.advance(now_ns))
            if ticks and "core" in self._supervisor:
                self._supervisor.heard("core", now_ns, count=ticks)
            self._pulse.step(now_ns, self._supervisor.flowing(now_ns))
            yield now_ns
            # A step that took too long is not made up for: the grid of ticks is the core's, not this loop's.
            due_ns = max(due_ns + self._period_ns, self._clock())
            self._sleep(max(0, due_ns - self._clock()) / NS_PER_S)

    def _tell_changes(self) -> None:
        changes = self._supervisor.changes()
        for change in changes:
            self._session.push(change)
            self._log(change)
        if changes:
            self._notifier.status(self._supervisor.status())

    def _log(self, change: ServiceChanged) -> None:
        name = change.service
        if name not in _RESTARTED:
            log.info("%s is %s", name, change.state)
        elif change.state is ServiceState.RUNNING and self._supervisor.has_failed(name):
            log.warning("Running again: %s.", name)
        elif change.state is ServiceState.FAILED:
            log.warning("Failed, started again in %g s: %s. %s", self._supervisor.rest_s(name), name, change.reason)
        elif change.state is ServiceState.GONE:
            log.warning("Failed too often, tried every %g s: %s. %s", self._supervisor.rest_s(name), name, change.reason)


def _told(errors: list[SpotterError]) -> SpotterError:
    """The first error; the others are reported."""
    for error in errors[1:]:
        log.warning("%s", error)
    return errors[0]
