"""Bands of the virtual trainee as a source like any other."""

from __future__ import annotations

from dataclasses import replace

from device.config import ImuConfig
from device.drivers.base import ImuSource
from device.errors import DriverError, EndOfStream
from device.messages import ImuBatch
from device.runtime.timebase import Timebase
from device.sim.bands import Link, VirtualBands, Wearer


class VirtualImu(ImuSource):
    """Reads `VirtualBands` and converts their clocks to the host's. The trainee's session starts at host time `epoch_ns`."""

    def __init__(self, config: ImuConfig, trainee: Wearer, *, seed: int = 0, epoch_ns: int = 0, link: Link | None = None) -> None:
        self._config = config
        self._trainee = trainee
        self._seed = seed
        self._shift_ns = epoch_ns - trainee.start_ns
        self._link = link
        self._bands: VirtualBands | None = None
        self._timebase = Timebase()

    def open(self) -> None:
        self._bands = VirtualBands(self._seed, self._trainee, self._config.rate_hz, link=self._link)
        self._timebase = Timebase()

    def close(self) -> None:
        self._bands = None

    def read(self, until_ns: int) -> list[ImuBatch]:
        if self._bands is None:
            raise DriverError("The virtual bands are closed. Open the source before reading it.")
        if self._bands.finished():
            raise EndOfStream("The virtual trainee's session is over; the bands send nothing more.")
        received = self._bands.read(until_ns - self._shift_ns)
        return [self._timebase.convert(replace(b, t_ns=b.t_ns + self._shift_ns), b.t_ns + self._shift_ns) for b in received]
