"""Packets of one band as batches: order, loss, doubles, wraps, reboots, and what a band may not do."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.band import protocol
from device.drivers.packets import PacketStream
from device.runtime.timebase import UNCONVERTED

MS = 1_000_000
S = 1000 * MS
PACKET_NS = 80 * MS


def packet(seq, time_us, *, session=7, n=8, spacing_us=10_000, flags=0, samples=None, ranges=(3, 4)):
    if samples is None:
        counts = (np.arange(n * 6, dtype=np.int64) * 7 + seq * 13) % 5000
        samples = counts.astype("<i2").tobytes()
    return protocol.encode_packet(protocol.Packet(flags, session, seq % 65536, time_us % (1 << 30), spacing_us, *ranges, samples))


def steady(stream, first, count, *, session=7, start_us=1_000_000, host_ns=5 * S):
    """Feed `count` packets from number `first` on, as they come 20 ms after their last sample."""
    fed = []
    for i in range(first, first + count):
        data = packet(i * 8, start_us + i * 80_000, session=session)
        fed.append(stream.feed(data, host_ns + i * PACKET_NS + 90 * MS))
    return fed


def test_a_packet_in_si_units_on_the_bands_clock():
    stream = PacketStream(2)
    samples = struct.pack("<6h", 2048, 0, -2048, 0, 16384, 0) * 2
    batch = stream.feed(packet(40, 123, n=2, samples=samples), 5 * S)
    assert (batch.band, batch.session, batch.seq, batch.t_ns, batch.sigma_ns) == (2, 7, 40, 5 * S, UNCONVERTED)
    assert batch.times_ns.tolist() == [123_000, 10_123_000]
    assert batch.values.dtype == np.float32
    assert batch.values[1] == pytest.approx([9.80665, 0, -9.80665, 0, np.deg2rad(1000), 0], rel=1e-6)


@pytest.mark.parametrize(("ranges", "force", "rate"), [((0, 0), 2, 125), ((1, 2), 4, 500), ((2, 3), 8, 1000)])
def test_ranges_scale(ranges, force, rate):
    samples = struct.pack("<6h", *[-32768] * 6)
    batch = PacketStream(0).feed(packet(0, 0, n=1, samples=samples, ranges=ranges), 0)
    assert batch.values[0] == pytest.approx([-force * 9.80665] * 3 + [-np.deg2rad(rate)] * 3, rel=1e-6)


def test_doubled_packets_are_dropped_and_counted():
    stream = PacketStream(0)
    data = packet(0, 0)
    assert stream.feed(data, S) is not None
    assert stream.feed(data, S) is None
    assert stream.feed(packet(8, 80_000), S + PACKET_NS) is not None
    assert stream.feed(data, S + PACKET_NS) is None
    assert (stream.received, stream.duplicated, stream.lost) == (16, 16, 0)


def test_of_a_packet_that_overlaps_only_the_new_samples_count():
    stream = PacketStream(0)
    stream.feed(packet(0, 0), S)
    batch = stream.feed(packet(4, 40_000), S + PACKET_NS)
    assert batch.seq == 8
    assert batch.times_ns.tolist() == [80_000_000 + i * 10 * MS for i in range(4)]
    assert (stream.received, stream.duplicated, stream.lost) == (12, 4, 0)


def test_lost_packets_are_counted_in_samples():
    stream = PacketStream(0)
    steady(stream, 0, 3)
    steady(stream, 5, 2)
    assert (stream.lost, stream.received) == (16, 40)


def test_sequence_and_counter_wrap_together_or_apart():
    stream = PacketStream(0)
    start_us = (1 << 30) - 300 * 80_000
    batches = steady(stream, 8000, 700, start_us=start_us - 8000 * 80_000)
    times = np.concatenate([batch.times_ns for batch in batches])
    assert np.all(np.diff(times) == 10 * MS)
    assert [batch.seq for batch in batches] == [i * 8 for i in range(8000, 8700)]
    assert stream.lost == 0


@pytest.mark.parametrize("silence", [10, 900, 8192, 20_000])
def test_a_silence_longer_than_a_turn_of_the_sequence_counts_all_of_it(silence):
    stream = PacketStream(0)
    steady(stream, 0, 5)
    steady(stream, 5 + silence, 5)
    assert stream.lost == silence * 8


def test_a_reboot_begins_anew_and_loses_nothing():
    stream = PacketStream(0)
    steady(stream, 100, 5)
    (batch,) = steady(stream, 0, 1, session=8, start_us=0, host_ns=20 * S)
    assert (batch.session, batch.seq, stream.lost) == (8, 0, 0)
    assert batch.times_ns[0] == 0


def test_fragments_of_two_packets_are_never_joined():
    stream = PacketStream(0)
    first = protocol.fragments(packet(0, 0), 20, 0)
    second = protocol.fragments(packet(8, 80_000), 20, 1)
    assert [stream.feed(part, S) for part in first[:-2]] == [None] * (len(first) - 2)
    fed = [stream.feed(part, S + PACKET_NS) for part in second]
    assert fed[-1].seq == 8
    assert stream.garbage == 1


def test_another_version_is_refused_with_what_to_do():
    with pytest.raises(protocol.VersionError, match="spotter band flash"):
        PacketStream(0).feed(b"\x02" + packet(0, 0)[1:], S)


@given(st.binary(max_size=300))
def test_garbage_is_counted_and_dropped(data):
    stream = PacketStream(0)
    steady(stream, 0, 2)
    try:
        batch = stream.feed(data, 6 * S)
    except protocol.VersionError:
        return
    if batch is not None:
        assert batch.values.shape == (len(batch.times_ns), 6)
    steady(stream, 2, 1)


@pytest.mark.parametrize("jump_us", [5_000_000, 300_000_000, -100_000_000])
def test_a_packet_from_the_future_or_the_far_past_is_left_out(jump_us):
    stream = PacketStream(0)
    steady(stream, 0, 20)
    assert stream.feed(packet(160, 1_000_000 + 20 * 80_000 + jump_us), 5 * S + 20 * PACKET_NS + 90 * MS) is None
    assert stream.strange_times == 1
    assert all(batch is not None for batch in steady(stream, 20, 20))
    assert stream.lost == 0


def test_a_clock_that_has_jumped_for_good_is_a_new_session():
    stream = PacketStream(0)
    steady(stream, 0, 20)
    batches = steady(stream, 20, 60, start_us=300_000_000)
    assert [batch is None for batch in batches] == [True] * 25 + [False] * 35
    assert len({batch.session for batch in batches[25:]}) == 1
    assert batches[-1].session != 7


def test_samples_that_were_buffered_in_an_outage_come_late_and_count():
    stream = PacketStream(0)
    steady(stream, 0, 10)
    late = [stream.feed(packet(i * 8, 1_000_000 + i * 80_000), 5 * S + 60 * PACKET_NS + i * MS) for i in range(10, 60)]
    assert all(batch is not None for batch in late)
    assert stream.lost == 0


def test_a_stuck_sensor_is_silent_until_it_moves():
    stream = PacketStream(0)
    same = struct.pack("<6h", 1, 2, 3, 4, 5, 6) * 8
    fed = [stream.feed(packet(i * 8, i * 80_000, samples=same), i * PACKET_NS) for i in range(50)]
    assert stream.stuck
    assert fed[10] is not None
    assert fed[-1] is None
    assert stream.feed(packet(400, 50 * 80_000), 50 * PACKET_NS) is not None
    assert not stream.stuck


def test_saturated_samples_are_counted():
    stream = PacketStream(0)
    stream.feed(packet(0, 0, n=2, samples=struct.pack("<12h", 32767, *[0] * 10, -32768)), S)
    assert stream.saturated == 2


def test_a_ping_is_on_the_same_clock_as_the_samples():
    stream = PacketStream(1)
    steady(stream, 0, 20)
    batch = steady(stream, 20, 1)[0]
    newest_us = 1_000_000 + 20 * 80_000 + 70_000
    ping = stream.ping((newest_us + 1000, newest_us + 3000, 7), batch.t_ns, batch.t_ns + 30 * MS)
    assert (ping.band, ping.session, ping.received_ns - ping.sent_ns) == (1, 7, 30 * MS)
    assert ping.band_ns == batch.times_ns[-1] + 2 * MS


@pytest.mark.parametrize("values", [(1 << 31, 0, 7), (1000, 60_000_000, 7), (900_000_000, 900_000_010, 7)])
def test_an_absurd_ping_is_left_out(values):
    stream = PacketStream(1)
    steady(stream, 0, 20)
    assert stream.ping(values, 6 * S, 6 * S + 20 * MS) is None


def test_a_ping_that_straddles_the_wrap():
    stream = PacketStream(1)
    top = 1 << 30
    ping = stream.ping((top - 1000, 1000, 7), 6 * S, 6 * S + 20 * MS)
    assert ping.band_ns == top * 1000


def test_the_rate_is_that_of_the_last_seconds():
    stream = PacketStream(0)
    steady(stream, 0, 100)
    newest_ns = 5 * S + 99 * PACKET_NS + 90 * MS
    assert stream.rate_hz(newest_ns) == pytest.approx(100, abs=4)
    assert stream.rate_hz(newest_ns + 1 * S) == pytest.approx(50, abs=4)
    assert stream.rate_hz(newest_ns + 2 * S) == 0
