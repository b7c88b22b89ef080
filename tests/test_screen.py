import io
from dataclasses import dataclass

import pytest

from device.config import BudgetConfig
from device.messages import Cue, Degraded, Deviation, ServiceChanged, ServiceState, Stage, StageTiming
from device.screen import Screen


@dataclass
class At:
    exercise: str = "squat"
    stage: Stage = Stage.EXECUTION
    repetitions: int = 4
    phase: float = 0.4
    worst: Deviation | None = None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


CUE = Cue(0, 0, "correction", "squat", "left_knee", -1, "Knees out", ("knees_out",), -0.2, (2,), 0.5)
KNEE = Deviation("left_knee", -0.2, 0.05)


def test_without_a_terminal_it_prints_a_line_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("device.screen.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    with Screen(BudgetConfig(), stream=stream) as screen:
        screen.receive(CUE)
        for i in range(25):
            now[0] = 100.0 + i / 10
            screen.update(At(worst=KNEE), elapsed_s=65 + i / 10, total_s=150)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == '1:05 of 2:30  squat  execution  4 reps  left knee -11°  "Knees out"'


def test_it_says_when_it_would_show_something(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("device.screen.time.monotonic", lambda: now[0])
    screen = Screen(BudgetConfig(), stream=io.StringIO())
    assert screen.due
    screen.update(At(), elapsed_s=1)
    assert not screen.due
    now[0] = 101.0
    assert screen.due
    assert not Screen(BudgetConfig(), quiet=True).due


def test_a_section_over_its_budget_is_named() -> None:
    stream = io.StringIO()
    screen = Screen(BudgetConfig(model_ms=2.0), stream=stream)
    screen.update(At(), [StageTiming(0, "model", 3_500_000), StageTiming(0, "align", 100_000)], elapsed_s=1)
    assert "over budget: model 3.5 ms" in stream.getvalue()
    assert screen.latencies() == {"align": (0.1, 0.1, 1.0), "model": (3.5, 3.5, 2.0)}


def test_what_does_not_work_is_named_until_it_works_again() -> None:
    stream = io.StringIO()
    screen = Screen(BudgetConfig(), stream=stream)
    for service, state in (("eye", ServiceState.RUNNING), ("voice", ServiceState.RESTING), ("store", ServiceState.FAILED)):
        screen.receive(ServiceChanged(0, service, state))
    screen.receive(ServiceChanged(1, "store", ServiceState.STARTING))
    screen.receive(ServiceChanged(2, "store", ServiceState.RUNNING))
    screen.update(At(), elapsed_s=1)
    assert stream.getvalue().rstrip().endswith("without voice")


def test_on_a_terminal_everything_is_in_the_picture() -> None:
    stream = Terminal()
    with Screen(BudgetConfig(), title="demo, seed 7", stream=stream) as screen:
        screen.receive(CUE)
        screen.timing(StageTiming(0, "pose", 42_000_000))
        screen.update(At(worst=KNEE), elapsed_s=3)
    shown = stream.getvalue()
    for part in ("demo, seed 7", "squat", "execution", "4", "left knee -11°", "Knees out", "pose", "42.00", "60 ms"):
        assert part in shown
    assert shown.endswith(("\x1b[?25h", "\x1b[?25h\n"))


def test_corrections_are_shown_with_their_end_to_end_budget() -> None:
    stream = Terminal()
    with Screen(BudgetConfig(), stream=stream) as screen:
        screen.timing(StageTiming(0, "haptic", 95_000_000))
        screen.timing(StageTiming(0, "form_haptic", 130_000_000))
        screen.timing(StageTiming(0, "voice", 140_000_000))
        screen.update(At(), elapsed_s=3)
    for part in ("haptic", "95.00", "80 ms", "form_haptic", "130.00", "voice", "140.00", "250 ms"):
        assert part in stream.getvalue()


def test_what_was_given_up_is_shown_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("device.screen.time.monotonic", lambda: now[0])
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        with Screen(BudgetConfig(), stream=stream) as screen:
            screen.receive(Degraded(1, 0, 1, "every second frame", "pose took 90 ms"))
            screen.update(At(), elapsed_s=1)
            shown = len(stream.getvalue())
            screen.receive(Degraded(9, 1, 0, "full", "there was room for 10 s"))
            now[0] += 2
            screen.update(At(), elapsed_s=3)
        assert "slowed down" in stream.getvalue()[:shown]
        assert "every second frame" in stream.getvalue()[:shown]
        assert "slowed down" not in stream.getvalue()[shown:]


def test_quiet_prints_nothing() -> None:
    stream = Terminal()
    with Screen(BudgetConfig(), quiet=True, stream=stream) as screen:
        screen.update(At(), elapsed_s=1)
    assert stream.getvalue() == ""


def test_a_section_without_a_budget_is_left_out() -> None:
    screen = Screen(BudgetConfig(), quiet=True)
    screen.timing(StageTiming(0, "coffee", 1))
    assert screen.latencies() == {}
