import logging

import numpy as np
import pytest

from device.drivers.base import Haptic, Speaker
from device.errors import DriverError, StoreError
from device.messages import Advanced, Coached, Pose, Repetition, Sensed, SetStarted, Speech, Vibration
from device.runtime.session import HapticSink, Heard, Session, SessionClosed, VoiceSink


class ScriptedCore:
    """Says at each time what it was told to."""

    def __init__(self, script: dict[int, list[Coached]], last: list[Coached] | None = None) -> None:
        self.script, self.last, self.sensed = script, last or [], []

    def push(self, message: Sensed) -> None:
        self.sensed.append(message)

    def advance(self, now_ns: int) -> list[Coached]:
        return self.script.pop(now_ns, [])

    def finish(self, now_ns: int) -> list[Coached]:
        self.finished_ns = now_ns
        return self.last


class Notes:
    """A sink that remembers; `failing` makes it raise on that message type."""

    def __init__(self, failing: type | None = None, error: Exception | None = None) -> None:
        self.received: list[Heard] = []
        self.closed = 0
        self.failing, self.error = failing, error or DriverError("unplugged")

    def receive(self, message: Heard) -> None:
        if self.failing is not None and isinstance(message, self.failing):
            raise self.error
        self.received.append(message)

    def close(self) -> None:
        self.closed += 1


class TestMotor(Haptic):
    """A motor that stays on until it is switched off."""

    __test__ = False

    def __init__(self) -> None:
        self.on, self.closed = False, False
        self.asked: list[tuple[int, float, int, int]] = []

    def open(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def vibrate(self, band: int, intensity: float, duration_ns: int, t_ns: int) -> int:
        self.on = True
        self.asked.append((band, intensity, duration_ns, t_ns))
        return duration_ns

    def off(self) -> None:
        self.on = False


class Voice(Speaker):
    def __init__(self) -> None:
        self.said: list[tuple[tuple[str, ...], int]] = []
        self.closed = False

    def open(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def say(self, prompts: tuple[str, ...], t_ns: int) -> int:
        self.said.append((prompts, t_ns))
        return t_ns

    def free_at_ns(self) -> int:
        return 0


STARTED = SetStarted(5, 0, "squat")
REPETITION = Repetition(9, 1, 5, 9, "squat", "both", 0, ())
SPEECH = Speech(9, 2, ("knees_out",), "Knees out")
VIBRATION = Vibration(9, 3, 2, 0.5, 300_000_000)


def pose(t_ns: int) -> Pose:
    return Pose(t_ns, 0, 0, np.zeros((33, 4), np.float32), np.zeros((33, 3), np.float32), 640, 480, True)


def test_sinks_receive_what_was_sensed_and_said_in_order() -> None:
    notes = Notes()
    sensed = pose(1)
    with Session(ScriptedCore({10: [STARTED, REPETITION]}), [notes]) as session:
        session.push(sensed)
        assert session.advance(10) == [STARTED, REPETITION]
    assert notes.received == [sensed, Advanced(10), STARTED, REPETITION, SessionClosed(10, "complete")]
    assert notes.closed == 1


def test_voice_says_speech_and_vibration_reaches_the_motor() -> None:
    voice, motor = Voice(), TestMotor()
    session = Session(ScriptedCore({10: [SPEECH, VIBRATION]}), [VoiceSink(voice), HapticSink(motor)])
    session.advance(10)
    assert voice.said == [(("knees_out",), 9)]
    assert motor.on
    assert motor.asked == [(2, 0.5, 300_000_000, 9)]
    session.close(11)
    assert (motor.on, motor.closed, voice.closed) == (False, True, True)


@pytest.mark.parametrize("error", [DriverError("unplugged"), StoreError("disk full")])
def test_a_failing_sink_is_reported_once_and_the_rest_goes_on(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    failing, notes = Notes(SetStarted, error), Notes()
    session = Session(ScriptedCore({10: [STARTED, STARTED, REPETITION]}), [failing, notes])
    with caplog.at_level(logging.WARNING):
        session.advance(10)
        session.close(11)
    assert len(caplog.records) == 1
    assert str(error) in caplog.text
    assert failing.received == [Advanced(10)]
    assert failing.closed == 1
    assert notes.received == [Advanced(10), STARTED, STARTED, REPETITION, SessionClosed(11, "complete")]


def test_the_open_set_is_ended_before_the_sinks_close() -> None:
    notes = Notes()
    assert Session(ScriptedCore({}, [REPETITION]), [notes]).close(20) == [REPETITION]
    assert notes.received == [REPETITION, SessionClosed(20, "complete")]


def test_closing_twice_closes_once() -> None:
    notes = Notes()
    session = Session(ScriptedCore({}, [REPETITION]), [notes])
    session.close(20)
    assert session.close(21) == []
    assert notes.closed == 1


@pytest.mark.parametrize(("raised", "status"), [(KeyboardInterrupt, "stopped"), (RuntimeError, "interrupted")])
def test_motors_are_off_and_all_is_closed_after_an_exception(raised: type[BaseException], status: str) -> None:
    motor, notes = TestMotor(), Notes()
    core = ScriptedCore({10: [VIBRATION]})
    session = Session(core, [HapticSink(motor), notes])
    session.advance(10)
    assert motor.on
    with pytest.raises(raised), session:
        raise raised
    assert not motor.on
    assert motor.closed
    assert notes.received[-1] == SessionClosed(10, status)


def test_all_sinks_close_even_when_the_core_and_a_sink_break() -> None:
    class BrokenCore(ScriptedCore):
        def finish(self, now_ns: int) -> list[Coached]:
            raise ValueError(f"broken at {now_ns}")

    class BrokenSink(Notes):
        def close(self) -> None:
            raise RuntimeError("broken too")

    motor, notes = TestMotor(), Notes()
    motor.on = True
    with pytest.raises((ValueError, RuntimeError)):
        Session(BrokenCore({}), [notes, BrokenSink(), HapticSink(motor)]).close(10)
    assert (motor.on, motor.closed, notes.closed) == (False, True, 1)
