"""The vibration motor. Whoever asks for what: no vibration is longer than 1 s, and in the long run it is on a quarter of the
time."""

import time

from machine import Timer

from device.band import protocol

CREDIT_MS = 3000
"""On-time that a rested motor may spend at once, in pieces of at most 1 s."""
REST_PER_MS = 3
"""Off-time (ms) that earns back one ms of on-time."""
SHORTEST_MS = 30
"""A shorter pulse isn't felt as vibration."""


class Motor:
    def __init__(self, pwm, timer):
        self._pwm = pwm
        self._timer = timer
        self._credit_ms = CREDIT_MS
        self._counted_ms = time.ticks_ms()
        self._off_at_ms = 0
        self.is_on = False

    def vibrate(self, duration_ms, intensity):
        """Start a vibration of `intensity` 1..255; it replaces a running one. The ms that it gets come back, 0 for none."""
        self.off()
        granted = min(duration_ms, protocol.MAX_VIBRATION_MS, self._credit_ms)
        if granted < SHORTEST_MS or not intensity:
            return 0
        self._counted_ms = time.ticks_ms()
        self._off_at_ms = time.ticks_add(self._counted_ms, granted)
        self.is_on = True
        self._pwm.duty_u16(intensity * 257)
        self._timer.init(mode=Timer.ONE_SHOT, period=granted, callback=self._timed_out)
        return granted

    def off(self):
        """The motor is off now, whatever ran."""
        self._pwm.duty_u16(0)
        self._timer.deinit()
        self._count()
        self.is_on = False

    def service(self):
        """The second way off, should the timer not have come."""
        if self.is_on and time.ticks_diff(time.ticks_ms(), self._off_at_ms) >= 0:
            self.off()
        elif not self.is_on:
            self._count()

    def _timed_out(self, _timer):
        self.off()

    def _count(self):
        now = time.ticks_ms()
        passed = time.ticks_diff(now, self._counted_ms)
        if self.is_on:
            self._credit_ms = max(0, self._credit_ms - passed)
            self._counted_ms = now
        else:
            earned = passed // REST_PER_MS
            self._credit_ms = min(CREDIT_MS, self._credit_ms + earned)
            self._counted_ms = time.ticks_add(self._counted_ms, earned * REST_PER_MS)
