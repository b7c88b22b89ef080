"""Vibration motors on GPIO pins, through gpiozero in a process of their own."""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import threading
from pathlib import Path

from device.config import HapticConfig
from device.drivers.haptic_bounded import BoundedHaptic
from device.drivers.haptic_guard import READY
from device.errors import DriverError, DriverUnavailable
from device.messages import Vibration
from device.skeleton import BANDS

START_S = 15.0
STOP_S = 2.0

log = logging.getLogger(__name__)


class PwmHaptic(BoundedHaptic):
    """One motor per band on the pins of `config.pins`, driven by `haptic_guard`, which alone holds the pins.

    The guard hears of each pulse through a pipe and ends it by itself. Off after `close` and after an exception: the pipe is
    closed. Off after SIGTERM and SIGKILL: the kernel closes the pipe, and the guard sees that its parent is gone within
    0.05 s though a forked process still holds a copy. If the guard is killed, this process turns the pins off with a second
    one; if both are, systemd does (ExecStopPost in spotter.service).
    `trace`: file to which the guard appends every value of every pin, as JSON lines.
    """

    def __init__(self, config: HapticConfig, trace: Path | None = None) -> None:
        super().__init__(config)
        self._bands = [band for band, name in enumerate(BANDS) if name in config.pins]
        self._trace = trace
        self._guard: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None

    @property
    def guard_pid(self) -> int:
        """Process id of the guard; 0 when the driver is closed."""
        return self._guard.pid if self._guard is not None else 0

    def open(self) -> None:
        self.close()
        unknown = sorted(set(self.config.pins) - set(BANDS))
        if unknown or not self._bands:
            raise DriverUnavailable(f"haptic.pins names {', '.join(unknown) or 'no band'}; it can name {', '.join(BANDS)}.")
        try:
            import gpiozero  # noqa: F401
        except ImportError as error:
            raise DriverUnavailable(
                "The pwm haptic driver needs gpiozero: pip install 'spotter[pi]' (or apt install python3-gpiozero), "
                "or set haptic.type to log."
            ) from error
        self._guard = subprocess.Popen(
            self._command("--parent", str(os.getpid())), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        answer = self._first_line(self._guard)
        if answer != READY:
            guard, self._guard = self._guard, None
            guard.kill()
            _end(guard)
            raise DriverUnavailable(
                f"The motors' pins can't be used: {answer or 'no answer from the guard process'}. On a Raspberry Pi install "
                "lgpio (pip install 'spotter[pi]') and put the user into the group gpio; elsewhere set haptic.type to log."
            )
        self._watcher = threading.Thread(target=self._watch, args=(self._guard,), name="haptic guard watch", daemon=True)
        self._watcher.start()
        super().open()

    def off(self) -> None:
        if self._guard is not None:
            self._send({"off": True})

    def close(self) -> None:
        super().close()
        guard, self._guard = self._guard, None
        if guard is not None:
            _end(guard)
        if self._watcher is not None:
            self._watcher.join(START_S)
            self._watcher = None

    def vibrate(self, band: int, intensity: float, duration_ns: int, t_ns: int) -> int:
        granted_ns = super().vibrate(band, intensity, duration_ns, t_ns)
        return granted_ns if band in self._bands else 0

    def _drive(self, vibration: Vibration) -> None:
        if vibration.band not in self._bands:
            return
        motor = self._bands.index(vibration.band)
        self._send({"motor": motor, "intensity": vibration.intensity, "duration_ns": vibration.duration_ns})

    def _send(self, command: dict[str, object]) -> None:
        guard = self._guard
        if guard is None or guard.stdin is None:
            raise DriverError("The haptic driver 'pwm' is not open.")
        try:
            guard.stdin.write(json.dumps(command).encode() + b"\n")
            guard.stdin.flush()
        except OSError as error:
            raise DriverError("The guard process of the motors is gone; the motors are off. Open the driver again.") from error

    def _command(self, *more: str) -> list[str]:
        pins = [str(self.config.pins[BANDS[band]]) for band in self._bands]
        bounds = ["--max-on-ms", str(self.config.max_on_ms), "--max-duty", str(self.config.max_duty)]
        trace = ["--trace", str(self._trace)] if self._trace is not None else []
        return [sys.executable, "-m", "device.drivers.haptic_guard", *bounds, *trace, *more, "--pins", *pins]

    def _first_line(self, guard: subprocess.Popen[bytes]) -> str:
        assert guard.stdout is not None
        if not select.select([guard.stdout], [], [], START_S)[0]:
            return ""
        return guard.stdout.readline().decode(errors="replace").strip()

    def _watch(self, guard: subprocess.Popen[bytes]) -> None:
        status = guard.wait()
        if status == 0:
            return
        log.error("The guard process of the motors ended with status %d; turning the motors off.", status)
        try:
            subprocess.run(self._command("--off"), check=True, timeout=START_S, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError) as error:
            log.error("The motors could not be turned off (%s). Cut their power.", error)


def _end(guard: subprocess.Popen[bytes]) -> None:
    """Close the pipe, on which the guard turns everything off, and wait until it has ended."""
    for pipe in (guard.stdin, guard.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                log.debug("the guard process closed its pipe first")
    try:
        guard.wait(STOP_S)
    except subprocess.TimeoutExpired:
        guard.terminate()
        guard.wait()
