"""The virtual bands as a driver: host time, a moved epoch, the end of the session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import ImuConfig, SignalsConfig
from device.drivers.imu_virtual import VirtualImu
from device.errors import DriverError, EndOfStream
from device.messages import NS_PER_S, ImuBatch
from device.runtime.align import Aligner, ImuTrack, resample
from device.sim.bands import Link, true_imu

MS = 1_000_000
CONFIG = ImuConfig(type="virtual")


@dataclass(frozen=True)
class Bouncer:
    """Four bands that go up and down once a second without turning."""

    start_ns: int = 0
    duration_ns: int = 10 * NS_PER_S

    def segments(self, times_ns: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        positions = np.zeros((len(times_ns), 4, 3))
        positions[..., 2] = 0.1 * np.sin(2 * np.pi * times_ns / NS_PER_S)[:, None]
        return positions, np.broadcast_to(np.eye(3), (len(times_ns), 4, 3, 3))


def read_all(source: VirtualImu, epoch_ns: int = 0) -> list[tuple[int, ImuBatch]]:
    return [(now, batch) for now in range(epoch_ns, epoch_ns + 9 * NS_PER_S, 20 * MS) for batch in source.read(now)]


def test_samples_come_on_host_time() -> None:
    epoch_ns = 7_000 * NS_PER_S
    with VirtualImu(CONFIG, Bouncer(), seed=4, epoch_ns=epoch_ns) as source:
        arrived = read_all(source, epoch_ns)
    late = [(now, b) for now, b in arrived if now > epoch_ns + 5 * NS_PER_S]
    for now, batch in late:
        assert now - 90 * MS < batch.t_ns < now
        truth = true_imu(Bouncer(), batch.times_ns - epoch_ns, 4)[:, batch.band, :3]
        assert np.abs(truth - batch.values[:, :3]).max() < 0.4


def test_the_appliance_sees_what_the_sensors_read() -> None:
    signals = SignalsConfig()
    aligner, ticks = Aligner(signals, 0), []
    with VirtualImu(CONFIG, Bouncer(), seed=2, link=Link(loss=0.0)) as source:
        for now, batch in read_all(source):
            aligner.push(batch)
            ticks += aligner.ticks(now)
    times = np.arange(0, 9 * NS_PER_S, 10 * MS)
    truth = true_imu(Bouncer(), times, 2)
    tracks = [ImuTrack(times, truth[:, band]) for band in range(4)]
    expected = resample(signals, 0, len(ticks), None, tracks)
    assert all(t.imu_present.all() for t in ticks[30:])
    error = np.array([t.imu for t in ticks[30:]]) - expected.imu[30:]
    assert np.sqrt((error**2).mean(axis=(0, 1)))[2] < 0.15
    assert np.abs(error[..., 3:]).max() < 0.02


def test_the_end_of_the_session_is_the_end_of_the_stream() -> None:
    with VirtualImu(CONFIG, Bouncer()) as source:
        assert source.read(20 * NS_PER_S)
        with pytest.raises(EndOfStream, match="over"):
            source.read(20 * NS_PER_S)


def test_a_closed_source_says_so() -> None:
    source = VirtualImu(CONFIG, Bouncer())
    with pytest.raises(DriverError, match="Open"):
        source.read(0)
    source.open()
    source.close()
    source.close()
    with pytest.raises(DriverError, match="Open"):
        source.read(0)


def test_opening_again_starts_anew() -> None:
    source = VirtualImu(CONFIG, Bouncer(), seed=1)
    reads = []
    for _ in range(2):
        with source:
            reads.append([b.t_ns for b in source.read(NS_PER_S)])
    assert reads[0] == reads[1]
