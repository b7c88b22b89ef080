"""How each fault is made on a simulated appliance; which there are is in `device.sim.faults.table`.

Each class makes one fault happen: `begin` when its time has come, `end` when its cause is gone. What it acts on says what is real
and what is modelled: `links` (bands and radio), `eye`, `outputs` (speaker, motors), `crashing_disk` (the disk), `clock`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from unittest import mock

from device.messages import NS_PER_S
from device.skeleton import BANDS

if TYPE_CHECKING:
    from device.sim.faults.appliance import Appliance


class Fault(Protocol):
    """One fault that can be made to happen. `services`: those that it harms."""

    @property
    def services(self) -> tuple[str, ...]: ...

    def begin(self, rig: Appliance) -> None: ...

    def end(self, rig: Appliance) -> None: ...


@dataclass(slots=True)
class _Band:
    band: int

    @property
    def services(self) -> tuple[str, ...]:
        return (BANDS[self.band],)


class BandLost(_Band):
    """A band out of range. Modelled: nothing of it is heard; it connects anew within 0.9 s."""

    def begin(self, rig: Appliance) -> None:
        rig.bands.links[self.band].loss = 1.0

    def end(self, rig: Appliance) -> None:
        rig.bands.links[self.band].loss = 0.0
        rig.bands.links[self.band].mute(rig.clock())


class BandReboot(_Band):
    """A band that starts anew: a new session, counter and numbers at 0, 1.5 s to boot and 0.9 s to connect."""

    def begin(self, rig: Appliance) -> None:
        rig.bands.links[self.band].reboot(rig.clock())

    def end(self, rig: Appliance) -> None:
        """It comes back by itself."""


class DriftStep(_Band):
    """A crystal that warms up: its drift changes by 20 ppm from one moment to the next."""

    def begin(self, rig: Appliance) -> None:
        rig.bands.links[self.band].drift_by(rig.clock(), 20e-6)

    def end(self, rig: Appliance) -> None:
        """The crystal stays warm."""


class Duplicates(_Band):
    """A reconnection that doubled the notification callback: every packet of a band comes twice."""

    def begin(self, rig: Appliance) -> None:
        rig.bands.links[self.band].doubled = True

    def end(self, rig: Appliance) -> None:
        rig.bands.links[self.band].doubled = False


class Reordering(_Band):
    """Three of ten packets of a band are overtaken by others."""

    def begin(self, rig: Appliance) -> None:
        rig.bands.links[self.band].shuffled = 0.3

    def end(self, rig: Appliance) -> None:
        rig.bands.links[self.band].shuffled = 0.0


class BurstLoss(_Band):
    """Two thirds of a band's packets are lost for a while."""

    def begin(self, rig: Appliance) -> None:
        rig.bands.links[self.band].loss = 0.67

    def end(self, rig: Appliance) -> None:
        rig.bands.links[self.band].loss = 0.0


@dataclass(slots=True)
class RadioOutage:
    """The radio hears nobody, and all bands have to connect anew."""

    services: tuple[str, ...] = BANDS

    def begin(self, rig: Appliance) -> None:
        for link in rig.bands.links:
            link.loss = 1.0

    def end(self, rig: Appliance) -> None:
        for link in rig.bands.links:
            link.loss = 0.0
            link.mute(rig.clock())


@dataclass(slots=True)
class _Eye:
    services: tuple[str, ...] = ("eye",)


class CameraHang(_Eye):
    """The camera's library never returns: the eye is there and silent until it is started anew."""

    def begin(self, rig: Appliance) -> None:
        rig.eye.hangs = True

    def end(self, rig: Appliance) -> None:
        """Only a new process ends it."""


class EyeIgnoresSigterm(_Eye):
    """As the hang, and the process takes as long to go as one that has to be killed and given up."""

    def begin(self, rig: Appliance) -> None:
        rig.eye.hangs = True
        rig.eye.unkillable_ns = round(1.3 * NS_PER_S)

    def end(self, rig: Appliance) -> None:
        rig.eye.unkillable_ns = 0


class CameraUnplugged(_Eye):
    """The camera is gone, and no process finds it until it is plugged in again."""

    def begin(self, rig: Appliance) -> None:
        rig.eye.broken = "The camera /dev/video0 gives no frames any more. Check that it is plugged in."

    def end(self, rig: Appliance) -> None:
        rig.eye.broken = ""


class EyeKilled(_Eye):
    """The kernel kills the eye process."""

    def begin(self, rig: Appliance) -> None:
        rig.eye.kill()

    def end(self, rig: Appliance) -> None:
        """It is started anew."""


class StaleFrames(_Eye):
    """A queue in front of the camera: every picture comes 2.5 s late."""

    def begin(self, rig: Appliance) -> None:
        rig.eye.age_ns = round(2.5 * NS_PER_S)

    def end(self, rig: Appliance) -> None:
        rig.eye.age_ns = 0


class FrameRateDrop(_Eye):
    """Poor light or a hot camera: one frame of six comes."""

    def begin(self, rig: Appliance) -> None:
        rig.eye.keeps = 6

    def end(self, rig: Appliance) -> None:
        rig.eye.keeps = 1


@dataclass(slots=True)
class WallClockStep:
    """The time of day jumps by an hour, as when the network's time is found. Modelled: `time.time` of this process."""

    services: tuple[str, ...] = ()
    _patch: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def begin(self, rig: Appliance) -> None:  # noqa: ARG002
        real, real_ns = time.time, time.time_ns

        def later() -> float:
            return real() + 3600

        def later_ns() -> int:
            return real_ns() + 3600 * NS_PER_S

        self._patch.enter_context(mock.patch("time.time", later))
        self._patch.enter_context(mock.patch("time.time_ns", later_ns))

    def end(self, rig: Appliance) -> None:  # noqa: ARG002
        self._patch.close()


@dataclass(slots=True)
class PwmWriteFails:
    """The motors' pins can't be written, and the driver can't be opened anew until they can."""

    services: tuple[str, ...] = ("vibration",)

    def begin(self, rig: Appliance) -> None:
        rig.motors.broken = True

    def end(self, rig: Appliance) -> None:
        rig.motors.broken = False


@dataclass(slots=True)
class SoundDeviceGone:
    """The speaker's plug is pulled and put in again."""

    services: tuple[str, ...] = ("voice",)

    def begin(self, rig: Appliance) -> None:
        rig.sound.there = False

    def end(self, rig: Appliance) -> None:
        rig.sound.there = True


@dataclass(slots=True)
class DiskFull:
    """Every write to the store fails for want of space; real but for the disk's answer (SQLITE_FULL from the file layer)."""

    services: tuple[str, ...] = ("store",)

    def begin(self, rig: Appliance) -> None:
        rig.disk.full = True

    def end(self, rig: Appliance) -> None:
        rig.disk.full = False


@dataclass(slots=True)
class DatabaseLocked:
    """Another process keeps the database locked. Real: a second connection with a transaction."""

    services: tuple[str, ...] = ("store",)
    _other: sqlite3.Connection | None = None

    def begin(self, rig: Appliance) -> None:
        self._other = sqlite3.connect(rig.store_path, timeout=1.0)
        self._other.execute("BEGIN IMMEDIATE")

    def end(self, rig: Appliance) -> None:  # noqa: ARG002
        if self._other is not None:
            self._other.rollback()
            self._other.close()
            self._other = None


@dataclass(slots=True)
class CpuStarved:
    """Nothing of the appliance runs for a second. Modelled: the clock goes on without it."""

    services: tuple[str, ...] = ("core",)

    def begin(self, rig: Appliance) -> None:
        rig.clock.stall(NS_PER_S)

    def end(self, rig: Appliance) -> None:
        """The processor is there again."""


@dataclass(slots=True)
class CounterWrap(_Band):
    """A band's counter of 30 bits starts at 0 again, as every 18 minutes; when, follows from when the band was turned on."""

    def begin(self, rig: Appliance) -> None:
        """The appliance's bands were turned on at the right time before."""

    def end(self, rig: Appliance) -> None:
        """It goes on counting."""
