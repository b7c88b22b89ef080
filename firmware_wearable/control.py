"""What a central may ask of a band, how often, and what it is answered."""

import time

from device.band import protocol

BURST = 30
EARN_MS = 20
"""Each request spends one of `BURST` tokens; one comes back every 20 ms."""
BUSY_EVERY_MS = 100
"""Refusals are answered no more often, or they would be the flood."""


class Control:
    """Decodes requests, bounds their number and calls the band. `refused`: requests beyond the bound."""

    def __init__(self, band):
        self.refused = 0
        self._band = band
        self._tokens = BURST
        self._earned_ms = time.ticks_ms()
        self._busy_ms = time.ticks_add(self._earned_ms, -BUSY_EVERY_MS)
        self._handlers = {
            protocol.PING: self._ping,
            protocol.SET_RATE: self._set_rate,
            protocol.START: self._start,
            protocol.STOP: self._stop,
            protocol.IDENTIFY: self._identify,
            protocol.VIBRATE: self._vibrate,
            protocol.SELF_TEST: self._self_test,
            protocol.IDENTITY: self._identity,
            protocol.SET_NAME: self._set_name,
            protocol.GET_CALIBRATION: self._get_calibration,
            protocol.SET_CALIBRATION: self._set_calibration,
        }

    def answer(self, data, received_us):
        """The answer's bytes, or None where none is due. Any bytes are survived."""
        opcode = data[0] if data else 0
        token = data[1] if len(data) > 1 else 0
        if not self._may():
            return self._busy(opcode, token)
        try:
            request = protocol.decode_request(data)
        except protocol.ControlError as error:
            return protocol.encode_answer(opcode, token, error.status)
        try:
            status, values = self._handlers[opcode](request.values, received_us)
        except OSError:
            status, values = protocol.STORAGE_FAILED, ()
        return protocol.encode_answer(opcode, token, status, *values)

    def _may(self):
        now = time.ticks_ms()
        earned = time.ticks_diff(now, self._earned_ms) // EARN_MS
        self._earned_ms = time.ticks_add(self._earned_ms, earned * EARN_MS)
        self._tokens = min(BURST, self._tokens + earned)
        if not self._tokens:
            self.refused += 1
            return False
        self._tokens -= 1
        return True

    def _busy(self, opcode, token):
        now = time.ticks_ms()
        if time.ticks_diff(now, self._busy_ms) < BUSY_EVERY_MS:
            return None
        self._busy_ms = now
        return protocol.encode_answer(opcode, token, protocol.BUSY)

    def _ping(self, _values, received_us):
        return protocol.OK, (received_us, time.ticks_us(), self._band.session)

    def _set_rate(self, values, _received_us):
        (rate_hz,) = values
        if rate_hz not in protocol.RATES_HZ:
            return protocol.OUT_OF_RANGE, ()
        if not protocol.rate_fits(rate_hz, self._band.link.mtu):
            return protocol.LINK_TOO_SMALL, ()
        return self._sensor_status(self._band.stream.set_rate(rate_hz))

    def _start(self, _values, _received_us):
        if not protocol.rate_fits(self._band.sampler.rate_hz, self._band.link.mtu):
            return protocol.LINK_TOO_SMALL, ()
        return self._sensor_status(self._band.stream.start())

    def _stop(self, _values, _received_us):
        self._band.stream.stop()
        return protocol.OK, ()

    def _identify(self, _values, _received_us):
        self._band.identify()
        return protocol.OK, ()

    def _vibrate(self, values, _received_us):
        duration_ms, intensity = values
        if not 0 < duration_ms <= protocol.MAX_VIBRATION_MS:
            return protocol.OUT_OF_RANGE, ()
        return protocol.OK, (self._band.vibrate(duration_ms, intensity),)

    def _self_test(self, _values, _received_us):
        return protocol.OK, (self._band.self_test(),)

    def _identity(self, _values, _received_us):
        band = self._band
        parts = (band.sampler.chip_code, band.board_code) + band.firmware  # noqa: RUF005
        return protocol.OK, (protocol.VERSION, band.unique_id) + parts + (band.sampler.rate_hz,)  # noqa: RUF005

    def _set_name(self, values, _received_us):
        try:
            name = values[0].rstrip(b"\x00").decode()
        except UnicodeError:
            return protocol.OUT_OF_RANGE, ()
        self._band.set_name(name)
        return protocol.OK, ()

    def _get_calibration(self, _values, _received_us):
        return protocol.OK, self._band.gyro_bias()

    def _set_calibration(self, values, _received_us):
        self._band.set_gyro_bias(*values)
        return protocol.OK, ()

    def _sensor_status(self, works):
        return (protocol.OK if works else protocol.SENSOR_FAILED), ()
