"""The process that owns the motors' pins, so that nothing which happens to the coach can leave a motor on.

The pwm driver starts it as `python -m device.drivers.haptic_guard --pins 12 13 18 19 --max-on-ms 1000 --max-duty 0.3`.
It reads one JSON line per command from standard input ({"motor": 0, "intensity": 0.5, "duration_ns": 200000000} or
{"off": true}) and turns everything off when a pulse's time is over, when its input ends (the coach closed it, or died of
anything, SIGKILL included), when the coach's process is gone though another one still holds the pipe, when a command makes
no sense, and on SIGTERM, SIGINT and SIGHUP. It applies the bounds itself, on its own clock. `--off` turns the pins off and
ends: systemd runs it after the service has stopped, for the case that the guard itself was killed (ExecStopPost).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from device.drivers.haptic_limits import OnTimeLimiter

READY = "ready"
PARENT_CHECK_S = 0.05
LONGEST_LINE = 4096
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Exception):
    """A signal asked the guard to end."""


class Motors:
    """The pins, their deadlines and their bounds. Everything is off after construction and after `off`."""

    def __init__(self, pins: list[int], limiter: OnTimeLimiter, trace: Path | None = None) -> None:
        from gpiozero import PWMOutputDevice

        self._devices: list[Any] = []
        self._trace = trace
        self._limiter = limiter
        try:
            for pin in pins:
                self._devices.append(PWMOutputDevice(pin, initial_value=0))
        except BaseException:
            self.close()
            raise
        self._deadlines_ns: dict[int, int] = {}

    def start(self, motor: int, intensity: float, duration_ns: int) -> None:
        """Run `motor` for what the bounds leave of `duration_ns`. Raises IndexError, ValueError on nonsense."""
        now_ns = time.monotonic_ns()
        if not 0 <= motor < len(self._devices):
            raise IndexError(f"no motor {motor}")
        granted_ns = self._limiter.grant(motor, duration_ns, now_ns)
        if granted_ns:
            self._deadlines_ns[motor] = now_ns + granted_ns
            self._set(motor, intensity)

    def expire(self) -> None:
        """Turn off every motor whose time is over."""
        now_ns = time.monotonic_ns()
        for motor in [motor for motor, deadline_ns in self._deadlines_ns.items() if deadline_ns <= now_ns]:
            del self._deadlines_ns[motor]
            self._set(motor, 0.0)

    def wait_s(self) -> float | None:
        """Time to the next deadline; None when all is off."""
        if not self._deadlines_ns:
            return None
        return max(0.0, (min(self._deadlines_ns.values()) - time.monotonic_ns()) / 1e9)

    def off(self) -> None:
        """All motors off; one pin that fails doesn't keep the others on."""
        self._deadlines_ns.clear()
        for motor in range(len(self._devices)):
            with contextlib.suppress(Exception):
                self._set(motor, 0.0)

    def close(self) -> None:
        """All motors off and the pins given back."""
        if self._devices:
            self.off()
        for device in self._devices:
            with contextlib.suppress(Exception):
                device.close()
        self._devices = []

    def _set(self, motor: int, value: float) -> None:
        device = self._devices[motor]
        device.value = value
        if self._trace is not None:
            with self._trace.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"t_ns": time.monotonic_ns(), "motor": motor, "value": device.value}) + "\n")


def serve(motors: Motors, parent: int) -> None:
    """Obey commands from standard input until it ends, `parent` is gone or a command makes no sense (ValueError)."""
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while os.getppid() == parent:
            wait_s = motors.wait_s()
            readable = selector.select(1.0 if wait_s is None else min(wait_s, PARENT_CHECK_S))
            motors.expire()
            if not readable:
                continue
            received = os.read(sys.stdin.fileno(), 65536)
            if not received:
                return
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                _obey(motors, line)
            if len(pending) > LONGEST_LINE:
                raise ValueError("endless line")


def _obey(motors: Motors, line: bytes) -> None:
    command = json.loads(line)
    if command.get("off"):
        motors.off()
        return
    motors.start(int(command["motor"]), float(command["intensity"]), int(command["duration_ns"]))


def _stop(number: int, _: FrameType | None) -> None:
    # A second signal must not interrupt the turning off.
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(signal.Signals(number).name)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m device.drivers.haptic_guard", description="Owns the vibration motors' pins.")
    parser.add_argument("--pins", type=int, nargs="+", help="GPIO pins (BCM), in the order of the bands")
    parser.add_argument("--max-on-ms", type=int, default=1000, help="longest time on in one go (ms)")
    parser.add_argument("--max-duty", type=float, default=0.3, help="largest share of any 10 s")
    parser.add_argument("--parent", type=int, default=0, help="process whose end turns the motors off (default: who started it)")
    parser.add_argument("--off", action="store_true", help="turn the motors off and end")
    parser.add_argument("--config", type=Path, help="take the pins from this settings file; none where haptic.type isn't pwm")
    parser.add_argument("--trace", type=Path, help="append what each pin was set to, as JSON lines")
    options = parser.parse_args(arguments)
    for number in SIGNALS:
        signal.signal(number, _stop)
    motors = None
    try:
        pins = options.pins or _configured_pins(options.config)
        if not pins:
            return 0
        # The coach has rounded its grants already: take what is left of them, however short.
        limiter = OnTimeLimiter(options.max_on_ms * 1_000_000, options.max_duty, shortest_ns=1)
        motors = Motors(pins, limiter, options.trace)
        if options.off:
            motors.off()
            return 0
        _run_in_real_time()
        print(READY, flush=True)
        serve(motors, options.parent or os.getppid())
    except Stopped:
        return 0
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    finally:
        if motors is not None:
            motors.close()
    return 0


def _run_in_real_time() -> None:
    """Before everything that is not, where the system lets us (LimitRTPRIO in spotter.service): a pulse has to end in time though
    the pose network has every core. The guard sleeps nearly always."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def _configured_pins(path: Path | None) -> list[int]:
    from device.config import load_config
    from device.skeleton import BANDS

    haptic = load_config(path).haptic
    return [haptic.pins[band] for band in BANDS if band in haptic.pins] if haptic.type == "pwm" else []


if __name__ == "__main__":
    sys.exit(main())
