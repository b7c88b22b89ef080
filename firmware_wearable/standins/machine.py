"""`machine` on a host: every pin, bus and timer is the host's (the JavaScript module `hw`)."""

import hw

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4


class Off(Exception):
    """The chip sleeps or starts anew; no line of the firmware after this one runs."""


class Pin:
    IN = 0
    OUT = 1
    PULL_UP = 1
    PULL_DOWN = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2
    _handlers = {}  # noqa: RUF012

    def __init__(self, number, mode=-1, pull=-1, value=None):
        self.number = number
        if value is not None:
            hw.setPin(str(number), value)

    def value(self, value=None):
        if value is None:
            return hw.getPin(str(self.number))
        hw.setPin(str(self.number), int(value))
        return None

    def irq(self, handler=None, trigger=IRQ_RISING, hard=False):
        Pin._handlers[self.number] = (self, handler)


def interrupt(number):
    """The host raises the interrupt of a pin."""
    pin, handler = Pin._handlers.get(number, (None, None))
    if handler:
        handler(pin)


class I2C:
    def __init__(self, bus, *, scl=None, sda=None, freq=400_000):
        pass

    def readfrom_mem(self, address, register, n):
        data = hw.i2cRead(address, register, n)
        if not data:
            raise OSError(hw.i2cError())
        return bytes.fromhex(data)

    def readfrom_mem_into(self, address, register, buffer):
        buffer[:] = self.readfrom_mem(address, register, len(buffer))

    def writeto_mem(self, address, register, data):
        if not hw.i2cWrite(address, register, bytes(data).hex()):
            raise OSError(hw.i2cError())


class PWM:
    def __init__(self, pin, *, freq=1000, duty_u16=0):
        self._pin = pin
        self.duty_u16(duty_u16)

    def duty_u16(self, duty):
        hw.setPin(str(self._pin.number), duty)


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin, *, atten=None):
        pass

    def read_uv(self):
        return int(hw.batteryVolts() * 500_000)

    def read_u16(self):
        return int(hw.batteryVolts() / 2 / 3.3 * 65535)


class Timer:
    ONE_SHOT = 0
    PERIODIC = 1
    _running = {}  # noqa: RUF012

    def __init__(self, number):
        self._number = number

    def init(self, *, mode=PERIODIC, period=-1, callback=None):
        Timer._running[self._number] = (self, callback)
        hw.startTimer(self._number, period, mode)

    def deinit(self):
        Timer._running.pop(self._number, None)
        hw.stopTimer(self._number)


def timer_fired(number):
    """The host's clock reached a timer's end."""
    timer, callback = Timer._running.get(number, (None, None))
    if callback:
        callback(timer)


class WDT:
    def __init__(self, timeout):
        hw.startWatchdog(timeout)

    def feed(self):
        hw.feedWatchdog()


class UART:
    """Bytes that the band writes go to the host, and come from there."""

    def __init__(self, number, *, baudrate=115200, tx=None, rx=None, txbuf=256, rxbuf=256):
        pass

    def write(self, data):
        hw.uartWrite(bytes(data).hex())
        return len(data)

    def any(self):
        return hw.uartAny()

    def read(self):
        data = bytes.fromhex(hw.uartRead())
        return data or None


def unique_id():
    return bytes.fromhex(hw.uniqueId())


def reset_cause():
    return hw.resetCause()


def freq(hz=None):
    return 80_000_000


def lightsleep(ms):
    hw.sleepUs(ms * 1000)


def deepsleep():
    hw.off("asleep")
    raise Off


def reset():
    hw.off("reset")
    raise Off
