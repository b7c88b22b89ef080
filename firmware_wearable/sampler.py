"""Reads the IMU's FIFO when the chip says that a batch is there, times the samples and keeps them until they are sent."""

import struct
import time

from machine import Pin
from sample_clock import SampleClock

from device.band import protocol
from device.band.chips import find
from device.band.chips.base import Bus, ChipError

CAPACITY = 512
"""Samples that wait at most: 5 s at 100 Hz."""
BUS_BLOCK = 512
"""Bytes in one transfer: the bus has no limit of its own, and a longer transfer would hold up the radio."""
RETRY_MS = 1000
"""A chip that failed is set up anew this often."""
MAX_FAILURES = 3
"""So many reads that fail one after the other mean that the chip has to be set up anew."""


class I2cBus(Bus):
    """One chip's registers, for `device.band.chips`."""

    def __init__(self, i2c, address):
        self._i2c = i2c
        self._address = address

    def read(self, register, n):
        return self._i2c.readfrom_mem(self._address, register, n)

    def write(self, register, data):
        self._i2c.writeto_mem(self._address, register, data)


class Ring:
    """The newest `capacity` samples of 12 bytes, one after the other; `first` is the index of the oldest."""

    def __init__(self, capacity):
        self.first = 0
        self.waiting = 0
        self.lost = 0
        self._capacity = capacity
        self._rows = memoryview(bytearray(capacity * protocol.SAMPLE_SIZE))

    def clear(self, first):
        self.first = first
        self.waiting = 0

    def put(self, rows, n):
        """Append `n` rows; what there is no room for is lost from the old end."""
        excess = self.waiting + n - self._capacity
        if excess > 0:
            self._drop(min(excess, self.waiting))
        if n > self._capacity:
            rows = rows[(n - self._capacity) * protocol.SAMPLE_SIZE :]
            self.first += n - self._capacity
            self.lost += n - self._capacity
            n = self._capacity
        start = (self.first + self.waiting) % self._capacity
        self._copy(rows, 0, start, min(n, self._capacity - start))
        if start + n > self._capacity:
            self._copy(rows, self._capacity - start, 0, start + n - self._capacity)
        self.waiting += n

    def take_into(self, buffer, place, n):
        """Move the oldest `n` samples to `buffer[place:]`."""
        size = protocol.SAMPLE_SIZE
        start = self.first % self._capacity
        head = min(n, self._capacity - start)
        buffer[place : place + head * size] = self._rows[start * size : (start + head) * size]
        buffer[place + head * size : place + n * size] = self._rows[: (n - head) * size]
        self.first += n
        self.waiting -= n

    def _drop(self, n):
        self.first += n
        self.waiting -= n
        self.lost += n

    def _copy(self, rows, source, target, n):
        size = protocol.SAMPLE_SIZE
        self._rows[target * size : (target + n) * size] = rows[source * size : (source + n) * size]


class Sampler:
    """`works`: the chip answers and measures. `failures` of the bus are counted, and `starts` of the chip.

    A sample's index counts all that the chip measured, also those that were lost.
    """

    def __init__(self, i2c, interrupt, on_axes):
        """`on_axes` gets the six counts of the first sample of each batch."""
        self.rate_hz = 100
        self.works = False
        self.starts = 0
        self.failures = 0
        self._i2c = i2c
        self._on_axes = on_axes
        self._chip = None
        self._ring = Ring(CAPACITY)
        self._clock = SampleClock(self.rate_hz)
        self._drained = 0
        self._overflow = False
        self._interrupts = 0
        self._interrupt_us = 0
        self._read_ms = time.ticks_ms()
        self._failed_in_a_row = 0
        interrupt.irq(handler=self._interrupted, trigger=Pin.IRQ_RISING)
        self._set_up()

    @property
    def chip_code(self):
        return self._chip.CODE if self._chip else 0

    @property
    def accel_code(self):
        return self._chip.accel_code

    @property
    def gyro_code(self):
        return self._chip.gyro_code

    @property
    def waiting(self):
        """Samples whose times are known."""
        return self._ring.waiting if self._clock.is_set() else 0

    @property
    def first_index(self):
        """Of the oldest sample that waits."""
        return self._ring.first

    def first_time_us(self):
        """The counter at the motion that the oldest sample shows: the chip's filter makes it some ms old."""
        return time.ticks_add(self._clock.time_of(self._ring.first), -self._chip.delay_us)

    def spacing_us(self):
        return self._clock.spacing_us()

    def take_into(self, buffer, place, n):
        """Move the oldest `n` samples to `buffer[place:]`."""
        self._ring.take_into(buffer, place, n)

    def take_overflow(self):
        """Whether samples were lost since this was asked last."""
        lost, self._overflow = self._overflow or self._ring.lost > 0, False
        self._ring.lost = 0
        return lost

    def clear(self):
        """Forget what waits."""
        self._ring.clear(self._drained)
        self.take_overflow()

    def set_rate(self, rate_hz):
        """False: the chip doesn't answer."""
        if rate_hz != self.rate_hz:
            self.rate_hz = rate_hz
            self._set_up()
        return self.works

    def service(self):
        """Read what the chip has, after its interrupts or when they are overdue; set the chip up anew where it fails."""
        now_ms = time.ticks_ms()
        since_ms = time.ticks_diff(now_ms, self._read_ms)
        if not self.works:
            if since_ms >= RETRY_MS:
                self._read_ms = now_ms
                self._set_up()
        elif self._interrupts * self._chip.samples_per_interrupt >= self._batch or since_ms >= self._overdue_ms():
            self._read_ms = now_ms
            self._drain()

    def self_test(self):
        """`protocol.TEST_...` bits of the chip and its interrupt."""
        passed = 0
        try:
            if self._chip:
                self._chip.probe()
                passed = protocol.TEST_CHIP_ID
                result = self._chip.self_test()
                passed |= protocol.TEST_ACCELEROMETER if result.accel else 0
                passed |= protocol.TEST_GYROSCOPE if result.gyro else 0
        except (OSError, ChipError):
            self.failures += 1
        self._set_up()
        return passed | (protocol.TEST_FIFO if self.works and self._interrupt_comes() else 0)

    def wake_on_motion(self):
        """From now on the interrupt means that the band was moved."""
        self._chip.wake_on_motion()

    def _set_up(self):
        self.works = False
        self._batch = protocol.samples_per_packet(self.rate_hz)
        self._failed_in_a_row = 0
        try:
            if self._chip is None:
                self._chip = find(lambda address: I2cBus(self._i2c, address), time.sleep_ms, _load, BUS_BLOCK)
            self._chip.start(self.rate_hz, watermark=self._batch)
        except (OSError, ChipError) as error:
            self.failures += 1
            print("The IMU doesn't start:", error)
            return
        self.works = True
        self.starts += 1
        self._interrupts = 0
        self._read_ms = time.ticks_ms()
        self._clock.restart(self._chip.rate_hz)
        self._ring.clear(self._drained)
        self._overflow = True

    def _overdue_ms(self):
        return 3000 * self._batch // self.rate_hz

    def _drain(self):
        chip = self._chip
        interrupts, self._interrupts = self._interrupts, 0
        newest = self._drained + interrupts * chip.samples_per_interrupt - 1
        try:
            n = chip.read_fifo()
        except (OSError, ChipError):
            self._fail()
            return
        self._failed_in_a_row = 0
        if chip.overflow:
            self._lose(n, chip.lost)
        elif interrupts:
            self._clock.observe(newest, self._interrupt_us)
        if n:
            rows = chip.samples
            self._ring.put(rows, n)
            self._drained += n
            self._on_axes(struct.unpack_from("<6h", rows, 0))

    def _lose(self, n, lost):
        """The chip's FIFO overflowed before the `n` samples that it kept; where it doesn't say by how much, the clock does."""
        if lost < 0:
            lost = max(1, self._clock.index_at(time.ticks_us()) + 1 - self._drained - n)
        self._overflow = True
        self._drained += lost
        self._ring.clear(self._drained)

    def _fail(self):
        self.failures += 1
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= MAX_FAILURES:
            self.works = False

    def _interrupt_comes(self):
        """Whether the chip raises its interrupt within three batches."""
        until_ms = time.ticks_add(time.ticks_ms(), self._overdue_ms())
        while time.ticks_diff(until_ms, time.ticks_ms()) > 0:
            if self._interrupts:
                return True
            time.sleep_ms(2)
        return False

    def _interrupted(self, _pin):
        self._interrupt_us = time.ticks_us()
        self._interrupts += 1


def _load(name):
    """A file that a chip's maker gives to it."""
    with open("device/band/chips/" + name, "rb") as file:
        return file.read()
