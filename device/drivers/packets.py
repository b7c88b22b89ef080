"""One band's packets as batches of samples, whatever brought them; what a band may not do is counted and dropped here."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from device.band import protocol
from device.drivers.counter import Counter
from device.messages import NS_PER_S, ClockPing, ImuBatch
from device.runtime.timebase import UNCONVERTED

GRAVITY = 9.80665
_EARLY_NS = 1 * NS_PER_S
"""A sample can't be this much nearer to the host's present than the earliest one so far."""
_LATE_NS = 60 * NS_PER_S
"""A band buffers less than this."""
_FORGOTTEN_NS = 20_000
"""With a dozen readings a second this follows a band that is 200 ppm slow."""
_STRANGE_IN_A_ROW = 25
_STUCK_S = 2.0
_SEQ_TURN = 1 << 16
_RATE_NS = 2 * NS_PER_S


class PacketStream:
    """The samples of `band` (index into `skeleton.BANDS`), with what went wrong on their way.

    `received`, `lost`, `duplicated` count samples, `garbage` packets that make no sense, `strange_times` packets whose time lies
    in the future or far in the past. `stuck`: the sensor repeats itself, and nothing is handed on. `saturated`: samples at the
    end of an axis' range. `overflows`: times that the band's own buffer was full. `flags`: of the newest packet. Counts
    go on over sessions.
    """

    def __init__(self, band: int) -> None:
        self.band = band
        self.received = 0
        self.lost = 0
        self.duplicated = 0
        self.garbage = 0
        self.strange_times = 0
        self.saturated = 0
        self.overflows = 0
        self.stuck = False
        self.flags = 0
        self._parts = protocol.Reassembler()
        self._parts_dropped = 0
        self._session: int | None = None
        self._epoch = 0
        self._recent: deque[tuple[int, int]] = deque(maxlen=64)
        self._begin()

    @property
    def session(self) -> int | None:
        """Changes when the band reboots or its clock jumps; None before anything came."""
        return None if self._session is None else self._epoch * _SEQ_TURN + self._session

    def rate_hz(self, now_ns: int) -> float:
        """Samples a second that came in the last two."""
        return sum(n for arrival_ns, n in tuple(self._recent) if arrival_ns > now_ns - _RATE_NS) * NS_PER_S / _RATE_NS

    def connected(self) -> None:
        """A new connection: a packet of which only the beginning came over the last one is given up."""
        self._count_parts()
        self._parts, self._parts_dropped = protocol.Reassembler(), 0

    def feed(self, data: bytes, arrival_ns: int) -> ImuBatch | None:
        """The batch that a notification completes, on the band's unwrapped clock; `t_ns` is its arrival.

        None where there is nothing new in it. Raises VersionError when the band speaks another version of the protocol.
        """
        try:
            whole = self._parts.feed(data)
            self._count_parts()
            packet = protocol.decode_packet(whole) if whole is not None else None
        except protocol.VersionError:
            raise
        except protocol.ProtocolError:
            self.garbage += 1
            return None
        return self._accept(packet, arrival_ns) if packet is not None else None

    def ping(self, values: tuple[int, int, int], sent_ns: int, received_ns: int) -> ClockPing | None:
        """The exchange whose answer says `values`: counter at reception and at sending (us), session. None when it is absurd."""
        asked_us, answered_us, session = values
        if max(asked_us, answered_us) > protocol.COUNTER_MASK:
            self.garbage += 1
            return None
        self._enter(session)
        asked_ns = self._counter.unwrap(asked_us, (sent_ns + received_ns) // 2)
        took_ns = (answered_us - asked_us) % (protocol.COUNTER_MASK + 1) * 1000
        if took_ns > received_ns - sent_ns or not self._plausible(asked_ns, sent_ns):
            return None
        # The middle of its turn-around is as far from the one moment as from the other.
        return ClockPing(self.band, self.session or 0, sent_ns, asked_ns + took_ns // 2, received_ns)

    def _begin(self) -> None:
        self._counter = Counter(protocol.COUNTER_BITS)
        self._newest: tuple[int, int] | None = None
        self._offset_ns: int | None = None
        self._strange = 0
        self._previous = b""
        self._alike_s = 0.0

    def _enter(self, session: int) -> None:
        if session != self._session:
            self._session = session
            self._begin()

    def _accept(self, packet: protocol.Packet, arrival_ns: int) -> ImuBatch | None:
        self._enter(packet.session)
        first_ns = self._counter.unwrap(packet.time_us, arrival_ns)
        spacing_ns = packet.spacing_us * 1000
        if not self._plausible(first_ns + (packet.n - 1) * spacing_ns, arrival_ns):
            return None
        self.flags = packet.flags
        seq, known = self._place(packet, first_ns, spacing_ns)
        if known >= packet.n:
            self.duplicated += packet.n
            return None
        self.duplicated += known
        self.overflows += bool(packet.flags & protocol.FLAG_OVERFLOW)
        self.received += packet.n - known
        self._recent.append((arrival_ns, packet.n - known))
        counts = np.frombuffer(packet.samples, "<i2").reshape(packet.n, 6)[known:]
        self._judge(counts, packet.spacing_us)
        if self.stuck:
            return None
        times: NDArray[np.int64] = first_ns + np.arange(known, packet.n, dtype=np.int64) * spacing_ns
        session = self._epoch * _SEQ_TURN + packet.session
        return ImuBatch(arrival_ns, UNCONVERTED, seq + known, self.band, session, times, _si(counts, packet))

    def _place(self, packet: protocol.Packet, first_ns: int, spacing_ns: int) -> tuple[int, int]:
        """The packet's sequence number, unwrapped, and how many of its samples came before. Counts what is missing before it."""
        if self._newest is None:
            self._newest = (packet.seq + packet.n - 1, first_ns + (packet.n - 1) * spacing_ns)
            return packet.seq, 0
        newest_seq, newest_ns = self._newest
        expected = newest_seq + round((first_ns - newest_ns) / spacing_ns)
        seq = expected + (packet.seq - expected + _SEQ_TURN // 2) % _SEQ_TURN - _SEQ_TURN // 2
        known = newest_seq + 1 - seq
        if known < 0:
            self.lost -= known
        if known < packet.n:
            self._newest = (seq + packet.n - 1, first_ns + (packet.n - 1) * spacing_ns)
        return seq, max(0, known)

    def _plausible(self, band_ns: int, host_ns: int) -> bool:
        """Whether a reading of the band's clock that is with the host at `host_ns` fits to the ones before.

        After many in a row that do not, the band's clock is taken to have jumped: a new session begins.
        """
        offset_ns = band_ns - host_ns
        if self._offset_ns is None or -_LATE_NS < offset_ns - self._offset_ns < _EARLY_NS:
            self._offset_ns = offset_ns if self._offset_ns is None else max(offset_ns, self._offset_ns - _FORGOTTEN_NS)
            self._strange = 0
            return True
        self.strange_times += 1
        self._strange += 1
        if self._strange >= _STRANGE_IN_A_ROW:
            self._epoch += 1
            self._begin()
        return False

    def _judge(self, counts: NDArray[np.int16], spacing_us: int) -> None:
        self.saturated += int((np.abs(counts.astype(np.int32)) >= protocol.FULL_SCALE - 1).any(axis=1).sum())
        alike = counts.tobytes() == self._previous
        self._previous = counts.tobytes()
        self._alike_s = self._alike_s + len(counts) * spacing_us / 1e6 if alike else 0.0
        self.stuck = self._alike_s >= _STUCK_S

    def _count_parts(self) -> None:
        self.garbage += self._parts.dropped - self._parts_dropped
        self._parts_dropped = self._parts.dropped


def _si(counts: NDArray[np.int16], packet: protocol.Packet) -> NDArray[np.float32]:
    """Counts (n, 6) as specific force m/s^2 and angular rate rad/s."""
    force = protocol.ACCEL_RANGES_G[packet.accel_code] * GRAVITY / protocol.FULL_SCALE
    rate = np.deg2rad(protocol.GYRO_RANGES_DPS[packet.gyro_code]) / protocol.FULL_SCALE
    return np.asarray(counts * np.repeat([force, rate], 3), dtype=np.float32)
