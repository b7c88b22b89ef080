"""What a band and the appliance say to each other, byte for byte (docs/band-protocol.md).

Runs on CPython 3.11 and MicroPython 1.28. Does no I/O and reads no clock. Everything is little endian. All that decodes bytes
from outside raises `ProtocolError` and nothing else.
"""

import struct

VERSION = 1

SERVICE_UUID = "5b0e0001-7d3c-4f8a-9e51-c2a46d8f1b70"
IMU_UUID = "5b0e0002-7d3c-4f8a-9e51-c2a46d8f1b70"
CONTROL_UUID = "5b0e0003-7d3c-4f8a-9e51-c2a46d8f1b70"
BATTERY_SERVICE = 0x180F
BATTERY_LEVEL = 0x2A19
DEVICE_INFORMATION_SERVICE = 0x180A
MODEL_NUMBER = 0x2A24
SERIAL_NUMBER = 0x2A25
FIRMWARE_REVISION = 0x2A26
MANUFACTURER_NAME = 0x2A29
NAME_PREFIX = "Spotter"
"""The GAP name of a band without a stored name is this, a space and the last four digits of its id."""

COUNTER_BITS = 30
"""A band's microsecond counter wraps at this many bits (`time.ticks_us` of MicroPython)."""
COUNTER_MASK = (1 << COUNTER_BITS) - 1

FLAG_OVERFLOW = 0x01
"""Samples were lost on the band before the first one of this packet; `seq` counts them."""
FLAG_LOW_BATTERY = 0x02
FLAG_MOTOR_ON = 0x04
FLAG_STILL = 0x08
_FLAGS = 0x0F

ACCEL_RANGES_G = (2, 4, 8, 16)
GYRO_RANGES_DPS = (125, 250, 500, 1000, 2000)
FULL_SCALE = 32768
"""A sample of this many counts would be the range of its axis."""
RATES_HZ = (50, 100, 200)

HEADER = "<BBHHIHBB"
HEADER_SIZE = 14
SAMPLE_SIZE = 12
MAX_SAMPLES = 19
"""As many as fit the 244 bytes that a notification carries at an MTU of 247."""
MAX_PACKET = HEADER_SIZE + MAX_SAMPLES * SAMPLE_SIZE
ATT_HEADER = 3
MIN_MTU = 23
WANTED_MTU = 247


class ProtocolError(ValueError):
    """Bytes from the other end are not what the protocol allows."""


class VersionError(ProtocolError):
    """The other end speaks another version of the protocol."""


# --- packets of samples -------------------------------------------------------------------------------------------------


class Packet:
    """`n` consecutive samples of one band.

    `seq`: of the first sample, wraps at 2^16. `time_us`: of the first sample on the band's counter, which wraps at 2^30.
    `samples`: n x 6 int16, little endian: ax ay az gx gy gz in the band's frame, full scale 32768.
    """

    __slots__ = ("accel_code", "flags", "gyro_code", "n", "samples", "seq", "session", "spacing_us", "time_us")

    def __init__(
        self,
        flags: int,
        session: int,
        seq: int,
        time_us: int,
        spacing_us: int,
        accel_code: int,
        gyro_code: int,
        samples: bytes,
    ) -> None:
        self.flags = flags
        self.session = session
        self.seq = seq
        self.time_us = time_us
        self.spacing_us = spacing_us
        self.accel_code = accel_code
        self.gyro_code = gyro_code
        self.samples = samples
        self.n = len(samples) // SAMPLE_SIZE


def samples_per_packet(rate_hz: int, mtu: int = WANTED_MTU) -> int:
    """Samples that a band collects for one packet: 40 ms worth, or 80 ms worth where the MTU is so small that even those would go
    in parts.

    30 ms would keep step with a connection interval of 30 ms, so that every packet waits as long as the one before, and nothing
    would tell that wait from the clock's offset.
    """
    quick = rate_hz * 4 // 100
    whole = HEADER_SIZE + quick * SAMPLE_SIZE <= notification_size(mtu)
    return quick if whole else rate_hz * 8 // 100


def pack_header_into(
    buffer: bytearray,
    flags: int,
    session: int,
    seq: int,
    time_us: int,
    spacing_us: int,
    accel_code: int,
    gyro_code: int,
    n: int,
) -> int:
    """Write the 14 bytes before the samples to the start of `buffer`; the length of the whole packet comes back."""
    struct.pack_into(HEADER, buffer, 0, VERSION, flags, session, seq, time_us, spacing_us, accel_code << 4 | gyro_code, n)
    return HEADER_SIZE + n * SAMPLE_SIZE


def encode_packet(packet: Packet) -> bytes:
    """The bytes of `packet`."""
    p = packet
    buffer = bytearray(HEADER_SIZE)
    pack_header_into(buffer, p.flags, p.session, p.seq, p.time_us, p.spacing_us, p.accel_code, p.gyro_code, p.n)
    return bytes(buffer) + p.samples


def decode_packet(data: bytes) -> Packet:
    """The packet in `data`. Raises VersionError for another version, ProtocolError for anything else that is wrong."""
    if not data:
        raise ProtocolError("An empty packet.")
    check_version(data[0])
    if len(data) < HEADER_SIZE:
        raise ProtocolError(f"A packet of {len(data)} bytes; its header alone has {HEADER_SIZE}.")
    _, flags, session, seq, time_us, spacing_us, ranges, n = struct.unpack_from(HEADER, data, 0)
    if not 1 <= n <= MAX_SAMPLES:
        raise ProtocolError(f"A packet that says it has {n} samples; 1 to {MAX_SAMPLES} are possible.")
    if len(data) != HEADER_SIZE + n * SAMPLE_SIZE:
        raise ProtocolError(f"A packet of {len(data)} bytes that says it has {n} samples.")
    if flags & ~_FLAGS:
        raise ProtocolError(f"A packet with reserved flags set: 0x{flags:02x}.")
    if time_us > COUNTER_MASK:
        raise ProtocolError(f"A packet whose time {time_us} is past the counter's {COUNTER_BITS} bits.")
    if not spacing_us:
        raise ProtocolError("A packet whose samples have no time between them.")
    accel_code, gyro_code = ranges >> 4, ranges & 0x0F
    if accel_code >= len(ACCEL_RANGES_G) or gyro_code >= len(GYRO_RANGES_DPS):
        raise ProtocolError(f"A packet with unknown range codes: 0x{ranges:02x}.")
    return Packet(flags, session, seq, time_us, spacing_us, accel_code, gyro_code, bytes(data[HEADER_SIZE:]))


def check_version(version: int) -> None:
    """Raises VersionError when `version` is not the one that this end speaks."""
    if version != VERSION:
        raise VersionError(
            f"The band speaks version {version} of the protocol, this end version {VERSION}. "
            f"Bring both to the same release (`spotter band flash` updates the band)."
        )


# --- fragments: packets that are larger than a notification ---------------------------------------------------------------

FRAGMENT = 0x80
"""Set in the first byte, beside the version, of a notification that holds a part of a packet."""
FRAGMENT_HEADER = 2
_LAST = 0x80
_INDEX = 0x0F
MAX_FRAGMENTS = 16
MAX_FRAGMENTS_PER_S = 100
"""More small notifications than this are not to be relied on at a connection interval of 30 ms (3 in each)."""


def notification_size(mtu: int) -> int:
    """Bytes that one notification carries at this ATT MTU."""
    return max(mtu, MIN_MTU) - ATT_HEADER


def fragment_count(length: int, size: int) -> int:
    """Notifications of at most `size` bytes that a packet of `length` bytes takes; 1 is the packet as it is."""
    if length <= size:
        return 1
    return -(-length // (size - FRAGMENT_HEADER))


def rate_fits(rate_hz: int, mtu: int) -> bool:
    """Whether every sample gets through at this rate and MTU. All rates do from an MTU of 31 on, and 50 and 100 Hz at 23."""
    n = samples_per_packet(rate_hz, mtu)
    return fragment_count(HEADER_SIZE + n * SAMPLE_SIZE, notification_size(mtu)) * rate_hz <= MAX_FRAGMENTS_PER_S * n


def fragment_into(buffer: bytearray, packet: memoryview, length: int, number: int, index: int, size: int) -> int:
    """Write fragment `index` of the packet in `packet[:length]` to `buffer`; the fragment's length comes back.

    `number` counts packets, so that parts of two are never joined; its lowest 3 bits are sent.
    """
    part = size - FRAGMENT_HEADER
    start = index * part
    end = min(start + part, length)
    buffer[0] = FRAGMENT | VERSION
    buffer[1] = (_LAST if end == length else 0) | (number & 7) << 4 | index
    buffer[FRAGMENT_HEADER : FRAGMENT_HEADER + end - start] = packet[start:end]
    return FRAGMENT_HEADER + end - start


def fragments(data: bytes, size: int, number: int) -> list[bytes]:
    """The notifications of at most `size` bytes that carry the packet `data`: itself where it fits."""
    count = fragment_count(len(data), size)
    if count == 1:
        return [data]
    buffer, view = bytearray(size), memoryview(data)
    return [bytes(buffer[: fragment_into(buffer, view, len(data), number, i, size)]) for i in range(count)]


class Reassembler:
    """Joins the notifications of one connection to packets; whole packets pass as they are.

    `dropped` counts packets that were given up because a part is missing or out of order. A part that comes twice in a row,
    as some stacks deliver them, counts once. Holds no more than one packet.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._parts = bytearray()
        self._number = 0
        self._next = 0
        self._previous = -1

    def feed(self, data: bytes) -> bytes | None:
        """A packet's bytes when `data` completes one, else None. Raises ProtocolError for what can't be a part of one."""
        if not data:
            raise ProtocolError("An empty notification.")
        if not data[0] & FRAGMENT:
            self._give_up()
            self._previous = -1
            return data
        check_version(data[0] & ~FRAGMENT)
        if len(data) <= FRAGMENT_HEADER:
            raise ProtocolError(f"A fragment of {len(data)} bytes carries nothing.")
        if data[1] == self._previous:
            return None
        return self._join(data[1], data)

    def _join(self, place: int, data: bytes) -> bytes | None:
        self._previous = place
        index, number = place & _INDEX, place >> 4 & 7
        if index == 0:
            self._give_up()
            self._number = number
        elif index != self._next or number != self._number:
            self._give_up()
            # The parts that follow a missing first one belong to the same packet, which counts once.
            if number != self._number:
                self.dropped += 1
                self._number = number
            return None
        if len(self._parts) + len(data) - FRAGMENT_HEADER > MAX_PACKET:
            self._give_up()
            return None
        self._parts.extend(data[FRAGMENT_HEADER:])
        self._next = index + 1
        if not place & _LAST:
            return None
        packet = bytes(self._parts)
        self._parts, self._next = bytearray(), 0
        return packet

    def _give_up(self) -> None:
        if self._next:
            self.dropped += 1
        self._parts, self._next = bytearray(), 0


# --- control: requests to a band, and its answers ---------------------------------------------------------------------------

PING = 0x01
SET_RATE = 0x02
START = 0x03
STOP = 0x04
IDENTIFY = 0x05
VIBRATE = 0x06
SELF_TEST = 0x07
IDENTITY = 0x08
SET_NAME = 0x09
GET_CALIBRATION = 0x0A
SET_CALIBRATION = 0x0B
ANSWER = 0x80
"""Set in the opcode of an answer."""

REQUESTS = {
    PING: "<",
    SET_RATE: "<H",
    START: "<",
    STOP: "<",
    IDENTIFY: "<",
    VIBRATE: "<HB",
    SELF_TEST: "<",
    IDENTITY: "<",
    SET_NAME: "<12s",
    GET_CALIBRATION: "<",
    SET_CALIBRATION: "<3h",
}
"""Body of each request after opcode and token: rate Hz; duration ms and intensity 0..255; name; gyro bias."""

ANSWERS = {
    PING: "<IIH",
    SET_RATE: "<",
    START: "<",
    STOP: "<",
    IDENTIFY: "<",
    VIBRATE: "<H",
    SELF_TEST: "<H",
    IDENTITY: "<B8sBBBBBH",
    SET_NAME: "<",
    GET_CALIBRATION: "<3h",
    SET_CALIBRATION: "<",
}
"""Body of each answer after opcode, token and status, when the status is OK.

Ping: counter (us) when the request was there and when the answer went out, session. Vibrate: ms that the motor really gets.
Self-test: `TEST_...` bits. Identity: protocol version, id, chip code, board code, firmware version (3), rate Hz.
"""

OK = 0
UNKNOWN_OPCODE = 1
WRONG_LENGTH = 2
OUT_OF_RANGE = 3
BUSY = 4
LINK_TOO_SMALL = 5
SENSOR_FAILED = 6
STORAGE_FAILED = 7
STATUS_NAMES = (
    "ok",
    "unknown opcode",
    "wrong length",
    "value out of range",
    "busy",
    "link too small for that rate",
    "sensor failed",
    "storage failed",
)

TEST_CHIP_ID = 0x01
TEST_ACCELEROMETER = 0x02
TEST_GYROSCOPE = 0x04
TEST_FIFO = 0x08
TEST_STORAGE = 0x10
TEST_BATTERY = 0x20
TEST_ALL = 0x3F
TEST_NAMES = ("chip id", "accelerometer", "gyroscope", "FIFO interrupt", "storage", "battery above 10 %")
"""Names of the self-test's bits, lowest first. A bit that is set passed."""

CHIP_NAMES = ("unknown", "lsm6dsox", "bmi270", "mpu6050")
BOARD_NAMES = ("unknown", "esp32s3", "picow")
MAX_VIBRATION_MS = 1000
NAME_SIZE = 12
BIAS_UNIT = 1e-5
"""rad/s in one count of a calibration's gyro bias."""
MAX_CONTROL = 20
"""No request or answer is longer than a notification at the smallest MTU."""


class Request:
    """What a central asks. `values`: the fields of its body, in order."""

    __slots__ = ("opcode", "token", "values")

    def __init__(self, opcode: int, token: int, values: tuple[int | bytes, ...]) -> None:
        self.opcode = opcode
        self.token = token
        self.values = values


class Answer:
    """What a band answers. `values`: the fields of its body, in order; none unless `status` is OK."""

    __slots__ = ("opcode", "status", "token", "values")

    def __init__(self, opcode: int, token: int, status: int, values: tuple[int | bytes, ...]) -> None:
        self.opcode = opcode
        self.token = token
        self.status = status
        self.values = values


class ControlError(ProtocolError):
    """A control message that is wrong; `status` is what a band answers to it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def encode_request(opcode: int, token: int, *values: int | bytes) -> bytes:
    """The bytes of a request. `token` 0..255 comes back in its answer."""
    return bytes((opcode, token)) + struct.pack(REQUESTS[opcode], *values)


def decode_request(data: bytes) -> Request:
    """The request in `data`. Raises ControlError with the status to answer."""
    if len(data) < 2:
        raise ControlError(WRONG_LENGTH, f"A request of {len(data)} bytes.")
    opcode, token = data[0], data[1]
    if opcode not in REQUESTS:
        raise ControlError(UNKNOWN_OPCODE, f"A request with the unknown opcode 0x{opcode:02x}.")
    return Request(opcode, token, _body(REQUESTS[opcode], data, 2))


def encode_answer(opcode: int, token: int, status: int, *values: int | bytes) -> bytes:
    """The bytes of the answer to request `opcode`; `values` are left out unless `status` is OK."""
    head = bytes((opcode | ANSWER, token, status))
    return head + struct.pack(ANSWERS[opcode], *values) if status == OK else head


def decode_answer(data: bytes) -> Answer:
    """The answer in `data`; `opcode` is the request's. Raises ProtocolError."""
    if len(data) < 3:
        raise ProtocolError(f"An answer of {len(data)} bytes.")
    if not data[0] & ANSWER:
        raise ProtocolError(f"An answer with the opcode of a request: 0x{data[0]:02x}.")
    opcode, token, status = data[0] & ~ANSWER, data[1], data[2]
    if status >= len(STATUS_NAMES):
        raise ProtocolError(f"An answer with the unknown status {status}.")
    if status != OK:
        return Answer(opcode, token, status, _body("<", data, 3))
    if opcode not in ANSWERS:
        raise ProtocolError(f"An answer to the unknown opcode 0x{opcode:02x}.")
    return Answer(opcode, token, status, _body(ANSWERS[opcode], data, 3))


def _body(layout: str, data: bytes, start: int) -> tuple[int | bytes, ...]:
    if len(data) != start + struct.calcsize(layout):
        raise ControlError(WRONG_LENGTH, f"A control message 0x{data[0]:02x} of {len(data)} bytes.")
    return tuple(struct.unpack_from(layout, data, start))


# --- serial link: the same packets and control messages over a stream of bytes --------------------------------------------------

FRAME_PACKET = 0x01
FRAME_CONTROL = 0x02
FRAME_KINDS = (FRAME_PACKET, FRAME_CONTROL)
FRAME_OVERHEAD = 5
"""Kind, CRC (2), the byte that COBS adds to up to 254 bytes, and the 0 that ends a frame."""
MAX_FRAME = MAX_PACKET + FRAME_OVERHEAD

_CRC_NIBBLES = (
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
    0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF,
)  # fmt: skip


def crc16(data: bytes | bytearray | memoryview, crc: int = 0xFFFF) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, nothing reflected; of "123456789" it is 0x29B1."""
    table = _CRC_NIBBLES
    for byte in data:
        crc = (crc << 4 & 0xFFFF) ^ table[crc >> 12 ^ byte >> 4]
        crc = (crc << 4 & 0xFFFF) ^ table[crc >> 12 ^ byte & 0x0F]
    return crc


def frame_into(buffer: bytearray, kind: int, body: bytes | bytearray | memoryview) -> int:
    """Write the frame of `body` (at most `MAX_PACKET` bytes) to `buffer`, in place; the frame's length comes back.

    COBS (Cheshire and Baker, IEEE/ACM Trans. Networking 7(2), 1999) takes all zeros out of kind, body and CRC; one zero ends
    the frame.
    """
    n = len(body)
    if n > MAX_PACKET:
        raise ProtocolError(f"{n} bytes do not fit a frame; {MAX_PACKET} do.")
    buffer[1] = kind
    buffer[2 : 2 + n] = body
    crc = crc16(memoryview(buffer)[1 : 2 + n])
    buffer[2 + n] = crc & 0xFF
    buffer[3 + n] = crc >> 8
    end = 4 + n
    zero = 0
    for i in range(1, end):
        if not buffer[i]:
            buffer[zero] = i - zero
            zero = i
    buffer[zero] = end - zero
    buffer[end] = 0
    return end + 1


def encode_frame(kind: int, body: bytes) -> bytes:
    """The frame of `body` with the zero that ends it."""
    buffer = bytearray(len(body) + FRAME_OVERHEAD)
    return bytes(buffer[: frame_into(buffer, kind, body)])


def decode_frame(frame: bytes | bytearray) -> tuple[int, bytes]:
    """Kind and body of a frame without its final zero. Raises ProtocolError."""
    if not 4 <= len(frame) < MAX_FRAME:
        raise ProtocolError(f"A frame of {len(frame)} bytes.")
    content = bytearray(frame)
    place = 0
    while place < len(content):
        step = content[place]
        if not step:
            raise ProtocolError("A frame with a zero in it.")
        content[place] = 0
        place += step
    if place != len(content):
        raise ProtocolError("A frame whose COBS codes lead past its end.")
    crc = content[-2] | content[-1] << 8
    if crc16(memoryview(content)[1:-2]) != crc:
        raise ProtocolError("A frame with a wrong CRC.")
    kind = content[1]
    if kind not in FRAME_KINDS:
        raise ProtocolError(f"A frame of the unknown kind 0x{kind:02x}.")
    return kind, bytes(content[2:-2])


class FrameReader:
    """Cuts a stream of bytes into frames; finds its way back after garbage at the next zero.

    `dropped` counts pieces between zeros that were no frame. Holds no more than the longest frame.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._piece = bytearray()
        self._overlong = False

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(kind, body) of each frame that `data` completes, in order."""
        frames: list[tuple[int, bytes]] = []
        start = 0
        while True:
            end = data.find(b"\x00", start)
            self._hold(data[start:] if end < 0 else data[start:end])
            if end < 0:
                return frames
            frame = self._finish()
            if frame is not None:
                frames.append(frame)
            start = end + 1

    def _hold(self, data: bytes) -> None:
        if self._overlong or len(self._piece) + len(data) >= MAX_FRAME:
            self._overlong = True
            self._piece = bytearray()
            return
        self._piece.extend(data)

    def _finish(self) -> tuple[int, bytes] | None:
        piece, overlong = self._piece, self._overlong
        self._piece, self._overlong = bytearray(), False
        if overlong:
            self.dropped += 1
            return None
        if not piece:
            return None
        try:
            return decode_frame(piece)
        except ProtocolError:
            self.dropped += 1
            return None
