"""The `serial` driver over pseudo-terminals: bands that send, stutter, fall silent, are unplugged, or are not what they seem."""

import os
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serial_bench import PtyBand, any_bytes, collect, frame_of, raw

from device.band import protocol
from device.config import ImuConfig
from device.drivers.imu_serial import Claims, SerialImu, SerialLink
from device.errors import BandError, ConfigError, DriverError, DriverUnavailable
from device.runtime.timebase import UNCONVERTED

pytest.importorskip("serial", reason="pyserial is absent: pip install pyserial")
MS = 1_000_000


def config(**ports):
    return ImuConfig(type="serial", ports={limb: str(port) for limb, port in ports.items()}, silence_s=0.5)


def assert_consecutive(batches):
    seq = np.concatenate([batch.seq + np.arange(len(batch.times_ns)) for batch in batches])
    assert (np.diff(seq) == 1).all()
    counts = np.concatenate([raw(batch) for batch in batches])
    assert (counts == (seq[:, None] * 6 + np.arange(6)) % 3000).all()


def test_samples_and_pings_of_a_band(tmp_path):
    with PtyBand(tmp_path / "band") as band, SerialImu(config(right_ankle=band.path)) as source:
        batches, pings = collect(source, 0.9)
        assert band.asked[:3] == [protocol.IDENTITY, protocol.SET_RATE, protocol.START]
        assert band.rate_hz == 100
        assert_consecutive(batches)
        assert sum(len(batch.times_ns) for batch in batches) > 50
        assert {(batch.band, batch.session, batch.sigma_ns) for batch in batches} == {(3, 77, UNCONVERTED)}
        assert all(batch.t_ns <= time.monotonic_ns() for batch in batches)
        assert len(pings) >= 3
        for ping in pings:
            assert ping.band == 3
            assert ping.sent_ns < ping.received_ns < ping.sent_ns + 300 * MS
            band_us = ping.band_ns // 1000 % (1 << 30)
            assert band.counter_us(ping.sent_ns) <= band_us <= band.counter_us(ping.received_ns)
        health = source.health()[3]
        assert (health.name, health.identity) == ("Spotter 3031", b"band0001".hex())
        assert (health.lost, health.dropped, health.problem) == (0, 0, "")
        assert health.rate_hz == pytest.approx(100, abs=60)
    assert protocol.STOP in band.asked


def test_garbage_between_frames_costs_nothing_but_itself(tmp_path):
    count = iter(range(10**6))

    def noise(frame):
        i = next(count)
        return any_bytes(i, i % 40) + b"\x00" + frame

    with PtyBand(tmp_path / "band", noise=noise) as band, SerialImu(config(left_wrist=band.path)) as source:
        batches, _ = collect(source, 0.6)
        assert_consecutive(batches)
        assert sum(len(batch.times_ns) for batch in batches) >= 24
        assert source.health()[0].dropped > 5


def test_damaged_frames_are_dropped_and_counted(tmp_path):
    count = iter(range(10**6))

    def noise(frame):
        if len(frame) < 50 or next(count) % 4 != 3:
            return frame
        return frame[:20] + bytes([frame[20] ^ 0x55 or 1]) + frame[21:]

    with PtyBand(tmp_path / "band", noise=noise) as band, SerialImu(config(left_wrist=band.path)) as source:
        batches, _ = collect(source, 0.8)
        health = source.health()[0]
        assert health.dropped >= 2
        assert health.lost == 4 * round(health.lost / 4) > 0
        assert all((raw(b) == ((b.seq + np.arange(len(b.times_ns)))[:, None] * 6 + np.arange(6)) % 3000).all() for b in batches)


def test_frames_that_come_in_pieces(tmp_path):
    def noise(frame):
        for i in range(0, len(frame) - 1, 7):
            os.write(band._master, frame[i : min(i + 7, len(frame) - 1)])
            time.sleep(0.0005)
        return frame[-1:]

    band = PtyBand(tmp_path / "band", noise=noise)
    with band, SerialImu(config(left_wrist=band.path)) as source:
        batches, _ = collect(source, 0.6)
        assert_consecutive(batches)
        assert sum(len(batch.times_ns) for batch in batches) >= 24


def test_a_band_that_is_unplugged_comes_back(tmp_path):
    band = PtyBand(tmp_path / "band")
    with band, SerialImu(config(left_wrist=band.path)) as source:
        collect(source, 0.3)
        band.unplug()
        collect(source, 0.3)
        assert "band" in source.health()[0].problem
        assert source.read(time.monotonic_ns()) == []
        band.session = 78
        band.plug()
        batches, _ = collect(source, 1.1)
        assert {batch.session for batch in batches} == {78}
        health = source.health()[0]
        assert (health.problem, health.reconnects) == ("", 1)


def test_a_band_that_falls_silent_is_asked_anew(tmp_path):
    with PtyBand(tmp_path / "band") as band, SerialImu(config(left_wrist=band.path)) as source:
        collect(source, 0.3)
        band.silent = True
        collect(source, 0.6)
        assert "sends nothing" in source.health()[0].problem
        band.silent = False
        batches, _ = collect(source, 0.9)
        assert batches
        assert source.health()[0].reconnects >= 1


def test_a_band_of_another_version_is_refused_once_and_clearly(tmp_path, caplog):
    with PtyBand(tmp_path / "band", version=2) as band, SerialImu(config(left_wrist=band.path)) as source:
        batches, _ = collect(source, 0.6)
        assert batches == []
        assert "version 2" in source.health()[0].problem
        assert band.asked.count(protocol.IDENTITY) == 1
    assert sum("version 2" in record.message for record in caplog.records) == 1


def test_two_bands_with_one_identity(tmp_path):
    with PtyBand(tmp_path / "a") as first, PtyBand(tmp_path / "b") as second:
        with SerialImu(config(left_wrist=first.path, right_wrist=second.path)) as source:
            batches, _ = collect(source, 0.7)
            assert len({batch.band for batch in batches}) == 1
            problems = [health.problem for health in source.health().values() if health.problem]
        assert len(problems) == 1
        assert b"band0001".hex() in problems[0]
        assert "Flash" in problems[0]


def test_the_limb_of_an_identity_wins_over_the_limb_of_its_port(tmp_path):
    with PtyBand(tmp_path / "band") as band:
        ports = ImuConfig(type="serial", ports={"left_wrist": str(band.path)}, bands={b"band0001".hex(): "left_ankle"})
        with SerialImu(ports) as source:
            batches, pings = collect(source, 0.5)
            assert {batch.band for batch in batches} == {2} == {ping.band for ping in pings}
            assert set(source.health()) == {2}


def test_two_bands_for_one_limb_are_told():
    claims = Claims()
    claims.take("/dev/a", "0001", 0)
    claims.take("/dev/a", "0001", 0)
    with pytest.raises(BandError, match=r"/dev/b.*left_wrist, which /dev/a has"):
        claims.take("/dev/b", "0002", 0)
    claims.give_back("/dev/a")
    claims.take("/dev/b", "0001", 0)


def test_a_band_vibrates(tmp_path):
    with PtyBand(tmp_path / "band") as band, SerialImu(config(right_wrist=band.path)) as source:
        collect(source, 0.4)
        source.vibrate(1, 250, 128)
        source.vibrate(0, 250, 128)
        collect(source, 0.1)
    assert band.vibrations == [(250, 128)]


def test_nothing_at_the_port(tmp_path):
    source = SerialImu(config(left_wrist=tmp_path / "none"))
    with pytest.raises(DriverUnavailable, match="Plug the band in"):
        source.open()
    source.close()
    with pytest.raises(DriverError, match="not open"):
        source.read(0)


def test_what_is_no_serial_port_is_told():
    source = SerialImu(config(left_wrist="/dev/null"))
    with pytest.raises(DriverUnavailable, match=r"/dev/null: .*Check the band and its cable"):
        source.open()


def test_a_baud_rate_that_the_port_does_not_have_is_told():
    def open_port(_port, baud):
        raise ValueError(f"Not a valid baudrate: {baud}")

    with pytest.raises(DriverUnavailable, match="460800"):
        SerialImu(config(left_wrist="/dev/ttyS9"), open_port).open()


def test_a_port_without_a_band_behind_it(tmp_path):
    band = PtyBand(tmp_path / "band")
    band._answer = lambda request: request.opcode
    with band, SerialImu(config(left_wrist=band.path)) as source:
        collect(source, 1.3)
        assert "no band answers" in source.health()[0].problem


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"ports": {}}, DriverUnavailable, "names no port"),
        ({"ports": {"left_arm": "/dev/null"}}, ConfigError, "left_arm"),
        ({"ports": {"left_wrist": "/dev/null"}, "bands": {"00": "nose"}}, ConfigError, "nose"),
        ({"ports": {"left_wrist": "/dev/null"}, "rate_hz": 75.0}, DriverUnavailable, "50, 100 or 200"),
    ],
)
def test_settings_that_make_no_sense(settings, error, says):
    with pytest.raises(error, match=says):
        SerialImu(ImuConfig(type="serial", **settings)).open()


def test_no_thread_outlives_the_source(tmp_path):
    before = threading.active_count()
    with PtyBand(tmp_path / "band") as band, SerialImu(config(left_wrist=band.path)):
        pass
    assert threading.active_count() == before


class Wire:
    """A port that holds what it is given."""

    def __init__(self):
        self.waiting = b""

    @property
    def in_waiting(self):
        return len(self.waiting)

    def read(self, size):
        data, self.waiting = self.waiting[:size], self.waiting[size:]
        return data

    def write(self, data):
        return len(data)

    def close(self):
        pass


frames = st.one_of(
    st.binary(max_size=400),
    st.builds(frame_of, st.binary(max_size=240), st.sampled_from([1, 2])),
    st.builds(lambda body: frame_of(b"\x01" + body), st.binary(min_size=13, max_size=240)),
    st.builds(lambda opcode, rest: frame_of(bytes([opcode | 0x80]) + rest, 2), st.integers(1, 11), st.binary(max_size=22)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(frames, max_size=12))
def test_whatever_comes_nothing_is_raised(pieces):
    wire = Wire()
    link = SerialLink(0, "/dev/band", config(left_wrist="/dev/band"), Claims(), lambda _port, _baud: wire)
    for piece in pieces:
        link.until_ns = 0
        wire.waiting += piece
        link.step()
        link.step()
    assert len(link.batches) <= len(pieces)


def test_a_fast_band_is_read_without_falling_behind():
    """A second of 200 Hz in one go."""
    wire, now = Wire(), [10**9]
    link = SerialLink(0, "/dev/band", config(left_wrist="/dev/band"), Claims(), lambda _port, _baud: wire, lambda: now[0])
    link.step()
    for token, (opcode, values) in enumerate(
        [(protocol.IDENTITY, (1, b"band0001", 1, 1, 1, 0, 0, 100)), (protocol.SET_RATE, ()), (protocol.START, ())], start=1
    ):
        link.step()
        wire.waiting = frame_of(protocol.encode_answer(opcode, token, protocol.OK, *values), 2)
        link.step()
    for i in range(25):
        samples = (np.arange(48) + i).astype("<i2").tobytes()
        packet = protocol.Packet(0, 5, i * 8, 1000 + i * 40_000, 5000, 3, 4, samples)
        wire.waiting += frame_of(protocol.encode_packet(packet))
    link.step()
    assert sum(len(batch.times_ns) for batch in link.batches) == 200
    assert not wire.waiting
