"""Pins and sleep of the band on an ESP32-S3 (Seeed XIAO ESP32S3, which charges its own cell)."""

import esp32
import machine
from machine import ADC, I2C, PWM, UART, Pin, Timer

CODE = 1
INTERRUPT_PIN = 4


def i2c():
    return I2C(0, sda=Pin(5), scl=Pin(6), freq=400_000)


def interrupt():
    """The IMU's interrupt output, active high."""
    return Pin(INTERRUPT_PIN, Pin.IN, Pin.PULL_DOWN)


def motor():
    # 20 kHz: above hearing. The gate has its own pull-down, so that the motor is off while the chip resets.
    return PWM(Pin(7), freq=20_000, duty_u16=0)


def motor_timer():
    return Timer(0)


def is_wired():
    """Whether a serial line is plugged in: one that rests holds its receiver up."""
    return bool(Pin(44, Pin.IN, Pin.PULL_DOWN).value())


def uart():
    return UART(1, baudrate=460_800, tx=Pin(43), rx=Pin(44), txbuf=1024, rxbuf=512)


def set_led(on):
    _led.value(not on)


def battery_volts():
    """The cell's voltage, through two 220 kOhm resistors."""
    return _battery.read_uv() * 2 / 1_000_000


def slow_down():
    """80 MHz is the slowest clock with the radio on."""
    machine.freq(80_000_000)


def sleep_until_motion(_feed):
    """Deep sleep; the interrupt pin starts the firmware anew."""
    esp32.wake_on_ext0(interrupt(), esp32.WAKEUP_ANY_HIGH)
    machine.deepsleep()


_led = Pin(21, Pin.OUT, value=1)
_battery = ADC(Pin(2), atten=ADC.ATTN_11DB)
