"""Every fault in one flat table: what fails, for how long, how it is noticed, and how soon all has to be well again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from device.sim.faults.kinds import (
    BandLost,
    BandReboot,
    BurstLoss,
    CameraHang,
    CameraUnplugged,
    CounterWrap,
    CpuStarved,
    DatabaseLocked,
    DiskFull,
    DriftStep,
    Duplicates,
    EyeIgnoresSigterm,
    EyeKilled,
    Fault,
    FrameRateDrop,
    PwmWriteFails,
    RadioOutage,
    Reordering,
    SoundDeviceGone,
    StaleFrames,
    WallClockStep,
)
from device.skeleton import BANDS

Make = Callable[[np.random.Generator], Fault]


@dataclass(frozen=True, slots=True)
class Kind:
    """One row. `wraps`: what fails. `lasts_s`: shortest and longest time until its cause is gone, 0 where it is a moment.
    `noticed_by`: how Spotter finds out. `limit_s`: of the recovery, which counts from the end of the cause; where only Spotter
    can end it (`ends_by_restart`), from the detection. `make`: for the simulated appliance; None where it can only be made on
    real parts (`device.sim.faults.real`).
    """

    name: str
    wraps: str
    lasts_s: tuple[float, float]
    noticed_by: str
    limit_s: float
    make: Make | None
    ends_by_restart: bool = False


def _band(make: Callable[[int], Fault]) -> Make:
    return lambda rng: make(int(rng.integers(len(BANDS))))


def _plain(make: Callable[[], Fault]) -> Make:
    return lambda _: make()


FAULTS: tuple[Kind, ...] = (
    #    name                   fails        lasts (s)     noticed by                     limit made by, ended by a restart
    Kind("band_lost",           "bands",     (4.0, 8.0),   "nothing of it for 0.5 s",       5.0, _band(BandLost)),
    Kind("band_reboot",         "bands",     (0.0, 0.0),   "nothing of it for 0.5 s",       8.0, _band(BandReboot)),
    Kind("counter_wrap",        "bands",     (0.0, 0.0),   "never: it is unwrapped",        5.0, _band(CounterWrap)),
    Kind("drift_step",          "bands",     (0.0, 0.0),   "the fit of its clock",          5.0, _band(DriftStep)),
    Kind("duplicates",          "bands",     (6.0, 12.0),  "stamps that repeat",            5.0, _band(Duplicates)),
    Kind("reordering",          "bands",     (6.0, 12.0),  "stamps that go back",           5.0, _band(Reordering)),
    Kind("radio_outage",        "bands",     (3.0, 6.0),   "nothing of any band for 0.5 s", 5.0, _plain(RadioOutage)),
    Kind("burst_loss",          "bands",     (3.0, 8.0),   "less than half of its rate",    5.0, _band(BurstLoss)),
    Kind("camera_hang",         "eye",       (0.0, 0.0),   "no poses for 2 s",              5.0, _plain(CameraHang), True),
    Kind("camera_unplugged",    "eye",       (6.0, 12.0),  "the camera's error",            5.0, _plain(CameraUnplugged)),
    Kind("eye_killed",          "eye",       (0.0, 0.0),   "the end of the pipe",           5.0, _plain(EyeKilled), True),
    Kind("eye_ignores_sigterm", "eye",       (4.0, 4.0),   "silent for 2 s; it doesn't go", 5.0, _plain(EyeIgnoresSigterm), True),
    Kind("stale_frames",        "eye",       (5.0, 9.0),   "no poses younger than 1 s",     5.0, _plain(StaleFrames)),
    Kind("frame_rate_drop",     "eye",       (6.0, 12.0),  "less than half of its rate",    5.0, _plain(FrameRateDrop)),
    Kind("wall_clock_step",     "clock",     (5.0, 10.0),  "never: nothing is timed by it", 5.0, _plain(WallClockStep)),
    Kind("i2c_errno_121",       "bands",     (1.0, 1.0),   "errno 121 of a transfer",       5.0, None),
    Kind("pwm_write_fails",     "vibration", (15.0, 25.0), "the first vibration to fail",   5.0, _plain(PwmWriteFails)),
    Kind("sound_device_gone",   "voice",     (15.0, 25.0), "the first sentence that fails", 5.0, _plain(SoundDeviceGone)),
    Kind("disk_full",           "store",     (15.0, 25.0), "the first write that fails",    5.0, _plain(DiskFull)),
    Kind("database_locked",     "store",     (15.0, 25.0), "a write that waited 0.1 s",     5.0, _plain(DatabaseLocked)),
    Kind("power_cut",           "store",     (0.0, 0.0),   "an unfinished session",         5.0, None),
    Kind("bundle_damaged",      "model",     (0.0, 0.0),   "SHA-256 of the file",           5.0, None),
    Kind("cpu_starved",         "core",      (0.0, 0.0),   "never: ticks are caught up",    5.0, _plain(CpuStarved)),
    Kind("memory_pressure",     "core",      (10.0, 10.0), "an allocation that fails",      5.0, None),
)  # fmt: skip


def kind_named(name: str) -> Kind:
    """The row of `name`; raises KeyError."""
    return {kind.name: kind for kind in FAULTS}[name]
