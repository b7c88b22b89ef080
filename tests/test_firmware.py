"""The bands' firmware on the real interpreter: what it measures, when, and how it gets it across."""

from __future__ import annotations

import errno
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from firmware_bench import SECOND, Central, needs_interpreter, resting, run, said_ns, true_ns
from numpy.typing import NDArray

from device.band import protocol
from device.sim_radio.firmware import BandCounter

pytestmark = needs_interpreter
VECTORS = Path(__file__).parent / "data" / "band_vectors.json"

CHECK_VECTORS = """
import json
from device.band import protocol

def raw(v):
    return bytes.fromhex(v)

def values(v):
    return tuple(raw(x) if isinstance(x, str) else x for x in v["values"])

def check():
    for v in vectors["packets"]:
        packet = protocol.decode_packet(raw(v["bytes"]))
        for field in ("flags", "session", "seq", "time_us", "spacing_us", "accel_code", "gyro_code"):
            assert getattr(packet, field) == v[field], v["name"]
        assert protocol.encode_packet(packet) == raw(v["bytes"]), v["name"]
        assert protocol.encode_frame(1, raw(v["bytes"])) == raw(v["frame"]), v["name"]
    for v in vectors["fragments"]:
        data = raw(vectors["packets"][v["packet"]]["bytes"])
        parts = protocol.fragments(data, v["size"], v["number"])
        assert parts == [raw(part) for part in v["parts"]]
        reassembler = protocol.Reassembler()
        assert [reassembler.feed(part) for part in parts][-1] == data
    for v in vectors["requests"]:
        request = protocol.decode_request(raw(v["bytes"]))
        assert (request.opcode, request.token, request.values) == (v["opcode"], v["token"], values(v)), v["name"]
        assert protocol.encode_request(v["opcode"], v["token"], *values(v)) == raw(v["bytes"]), v["name"]
    for v in vectors["answers"]:
        answer = protocol.decode_answer(raw(v["bytes"]))
        assert (answer.opcode, answer.token, answer.status, answer.values) == (v["opcode"], v["token"], v["status"], values(v))
        assert protocol.encode_answer(v["opcode"], v["token"], v["status"], *values(v)) == raw(v["bytes"]), v["name"]
        assert protocol.FrameReader().feed(b"xx" + bytes(1) + raw(v["frame"])) == [(2, raw(v["bytes"]))]
    decoders = {"packet": protocol.decode_packet, "request": protocol.decode_request,
                "answer": protocol.decode_answer, "frame": protocol.decode_frame}
    for v in vectors["refused"]:
        try:
            decoders[v["what"]](raw(v["bytes"]))
        except protocol.ProtocolError as error:
            assert isinstance(error, protocol.VersionError) == v.get("version", False), v["name"]
            if "status" in v:
                assert error.status == v["status"], v["name"]
        else:
            raise AssertionError(v["name"])
    print(sum(len(v) for v in vectors.values() if isinstance(v, list)))

check()
"""


def test_the_golden_vectors_hold_on_the_bands_interpreter() -> None:
    text = VECTORS.read_text()

    async def scene(central: Central) -> None:
        await central.switch_on()
        printed = await central.band.run_python(
            f"import json\nvectors = json.loads({json.dumps(json.loads(text))!r})" + CHECK_VECTORS
        )
        assert int(printed[-1]) == sum(len(v) for v in json.loads(text).values() if isinstance(v, list))

    run(scene)


@pytest.mark.parametrize(("rate_hz", "rate_error", "skew"), [(50, -0.02, 50e-6), (100, 0.02, -50e-6), (200, 0.0, 20e-6)])
def test_every_sample_comes_once_with_the_time_at_which_it_was_taken(rate_hz: int, rate_error: float, skew: float) -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.stream(rate_hz, 5.0)

    central = run(scene, Central(counter=BandCounter(0, 12345, skew), sample_rate_error=rate_error))
    packets = central.packets()
    assert central.now_ns - true_ns(packets[-1])[-1] < 0.2 * SECOND
    assert true_ns(packets[-1])[-1] - true_ns(packets[0])[0] > 4.5 * SECOND
    assert_unbroken(packets)
    # The first ones still learn the rate.
    assert errors_ms(central, packets[3:]).max() < 0.3
    assert all(packet.flags == 0 and packet.accel_code == 3 and packet.gyro_code == 4 for packet in packets)
    spacing_us = 1e6 / (1.04 * rate_hz * (1 + rate_error)) * (1 + skew)
    assert packets[-1].spacing_us == pytest.approx(spacing_us, abs=1)


def test_the_counters_wrap_goes_unnoticed() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.band.set_counter(protocol.COUNTER_MASK - 3_000_000)
        await central.stream(100, 6.0)
        assert (await central.ask(protocol.PING)).values[0] < 4_000_000

    central = run(scene)
    packets = central.packets()
    times = [packet.time_us for packet in packets]
    assert max(times) > protocol.COUNTER_MASK - 200_000
    assert sum(b < a for a, b in itertools.pairwise(times)) == 1
    assert_unbroken(packets)
    assert errors_ms(central, packets[3:]).max() < 0.3


def test_nothing_is_sent_before_start_and_nothing_after_stop() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.wait(1.0)
        assert not central.imu
        await central.stream(100, 1.0)
        await central.ask(protocol.STOP)
        sent = len(central.imu)
        assert sent
        await central.wait(1.0)
        assert len(central.imu) == sent

    run(scene)


def test_a_full_stack_costs_no_sample_as_long_as_the_ring_holds() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.stream(100, 1.0)
        await central.band.set_room(0)
        await central.wait(4.0)
        await central.band.set_room(None)
        await central.wait(1.0)

    central = run(scene)
    packets = central.packets()
    assert_unbroken(packets)
    assert not any(packet.flags & protocol.FLAG_OVERFLOW for packet in packets)
    assert errors_ms(central, packets[3:]).max() < 0.3


def test_a_ring_that_overflows_loses_the_oldest_and_says_how_many() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.stream(100, 1.0)
        await central.band.set_room(0)
        await central.wait(9.0)
        await central.band.set_room(None)
        await central.wait(1.0)

    central = run(scene)
    packets = central.packets()
    flagged = [i for i, packet in enumerate(packets) if packet.flags & protocol.FLAG_OVERFLOW]
    # The packet that waited in the stack's way was packed before.
    assert len(flagged) == 1
    after, before = packets[flagged[0]], packets[flagged[0] - 1]
    missing = after.seq - before.seq - before.n
    spacing_ns = 1e9 / 104
    assert missing == round((true_ns(after)[0] - true_ns(before)[-1]) / spacing_ns) - 1
    assert missing > 300
    assert_unbroken(packets[: flagged[0]])
    assert_unbroken(packets[flagged[0] :])
    assert errors_ms(central, packets[3:]).max() < 0.3


def test_a_chip_whose_fifo_overflowed_loses_as_many_as_the_sequence_numbers_say() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.stream(100, 2.0)
        await central.band.run_python("service = band.sampler.service\nband.sampler.service = lambda: None")
        await central.wait(4.0)
        await central.band.run_python("band.sampler.service = service")
        await central.wait(1.0)

    central = run(scene)
    packets = central.packets()
    flagged = [i for i, packet in enumerate(packets) if packet.flags & protocol.FLAG_OVERFLOW]
    assert len(flagged) == 1
    after, before = packets[flagged[0]], packets[flagged[0] - 1]
    missing = after.seq - before.seq - before.n
    assert missing == round((true_ns(after)[0] - true_ns(before)[-1]) * 104 / SECOND) - 1
    assert missing > 100
    assert errors_ms(central, packets[3:]).max() < 0.3


def test_a_reboot_is_a_new_session_with_a_new_counter() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        seen = []
        for _ in range(3):
            pong = await central.ask(protocol.PING)
            assert pong.values[0] <= pong.values[1] < 3_000_000
            seen.append(pong.values[2])
            await central.band.reboot(central.now_ns)
            await central.wait(0.5)
            await central.connect()
        assert all(a != b for a, b in itertools.pairwise(seen))
        assert all(0 < session < 1 << 16 for session in seen)
        await central.stream(100, 0.5)
        assert central.packets()[-1].session == (await central.ask(protocol.PING)).values[2]

    run(scene)


@pytest.mark.parametrize("rate_hz", [50, 100])
def test_at_the_smallest_mtu_every_sample_gets_through_in_fragments(rate_hz: int) -> None:
    async def scene(central: Central) -> None:
        await central.meet(mtu=protocol.MIN_MTU)
        refused = await central.ask(protocol.SET_RATE, 200)
        assert refused.status == protocol.LINK_TOO_SMALL
        await central.stream(rate_hz, 3.0)

    central = run(scene)
    assert max(map(len, central.imu)) == protocol.notification_size(protocol.MIN_MTU)
    packets = central.packets()
    assert sum(packet.n for packet in packets) >= 2.5 * rate_hz
    assert_unbroken(packets)
    assert errors_ms(central, packets[3:]).max() < 0.3


def test_a_fragment_that_finds_no_room_is_sent_later() -> None:
    async def scene(central: Central) -> None:
        await central.meet(mtu=protocol.MIN_MTU)
        await central.stream(100, 0.5)
        for _ in range(20):
            await central.band.set_room(3)
            await central.wait(0.02)
        await central.band.set_room(None)
        await central.wait(0.5)

    assert_unbroken(run(scene).packets())


def test_a_start_at_200_hz_over_a_small_link_is_refused() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        assert (await central.ask(protocol.SET_RATE, 200)).status == protocol.OK
        await central.band.set_mtu(protocol.MIN_MTU, central.now_ns)
        assert (await central.ask(protocol.START)).status == protocol.LINK_TOO_SMALL

    run(scene)


def test_saturated_and_stuck_values_are_passed_on_as_they_are() -> None:
    extremes = np.array([32767, -32768, 32767, -32768, 32767, -32768], np.int16)

    def stuck(times_ns: NDArray[np.int64]) -> NDArray[np.int16]:
        return np.tile(extremes, (len(times_ns), 1))

    async def scene(central: Central) -> None:
        await central.meet()
        await central.stream(100, 4.0)

    packets = run(scene, Central(stuck)).packets()
    assert all((np.frombuffer(packet.samples, "<i2").reshape(-1, 6) == extremes).all() for packet in packets)
    assert packets[-1].flags == protocol.FLAG_STILL


def test_a_band_that_lies_still_says_so_until_it_is_moved() -> None:
    def lifted(times_ns: NDArray[np.int64]) -> NDArray[np.int16]:
        counts = resting(times_ns)
        counts[times_ns > 6_000_000_000, 3] = 2000
        return counts

    async def scene(central: Central) -> None:
        await central.meet()
        await central.stream(100, 6.0)

    packets = run(scene, Central(lifted)).packets()
    still = [bool(packet.flags & protocol.FLAG_STILL) for packet in packets]
    assert not still[0]
    assert still[len(still) // 2]
    assert not still[-1]


def test_after_a_long_silence_the_times_are_right_at_once() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.band.set_counter(protocol.COUNTER_MASK - 10_000_000)
        await central.wait(20.0)
        await central.stream(100, 1.0)

    central = run(scene)
    assert errors_ms(central, central.packets()).max() < 0.3


def test_a_sensor_whose_wire_breaks_is_set_up_again_when_it_is_back() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.stream(100, 1.0)
        central.band.chip.errno = errno.EIO
        await central.wait(3.0)
        assert (await central.ask(protocol.START)).status == protocol.SENSOR_FAILED
        central.band.chip.errno = 0
        await central.wait(2.0)
        assert (await central.ask(protocol.START)).status == protocol.OK
        central.imu.clear()
        await central.wait(2.0)

    central = run(scene)
    packets = central.packets()
    assert sum(packet.n for packet in packets) > 150
    assert_unbroken(packets)
    assert errors_ms(central, packets[3:]).max() < 0.3


def test_a_stream_goes_on_by_itself_after_a_short_failure_and_tells_of_the_gap() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.stream(100, 1.0)
        central.band.chip.errno = errno.EIO
        await central.wait(2.0)
        central.band.chip.errno = 0
        await central.wait(3.0)

    packets = run(scene).packets()
    gaps = [i for i in range(1, len(packets)) if true_ns(packets[i])[0] - true_ns(packets[i - 1])[-1] > 20_000_000]
    assert len(gaps) == 1
    assert packets[gaps[0]].flags & protocol.FLAG_OVERFLOW


@pytest.mark.parametrize(("chip", "code"), [("bmi270", 2), ("mpu6050", 3)])
@pytest.mark.parametrize("rate_hz", [100, 200])
def test_the_other_chips_stream_alike(chip: str, code: int, rate_hz: int) -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        assert (await central.ask(protocol.IDENTITY)).values[2] == code
        await central.stream(rate_hz, 3.0)

    central = run(scene, Central(chip=chip, sample_rate_error=0.01))
    packets = central.packets()
    assert_unbroken(packets)
    assert packets[-1].spacing_us == pytest.approx(1e6 / rate_hz / 1.01, abs=1)
    assert errors_ms(central, packets[3:]).max() < 0.3


def test_the_same_firmware_runs_on_a_pico() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        identity = await central.ask(protocol.IDENTITY)
        assert identity.values[2:4] == (1, 2)
        await central.stream(100, 2.0)

    central = run(scene, Central(board="picow"))
    assert_unbroken(central.packets())
    assert errors_ms(central, central.packets()[3:]).max() < 0.3


def test_on_a_serial_line_the_same_band_talks_in_frames_and_leaves_the_radio_off() -> None:
    reader = protocol.FrameReader()
    frames: list[tuple[int, bytes]] = []

    async def scene(central: Central) -> None:
        central.band.on_uart = lambda data: frames.extend(reader.feed(data))
        await central.switch_on()
        assert not central.band.services
        request = protocol.encode_frame(protocol.FRAME_CONTROL, protocol.encode_request(protocol.START, 7))
        await central.band.write_uart(b"\x00garbage\x00" + request, central.now_ns)
        await central.wait(3.0)

    central = run(scene, Central(wired=True))
    assert protocol.decode_answer(frames[0][1]).status == protocol.OK
    packets = [protocol.decode_packet(body) for kind, body in frames if kind == protocol.FRAME_PACKET]
    assert sum(packet.n for packet in packets) > 2.5 * 104
    assert reader.dropped == 0
    assert_unbroken(packets)
    assert errors_ms(central, packets).max() < 0.3


def assert_unbroken(packets: list[protocol.Packet]) -> None:
    """Sequence numbers without gaps, one session, and no sample twice."""
    assert packets
    assert len({packet.session for packet in packets}) == 1
    for a, b in itertools.pairwise(packets):
        assert b.seq == (a.seq + a.n) & 0xFFFF
        assert true_ns(b)[0] > true_ns(a)[-1] or not true_ns(a).any()


def errors_ms(central: Central, packets: list[protocol.Packet]) -> NDArray[np.float64]:
    """How far each sample's said time is from the time at which it was taken."""
    counter = central.band.counter
    differences = [said_ns(packet, counter, int(true_ns(packet)[0])) - true_ns(packet) for packet in packets]
    return np.abs(np.concatenate(differences)) / 1e6
