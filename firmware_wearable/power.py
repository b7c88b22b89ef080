"""Battery, stillness, LED and watchdog."""

import time

from machine import WDT

LOW_PERCENT = 15
_CURVE = ((4150, 100), (4000, 85), (3870, 65), (3790, 50), (3730, 35), (3680, 20), (3580, 10), (3450, 4), (3300, 0))
"""mV under a light load and the share of charge left of a lithium polymer cell at room temperature."""
BATTERY_PERIOD_MS = 10_000

STILL_ACCEL = 1 << 7
STILL_GYRO = 1 << 6
"""Counts around the mean at 16 g and 2000 dps: 0.6 m/s^2 and 3.9 dps."""
STILL_AFTER_MS = 2000
SLEEP_AFTER_MS = 120_000

WATCHDOG_MS = 8000
"""A Pico's longest is 8388."""


def percent_of(millivolts):
    """Share of charge left, 0..100."""
    above_mv, above = _CURVE[0]
    if millivolts >= above_mv:
        return above
    for mv, percent in _CURVE[1:]:
        if millivolts >= mv:
            return percent + (millivolts - mv) * (above - percent) // (above_mv - mv)
        above_mv, above = mv, percent
    return 0


class Battery:
    """`percent`: 0..100, looked up every 10 s. A reading goes in by a quarter, so that the motor's pull doesn't show."""

    def __init__(self, read_volts):
        self._read_volts = read_volts
        self._millivolts = int(read_volts() * 1000)
        self._read_ms = time.ticks_ms()
        self.percent = percent_of(self._millivolts)

    def is_low(self):
        return self.percent < LOW_PERCENT

    def service(self):
        """True when `percent` is another one than before."""
        now = time.ticks_ms()
        if time.ticks_diff(now, self._read_ms) < BATTERY_PERIOD_MS:
            return False
        self._read_ms = now
        self._millivolts += (int(self._read_volts() * 1000) - self._millivolts) // 4
        before, self.percent = self.percent, percent_of(self._millivolts)
        return self.percent != before


class Stillness:
    """Whether the band lies still, from one sample of each batch: every axis stays near its slow mean for 2 s."""

    def __init__(self):
        self._means = None
        self._moved_ms = time.ticks_ms()

    def update(self, axes):
        """`axes`: six counts."""
        if self._means is None:
            self._means = [value << 3 for value in axes]
        for i, value in enumerate(axes):
            if abs(value - (self._means[i] >> 3)) > (STILL_ACCEL if i < 3 else STILL_GYRO):
                self._moved_ms = time.ticks_ms()
            self._means[i] += value - (self._means[i] >> 3)

    def moved(self):
        """Something else than a sample says that the band is in use."""
        self._moved_ms = time.ticks_ms()

    def still_ms(self):
        return time.ticks_diff(time.ticks_ms(), self._moved_ms)

    def is_still(self):
        return self.still_ms() >= STILL_AFTER_MS


OFF = (0, 1000)
ADVERTISING = (30, 1970)
CONNECTED = (30, 4970)
LOW_BATTERY = (30, 150, 30, 2790)
IDENTIFYING = (100, 100)
BROKEN = (60, 150, 60, 150, 60, 1520)
NO_PAIRING = (60, 150, 60, 150, 60, 150, 60, 1310)


class Led:
    """Shows one pattern: ms on, ms off, ms on, ..."""

    def __init__(self, set_led):
        self._set_led = set_led
        self._pattern = OFF
        self._step = 0
        self._since_ms = time.ticks_ms()

    def show(self, pattern):
        if pattern is not self._pattern:
            self._pattern = pattern
            self._step = 0
            self._since_ms = time.ticks_ms()
            self._set_led(pattern is not OFF)

    def service(self):
        now = time.ticks_ms()
        if time.ticks_diff(now, self._since_ms) < self._pattern[self._step]:
            return
        self._since_ms = now
        self._step = (self._step + 1) % len(self._pattern)
        self._set_led(self._pattern is not OFF and self._step % 2 == 0)


class Watchdog:
    """Resets the chip 8 s after the last `feed`, whatever hangs."""

    def __init__(self):
        self._wdt = WDT(timeout=WATCHDOG_MS)

    def feed(self):
        self._wdt.feed()
