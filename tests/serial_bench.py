"""A band at the far end of a pseudo-terminal."""

import contextlib
import os
import select
import struct
import threading
import time
import tty

import numpy as np

from device.band import protocol


class PtyBand:
    """Answers requests and sends what `rate_hz` makes due, until it is unplugged. `path` is a link to its terminal.

    `noise(frame)`: what goes over the wire instead of a frame. `asked`: opcodes in order. `counter_us`: reads the band's clock.
    """

    def __init__(self, path, identity=b"band0001", *, version=1, session=77, noise=lambda frame: frame, silent=False):
        self.path, self.identity, self.version, self.session = path, identity, version, session
        self.noise, self.silent = noise, silent
        self.asked, self.vibrations, self.sent = [], [], 0
        self.rate_hz = 0
        self.offset_us = 123_456_789
        self._master = -1

    def __enter__(self):
        self.plug()
        return self

    def __exit__(self, *_):
        self.unplug()

    def plug(self):
        self._master, slave = os.openpty()
        tty.setraw(slave)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        os.symlink(os.ttyname(slave), self.path)
        os.close(slave)
        self._out = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def unplug(self):
        self._out.set()
        self._thread.join()
        os.unlink(self.path)
        os.close(self._master)

    def counter_us(self, host_ns):
        return (host_ns // 1000 + self.offset_us) % (1 << 30)

    def _live(self):
        reader, running, self.sent = protocol.FrameReader(), False, 0
        began_ns = 0
        while not self._out.is_set():
            for opcode in self._hear(reader, 0.002):
                if opcode == protocol.START and not running:
                    running, began_ns = True, time.monotonic_ns()
                running = running and opcode != protocol.STOP
            if running and not self.silent:
                self._send_due(began_ns)
        # What was asked just before the line was cut.
        while any(self._hear(reader, 0.0)):
            pass

    def _hear(self, reader, timeout_s):
        """Answer what comes within `timeout_s`; the opcodes."""
        with contextlib.suppress(OSError):
            if select.select([self._master], [], [], timeout_s)[0]:
                frames = list(reader.feed(os.read(self._master, 4096)))
                assert all(kind == protocol.FRAME_CONTROL for kind, _ in frames)
                return [self._answer(protocol.decode_request(body)) for _, body in frames]
        return []

    def _send_due(self, began_ns):
        spacing_ns = 1_000_000_000 // self.rate_hz
        while began_ns + (self.sent + 8) * spacing_ns <= time.monotonic_ns():
            first = self.sent
            counts = np.arange(first * 6, first * 6 + 48) % 3000
            packet = protocol.Packet(
                0, self.session, first % 65536, self.counter_us(began_ns + first * spacing_ns), spacing_ns // 1000, 3, 4,
                counts.astype("<i2").tobytes(),
            )  # fmt: skip
            self.sent += 8
            body = bytes([self.version]) + protocol.encode_packet(packet)[1:]
            self._write(protocol.encode_frame(protocol.FRAME_PACKET, body))

    def _answer(self, request):
        now_us = self.counter_us(time.monotonic_ns())
        self.asked.append(request.opcode)
        values = ()
        if request.opcode == protocol.PING:
            values = (now_us, now_us, self.session)
        elif request.opcode == protocol.IDENTITY:
            values = (self.version, self.identity, 1, 1, 1, 0, 0, 100)
        elif request.opcode == protocol.SET_RATE:
            (self.rate_hz,) = request.values
        elif request.opcode == protocol.VIBRATE:
            self.vibrations.append(request.values)
            values = request.values[:1]
        answer = protocol.encode_answer(request.opcode, request.token, protocol.OK, *values)
        self._write(protocol.encode_frame(protocol.FRAME_CONTROL, answer))
        return request.opcode

    def _write(self, frame):
        with contextlib.suppress(OSError):
            os.write(self._master, self.noise(frame))


def collect(source, seconds):
    """Batches and pings that come within so many seconds."""
    batches, pings, until = [], [], time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.02)
        batches += source.read(time.monotonic_ns())
        pings += source.pings(time.monotonic_ns())
    return batches, pings


def raw(batch):
    """Counts of a batch, (n, 6)."""
    scale = np.repeat([16 * 9.80665, np.deg2rad(2000)], 3) / protocol.FULL_SCALE
    return np.round(batch.values / scale).astype(int)


def frame_of(body, kind=protocol.FRAME_PACKET):
    """A frame of any body, whatever its kind."""
    return protocol.encode_frame(kind, body)


def any_bytes(seed, n):
    """Garbage."""
    return struct.pack(f"{n}B", *np.random.default_rng(seed).integers(0, 256, n).tolist())
