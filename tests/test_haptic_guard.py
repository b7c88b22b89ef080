"""The motor is off after close, exception, SIGTERM and SIGKILL. The pins are gpiozero's mock; the guard notes their state."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from device.config import HapticConfig
from device.drivers.haptic_pwm import PwmHaptic
from device.errors import DriverError, DriverUnavailable

pytest.importorskip("gpiozero", reason="gpiozero is not installed")

MS = 1_000_000
LEFT_WRIST, RIGHT_ANKLE = 0, 3

PARENT = """
import os, sys, time
from pathlib import Path
from device.config import HapticConfig
from device.drivers.haptic_pwm import PwmHaptic
haptic = PwmHaptic(HapticConfig(type="pwm", max_on_ms=5000, max_duty=1.0), trace=Path(sys.argv[1]))
haptic.open()
if sys.argv[2] == "fork" and os.fork() == 0:
    time.sleep(8)  # as a process of the coach that goes on for a while with a copy of the pipe
    os._exit(0)
haptic.vibrate(0, 0.75, 5_000_000_000, time.monotonic_ns())
print(haptic.guard_pid, flush=True)
if sys.argv[2] == "raise":
    time.sleep(0.3)
    raise RuntimeError("something broke")
time.sleep(30)
"""


@pytest.fixture
def mock_pins(monkeypatch):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setenv("GPIOZERO_MOCK_PIN_CLASS", "mockpwmpin")


@pytest.fixture
def trace(tmp_path, mock_pins):  # noqa: ARG001
    return tmp_path / "pins.jsonl"


def states(trace):
    if not trace.exists():
        return []
    return [json.loads(line) for line in trace.read_text().splitlines(keepends=True) if line.endswith("\n")]


def levels(trace):
    """The newest value of every motor."""
    return {state["motor"]: state["value"] for state in states(trace)}


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def start_parent(trace):
    parents = []

    def start(mode="sleep"):
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(trace), mode], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        parents.append(parent)
        guard = int(parent.stdout.readline())
        assert wait_for(lambda: levels(trace).get(LEFT_WRIST) == 0.75)
        return parent, guard

    yield start
    for parent in parents:
        parent.kill()
        parent.wait()
        parent.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_motor_is_off_soon_after_the_coach_was_killed(start_parent, trace, number):
    parent, guard = start_parent()
    killed_ns = time.monotonic_ns()
    os.kill(parent.pid, number)
    assert wait_for(lambda: levels(trace)[LEFT_WRIST] == 0)
    assert states(trace)[-1]["t_ns"] - killed_ns < 2_000 * MS
    assert wait_for(lambda: not alive(guard))


def test_the_motor_is_off_after_a_kill_though_a_fork_holds_the_pipe(start_parent, trace):
    parent, _ = start_parent("fork")
    os.kill(parent.pid, signal.SIGKILL)
    assert wait_for(lambda: levels(trace)[LEFT_WRIST] == 0)


def test_the_motor_is_off_after_an_exception(start_parent, trace):
    parent, _ = start_parent("raise")
    assert parent.wait(10) == 1
    assert wait_for(lambda: levels(trace)[LEFT_WRIST] == 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="without LimitRTPRIO only root may run in real time")
def test_the_guard_runs_in_real_time_and_the_coach_does_not(trace):
    with PwmHaptic(HapticConfig(type="pwm"), trace) as haptic:
        assert os.sched_getscheduler(haptic.guard_pid) == os.SCHED_RR
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_frozen_coach_leaves_no_motor_on(trace):
    with PwmHaptic(HapticConfig(type="pwm"), trace) as haptic:
        granted_ns = haptic.vibrate(LEFT_WRIST, 0.5, 150 * MS, time.monotonic_ns())
        assert granted_ns == 150 * MS
        assert wait_for(lambda: levels(trace).get(LEFT_WRIST) == 0)
        on, off = (state["t_ns"] for state in states(trace))
        assert off - on >= 150 * MS


def test_off_and_close_turn_all_motors_off(trace):
    haptic = PwmHaptic(HapticConfig(type="pwm"), trace)
    haptic.open()
    for band in (LEFT_WRIST, RIGHT_ANKLE):
        haptic.vibrate(band, 1.0, 900 * MS, time.monotonic_ns())
    assert wait_for(lambda: list(levels(trace).values()) == [1.0, 1.0])
    haptic.off()
    assert wait_for(lambda: set(levels(trace).values()) == {0})
    haptic.vibrate(RIGHT_ANKLE, 1.0, 500 * MS, time.monotonic_ns() + 200 * MS)
    guard = haptic.guard_pid
    haptic.close()
    assert set(levels(trace).values()) == {0}
    assert not alive(guard)
    haptic.close()


def test_pins_are_turned_off_by_another_process_when_the_guard_is_killed(trace):
    haptic = PwmHaptic(HapticConfig(type="pwm"), trace)
    with haptic:
        haptic.vibrate(LEFT_WRIST, 1.0, 1000 * MS, time.monotonic_ns())
        assert wait_for(lambda: levels(trace).get(LEFT_WRIST) == 1.0)
        os.kill(haptic.guard_pid, signal.SIGKILL)
        assert wait_for(lambda: levels(trace)[LEFT_WRIST] == 0)
        with pytest.raises(DriverError, match="guard"):
            haptic.vibrate(RIGHT_ANKLE, 1.0, 50 * MS, time.monotonic_ns())


def test_the_guard_bounds_what_it_is_asked(trace):
    guard = [sys.executable, "-m", "device.drivers.haptic_guard", "--pins", "12", "--max-on-ms", "100", "--trace", str(trace)]
    with subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.stdin.write(b'{"motor": 0, "intensity": 1.0, "duration_ns": 60000000000}\n')
        process.stdin.flush()
        assert wait_for(lambda: levels(trace).get(0) == 0)
        on, off = (state["t_ns"] for state in states(trace))
        assert off - on < 5_000 * MS
        process.stdin.close()
        assert process.wait(5) == 0


@pytest.mark.parametrize(
    "nonsense",
    [
        b"}\n",
        b"[]\n",
        b"x" * 10_000,
        b'{"motor": 9, "intensity": 1, "duration_ns": 1000}\n',
        b'{"motor": 0, "intensity": 7, "duration_ns": 1000000}\n',
        b'{"motor": 0, "intensity": NaN, "duration_ns": 100000}\n',
    ],
)
def test_nonsense_ends_the_guard_with_the_motors_off(trace, nonsense):
    guard = [sys.executable, "-m", "device.drivers.haptic_guard", "--pins", "12", "--trace", str(trace)]
    with subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b'{"motor": 0, "intensity": 1.0, "duration_ns": 900000000}\n' + nonsense)
        process.stdin.flush()
        assert process.wait(5) == 1
        assert levels(trace)[0] == 0


def test_the_off_command_turns_the_configured_pins_off(trace, tmp_path):
    config = tmp_path / "spotter.toml"
    config.write_text("[haptic]\ntype = 'pwm'\n[haptic.pins]\nleft_wrist = 5\nright_ankle = 6\n")
    command = [sys.executable, "-m", "device.drivers.haptic_guard", "--off", "--config", str(config), "--trace", str(trace)]
    subprocess.run(command, check=True, timeout=10)
    assert levels(trace) == {0: 0, 1: 0}


def test_the_off_command_touches_no_pin_of_a_unit_without_motors(trace, tmp_path):
    config = tmp_path / "spotter.toml"
    config.write_text("[haptic]\ntype = 'log'\n")
    command = [sys.executable, "-m", "device.drivers.haptic_guard", "--off", "--config", str(config), "--trace", str(trace)]
    subprocess.run(command, check=True, timeout=10)
    assert states(trace) == []


def test_pins_that_can_not_be_had_say_what_to_do(monkeypatch):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setenv("GPIOZERO_MOCK_PIN_CLASS", "mockpin")  # has no PWM
    with pytest.raises(DriverUnavailable, match=r"group gpio.*haptic.type to log"):
        PwmHaptic(HapticConfig(type="pwm")).open()


def test_an_unknown_band_in_the_pins_is_refused():
    with pytest.raises(DriverUnavailable, match="left_elbow"):
        PwmHaptic(HapticConfig(type="pwm", pins={"left_elbow": 4})).open()
