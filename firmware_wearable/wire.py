"""The band on a serial line instead of the radio: the same packets and control messages, framed. `Link` has the same methods."""

import time

from device.band import protocol

SILENT_MS = 10_000
"""A line on which nothing was asked for so long has nobody at its other end."""


class Wire:
    """`refused`: pieces of the line that were no frame."""

    mtu = protocol.WANTED_MTU

    def __init__(self, uart):
        self._uart = uart
        self._reader = protocol.FrameReader()
        self._frame = bytearray(protocol.MAX_FRAME)
        self._requests = []
        self._heard_ms = None

    @property
    def refused(self):
        return self._reader.dropped

    def is_open(self):
        return self.is_connected()

    def is_connected(self):
        return self._heard_ms is not None and time.ticks_diff(time.ticks_ms(), self._heard_ms) < SILENT_MS

    def take_request(self):
        """(counter in us when it was read, bytes) of the oldest request, or None."""
        return self._requests.pop(0) if self._requests else None

    def answer(self, data):
        self._write(protocol.FRAME_CONTROL, data)

    def send_packet(self, packet, length):
        self._write(protocol.FRAME_PACKET, packet[:length])
        return True

    def show_battery(self, percent):
        """The line has no place for it; packets carry the flag."""

    def service(self):
        """Take what has come."""
        if not self._uart.any():
            return
        now_us = time.ticks_us()
        for kind, body in self._reader.feed(self._uart.read() or b""):
            if kind == protocol.FRAME_CONTROL:
                self._requests.append((now_us, body))
                self._heard_ms = time.ticks_ms()

    def close(self):
        """Nothing to switch off."""

    def _write(self, kind, body):
        n = protocol.frame_into(self._frame, kind, body)
        self._uart.write(memoryview(self._frame)[:n])
