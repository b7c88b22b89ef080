"""A band: samples in, packets out, requests obeyed. Runs at power-up."""

import binascii
import random
import time

import machine
from board import pins
from control import Control
from link import Link, PairingUnavailable
from motor import Motor
from power import (
    ADVERTISING,
    BROKEN,
    CONNECTED,
    IDENTIFYING,
    LOW_BATTERY,
    NO_PAIRING,
    SLEEP_AFTER_MS,
    Battery,
    Led,
    Stillness,
    Watchdog,
)
from sampler import Sampler
from storage import Record
from stream import Stream
from wire import Wire

from device.band import protocol

FIRMWARE = (1, 0, 0)
IDLE_MS = 2
IDENTIFY_MS = 3000
IDENTIFY_PULSE_MS = 300


class Band:
    """Everything that one band is. `service` does what is due and returns; nothing in it waits."""

    firmware = FIRMWARE
    board_code = pins.CODE

    def __init__(self):
        self.motor = Motor(pins.motor(), pins.motor_timer())
        self.led = Led(pins.set_led)
        self.watchdog = Watchdog()
        pins.slow_down()
        self.battery = Battery(pins.battery_volts)
        self.stillness = Stillness()
        self._record = Record("band.json", {"name": "", "session": 0, "bias_x": 0, "bias_y": 0, "bias_z": 0})
        self.unique_id = (machine.unique_id() + bytes(8))[:8]
        self.session = self._new_session()
        self.sampler = Sampler(pins.i2c(), pins.interrupt(), self.stillness.update)
        self.link = Wire(pins.uart()) if pins.is_wired() else self._radio()
        self.link.show_battery(self.battery.percent)
        self.stream = Stream(self.session, self.sampler, self.link, self._flags)
        self.control = Control(self)
        self._identify_until_ms = None

    def service(self):
        self.watchdog.feed()
        self.motor.service()
        self.sampler.service()
        self.link.service()
        request = self.link.take_request()
        while request:
            received_us, data = request
            answer = self.control.answer(data, received_us)
            if answer:
                self.link.answer(answer)
            request = self.link.take_request()
        self.stream.service()
        if self.motor.is_on and not self.link.is_connected():
            self.motor.off()
        if self.battery.service():
            self.link.show_battery(self.battery.percent)
        self._show_state()
        self.led.service()
        if self._may_sleep():
            self._sleep()

    def identify(self):
        """Blink and vibrate, so that a person sees which band this is."""
        self._identify_until_ms = time.ticks_add(time.ticks_ms(), IDENTIFY_MS)
        self.vibrate(IDENTIFY_PULSE_MS, 255)

    def vibrate(self, duration_ms, intensity):
        """The ms that the motor gets; none from an empty cell, which its pull would switch off."""
        if not self.battery.percent:
            return 0
        return self.motor.vibrate(duration_ms, intensity)

    def self_test(self):
        """`protocol.TEST_...` bits of what works. Takes the chip some 100 ms, in which nothing is measured."""
        self.motor.off()
        passed = self.sampler.self_test()
        if self.battery.percent > 10:
            passed |= protocol.TEST_BATTERY
        try:
            self._record.save()
            passed |= protocol.TEST_STORAGE
        except OSError:
            pass
        return passed

    def gyro_bias(self):
        """Counts of `protocol.BIAS_UNIT`, as the appliance stored them here; samples are sent as they are."""
        values = self._record.values
        return values["bias_x"], values["bias_y"], values["bias_z"]

    def set_gyro_bias(self, x, y, z):
        self._record.values.update({"bias_x": x, "bias_y": y, "bias_z": z})
        self._record.save()

    def set_name(self, name):
        """Goes on the air at the next boot."""
        self._record.values["name"] = name
        self._record.save()

    def _radio(self):
        serial = binascii.hexlify(self.unique_id).decode()
        name = self._record.values["name"] or protocol.NAME_PREFIX + " " + serial[-4:]
        model = protocol.BOARD_NAMES[pins.CODE] + " " + protocol.CHIP_NAMES[self.sampler.chip_code]
        firmware = ".".join(str(part) for part in FIRMWARE)
        switched_on = machine.reset_cause() == machine.PWRON_RESET
        return Link(name, serial, firmware, model, Record("bonds.json", {"secrets": []}), switched_on)

    def _new_session(self):
        """1..65535, never the last one. A flash that can't be written costs that promise, not the band."""
        last = self._record.values["session"]
        session = last
        while session in (0, last):
            session = random.getrandbits(16)
        self._record.values["session"] = session
        try:
            self._record.save()
        except OSError as error:
            print("The session can't be stored:", error)
        return session

    def _flags(self):
        flags = protocol.FLAG_LOW_BATTERY if self.battery.is_low() else 0
        if self.motor.is_on:
            flags |= protocol.FLAG_MOTOR_ON
        if self.stillness.is_still():
            flags |= protocol.FLAG_STILL
        return flags

    def _show_state(self):
        if self._identify_until_ms is not None:
            if time.ticks_diff(self._identify_until_ms, time.ticks_ms()) > 0:
                self.led.show(IDENTIFYING)
                return
            self._identify_until_ms = None
        if not self.sampler.works:
            self.led.show(BROKEN)
        elif self.battery.is_low():
            self.led.show(LOW_BATTERY)
        else:
            self.led.show(CONNECTED if self.link.is_connected() else ADVERTISING)

    def _may_sleep(self):
        return not self.link.is_connected() and self.sampler.works and self.stillness.still_ms() >= SLEEP_AFTER_MS

    def _sleep(self):
        """Until the band is moved; the firmware starts anew then."""
        self.motor.off()
        self.link.close()
        pins.set_led(False)
        self.sampler.wake_on_motion()
        pins.sleep_until_motion(self.watchdog.feed)


def run():
    """Serve for ever. Whatever ends it, the motor is off, and the watchdog starts the band anew."""
    try:
        band = Band()
    except PairingUnavailable as error:
        print(error)
        _blink_for_ever(NO_PAIRING)
    try:
        while True:
            band.service()
            time.sleep_ms(IDLE_MS)
    finally:
        band.motor.off()


def _blink_for_ever(pattern):
    led = Led(pins.set_led)
    watchdog = Watchdog()
    while True:
        led.show(pattern)
        led.service()
        watchdog.feed()
        time.sleep_ms(IDLE_MS)


if __name__ == "__main__":
    run()
