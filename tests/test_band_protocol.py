"""The bands' protocol on the appliance's interpreter: golden vectors, links that are small or dirty, and fuzzing."""

from __future__ import annotations

import binascii
import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from device.band import protocol

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "band_vectors.json").read_text())
BYTES = st.binary(max_size=300)


def named(kind: str) -> Any:
    return pytest.mark.parametrize("vector", VECTORS[kind], ids=lambda vector: vector.get("name", ""))


def golden(index: int) -> bytes:
    return bytes.fromhex(VECTORS["packets"][index]["bytes"])


def values_of(vector: dict[str, Any]) -> tuple[int | bytes, ...]:
    return tuple(bytes.fromhex(value) if isinstance(value, str) else value for value in vector["values"])


@named("packets")
def test_a_packet_is_its_golden_bytes_both_ways(vector: dict[str, Any]) -> None:
    packet = protocol.decode_packet(bytes.fromhex(vector["bytes"]))
    for field in ("flags", "session", "seq", "time_us", "spacing_us", "accel_code", "gyro_code"):
        assert getattr(packet, field) == vector[field], field
    rows = [list(row) for row in struct.iter_unpack("<6h", packet.samples)]
    assert rows == vector["samples"]
    assert packet.n == len(rows)
    assert protocol.encode_packet(packet).hex() == vector["bytes"]
    assert protocol.encode_frame(protocol.FRAME_PACKET, protocol.encode_packet(packet)).hex() == vector["frame"]


@named("requests")
def test_a_request_is_its_golden_bytes_both_ways(vector: dict[str, Any]) -> None:
    request = protocol.decode_request(bytes.fromhex(vector["bytes"]))
    assert (request.opcode, request.token, request.values) == (vector["opcode"], vector["token"], values_of(vector))
    data = protocol.encode_request(vector["opcode"], vector["token"], *values_of(vector))
    assert data.hex() == vector["bytes"]
    assert protocol.encode_frame(protocol.FRAME_CONTROL, data).hex() == vector["frame"]


@named("answers")
def test_an_answer_is_its_golden_bytes_both_ways(vector: dict[str, Any]) -> None:
    answer = protocol.decode_answer(bytes.fromhex(vector["bytes"]))
    assert (answer.opcode, answer.token, answer.status) == (vector["opcode"], vector["token"], vector["status"])
    assert answer.values == values_of(vector)
    data = protocol.encode_answer(vector["opcode"], vector["token"], vector["status"], *values_of(vector))
    assert data.hex() == vector["bytes"]
    assert protocol.encode_frame(protocol.FRAME_CONTROL, data).hex() == vector["frame"]


@named("refused")
def test_what_is_wrong_is_refused_with_the_typed_error(vector: dict[str, Any]) -> None:
    decoders = {
        "packet": protocol.decode_packet,
        "request": protocol.decode_request,
        "answer": protocol.decode_answer,
        "frame": protocol.decode_frame,
    }
    with pytest.raises(protocol.ProtocolError) as raised:
        decoders[vector["what"]](bytes.fromhex(vector["bytes"]))
    assert isinstance(raised.value, protocol.VersionError) == vector.get("version", False)
    if "status" in vector:
        assert isinstance(raised.value, protocol.ControlError)
        assert raised.value.status == vector["status"]


def test_every_request_and_answer_fits_a_notification_at_the_smallest_mtu() -> None:
    assert protocol.REQUESTS.keys() == protocol.ANSWERS.keys()
    for opcode in protocol.REQUESTS:
        assert 2 + struct.calcsize(protocol.REQUESTS[opcode]) <= protocol.MAX_CONTROL
        assert 3 + struct.calcsize(protocol.ANSWERS[opcode]) <= protocol.MAX_CONTROL
    assert protocol.notification_size(protocol.MIN_MTU) == protocol.MAX_CONTROL


def test_a_band_of_another_version_is_refused_with_both_versions_and_what_to_do() -> None:
    with pytest.raises(protocol.VersionError, match=r"version 7 .* version 1.*spotter band flash"):
        protocol.decode_packet(bytes([7]) + golden(1)[1:])
    with pytest.raises(protocol.VersionError, match="version 7"):
        protocol.Reassembler().feed(bytes([protocol.FRAGMENT | 7, 0, 1]))


@pytest.mark.parametrize("vector", VECTORS["fragments"], ids=lambda vector: f"{vector['size']} bytes")
def test_fragments_are_their_golden_bytes_and_join_again(vector: dict[str, Any]) -> None:
    data = golden(vector["packet"])
    parts = protocol.fragments(data, vector["size"], vector["number"])
    assert [part.hex() for part in parts] == vector["parts"]
    assert max(map(len, parts)) <= vector["size"]
    reassembler = protocol.Reassembler()
    assert [reassembler.feed(part) for part in parts] == [None] * (len(parts) - 1) + [data]
    assert reassembler.dropped == 0


def test_every_sample_gets_through_the_smallest_mtu_at_100_hz_but_not_at_200() -> None:
    assert protocol.rate_fits(50, 23)
    assert protocol.rate_fits(100, 23)
    assert not protocol.rate_fits(200, 23)
    assert not protocol.rate_fits(200, 30)
    assert protocol.rate_fits(200, 31)
    assert protocol.rate_fits(200, protocol.WANTED_MTU)


def test_a_packet_is_one_notification_at_the_wanted_mtu_at_every_rate() -> None:
    size = protocol.notification_size(protocol.WANTED_MTU)
    for rate_hz in protocol.RATES_HZ:
        n = protocol.samples_per_packet(rate_hz)
        assert n / rate_hz == pytest.approx(0.04)
        assert protocol.fragment_count(protocol.HEADER_SIZE + n * protocol.SAMPLE_SIZE, size) == 1
    assert size >= protocol.MAX_PACKET


def test_a_packet_that_would_go_in_parts_waits_for_80_ms_of_samples() -> None:
    assert [protocol.samples_per_packet(rate_hz, 23) for rate_hz in protocol.RATES_HZ] == [4, 8, 16]
    assert protocol.samples_per_packet(100, 64) == 8
    assert protocol.samples_per_packet(100, 65) == 4


def test_parts_that_come_twice_in_a_row_count_once() -> None:
    reassembler = protocol.Reassembler()
    packets = [golden(1), golden(3)]
    parts = [part for number, data in enumerate(packets) for part in protocol.fragments(data, 20, number)]
    joined = [reassembler.feed(part) for part in parts for _ in range(2)]
    assert [data for data in joined if data] == packets
    assert reassembler.dropped == 0


@pytest.mark.parametrize("missing", range(7))
def test_a_missing_part_drops_its_packet_only_and_is_counted(missing: int) -> None:
    reassembler = protocol.Reassembler()
    streams = [protocol.fragments(golden(1), 20, number) for number in (4, 5, 6)]
    del streams[1][missing]
    joined = [reassembler.feed(part) for stream in streams for part in stream]
    assert [data for data in joined if data] == [golden(1), golden(1)]
    assert reassembler.dropped == 1


def test_a_whole_packet_in_the_middle_of_fragments_ends_them() -> None:
    reassembler = protocol.Reassembler()
    parts = protocol.fragments(golden(1), 20, 0)
    reassembler.feed(parts[0])
    assert reassembler.feed(golden(0)) == golden(0)
    assert [reassembler.feed(part) for part in parts[1:]] == [None] * 6
    assert reassembler.dropped == 1


@given(BYTES)
@example(b"123456789")
def test_the_crc_is_ccitt_false(data: bytes) -> None:
    assert protocol.crc16(data) == binascii.crc_hqx(data, 0xFFFF)


def test_the_crc_of_the_check_string() -> None:
    assert protocol.crc16(b"123456789") == 0x29B1


@given(st.binary(max_size=protocol.MAX_PACKET), st.sampled_from(protocol.FRAME_KINDS))
def test_any_body_survives_its_frame(body: bytes, kind: int) -> None:
    frame = protocol.encode_frame(kind, body)
    assert len(frame) == len(body) + protocol.FRAME_OVERHEAD
    assert frame.find(0) == len(frame) - 1
    assert protocol.decode_frame(frame[:-1]) == (kind, body)


@given(st.binary(max_size=400), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_frames_are_found_again_after_garbage_in_whatever_pieces_they_come(garbage: bytes, cuts: list[int]) -> None:
    reader = protocol.FrameReader()
    stream = garbage + b"\x00" + protocol.encode_frame(protocol.FRAME_PACKET, golden(1)) * 2
    found: list[tuple[int, bytes]] = []
    place = 0
    while place < len(stream):
        step = cuts[place % len(cuts)]
        found += reader.feed(stream[place : place + step])
        place += step
    assert found[-2:] == [(protocol.FRAME_PACKET, golden(1))] * 2


def test_a_stream_without_end_holds_no_memory_and_counts_once() -> None:
    reader = protocol.FrameReader()
    for _ in range(1000):
        assert reader.feed(b"\xaa" * 1000) == []
    assert len(reader._piece) < protocol.MAX_FRAME
    assert reader.feed(b"\x00" + protocol.encode_frame(protocol.FRAME_CONTROL, b"\x01\x07")) == [
        (protocol.FRAME_CONTROL, b"\x01\x07")
    ]
    assert reader.dropped == 1


def test_a_body_that_is_too_long_for_a_frame_is_refused() -> None:
    with pytest.raises(protocol.ProtocolError, match="do not fit"):
        protocol.encode_frame(protocol.FRAME_PACKET, bytes(protocol.MAX_PACKET + 1))


@given(BYTES)
def test_any_bytes_are_a_packet_that_encodes_to_itself_or_the_typed_error(data: bytes) -> None:
    try:
        packet = protocol.decode_packet(data)
    except protocol.ProtocolError:
        return
    assert protocol.encode_packet(packet) == data


@given(BYTES)
def test_any_bytes_are_a_control_message_that_encodes_to_itself_or_the_typed_error(data: bytes) -> None:
    with contextlib.suppress(protocol.ControlError):
        request = protocol.decode_request(data)
        assert protocol.encode_request(request.opcode, request.token, *request.values) == data
    with contextlib.suppress(protocol.ProtocolError):
        answer = protocol.decode_answer(data)
        assert protocol.encode_answer(answer.opcode, answer.token, answer.status, *answer.values) == data


@given(st.lists(st.binary(min_size=1, max_size=25), max_size=40))
def test_any_notifications_leave_the_reassembler_ready_for_the_next_packet(notifications: list[bytes]) -> None:
    reassembler = protocol.Reassembler()
    for data in notifications:
        try:
            joined = reassembler.feed(data)
        except protocol.ProtocolError:
            continue
        assert joined is None or len(joined) <= protocol.MAX_PACKET
    reassembler.feed(golden(0))
    assert [reassembler.feed(part) for part in protocol.fragments(golden(1), 20, 3)][-1] == golden(1)
