"""The bands that a virtual trainee wears: what their sensors read, and how it arrives.

Everything is a function of the seed and of the trainee's motion; in what steps it is read changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.messages import NS_PER_S, ImuBatch
from device.skeleton import N_BANDS

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

GRAVITY = 9.80665
FORCE_RANGE = 16 * GRAVITY
RATE_RANGE = float(np.deg2rad(2000.0))
"""Full scale of a LSM6DSOX and its like, 16 bit."""
STEP_NS = 5_000_000
"""Half the span over which motion is differentiated: half a sample at 100 Hz."""


class Wearer(Protocol):
    """What the bands need of a `VirtualTrainee`."""

    @property
    def start_ns(self) -> int: ...

    @property
    def duration_ns(self) -> int: ...

    def segments(self, times_ns: Times) -> tuple[Floats, Floats]:
        """Positions (n, 4, 3) m and rotations (n, 4, 3, 3), columns the nominal band axes, in the world (z up)."""


@dataclass(frozen=True, slots=True, eq=False)
class Sensor:
    """One band's errors. `strap` (3, 3): columns are the sensor's axes in the nominal band axes.

    Biases (3,) and noise (one standard deviation a sample) in m/s^2 and rad/s.
    """

    strap: Floats
    force_bias: Floats
    rate_bias: Floats
    force_noise: float
    rate_noise: float


@dataclass(frozen=True, slots=True)
class BandClock:
    """A band's counter: `offset_ns` at host time `start_ns`, fast by `drift` (1e-6 is 1 ppm)."""

    start_ns: int
    offset_ns: int
    drift: float
    session: int

    def to_host(self, source_ns: Times) -> Times:
        """Host time of readings of the counter."""
        elapsed: Times = np.round((source_ns - self.offset_ns) / (1 + self.drift)).astype(np.int64)
        return self.start_ns + elapsed


@dataclass(frozen=True, slots=True)
class Link:
    """How packets travel: samples in each, delay drawn evenly from a range, share that is lost."""

    packet_samples: int = 8
    min_delay_ms: float = 5.0
    max_delay_ms: float = 40.0
    loss: float = 0.02


def sample_sensors(seed: int) -> tuple[Sensor, ...]:
    """Errors of the four bands: strap turned 10 degrees about the limb and 3 degrees askew (1 sigma), biases of a cheap IMU."""
    sensors = []
    for band in range(N_BANDS):
        rng = np.random.default_rng((seed, band, 0))
        around, askew = rng.normal(scale=np.deg2rad(10.0)), rng.normal(scale=np.deg2rad(3.0), size=2)
        sensors.append(
            Sensor(
                strap=rotation(np.array([around, *askew])),
                force_bias=rng.normal(scale=0.15, size=3),
                rate_bias=rng.normal(scale=np.deg2rad(1.0), size=3),
                force_noise=0.03,
                rate_noise=0.004,
            )
        )
    return tuple(sensors)


def perfect_sensors() -> tuple[Sensor, ...]:
    """Four bands without errors."""
    return (Sensor(np.eye(3), np.zeros(3), np.zeros(3), 0.0, 0.0),) * N_BANDS


def true_imu(trainee: Wearer, times_ns: Times, seed: int, sensors: tuple[Sensor, ...] | None = None) -> NDArray[np.float32]:
    """What the four bands read at host times (n,): (n, 4, 6) specific force m/s^2 and angular rate rad/s.

    `sensors` are those of `seed` where none are given. White noise belongs to one sample: take `times_ns` at the sensor's
    rate and bring them onto the grid with `align.resample`, as the appliance does.
    """
    fitted = sample_sensors(seed) if sensors is None else sensors
    force, rate = _motion(trainee, times_ns)
    rng = np.random.default_rng((seed, N_BANDS))
    noise = rng.standard_normal((len(times_ns), N_BANDS, 6), dtype=np.float32)
    return np.stack([_read(s, force[:, b], rate[:, b], noise[:, b]) for b, s in enumerate(fitted)], axis=1)


class VirtualBands:
    """Four bands with clocks of their own that send packets over a link which delays and loses them."""

    def __init__(
        self,
        seed: int,
        trainee: Wearer,
        rate_hz: float = 100.0,
        *,
        link: Link | None = None,
        sensors: tuple[Sensor, ...] | None = None,
    ) -> None:
        self.sensors = sample_sensors(seed) if sensors is None else sensors
        self.clocks = tuple(_sample_clock(seed, band, trainee.start_ns) for band in range(N_BANDS))
        self._seed = seed
        self._trainee = trainee
        self._link = Link() if link is None else link
        self._period_ns = NS_PER_S / rate_hz
        self._next = [0] * N_BANDS
        self._arrived = [trainee.start_ns] * N_BANDS

    def read(self, until_ns: int) -> list[ImuBatch]:
        """Packets that arrive by `until_ns` and were not read before, in order of arrival.

        `times_ns` are on the band's clock; `t_ns` is the host's time of arrival.
        """
        due = [packet for band in range(N_BANDS) for packet in self._due(band, until_ns)]
        kept = [packet for packet in due if not packet.lost]
        if not kept:
            return []
        host = np.concatenate([self.clocks[packet.band].to_host(packet.times_ns) for packet in kept])
        force, rate = _motion(self._trainee, host)
        batches, first = [], 0
        for packet in kept:
            here = slice(first, first + len(packet.times_ns))
            first = here.stop
            values = _read(self.sensors[packet.band], force[here, packet.band], rate[here, packet.band], packet.noise)
            session = self.clocks[packet.band].session
            batches.append(ImuBatch(packet.arrival_ns, 0, packet.seq, packet.band, session, packet.times_ns, values))
        return sorted(batches, key=lambda batch: (batch.t_ns, batch.band))

    def finished(self) -> bool:
        """Whether all that the trainee's session has was read."""
        end_ns = self._trainee.start_ns + self._trainee.duration_ns
        return all(int(self.clocks[band].to_host(self._stamps(band))[-1]) > end_ns for band in range(N_BANDS))

    def _stamps(self, band: int) -> Times:
        samples = self._next[band] + np.arange(self._link.packet_samples)
        stamps: Times = np.round(samples * self._period_ns).astype(np.int64)
        return self.clocks[band].offset_ns + stamps

    def _due(self, band: int, until_ns: int) -> list[_Packet]:
        end_ns = self._trainee.start_ns + self._trainee.duration_ns
        packets: list[_Packet] = []
        while True:
            stamps = self._stamps(band)
            sent_ns = int(self.clocks[band].to_host(stamps)[-1])
            if sent_ns > min(until_ns, end_ns):
                return packets
            # A generator for each packet: what it holds does not depend on when it is read.
            rng = np.random.default_rng((self._seed, band, 2, self._next[band]))
            delay_ms = rng.uniform(self._link.min_delay_ms, self._link.max_delay_ms)
            arrival_ns = max(sent_ns + round(delay_ms * 1e6), self._arrived[band] + 1)
            if arrival_ns > until_ns:
                return packets
            lost = bool(rng.random() < self._link.loss)
            noise = rng.standard_normal((len(stamps), 6), dtype=np.float32)
            packets.append(_Packet(band, self._next[band], arrival_ns, lost, stamps, noise))
            self._next[band] += len(stamps)
            if not lost:
                self._arrived[band] = arrival_ns


@dataclass(frozen=True, slots=True, eq=False)
class _Packet:
    band: int
    seq: int
    arrival_ns: int
    lost: bool
    times_ns: Times
    noise: NDArray[np.float32]


def _sample_clock(seed: int, band: int, start_ns: int) -> BandClock:
    rng = np.random.default_rng((seed, band, 1))
    offset_ns = int(rng.integers(0, 3600 * NS_PER_S))
    return BandClock(start_ns, offset_ns, float(rng.uniform(-40e-6, 40e-6)), int(rng.integers(1, 2**31)))


def _motion(trainee: Wearer, times_ns: Times) -> tuple[Floats, Floats]:
    """Specific force and angular rate (n, 4, 3) in the nominal band axes, by central differences."""
    n = len(times_ns)
    positions, rotations = trainee.segments(np.concatenate([times_ns - STEP_NS, times_ns, times_ns + STEP_NS]))
    step = STEP_NS / NS_PER_S
    acceleration = (positions[:n] - 2 * positions[n : 2 * n] + positions[2 * n :]) / step**2
    acceleration[..., 2] += GRAVITY
    force = np.einsum("nbij,nbi->nbj", rotations[n : 2 * n], acceleration)
    return force, _turned(rotations[:n], rotations[2 * n :]) / (2 * step)


def _turned(before: Floats, after: Floats) -> Floats:
    """Rotation vector (..., 3) from `before` to `after` (..., 3, 3) in the turning body's axes, for less than half a turn."""
    between = np.einsum("...ji,...jk->...ik", before, after)
    skew = np.stack(
        [
            between[..., 2, 1] - between[..., 1, 2],
            between[..., 0, 2] - between[..., 2, 0],
            between[..., 1, 0] - between[..., 0, 1],
        ],
        axis=-1,
    )
    sine = np.linalg.norm(skew, axis=-1) / 2
    cosine = (np.trace(between, axis1=-2, axis2=-1) - 1) / 2
    factor = np.where(sine > 1e-9, np.arctan2(sine, cosine) / np.maximum(sine, 1e-9), 1.0)
    return np.asarray(skew / 2 * factor[..., None])


def rotation(vector: Floats) -> Floats:
    """Rotation matrix (3, 3) of a rotation vector (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / max(angle, 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _read(sensor: Sensor, force: Floats, rate: Floats, noise: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the sensor puts out (n, 6): turned by the strap, biased, noisy, clipped and in steps of its 16 bits."""
    values = np.concatenate(
        [
            force @ sensor.strap + sensor.force_bias + noise[:, :3] * sensor.force_noise,
            rate @ sensor.strap + sensor.rate_bias + noise[:, 3:] * sensor.rate_noise,
        ],
        axis=1,
    )
    unit = np.repeat([FORCE_RANGE / 32768, RATE_RANGE / 32768], 3)
    counts = np.clip(np.round(values / unit), -32768, 32767)
    return np.asarray(counts * unit, dtype=np.float32)
