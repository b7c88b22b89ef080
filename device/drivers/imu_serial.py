"""Bands on serial ports (USB or UART) as a source: the packets and control messages of the radio, as frames with COBS and CRC."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from device.band import protocol
from device.config import ImuConfig
from device.drivers.base import ImuSource
from device.drivers.health import BandHealth
from device.drivers.packets import PacketStream
from device.errors import BandError, ConfigError, DriverError, DriverUnavailable
from device.messages import NS_PER_S, ClockPing, ImuBatch
from device.skeleton import BANDS

log = logging.getLogger(__name__)

READ_S = 0.05
"""How long a read waits for its first byte; the longest that closing takes."""
ANSWER_NS = NS_PER_S
TRIES = 4
PING_NS = NS_PER_S
FAST_PING_NS = NS_PER_S // 5
FAST_PINGS = 15
FIRST_REST_NS, LONGEST_REST_NS = NS_PER_S // 4, 5 * NS_PER_S
REFUSED_REST_NS = 60 * NS_PER_S
KEPT = 4096


class Port(Protocol):
    """The part of `serial.Serial` that is used."""

    @property
    def in_waiting(self) -> int: ...

    def read(self, size: int) -> bytes: ...

    def write(self, data: bytes) -> int | None: ...

    def close(self) -> None: ...


OpenPort = Callable[[str, int], Port]


class SerialImu(ImuSource):
    """One band on each of the ports `config.ports` (limb -> port), each served by a thread of its own.

    `config.bands` (id -> limb) wins over the limb of the port. Batches are on the band's own clock, unwrapped; `t_ns` is their
    arrival. A port that is unplugged is opened again with growing pauses. `open_port`: None is pyserial's.
    """

    def __init__(self, config: ImuConfig, open_port: OpenPort | None = None) -> None:
        self._config = config
        self._open_port = open_port
        self._links: list[SerialLink] = []
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()

    def open(self) -> None:
        """Raises DriverUnavailable where pyserial is absent or no port can be opened, ConfigError for an unknown limb. Does not
        wait for bands."""
        self.close()
        ports, rate_hz = self._config.ports, self._config.rate_hz
        if not ports:
            raise DriverUnavailable('imu.ports names no port. Say where each band is, such as left_wrist = "/dev/ttyACM0".')
        for limb in (*ports, *self._config.bands.values()):
            if limb not in BANDS:
                raise ConfigError(f"imu.ports, imu.bands: there is no limb {limb!r}; there are {', '.join(BANDS)}.")
        if rate_hz not in protocol.RATES_HZ:
            raise DriverUnavailable(f"The bands measure at 50, 100 or 200 Hz, not at {rate_hz:g}. Set imu.rate_hz.")
        open_port = self._open_port or pyserial_port()
        claims = Claims()
        self._links = [SerialLink(BANDS.index(limb), port, self._config, claims, open_port) for limb, port in ports.items()]
        for link in self._links:
            link.step()
        problems = [link.problem for link in self._links if not link.is_plugged]
        if len(problems) == len(self._links):
            self._links = []
            raise DriverUnavailable("No band's port can be opened. " + " ".join(problems))
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=_run, args=(link, self._closing), name=f"serial {link.port}", daemon=True)
            for link in self._links
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._threads, self._links = [], []

    def read(self, until_ns: int) -> list[ImuBatch]:
        found: list[ImuBatch] = []
        for link in self._require():
            while link.batches and link.batches[0].t_ns <= until_ns:
                found.append(link.batches.popleft())
        return sorted(found, key=lambda batch: batch.t_ns)

    def pings(self, until_ns: int) -> list[ClockPing]:
        found: list[ClockPing] = []
        for link in self._require():
            while link.pings and link.pings[0].received_ns <= until_ns:
                found.append(link.pings.popleft())
        return sorted(found, key=lambda ping: ping.received_ns)

    def health(self) -> dict[int, BandHealth]:
        now_ns = time.monotonic_ns()
        return {link.band: link.health(now_ns) for link in self._links}

    def vibrate(self, index: int, duration_ms: int, intensity: int) -> None:
        """Ask the band on limb `index` to vibrate (intensity 0..255), without waiting; nothing where it is not connected."""
        for link in self._require():
            if link.band == index:
                link.vibrate(duration_ms, intensity)

    def _require(self) -> list[SerialLink]:
        if not self._links:
            raise DriverError("The bands' ports are not open. Open the source before using it.")
        return self._links


class Claims:
    """Which port has which band: no id and no limb is taken twice."""

    def __init__(self) -> None:
        self._ports: dict[str, str] = {}
        self._lock = threading.Lock()

    def take(self, port: str, identity: str, band: int) -> None:
        """Raises BandError naming the port that has the id or limb."""
        with self._lock:
            other = self._ports.get(identity, port)
            if other != port:
                raise BandError(
                    f"{port}: its band says that it is {identity}, as the one on {other} does. Flash one of them anew."
                )
            other = self._ports.get(BANDS[band], port)
            if other != port:
                raise BandError(f"{port}: band {identity} is meant for {BANDS[band]}, which {other} has. Check imu.bands.")
            self._ports[identity] = self._ports[BANDS[band]] = port

    def give_back(self, port: str) -> None:
        with self._lock:
            self._ports = {taken: owner for taken, owner in self._ports.items() if owner != port}


@dataclass(slots=True)
class _Asked:
    """A request whose answer is awaited."""

    opcode: int
    values: tuple[int | bytes, ...]
    token: int
    sent_ns: int
    tries: int


class SerialLink:
    """One port, without a thread: `step` waits up to `READ_S` for bytes and does what is due.

    After opening it asks for identity, sets the rate and starts the samples; then it pings and watches for silence. `batches`
    and `pings` may be taken from the left by another thread. `problem`: why no samples come, empty when they do.
    """

    def __init__(
        self,
        band: int,
        port: str,
        config: ImuConfig,
        claims: Claims,
        open_port: OpenPort,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.band = band
        self.port = port
        self.batches: deque[ImuBatch] = deque(maxlen=KEPT)
        self.pings: deque[ClockPing] = deque(maxlen=KEPT)
        self.problem = ""
        self.until_ns = 0
        """Rests until then when the port is closed."""
        self._config = config
        self._claims = claims
        self._open_port = open_port
        self._clock = clock
        self._stream = PacketStream(band)
        self._frames = protocol.FrameReader()
        self._line: Port | None = None
        self._writing = threading.Lock()
        self._identity = ""
        self._to_ask: list[tuple[int, tuple[int | bytes, ...]]] = []
        self._asked: _Asked | None = None
        self._pinged: dict[int, int] = {}
        self._ping_ns = 0
        self._pings_sent = 0
        self._token = 0
        self._data_ns = 0
        self._seen_ns: int | None = None
        self._failures = 0
        self._opened = 0
        self._dropped = 0
        self._said: set[str] = set()

    @property
    def is_plugged(self) -> bool:
        return self._line is not None

    def step(self) -> None:
        """Errors of the port and the band are kept in `problem`; nothing is raised."""
        try:
            if self._line is None:
                if self._clock() >= self.until_ns:
                    self._open()
                return
            self._receive(self._line)
            self._serve()
        except (OSError, ValueError) as error:
            self._fail(_explain(self.port, error), _rest(self._failures))
        except DriverError as error:
            self._fail(str(error), REFUSED_REST_NS)

    def close(self) -> None:
        """Stop the samples and give the port back."""
        line, self._line = self._line, None
        self._claims.give_back(self.port)
        if line is None:
            return
        try:
            self._write(line, protocol.encode_request(protocol.STOP, 0))
        except OSError as error:
            log.debug("%s: not stopped: %s", self.port, error)
        finally:
            line.close()

    def vibrate(self, duration_ms: int, intensity: int) -> None:
        """From any thread; does not wait for the band."""
        line = self._line
        if line is None or not self._identity:
            return
        try:
            self._write(line, protocol.encode_request(protocol.VIBRATE, 0, duration_ms, intensity))
        except OSError as error:
            log.debug("%s: not asked to vibrate: %s", self.port, error)

    def health(self, now_ns: int) -> BandHealth:
        """How the band is doing. Any thread may ask."""
        stream = self._stream
        return BandHealth(
            name=f"{protocol.NAME_PREFIX} {self._identity[-4:]}" if self._identity else "",
            identity=self._identity,
            rate_hz=stream.rate_hz(now_ns),
            received=stream.received,
            lost=stream.lost,
            duplicated=stream.duplicated,
            overflows=stream.overflows,
            dropped=self._dropped + self._frames.dropped + stream.garbage + stream.strange_times,
            saturated=stream.saturated,
            reconnects=max(0, self._opened - 1),
            last_seen_ns=self._seen_ns,
            stuck=stream.stuck,
            problem=self.problem,
        )

    def _open(self) -> None:
        self._line = self._open_port(self.port, self._config.baud)
        self._opened += 1
        self._dropped += self._frames.dropped
        self._frames = protocol.FrameReader()
        self._stream.connected()
        self._identity = ""
        self._to_ask = [
            (protocol.IDENTITY, ()),
            (protocol.SET_RATE, (round(self._config.rate_hz),)),
            (protocol.START, ()),
        ]
        self._asked = None
        self._pinged = {}
        self._pings_sent = 0
        # A zero ends whatever the band holds of a frame that was cut off.
        self._line.write(b"\x00")

    def _receive(self, line: Port) -> None:
        data = line.read(1)
        arrival_ns = self._clock()
        if not data:
            return
        waiting = line.in_waiting
        if waiting:
            data += line.read(waiting)
        for kind, body in self._frames.feed(data):
            if kind == protocol.FRAME_PACKET:
                self._take_packet(body, arrival_ns)
            else:
                self._take_answer(body, arrival_ns)

    def _take_packet(self, body: bytes, arrival_ns: int) -> None:
        if self._to_ask:
            # What a band still sends from before says nothing of who it is; until that is known it is not taken.
            _check_version(self.port, body)
            return
        try:
            batch = self._stream.feed(body, arrival_ns)
        except protocol.VersionError as error:
            raise BandError(f"{self.port}: {error}") from error
        self._data_ns = self._seen_ns = arrival_ns
        if batch is not None:
            self.batches.append(batch)
            self._failures = 0
            self.problem = ""

    def _take_answer(self, body: bytes, received_ns: int) -> None:
        try:
            answer = protocol.decode_answer(body)
        except protocol.ProtocolError:
            self._dropped += 1
            return
        if answer.opcode == protocol.PING and answer.token in self._pinged:
            sent_ns = self._pinged.pop(answer.token)
            if answer.status == protocol.OK:
                asked_us, answered_us, session = (int(value) for value in answer.values)
                ping = self._stream.ping((asked_us, answered_us, session), sent_ns, received_ns)
                if ping is not None:
                    self.pings.append(ping)
        asked = self._asked
        if asked is None or (answer.opcode, answer.token) != (asked.opcode, asked.token) or answer.status == protocol.BUSY:
            return
        if answer.status != protocol.OK:
            name = protocol.STATUS_NAMES[answer.status]
            raise BandError(f"{self.port}: the band refuses request 0x{asked.opcode:02x}: {name}.")
        self._asked = None
        self._to_ask.pop(0)
        if asked.opcode == protocol.IDENTITY:
            self._meet(answer.values)
        self._data_ns = received_ns

    def _meet(self, values: tuple[int | bytes, ...]) -> None:
        version, identity = values[:2]
        assert isinstance(version, int)
        assert isinstance(identity, bytes)
        try:
            protocol.check_version(version)
        except protocol.VersionError as error:
            raise BandError(f"{self.port}: {error}") from error
        limb = self._config.bands.get(identity.hex())
        band = BANDS.index(limb) if limb is not None else self.band
        self._claims.take(self.port, identity.hex(), band)
        self._identity = identity.hex()
        if band != self.band:
            self.band, self._stream.band = band, band
        log.info("%s: band %s on %s.", self.port, self._identity, BANDS[band])

    def _serve(self) -> None:
        now_ns = self._clock()
        if self._to_ask:
            self._ask(now_ns)
            return
        if now_ns - self._data_ns > self._config.silence_s * NS_PER_S:
            raise OSError(110, "it sends nothing")
        if now_ns >= self._ping_ns:
            self._token = self._token % 255 + 1
            fast = self._pings_sent < FAST_PINGS
            self._ping_ns = now_ns + (FAST_PING_NS if fast else PING_NS)
            self._pings_sent += 1
            self._pinged = {token: sent for token, sent in self._pinged.items() if now_ns - sent < 5 * PING_NS}
            self._pinged[self._token] = self._send(protocol.PING, self._token)

    def _ask(self, now_ns: int) -> None:
        asked = self._asked
        if asked is None:
            opcode, values = self._to_ask[0]
            self._token = self._token % 255 + 1
            self._asked = _Asked(opcode, values, self._token, self._send(opcode, self._token, *values), 1)
        elif now_ns - asked.sent_ns > ANSWER_NS // TRIES:
            if asked.tries >= TRIES:
                raise OSError(110, "no band answers")
            asked.sent_ns = self._send(asked.opcode, asked.token, *asked.values)
            asked.tries += 1

    def _send(self, opcode: int, token: int, *values: int | bytes) -> int:
        """When it was handed to the port."""
        assert self._line is not None
        request = protocol.encode_request(opcode, token, *values)
        sent_ns = self._clock()
        self._write(self._line, request)
        return sent_ns

    def _write(self, line: Port, request: bytes) -> None:
        with self._writing:
            line.write(protocol.encode_frame(protocol.FRAME_CONTROL, request))

    def _fail(self, problem: str, rest_ns: int) -> None:
        self._failures += 1
        self.close()
        self.problem = problem
        self.until_ns = self._clock() + rest_ns
        if problem not in self._said:
            self._said.add(problem)
            log.warning("%s", problem)


def _check_version(port: str, packet: bytes) -> None:
    """Raises BandError when `packet` is one of another version of the protocol."""
    try:
        if packet:
            protocol.check_version(packet[0] & ~protocol.FRAGMENT)
    except protocol.VersionError as error:
        raise BandError(f"{port}: {error}") from error


def pyserial_port() -> OpenPort:
    """What opens a port. Raises DriverUnavailable where pyserial is absent."""
    try:
        import serial
    except ImportError as error:
        raise DriverUnavailable("The serial driver needs the package pyserial: pip install pyserial") from error

    def open_port(name: str, baud: int) -> Port:
        port: Port = serial.Serial(name, baud, timeout=READ_S, write_timeout=READ_S, exclusive=True)
        return port

    return open_port


def _rest(failures: int) -> int:
    return min(FIRST_REST_NS << min(failures, 8), LONGEST_REST_NS)


def _explain(port: str, error: OSError | ValueError) -> str:
    code = getattr(error, "errno", None)
    if code == 2:
        return f"{port}: there is no such port. Plug the band in, and check imu.ports."
    if code == 13:
        return f"{port}: it may not be used. Add the user to the group dialout: sudo usermod -aG dialout $USER"
    if code in (11, 16):
        return f"{port}: another program has it. Close that one."
    return f"{port}: {getattr(error, 'strerror', None) or error}. Check the band and its cable."


def _run(link: SerialLink, closing: threading.Event) -> None:
    try:
        while not closing.is_set():
            link.step()
            if not link.is_plugged:
                closing.wait(READ_S)
    finally:
        link.close()
