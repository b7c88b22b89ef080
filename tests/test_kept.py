"""Sinks that fail and come back while the session goes on, in simulated time."""

import logging
import resource
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from device.errors import DriverError, StoreError
from device.messages import NS_PER_S, Advanced, Coached, Pose, Repetition, Sensed, SetEnded, SetStarted, Speech
from device.runtime.background import Inline
from device.runtime.history import read_sessions
from device.runtime.kept import AT_ONCE, KeptSink
from device.runtime.live import kept_recording
from device.runtime.recording import Recorder, read_recording
from device.runtime.services import SERVICES
from device.runtime.session import KEPT_IN_STORE, Heard, Session, SessionClosed, StoreSink
from device.runtime.store import SessionStore
from device.runtime.supervisor import Do, Supervisor

S = NS_PER_S
SPEECH = Speech(1, 0, ("knees_out",), "Knees out")


class Device:
    """What can be opened, fails when `broken`, and notes what reached it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error: Exception = error or DriverError("unplugged")
        self.broken = False
        self.received: list[Heard] = []
        self.opened = self.closed = 0

    def make(self) -> "Device":
        if self.broken:
            raise self.error
        self.opened += 1
        return self

    def receive(self, message: Heard) -> None:
        if self.broken:
            raise self.error
        self.received.append(message)

    def close(self) -> None:
        self.closed += 1


class Later:
    """Jobs are done when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], object], Future[object]]] = []

    def submit(self, job: Callable[[], object]) -> Future[object]:
        future: Future[object] = Future()
        self.jobs.append((job, future))
        return future

    def do(self) -> None:
        for job, future in self.jobs:
            future.set_result(job())
        self.jobs = []


class Core:
    """Says nothing."""

    def push(self, message: Sensed) -> None: ...

    def advance(self, _now_ns: int) -> list[Coached]:
        return []

    def finish(self, _now_ns: int) -> list[Coached]:
        return []


class Rig:
    """One kept sink under a supervisor, stepped ten times a second."""

    def __init__(self, name: str, make: Callable[[], object], background: object = None, **options: object) -> None:
        self.supervisor = Supervisor([service for service in SERVICES if service.name == name])
        self.sink = KeptSink(name, make, self.supervisor, background or Inline(), **options)  # type: ignore[arg-type]
        self.now_ns = 100 * S

    def step(self, seconds: float = 0.1) -> None:
        for _ in range(round(seconds * 10)):
            self.now_ns += S // 10
            self.sink.step(self.now_ns)
            for order in self.supervisor.step(self.now_ns):
                (self.sink.start if order.do is Do.START else self.sink.stop)(self.now_ns)
            self.sink.receive(Advanced(self.now_ns))

    @property
    def state(self) -> str:
        return self.supervisor.state(self.sink.name).value


def test_what_it_is_handed_reaches_the_sink_once_it_is_open() -> None:
    device = Device()
    rig = Rig("voice", device.make)
    rig.sink.receive(SPEECH)
    rig.step(0.2)
    assert SPEECH not in device.received
    rig.sink.receive(SPEECH)
    assert device.received[-1] is SPEECH
    assert rig.state == "running"


def test_a_sound_card_that_is_absent_is_tried_again_and_its_late_words_are_not_said() -> None:
    device = Device()
    device.broken = True
    rig = Rig("voice", device.make)
    rig.step(3.0)
    rig.sink.receive(SPEECH)
    device.broken = False
    rig.step(4.0)
    assert (rig.state, device.opened) == ("running", 1)
    assert SPEECH not in device.received
    rig.sink.receive(SPEECH)
    assert device.received[-1] is SPEECH


def test_a_sink_that_fails_is_closed_and_opened_again() -> None:
    device = Device()
    rig = Rig("voice", device.make)
    rig.step(0.3)
    device.broken = True
    rig.sink.receive(SPEECH)
    assert rig.state == "failed"
    device.broken = False
    rig.step(1.0)
    assert (rig.state, device.opened, device.closed) == ("running", 2, 1)


def test_an_error_that_nobody_foresaw_while_opening_is_a_failure_like_another() -> None:
    device = Device(ValueError("a maker's driver"))
    device.broken = True
    rig = Rig("vibration", device.make)
    rig.step(0.3)
    assert "ValueError: a maker's driver" in rig.supervisor.reason("vibration")


def test_what_has_to_be_kept_waits_in_order_and_comes_back_in_slices() -> None:
    device = Device(StoreError("locked"))
    rig = Rig("store", device.make, keeps=(SetStarted,))
    rig.step(0.3)
    device.broken = True
    given = [SetStarted(k, k, "squat") for k in range(3 * AT_ONCE)]
    for message in given:
        rig.sink.receive(message)
    assert rig.sink.waiting == len(given)
    device.broken = False
    rig.step(0.2)
    more = SetStarted(999, 999, "squat")
    rig.sink.receive(more)
    rig.step(1.0)
    kept = [message for message in device.received if isinstance(message, SetStarted)]
    assert kept == [*given, more]
    assert (rig.sink.waiting, rig.sink.lost) == (0, 0)


def test_what_waits_is_bounded_and_what_is_lost_is_said(caplog: pytest.LogCaptureFixture) -> None:
    device = Device(StoreError("disk full"))
    device.broken = True
    rig = Rig("store", device.make, keeps=(SetStarted,), bound=5)
    for k in range(9):
        rig.sink.receive(SetStarted(k, k, "squat"))
    assert (rig.sink.waiting, rig.sink.lost) == (5, 4)
    with caplog.at_level(logging.WARNING):
        rig.sink.receive(SessionClosed(1, "complete"))
    assert "lost 9 messages" in caplog.text


def test_at_the_end_of_the_session_what_waits_is_tried_once_more() -> None:
    device = Device(StoreError("locked"))
    rig = Rig("store", device.make, keeps=(SetStarted,))
    rig.step(0.3)
    device.broken = True
    rig.sink.receive(SetStarted(1, 1, "squat"))
    device.broken = False
    rig.sink.receive(SessionClosed(2, "stopped"))
    rig.sink.close()
    assert [type(message) for message in device.received[-2:]] == [SetStarted, SessionClosed]
    assert device.closed == 2


def test_an_opening_that_hangs_is_not_begun_a_second_time_and_is_used_when_it_ends() -> None:
    device, later = Device(), Later()
    rig = Rig("voice", device.make, later)
    rig.step(60.0)
    assert len(later.jobs) == 1
    assert rig.state in ("failed", "resting", "starting")
    later.do()
    rig.step(5.0)
    assert (rig.state, device.opened) == ("running", 1)


def test_a_sink_that_opens_after_the_session_is_closed_at_once() -> None:
    device, later = Device(), Later()
    rig = Rig("voice", device.make, later)
    rig.step(0.2)
    rig.sink.close()
    later.do()
    assert (device.opened, device.closed) == (1, 1)


def test_a_device_that_hangs_while_closing_does_not_keep_the_session_from_ending(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.runtime.kept.CLOSE_S", 0.01)
    device, later = Device(), Later()
    rig = Rig("voice", device.make, later)
    rig.step(0.1)
    later.do()
    rig.step(0.1)
    with caplog.at_level(logging.WARNING):
        rig.sink.close()
    assert "was not closed" in caplog.text
    later.do()
    assert device.closed == 1


class TestStore:
    """The real store, whose disk a folder stands for."""

    @staticmethod
    def rig(path: Path) -> Rig:
        store = SessionStore(path, patience_s=0.05)

        def make() -> StoreSink:
            if store.begun:
                store.resume()
            else:
                store.begin("ada", "run", "1.0", 100 * S)
            return StoreSink(store)

        return Rig("store", make, keeps=KEPT_IN_STORE)

    @staticmethod
    def repetition(rig: Rig, index: int) -> None:
        rig.sink.receive(Repetition(rig.now_ns, index, rig.now_ns - S, rig.now_ns, "squat", "both", index, ()))

    def finish(self, rig: Rig, repetitions: int) -> None:
        rig.sink.receive(SetEnded(rig.now_ns, 0, 101 * S, rig.now_ns, "squat", repetitions))
        rig.sink.receive(SessionClosed(rig.now_ns, "complete"))
        rig.sink.close()

    def test_a_locked_database_costs_nothing_once_it_is_free(self, tmp_path: Path) -> None:
        path = tmp_path / "sessions.sqlite"
        rig = self.rig(path)
        rig.step(0.3)
        rig.sink.receive(SetStarted(rig.now_ns, 0, "squat"))
        self.repetition(rig, 0)
        locker = sqlite3.connect(path, isolation_level=None)
        locker.execute("BEGIN EXCLUSIVE")
        for index in range(1, 4):
            rig.step(1.0)
            self.repetition(rig, index)
        assert rig.supervisor.has_failed("store")
        locker.execute("ROLLBACK")
        locker.close()
        rig.step(6.0)
        assert rig.state == "running"
        self.repetition(rig, 4)
        self.finish(rig, 5)
        (session,) = read_sessions(path)
        assert (session.status, session.repetitions, len(session.sets)) == ("complete", 5, 1)

    def test_a_store_that_is_absent_at_the_start_has_the_whole_session_when_it_comes(self, tmp_path: Path) -> None:
        (tmp_path / "data").write_text("not mounted yet")
        path = tmp_path / "data" / "sessions.sqlite"
        rig = self.rig(path)
        rig.step(0.5)
        rig.sink.receive(SetStarted(rig.now_ns, 0, "squat"))
        for index in range(3):
            self.repetition(rig, index)
        assert rig.state != "running"
        (tmp_path / "data").unlink()
        rig.step(6.0)
        self.finish(rig, 3)
        (session,) = read_sessions(path)
        assert (session.status, session.repetitions, session.trainee) == ("complete", 3, "ada")

    def test_another_disk_gets_a_session_of_its_own(self, tmp_path: Path) -> None:
        path = tmp_path / "sessions.sqlite"
        store = SessionStore(path)
        store.begin("ada", "run", "1.0", 100 * S)
        store.add(SetStarted(101 * S, 0, "squat"))
        store.close()
        for file in tmp_path.iterdir():
            file.unlink()
        assert store.resume() == 1
        store.add(Repetition(103 * S, 0, 102 * S, 103 * S, "squat", "both", 0, ()))
        store.end(104 * S)
        store.close()
        (session,) = read_sessions(path)
        assert (session.repetitions, session.status) == (1, "complete")

    def test_going_on_with_no_session_is_a_mistake(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="Begin one"):
            SessionStore(tmp_path / "sessions.sqlite").resume()


def pose(t_ns: int) -> Pose:
    return Pose(t_ns, 0, 0, np.zeros((33, 4), np.float32), np.zeros((33, 3), np.float32), 640, 480, True)


def test_a_recording_whose_disk_was_full_goes_on_without_a_gap(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    supervisor = Supervisor([service for service in SERVICES if service.name == "recording"])
    sink = kept_recording(recorder, supervisor, Inline())
    rig = Rig("recording", recorder.resume)
    rig.sink, rig.supervisor = sink, supervisor
    written = [pose(100 * S + k * S // 15) for k in range(150)]
    rig.step(0.2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for k, message in enumerate(written):
            if k == 50:
                resource.setrlimit(resource.RLIMIT_FSIZE, (recorder.path.stat().st_size + 500, before[1]))
            if k == 100:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            sink.receive(message)
            if k % 15 == 0:
                rig.step(1.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert supervisor.has_failed("recording")
    rig.step(10.0)
    with Session(Core(), [sink]):
        pass
    recording = read_recording(tmp_path)
    assert recording.dropped == 0
    assert [message.t_ns for message in recording if isinstance(message, Pose)] == [message.t_ns for message in written]


def test_a_recording_that_was_taken_away_is_not_begun_anew(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.write(pose(1))
    recorder.close()
    recorder.path.write_bytes(b"")
    with pytest.raises(StoreError, match="not there any more"):
        recorder.resume()
