"""What the models of all chips have in common: time, measuring at the true output data rate, and what can go wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Source = Callable[[NDArray[np.int64]], NDArray[Any]]
"""What the chip is moved by at host times (n,) ns: (n, 6) counts, ax ay az gx gy gz, full scale 32768 at 16 g and 2000 dps."""

Counts = NDArray[np.int16]
FULL_SCALE = 32768
SOURCE_G, SOURCE_DPS = 16.0, 2000.0
GRAVITY_COUNTS = FULL_SCALE / SOURCE_G


def resting(seed: int = 0, noise: float = 4.0) -> Source:
    """Lying still, z up, with sensor noise of `noise` counts (standard deviation)."""
    generator = np.random.default_rng(seed)
    gravity = np.array([0, 0, GRAVITY_COUNTS, 0, 0, 0])

    def source(times: NDArray[np.int64]) -> NDArray[np.float64]:
        counts: NDArray[np.float64] = generator.normal(0, noise, (len(times), 6)) + gravity
        return counts

    return source


class ChipModel(ABC):
    """One chip on a bus. Time comes with each call and never goes back.

    `rate_error`: 0.01 is an oscillator that is 1 % fast. `errno`: every transfer fails with this, 0 is none. `frozen`: the sensor
    repeats its last sample. `test_passes`: False is a chip whose self-test shows that it is broken. `taken`: samples since the
    output data rate was set; `time_of` says when each was taken.
    """

    def __init__(self, address: int, source: Source, rate_error: float = 0.0) -> None:
        self.address = address
        self.errno = 0
        self.frozen = False
        self.test_passes = True
        self.taken = 0
        self._source = source
        self._faster = 1 + rate_error
        self._registers = bytearray(128)
        self._latest = np.zeros(6, np.int16)
        self._start_ns = 0
        self._period_ns = 0.0
        self._reset(0)

    def read(self, register: int, n: int, host_ns: int) -> bytes:
        """`n` bytes from `register` on. Raises OSError where `errno` is set."""
        self._answer()
        self.advance(host_ns)
        return self._read(register, n)

    def write(self, register: int, data: bytes, host_ns: int) -> None:
        """Write `data` to `register` and those after it. Raises OSError where `errno` is set."""
        self._answer()
        self.advance(host_ns)
        for i, value in enumerate(data):
            self._write(self._next(register, i), value, host_ns)

    def advance(self, host_ns: int) -> None:
        """Take the samples that are due by `host_ns`."""
        due = self._due(host_ns)
        if not due:
            return
        times = self.time_of(np.arange(self.taken, self.taken + due))
        rows = self._scaled(self._source(times - self._delay_ns()))
        if self.frozen:
            rows[:] = self._latest
        self.taken += due
        before, self._latest = self._latest, rows[-1]
        self._sampled(rows, before)

    def time_of(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Host times (ns) at which the samples with these indices were, or will be, there."""
        times: NDArray[np.int64] = self._start_ns + np.ceil((index + 1) * self._period_ns).astype(np.int64)
        return times

    def interrupts(self, host_ns: int) -> bool:
        """The level of the interrupt pin."""
        self.advance(host_ns)
        return self._level()

    def interrupt_ns(self, until_ns: int) -> int | None:
        """When the interrupt pin rises next, if that is by `until_ns` and nobody touches a register before."""
        if self._level():
            return None
        k = 1
        while self._due(until_ns) >= k:
            if not self._may_rise(k):
                k += 1
                continue
            moment = int(self.time_of(np.array([self.taken + k - 1]))[0])
            self.advance(moment)
            if self._rose():
                return moment
            k = 1
        return None

    def power_cycle(self, host_ns: int) -> None:
        """Off and on again: every register is as after power-up."""
        self._reset(host_ns)

    @abstractmethod
    def _reset(self, host_ns: int) -> None:
        """Registers and FIFO as after power-up."""

    @abstractmethod
    def _read(self, register: int, n: int) -> bytes:
        """`n` bytes from `register` on."""

    @abstractmethod
    def _write(self, register: int, value: int, host_ns: int) -> None:
        """One register."""

    @abstractmethod
    def _ranges(self) -> tuple[float, float]:
        """Ranges that are set: g and dps."""

    @abstractmethod
    def _excited(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What the self-test adds now: (3,) g and (3,) dps."""

    @abstractmethod
    def _sampled(self, rows: Counts, before: Counts) -> None:
        """New samples (n, 6) at the set ranges, and the one before them."""

    @abstractmethod
    def _level(self) -> bool:
        """The interrupt pin."""

    @abstractmethod
    def _may_rise(self, k: int) -> bool:
        """Whether the `k`th sample from now on can raise the interrupt pin."""

    def _rose(self) -> bool:
        return self._level()

    def _delay_ns(self) -> int:
        return 0

    def _next(self, register: int, i: int) -> int:
        """The `i`th register of a transfer that begins at `register`."""
        return register + i

    def _answer(self) -> None:
        if self.errno:
            raise OSError(self.errno, "the chip does not answer")

    def _run(self, rate_hz: float, host_ns: int) -> None:
        """Measure at nominal `rate_hz` from now on; 0: not at all."""
        self._period_ns = 1e9 / (rate_hz * self._faster) if rate_hz else 0.0
        self._start_ns = host_ns
        self.taken = 0

    def _due(self, host_ns: int) -> int:
        if not self._period_ns:
            return 0
        # The billionth of a sample makes up for rounding at the very moment of one.
        return max(0, int((host_ns - self._start_ns) / self._period_ns + 1e-9) - self.taken)

    def _scaled(self, counts: NDArray[Any]) -> Counts:
        accel_g, gyro_dps = self._ranges()
        excited_g, excited_dps = self._excited()
        moved = np.asarray(counts, np.float64) * np.repeat([SOURCE_G / accel_g, SOURCE_DPS / gyro_dps], 3)
        moved[:, :3] += excited_g * FULL_SCALE / accel_g
        moved[:, 3:] += excited_dps * FULL_SCALE / gyro_dps
        rows: Counts = np.clip(np.round(moved), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        return rows
