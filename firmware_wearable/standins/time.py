"""`time` whose clock is the host's: it stands still between the moments that the host names, and moves in sleeps."""

import hw
from utime import localtime, ticks_add, ticks_diff, time  # noqa: F401


def ticks_us():
    return hw.ticksUs()


def ticks_ms():
    return hw.ticksMs()


def sleep_us(us):
    hw.sleepUs(us)


def sleep_ms(ms):
    hw.sleepUs(ms * 1000)


def sleep(s):
    hw.sleepUs(int(s * 1_000_000))
