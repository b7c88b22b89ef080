"""The virtual bands: physics, sensor errors, clocks and the link."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from device.messages import NS_PER_S, ImuBatch
from device.sim.bands import (
    FORCE_RANGE,
    GRAVITY,
    RATE_RANGE,
    Link,
    VirtualBands,
    perfect_sensors,
    sample_sensors,
    true_imu,
)

Floats = NDArray[np.float64]
MS = 1_000_000


@dataclass(frozen=True)
class Circler:
    """Four points on circles about the vertical, radius `radius` m, `rate` rad/s; x points outward, z up."""

    radius: float = 0.5
    rate: float = 2.0
    start_ns: int = 0
    duration_ns: int = 30 * NS_PER_S

    def segments(self, times_ns: NDArray[np.int64]) -> tuple[Floats, Floats]:
        angle = self.rate * times_ns[:, None] / NS_PER_S + np.arange(4)
        c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
        positions = np.stack([self.radius * c, self.radius * s, i], axis=-1)
        rotations = np.stack([np.stack([c, -s, o], -1), np.stack([s, c, o], -1), np.stack([o, o, i], -1)], axis=-2)
        return positions, rotations


@dataclass(frozen=True)
class Waver:
    """A band that swings on every axis, from one attitude to the next."""

    start_ns: int = 0
    duration_ns: int = 10 * NS_PER_S

    def segments(self, times_ns: NDArray[np.int64]) -> tuple[Floats, Floats]:
        t = times_ns[:, None] / NS_PER_S + np.arange(4) / 3
        positions = np.stack([0.3 * np.sin(2 * t), 0.2 * np.cos(3 * t), 1 + 0.4 * np.sin(1.5 * t)], axis=-1)
        return positions, _about(2, 0.8 * np.sin(2 * t)) @ _about(0, 0.6 * np.cos(3 * t)) @ _about(1, 0.5 * np.sin(5 * t))


def _about(axis: int, angle: Floats) -> Floats:
    rotation = np.zeros((*angle.shape, 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotation[..., axis, axis] = 1
    rotation[..., i, i] = rotation[..., j, j] = np.cos(angle)
    rotation[..., i, j], rotation[..., j, i] = -np.sin(angle), np.sin(angle)
    return rotation


def at(first_s: float, last_s: float, rate_hz: float = 100.0) -> NDArray[np.int64]:
    times: NDArray[np.int64] = np.round(np.arange(first_s, last_s, 1 / rate_hz) * NS_PER_S).astype(np.int64)
    return times


def everything(bands: VirtualBands, step_ms: int = 33, until_s: float = 31.0) -> list[ImuBatch]:
    return [batch for now in range(0, round(until_s * 1000), step_ms) for batch in bands.read(now * MS)]


def test_a_band_at_rest_reads_one_g_upward() -> None:
    imu = true_imu(Circler(rate=0.0), at(0, 1), 1, perfect_sensors())
    np.testing.assert_allclose(imu[..., :3], np.broadcast_to((0, 0, GRAVITY), (100, 4, 3)), atol=0.01)
    np.testing.assert_allclose(imu[..., 3:], 0, atol=0.002)


def test_a_band_that_points_down_reads_gravity_on_its_limb_axis() -> None:
    class Hanging(Circler):
        def segments(self, times_ns: NDArray[np.int64]) -> tuple[Floats, Floats]:
            positions, _ = Circler.segments(self, times_ns)
            return positions, np.broadcast_to(_about(1, np.array(np.pi / 2)), (len(times_ns), 4, 3, 3))

    imu = true_imu(Hanging(rate=0.0), at(0, 1), 1, perfect_sensors())
    np.testing.assert_allclose(imu[..., :3], np.broadcast_to((-GRAVITY, 0, 0), (100, 4, 3)), atol=0.01)


def test_a_circling_band_reads_its_rate_and_the_centripetal_force() -> None:
    imu = true_imu(Circler(radius=0.5, rate=6.0), at(0, 1), 1, perfect_sensors())
    np.testing.assert_allclose(imu[..., 3:], np.broadcast_to((0, 0, 6.0), (100, 4, 3)), atol=0.005)
    np.testing.assert_allclose(imu[..., :3], np.broadcast_to((-18.0, 0, GRAVITY), (100, 4, 3)), atol=0.02)


def test_integrating_the_readings_gives_the_motion_back() -> None:
    times = at(0, 4, 200.0)
    positions, rotations = Waver().segments(times)
    imu = true_imu(Waver(), times, 1, perfect_sensors()).astype(np.float64)
    dt = 1 / 200
    for band in range(4):
        attitude = rotations[0, band]
        velocity = (positions[1, band] - positions[0, band]) / dt
        place = positions[1, band]
        for k in range(1, len(times) - 1):
            attitude = attitude @ _small_rotation((imu[k - 1, band, 3:] + imu[k, band, 3:]) / 2 * dt)
            velocity = velocity + (attitude @ imu[k, band, :3] - (0, 0, GRAVITY)) * dt
            place = place + velocity * dt
        np.testing.assert_allclose(attitude, rotations[-2, band], atol=5e-3)
        np.testing.assert_allclose(place, positions[-1, band], atol=0.05)


def _small_rotation(vector: Floats) -> Floats:
    x, y, z = vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / 2)


def test_readings_stop_at_full_scale() -> None:
    imu = true_imu(Circler(radius=1.0, rate=40.0), at(0, 1), 1, perfect_sensors())
    assert imu[..., 0].min() == pytest.approx(-FORCE_RANGE, rel=1e-4)
    assert imu[..., 5].max() == pytest.approx(RATE_RANGE, rel=1e-4)


def test_errors_are_those_of_the_sensor() -> None:
    sensors = sample_sensors(5)
    still = true_imu(Circler(rate=0.0), at(0, 40), 5)
    for band, sensor in enumerate(sensors):
        np.testing.assert_allclose(sensor.strap @ sensor.strap.T, np.eye(3), atol=1e-12)
        expected = np.concatenate([(0, 0, GRAVITY) @ sensor.strap + sensor.force_bias, sensor.rate_bias])
        np.testing.assert_allclose(still[:, band].mean(axis=0), expected, atol=0.004)
        np.testing.assert_allclose(still[:, band, :3].std(axis=0), sensor.force_noise, rtol=0.1)
        np.testing.assert_allclose(still[:, band, 3:].std(axis=0), sensor.rate_noise, rtol=0.1)


def test_straps_are_turned_about_the_limb_by_ten_degrees_or_so() -> None:
    sensors = [s for seed in range(100) for s in sample_sensors(seed)]
    around = np.degrees([np.arctan2(s.strap[2, 1], s.strap[1, 1]) for s in sensors])
    askew = np.degrees([np.arccos(s.strap[0, 0]) for s in sensors])
    assert 9 < around.std() < 11
    assert np.median(askew) < 5


def test_packets_do_not_depend_on_how_they_are_read() -> None:
    often = everything(VirtualBands(3, Waver()), step_ms=7, until_s=11)
    once = VirtualBands(3, Waver()).read(11 * NS_PER_S)
    assert [(b.t_ns, b.band, b.seq) for b in often] == [(b.t_ns, b.band, b.seq) for b in once]
    np.testing.assert_array_equal(np.concatenate([b.values for b in often]), np.concatenate([b.values for b in once]))
    other = VirtualBands(4, Waver()).read(11 * NS_PER_S)
    assert [b.t_ns for b in other] != [b.t_ns for b in once]


def test_clocks_have_offset_and_drift_of_their_own() -> None:
    bands = VirtualBands(9, Circler())
    last = {batch.band: batch for batch in everything(bands)}
    assert len({clock.session for clock in bands.clocks}) == 4
    for band, batch in last.items():
        clock = bands.clocks[band]
        host = clock.to_host(batch.times_ns)
        elapsed = int(batch.times_ns[-1]) - clock.offset_ns
        assert abs(clock.drift) <= 40e-6
        assert elapsed - int(host[-1]) == pytest.approx(clock.drift * int(host[-1]), abs=10)
        assert np.diff(batch.times_ns).tolist() == [10 * MS] * 7
        assert 5 * MS <= batch.t_ns - int(host[-1]) <= 40 * MS


def test_values_belong_to_the_host_time_of_their_stamps() -> None:
    bands = VirtualBands(2, Waver(), sensors=perfect_sensors())
    for batch in everything(bands, until_s=11):
        host = bands.clocks[batch.band].to_host(batch.times_ns)
        np.testing.assert_array_equal(batch.values, true_imu(Waver(), host, 0, perfect_sensors())[:, batch.band])


def test_packets_are_contiguous_and_arrive_in_order() -> None:
    batches = everything(VirtualBands(6, Circler(), link=Link(packet_samples=2, loss=0.0)))
    assert all(a.t_ns <= b.t_ns for a, b in pairwise(batches))
    for band in range(4):
        own = [b for b in batches if b.band == band]
        assert [b.seq for b in own] == list(range(0, 2 * len(own), 2))
        assert len(own) == pytest.approx(1500, abs=2)


def test_packets_are_lost_at_the_rate_of_the_link() -> None:
    batches = everything(VirtualBands(6, Circler(), link=Link(packet_samples=2, loss=0.2)))
    assert len(batches) / 6000 == pytest.approx(0.8, abs=0.02)
    assert all(b.seq % 2 == 0 for b in batches)


def test_bands_end_with_the_session() -> None:
    bands = VirtualBands(1, replace(Circler(), duration_ns=2 * NS_PER_S))
    assert not bands.finished()
    before = bands.read(NS_PER_S)
    after = bands.read(100 * NS_PER_S)
    assert before
    assert after
    assert bands.finished()
    assert max(int(bands.clocks[b.band].to_host(b.times_ns)[-1]) for b in after) <= 2 * NS_PER_S
