"""One session: the core, fed with what was sensed, and the sinks that act on what it says."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from device.drivers.base import Haptic, Speaker
from device.errors import DriverError, RecordingError, StoreError
from device.messages import (
    Advanced,
    ClockPing,
    Coached,
    Cue,
    ImuBatch,
    Pose,
    Repetition,
    Sensed,
    ServiceChanged,
    SetEnded,
    SetStarted,
    Speech,
    Vibration,
)

if TYPE_CHECKING:
    from device.runtime.recording import Recorder
    from device.runtime.store import SessionStore

log = logging.getLogger(__name__)

COMPLETE = "complete"
STOPPED = "stopped"
INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The last message of a session. `status`: complete, stopped (Ctrl-C, SIGTERM) or interrupted (an error)."""

    t_ns: int
    status: str


Heard = Sensed | Advanced | Coached | SessionClosed
"""Everything that a sink is handed."""


class Sink(Protocol):
    """Acts on messages of a session; those that are not its business it ignores."""

    def receive(self, message: Heard) -> None:
        """Act on `message`. DriverError and StoreError detach the sink, unless a `device.runtime.kept.KeptSink` stands for it;
        the rest of the session goes on."""

    def close(self) -> None:
        """Leave everything safe and saved; closing twice is harmless."""


class SteppedCore(Protocol):
    """What a session asks of the core; `device.runtime.core.Core` is the one."""

    def push(self, message: Sensed) -> None: ...

    def advance(self, now_ns: int) -> list[Coached]: ...

    def finish(self, now_ns: int) -> list[Coached]: ...


class Session:
    """Feeds the core and hands every message to every sink, in order.

    A sink that fails with DriverError or StoreError is reported once, closed and left out from then on; what has to come back
    is handed in as a KeptSink.
    `close` closes every sink, whatever any of them raises. As a context manager it closes at the time of the last
    `advance`, as stopped after KeyboardInterrupt and as interrupted after any other error.
    """

    def __init__(self, core: SteppedCore, sinks: Iterable[Sink]) -> None:
        self._core = core
        self._sinks = list(sinks)
        self._now_ns = 0
        self._closed = False

    def push(self, message: Sensed) -> None:
        """Hand what was sensed to the core and the sinks."""
        self._core.push(message)
        self._publish(message)

    def advance(self, now_ns: int) -> list[Coached]:
        """Let the core work up to `now_ns`. Returns what it says after the sinks have received it."""
        self._now_ns = now_ns
        self._publish(Advanced(now_ns))
        coached = self._core.advance(now_ns)
        for message in coached:
            self._publish(message)
        return coached

    def close(self, now_ns: int, status: str = COMPLETE) -> list[Coached]:
        """End an open set, tell the sinks how the session ended and close them. Returns the core's last messages."""
        if self._closed:
            return []
        self._closed = True
        coached: list[Coached] = []
        with ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(self._close, sink)
            try:
                coached = self._core.finish(now_ns)
                for message in coached:
                    self._publish(message)
            finally:
                self._publish(SessionClosed(now_ns, status))
        return coached

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close(self._now_ns)
        else:
            self.close(self._now_ns, STOPPED if issubclass(kind, KeyboardInterrupt) else INTERRUPTED)

    def _publish(self, message: Heard) -> None:
        for sink in tuple(self._sinks):
            try:
                sink.receive(message)
            except (DriverError, StoreError) as error:
                log.warning("The session goes on without its %s: %s", _name(sink), error)
                self._sinks.remove(sink)
                self._close(sink)

    def _close(self, sink: Sink) -> None:
        try:
            sink.close()
        except (DriverError, StoreError) as error:
            log.warning("The %s was not closed cleanly: %s", _name(sink), error)


class VoiceSink:
    """Says the prompts. Takes an open speaker and closes it."""

    name = "voice"

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    def receive(self, message: Heard) -> None:
        if isinstance(message, Speech):
            self._speaker.say(message.prompts, message.t_ns)

    def close(self) -> None:
        self._speaker.close()


class HapticSink:
    """Vibrates the bands. Takes an open haptic driver; switches its motors off and closes it."""

    name = "vibration"

    def __init__(self, haptic: Haptic) -> None:
        self._haptic = haptic

    def receive(self, message: Heard) -> None:
        if isinstance(message, Vibration):
            self._haptic.vibrate(message.band, message.intensity, message.duration_ns, message.t_ns)
        elif isinstance(message, SessionClosed):
            self._haptic.off()

    def close(self) -> None:
        try:
            self._haptic.off()
        finally:
            self._haptic.close()


KEPT_IN_STORE = (SetStarted, Repetition, SetEnded, Cue)
"""What the store keeps."""
RECORDED = (Pose, ImuBatch, ClockPing, ServiceChanged, Advanced)
"""What a recording keeps."""


class StoreSink:
    """Keeps sets, repetitions and cues in the store. The store's session is begun before and ended here."""

    name = "session store"

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    def receive(self, message: Heard) -> None:
        if isinstance(message, KEPT_IN_STORE):
            self._store.add(message)
        elif isinstance(message, SessionClosed):
            self._store.end(message.t_ns, message.status)

    def close(self) -> None:
        self._store.close()


class RecordingSink:
    """Writes what was sensed and when the core worked on it, so that the session can be replayed. Closes the recorder."""

    name = "recording"

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def receive(self, message: Heard) -> None:
        if isinstance(message, RECORDED):
            try:
                self._recorder.write(message)
            except RecordingError as error:
                log.warning("Left out of the recording: %s", error)

    def close(self) -> None:
        self._recorder.close()


def _name(sink: Sink) -> str:
    return str(getattr(sink, "name", type(sink).__name__))
