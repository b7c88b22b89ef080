"""Pins and sleep of the band on a Raspberry Pi Pico W."""

import machine
from machine import ADC, I2C, PWM, UART, Pin, Timer

CODE = 2
INTERRUPT_PIN = 6
SLEEP_MS = 200


def i2c():
    return I2C(0, sda=Pin(4), scl=Pin(5), freq=400_000)


def interrupt():
    """The IMU's interrupt output, active high."""
    return Pin(INTERRUPT_PIN, Pin.IN, Pin.PULL_DOWN)


def motor():
    # 20 kHz: above hearing. The gate has its own pull-down, so that the motor is off while the chip resets.
    return PWM(Pin(7), freq=20_000, duty_u16=0)


def motor_timer():
    return Timer(-1)


def is_wired():
    """Whether a serial line is plugged in: one that rests holds its receiver up."""
    return bool(Pin(1, Pin.IN, Pin.PULL_DOWN).value())


def uart():
    return UART(0, baudrate=460_800, tx=Pin(0), rx=Pin(1), txbuf=1024, rxbuf=512)


def set_led(on):
    _led.value(on)


def battery_volts():
    """The cell's voltage, through two 220 kOhm resistors."""
    return _battery.read_u16() * 2 * 3.3 / 65535


def slow_down():
    """48 MHz leaves the radio's bus (clock / 2) well within its range."""
    machine.freq(48_000_000)


def sleep_until_motion(feed):
    """Light sleep in steps that the watchdog allows; the interrupt pin starts the firmware anew."""
    moved = interrupt()
    while not moved.value():
        machine.lightsleep(SLEEP_MS)
        feed()
    machine.reset()


_led = Pin("LED", Pin.OUT, value=0)
_battery = ADC(Pin(28))
