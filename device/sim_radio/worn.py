"""The virtual trainee's four bands as they would be: the real firmware, on a radio, in real time."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.config import ImuConfig
from device.drivers.base import ImuSource
from device.drivers.ble.backend import Backend
from device.drivers.ble.pairing import pair_bands
from device.drivers.ble.trust import AllowList, PairingWindow
from device.drivers.health import BandHealth
from device.drivers.imu_ble import BleImu
from device.errors import BandError
from device.messages import ClockPing, Cue, ImuBatch
from device.sim.bands import FORCE_RANGE, RATE_RANGE, sample_sensors, true_imu
from device.sim.trainee import VirtualTrainee
from device.sim_radio.needs import require_bumble
from device.skeleton import BANDS, N_BANDS

INTERVAL_MS = 15.0
PAIRING_S = 60.0


class WornBands(ImuSource):
    """The bands that `trainee` wears, by the ble driver. The session begins with the first call of `pings` or `read`, at the time
    that it is given; the bands connect then. Batches are on the bands' own clocks, arrivals on the session's.

    `trainee` is this source's own: its bands move in a thread of their own, and it must hear what is said (`hear`).
    """

    def __init__(self, config: ImuConfig, trainee: VirtualTrainee, *, seed: int = 0) -> None:
        self._config = config
        self._body = _Body(trainee, seed)
        self._seed = seed
        self._opened = ExitStack()
        self._imu: BleImu | None = None
        self._begun = False

    def open(self) -> None:
        """Switch the bands on and pair them. Raises DriverUnavailable where bumble, node or MicroPython is absent."""
        require_bumble()
        from device.sim_radio.hosted import HostedBand
        from device.sim_radio.radio import VirtualRadio

        self.close()
        rng = np.random.default_rng((self._seed, N_BANDS + 1))
        bands = [
            HostedBand(
                name,
                f"F{i + 1}:00:00:00:00:01",
                self._body.source(i),
                reading_us=int(rng.integers(0, 1 << 30)),
                skew=float(rng.uniform(-40e-6, 40e-6)),
                sample_rate_error=float(rng.uniform(-0.01, 0.01)),
            )
            for i, name in enumerate(BANDS)
        ]
        with ExitStack() as opened:
            radio = opened.enter_context(VirtualRadio(interval_ms=INTERVAL_MS, seed=self._seed))
            radio.add(*bands)
            radio.rssi = {band.address: -40 - i for i, band in enumerate(bands)}
            path = Path(opened.enter_context(tempfile.TemporaryDirectory())) / "bands.json"
            backend = Backend(radio.client, radio.scanner)
            done = asyncio.run(pair_bands(backend, AllowList(path), PairingWindow(PAIRING_S), count=N_BANDS))
            if len(done) < N_BANDS:
                raise BandError(f"Only {len(done)} of {N_BANDS} virtual bands could be paired. Is the machine overloaded?")
            self._imu = BleImu(replace(self._config, trusted=str(path), bands={}), backend)
            self._opened = opened.pop_all()

    def close(self) -> None:
        imu, self._imu = self._imu, None
        if imu is not None:
            imu.close()
        self._opened.close()
        self._begun = False

    def read(self, until_ns: int) -> list[ImuBatch]:
        imu, epoch_ns = self._session(until_ns)
        return [replace(batch, t_ns=batch.t_ns - epoch_ns) for batch in imu.read(until_ns + epoch_ns)]

    def pings(self, until_ns: int) -> list[ClockPing]:
        imu, epoch_ns = self._session(until_ns)
        return [
            replace(ping, sent_ns=ping.sent_ns - epoch_ns, received_ns=ping.received_ns - epoch_ns)
            for ping in imu.pings(until_ns + epoch_ns)
        ]

    def health(self) -> dict[int, BandHealth]:
        return self._imu.health() if self._imu is not None else {}

    def hear(self, cue: Cue) -> None:
        """Let the trainee whom the bands sit on react."""
        self._body.hear(cue)

    def _session(self, now_ns: int) -> tuple[BleImu, int]:
        """The driver, and the host time at which the session's time was 0."""
        if self._imu is None:
            raise BandError("The virtual bands are closed. Open the source before reading it.")
        if not self._begun:
            self._begun = True
            self._body.begin(time.monotonic_ns() - now_ns)
            self._imu.open()
        return self._imu, self._body.epoch_ns


class _Body:
    """What the bands on a trainee feel, for whoever asks in whatever thread."""

    def __init__(self, trainee: VirtualTrainee, seed: int) -> None:
        self._trainee = trainee
        self._lock = threading.Lock()
        # The chip's noise is added sample by sample below.
        self._sensors = tuple(replace(sensor, force_noise=0.0, rate_noise=0.0) for sensor in sample_sensors(seed))
        self._noise = np.array([[s.force_noise] * 3 + [s.rate_noise] * 3 for s in sample_sensors(seed)])
        self._seed = seed
        self.epoch_ns = time.monotonic_ns()

    def begin(self, epoch_ns: int) -> None:
        """The session's time 0 is `epoch_ns` on the host's clock; before, the trainee stands as at its beginning."""
        with self._lock:
            self.epoch_ns = epoch_ns

    def hear(self, cue: Cue) -> None:
        with self._lock:
            self._trainee.hear(cue)

    def source(self, band: int) -> _Source:
        return _Source(self, band, np.random.default_rng((self._seed, band, 3)))

    def felt(self, band: int, times_ns: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int16]:
        """Counts (n, 6) of band `band` at host times (n,)."""
        with self._lock:
            start_ns, end_ns = self._trainee.start_ns, self._trainee.start_ns + self._trainee.duration_ns
            times = np.clip(times_ns - self.epoch_ns, start_ns, end_ns)
            values = true_imu(self._trainee, times, self._seed, self._sensors)[:, band]
        noisy = values + rng.standard_normal(values.shape) * self._noise[band]
        unit = np.repeat([FORCE_RANGE / 32768, RATE_RANGE / 32768], 3)
        counts: NDArray[np.int16] = np.clip(np.round(noisy / unit), -32768, 32767).astype(np.int16)
        return counts


class _Source:
    def __init__(self, body: _Body, band: int, rng: np.random.Generator) -> None:
        self._body, self._band, self._rng = body, band, rng

    def __call__(self, times_ns: NDArray[np.int64]) -> NDArray[np.int16]:
        return self._body.felt(self._band, times_ns, self._rng)
