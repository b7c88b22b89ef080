"""An I2C bus under Linux with simulated chips on it, as `smbus2.SMBus` shows it."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable

from device.sim_chips.model import ChipModel

_BLOCK = 32
_WIRE_NS_PER_BYTE = 25_000
"""Nine bits at 400 kHz, with some of the kernel's own time."""


class SimulatedSmbus:
    """The two calls of SMBus that the `i2c` driver makes, on chips with different addresses. No chip: errno 121, as on a Pi.

    `clock`: the host's clock (ns). `wait`: makes time pass (ns) for the transfer, where that is not the caller's.
    """

    def __init__(
        self,
        chips: Iterable[ChipModel],
        clock: Callable[[], int] = time.monotonic_ns,
        wait: Callable[[int], None] = lambda _ns: None,
    ) -> None:
        self.closed = False
        self.transfers = 0
        self._chips = {chip.address: chip for chip in chips}
        self._clock = clock
        self._wait = wait

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int) -> list[int]:
        """At most 32 bytes from `register` on."""
        chip = self._select(i2c_addr, length)
        return list(chip.read(register, length, self._clock()))

    def write_i2c_block_data(self, i2c_addr: int, register: int, data: list[int]) -> None:
        """At most 32 bytes to `register` and those after it."""
        chip = self._select(i2c_addr, len(data))
        chip.write(register, bytes(data), self._clock())

    def close(self) -> None:
        self.closed = True

    def _select(self, address: int, length: int) -> ChipModel:
        if self.closed:
            raise OSError(errno.EBADF, "the bus is closed")
        if not 1 <= length <= _BLOCK:
            raise ValueError(f"An SMBus block of {length} bytes; 1 to {_BLOCK} are possible.")
        self.transfers += 1
        self._wait(_WIRE_NS_PER_BYTE * (length + 3))
        if address not in self._chips:
            raise OSError(errno.EREMOTEIO, "nobody answers")
        return self._chips[address]
