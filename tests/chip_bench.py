"""Chips on a simulated bus in simulated time, for the tests of chips and of the `i2c` driver."""

from pathlib import Path

import numpy as np

import device.band.chips
from device.band.chips import Bmi270, Lsm6dsox, Mpu6050
from device.band.chips.base import FULL_SCALE, SAMPLE_SIZE, SMBUS_BLOCK
from device.sim_chips.bmi270 import Bmi270Model
from device.sim_chips.lsm6dsox import Lsm6dsoxModel
from device.sim_chips.model import resting
from device.sim_chips.mpu6050 import Mpu6050Model

MS = 1_000_000
S = 1_000 * MS
KINDS = {"lsm6dsox": Lsm6dsox, "bmi270": Bmi270, "mpu6050": Mpu6050}


def load_blob(name):
    return (Path(device.band.chips.__file__).parent / name).read_bytes()


def model_of(name, source=None, rate_error=0.0, **options):
    source = source or resting()
    if name == "bmi270":
        return Bmi270Model(source, load_blob("bmi270.bin"), rate_error, **options)
    return {"lsm6dsox": Lsm6dsoxModel, "mpu6050": Mpu6050Model}[name](source, rate_error, **options)


class Clock:
    """The host's clock, which only this moves on."""

    def __init__(self, ns=5 * S):
        self.ns = ns

    def now_ns(self):
        return self.ns

    def sleep_ms(self, ms):
        self.ns += round(ms * MS)


class ModelBus:
    """One chip on a bus of blocks of at most 32 bytes, 0.1 ms a transfer."""

    def __init__(self, model, clock):
        self.model, self.clock = model, clock

    def read(self, register, n):
        assert n <= SMBUS_BLOCK
        self.clock.ns += MS // 10
        return self.model.read(register, n, self.clock.ns)

    def write(self, register, data):
        assert len(data) <= SMBUS_BLOCK
        self.clock.ns += MS // 10
        self.model.write(register, bytes(data), self.clock.ns)


def bench(name, source=None, rate_error=0.0, **options):
    """A chip's driver and its model with a clock of their own."""
    clock = Clock()
    model = model_of(name, source, rate_error, **options)
    return KINDS[name](ModelBus(model, clock), clock.sleep_ms, load_blob), model, clock


def rows(chip):
    """The samples of the last `read_fifo`, (n, 6) counts."""
    return np.frombuffer(chip.samples, "<i2").reshape(-1, SAMPLE_SIZE // 2)


def counting():
    """A source whose every sample says when it was taken: the time in 0.1 ms, low bits in ax, high bits in gx; others fixed."""

    def source(times):
        ticks = times // (MS // 10)
        counts = np.zeros((len(times), 6))
        counts[:, 0] = ticks % FULL_SCALE
        counts[:, 3] = ticks // FULL_SCALE
        counts[:, 1], counts[:, 2], counts[:, 4], counts[:, 5] = 1000, -2000, -30, 40
        return counts

    return source
