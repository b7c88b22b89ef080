"""Faults of a real eye process, in real time: its process, pipe, camera driver, supervision and loop are those of the product.

Modelled: the camera's pictures (`camera`) and the bands that go on meanwhile (`links`). A process that the kernel itself holds
(state D) can't be made without a broken driver; one that is stopped (SIGSTOP) hears no SIGTERM either, and has to be killed.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from device.config import Config, with_settings
from device.messages import NS_PER_S, ServiceState
from device.runtime.background import Threads
from device.runtime.bundle import Bundle
from device.runtime.live import build_core, make_eye
from device.runtime.live_runner import LiveRunner, Watch
from device.runtime.services import services, watched
from device.runtime.session import Session
from device.runtime.supervisor import Supervisor
from device.sim.faults import camera
from device.sim.faults.appliance import Witness
from device.sim.faults.feed import Crystal, Piece, placed
from device.sim.faults.links import FeedBands
from device.sim.faults.outcome import Outcome
from device.skeleton import N_BANDS

SETTLED_S = 2.0
"""The eye has run for so long when the fault begins."""
MOST_S = 60.0
WHOLE_S = 0.7
"""The eye is well again when it has been for so long."""


@dataclass(frozen=True, slots=True)
class _Made:
    """How a fault is made: `begin` and `end` get the camera's file and its process's id. `lasts_s`: None where only a restart
    ends it."""

    begin: Callable[[Path, int], object]
    end: Callable[[Path, int], object]
    lasts_s: float | None
    slows: bool = False


def _told(word: str) -> Callable[[Path, int], object]:
    return lambda command, pid: command.write_text(word.format(pid=pid))


def _signalled(number: signal.Signals) -> Callable[[Path, int], object]:
    return lambda _, pid: os.kill(pid, number)


MADE: dict[str, _Made] = {
    "camera_hang": _Made(_told("hang {pid}"), _told("ok"), None),
    "camera_unplugged": _Made(_told("unplugged"), _told("ok"), 4.0),
    "eye_killed": _Made(_signalled(signal.SIGKILL), _told("ok"), None),
    "eye_ignores_sigterm": _Made(_signalled(signal.SIGSTOP), _told("ok"), None),
    "stale_frames": _Made(_told("stale"), _told("ok"), 4.0),
    "frame_rate_drop": _Made(_told("slow"), _told("ok"), 5.0, slows=True),
}
"""By the name of the fault's row."""


def on_real_eye(name: str, piece: Piece, worn: tuple[Crystal, ...], config: Config, bundle: Bundle, seed: int = 0) -> Outcome:
    """The fault `name` happens to a real eye process. Takes some 10 s."""
    with ExitStack() as stack:
        stack.enter_context(camera.installed())
        command = Path(stack.enter_context(TemporaryDirectory())) / "camera"
        command.write_text("ok")
        settings = with_settings(
            config, camera={"type": camera.TYPE, "device": str(command), "width": 64, "height": 64}, imu={"type": "virtual"}
        )
        supervisor = Supervisor(services(settings, watched(settings)))
        start_ns = time.monotonic_ns()
        bands = FeedBands(placed(itertools.repeat(piece), start_ns), worn, seed, [start_ns - 60 * NS_PER_S] * N_BANDS)
        watch = stack.enter_context(Watch(make_eye(settings), bands, supervisor, Threads()))
        witness = Witness()
        core = build_core(settings, start_ns, bundle=bundle)
        session = stack.enter_context(Session(core, [witness]))
        trial = _Trial(MADE[name], command, supervisor, witness)
        for now_ns in LiveRunner(session, watch, settings.signals.tick_hz).run(start_ns + round(MOST_S * NS_PER_S)):
            if trial.step(now_ns):
                break
        return trial.outcome(name)


class _Trial:
    def __init__(self, made: _Made, command: Path, supervisor: Supervisor, witness: Witness) -> None:
        self._made, self._command, self._supervisor, self._witness = made, command, supervisor, witness
        self._well_ns: int | None = None
        self._began_ns: int | None = None
        self._detected_ns: int | None = None
        self._ended_ns: int | None = None
        self._recovered_ns: int | None = None
        self._blind_ns = 0
        self._before_ns = 0

    def step(self, now_ns: int) -> bool:
        """Whether it is over."""
        health = self._supervisor.health("eye", now_ns)
        well = self._supervisor.state("eye") is ServiceState.RUNNING and health.valid and (health.rate_ok or not self._made.slows)
        self._well_ns = (self._well_ns or now_ns) if well else None
        well_for_ns = now_ns - self._well_ns if self._well_ns is not None else 0
        if self._began_ns is None:
            if well_for_ns >= SETTLED_S * NS_PER_S:
                self._began_ns = now_ns
                self._made.begin(self._command, int(camera.pid_file(self._command).read_text()))
        else:
            self._follow(now_ns, well, well_for_ns)
            self._blind_ns += (now_ns - self._before_ns) if not health.valid else 0
        self._before_ns = now_ns
        return self._recovered_ns is not None and now_ns > self._recovered_ns + NS_PER_S + WHOLE_S * NS_PER_S

    def _follow(self, now_ns: int, well: bool, well_for_ns: int) -> None:
        assert self._began_ns is not None
        if self._detected_ns is None and not well:
            self._detected_ns = now_ns
        if self._ended_ns is None:
            lasts_s = self._made.lasts_s
            over = self._detected_ns is not None if lasts_s is None else now_ns - self._began_ns >= lasts_s * NS_PER_S
            if over:
                self._ended_ns = now_ns
                self._made.end(self._command, 0)
        elif self._recovered_ns is None and well_for_ns >= WHOLE_S * NS_PER_S:
            self._recovered_ns = max(self._well_ns or now_ns, self._ended_ns)

    def outcome(self, name: str) -> Outcome:
        began_ns = self._began_ns or 0
        recovered = self._recovered_ns is not None and self._ended_ns is not None
        problem = "" if recovered else "the eye never was well again" if self._began_ns else "the eye never was well"
        return Outcome(
            name,
            (self._detected_ns - began_ns) / NS_PER_S if self._detected_ns is not None else None,
            (self._recovered_ns - self._ended_ns) / NS_PER_S if self._recovered_ns and self._ended_ns else None,
            tuple(cue.text for cue in self._witness.notices if cue.t_ns >= began_ns),
            f"camera {self._blind_ns / NS_PER_S:.1f} s" if self._blind_ns else "nothing",
            recovered,
            problem,
        )
