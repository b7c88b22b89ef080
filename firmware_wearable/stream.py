"""Packs the sampler's samples into packets and sends them while the central wants them."""

from device.band import protocol

PACKETS_AT_ONCE = 4
"""More in one go would hold up control requests."""


class Stream:
    """`running`: the central asked for samples. A packet that finds no room in the stack waits, and samples in the sampler's
    ring."""

    def __init__(self, session, sampler, link, flags):
        self.running = False
        self._session = session
        self._sampler = sampler
        self._link = link
        self._flags = flags
        self._packet = bytearray(protocol.MAX_PACKET)
        self._view = memoryview(self._packet)
        self._length = 0

    def start(self):
        """Send what is measured from now on. False: the sensor doesn't work."""
        self._sampler.clear()
        self._length = 0
        self.running = self._sampler.works
        return self.running

    def stop(self):
        self.running = False
        self._length = 0

    def set_rate(self, rate_hz):
        """False: the sensor doesn't work."""
        self._length = 0
        return self._sampler.set_rate(rate_hz)

    def service(self):
        if self.running and not self._link.is_open():
            self.stop()
        if not self.running:
            self._sampler.clear()
            return
        for _ in range(PACKETS_AT_ONCE):
            if not self._length and not self._pack():
                return
            if not self._link.send_packet(self._view, self._length):
                return
            self._length = 0

    def _pack(self):
        sampler = self._sampler
        n = protocol.samples_per_packet(sampler.rate_hz, self._link.mtu)
        if sampler.waiting < n:
            return False
        flags = self._flags() | (protocol.FLAG_OVERFLOW if sampler.take_overflow() else 0)
        spacing_us = min(sampler.spacing_us(), 0xFFFF)
        seq = sampler.first_index & 0xFFFF
        time_us = sampler.first_time_us()
        sampler.take_into(self._view, protocol.HEADER_SIZE, n)
        self._length = protocol.pack_header_into(
            self._packet, flags, self._session, seq, time_us, spacing_us, sampler.accel_code, sampler.gyro_code, n
        )
        return True
