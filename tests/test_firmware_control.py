"""The bands' firmware on the real interpreter: what it lets itself be asked, what it remembers, and how it stays safe."""

from __future__ import annotations

import errno
import itertools
import json
import random

import numpy as np
import pytest
from firmware_bench import Central, needs_interpreter, resting, run
from numpy.typing import NDArray

from device.band import protocol
from device.errors import FirmwareError

pytestmark = needs_interpreter


def moving(times_ns: NDArray[np.int64]) -> NDArray[np.int16]:
    """A band that is shaken all the time."""
    counts = resting(times_ns)
    counts[:, 3] = np.where(times_ns // 50_000_000 % 2, 3000, -3000)
    return counts


async def empty_battery(central: Central) -> None:
    """The voltage falls, and the firmware looks often enough to believe it."""
    await central.band.set_battery(3.2)
    for _ in range(15):
        await central.skip(11.0)


def test_a_ping_says_when_it_came_and_in_which_session() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        for _ in range(5):
            expected_us = central.band.counter.at(central.now_ns)
            pong = await central.ask(protocol.PING)
            received_us, sent_us, session = pong.values
            assert received_us == pytest.approx(expected_us, abs=1)
            assert received_us <= sent_us <= received_us + 1000
            assert session
            await central.wait(0.25)

    run(scene)


@pytest.mark.parametrize("duration_ms", [0, 1001, 65535])
def test_a_vibration_that_is_none_or_too_long_is_refused(duration_ms: int) -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        assert (await central.ask(protocol.VIBRATE, duration_ms, 255)).status == protocol.OUT_OF_RANGE
        assert not central.band.motor_on

    run(scene)


def test_a_vibration_ends_by_itself_and_shows_in_the_packets() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.stream(100, 0.5)
        assert (await central.ask(protocol.VIBRATE, 500, 128)).values == (500,)
        assert central.band.motor_on
        await central.wait(2.0)
        assert not central.band.motor_on
        assert central.motor_ns == pytest.approx(500e6, abs=50e6)

    shown = [bool(packet.flags & protocol.FLAG_MOTOR_ON) for packet in run(scene).packets()]
    assert 10 <= sum(shown) <= 14
    assert not shown[0]
    assert not shown[-1]


def test_a_central_that_asks_for_vibration_all_the_time_gets_a_quarter_of_it() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        for _ in range(24):
            granted = (await central.ask(protocol.VIBRATE, 1000, 255)).values[0]
            assert granted <= 1000
            await central.wait(1.0)

    central = run(scene)
    spent_s = central.motor_ns / 1e9
    assert 5 < spent_s < 3 + 24 / 4 + 1


def test_the_motor_is_off_when_the_central_goes() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.ask(protocol.VIBRATE, 1000, 255)
        assert central.band.motor_on
        await central.band.disconnect(central.now_ns)
        await central.wait(0.02)
        assert not central.band.motor_on

    run(scene)


def test_the_motor_is_off_when_the_firmware_fails() -> None:
    crash = """
import main
class Crashing(main.Band):
    def service(self):
        self.motor.vibrate(1000, 255)
        print("on" if self.motor.is_on else "off")
        raise RuntimeError("a bug")
main.Band = Crashing
main.run()
"""

    async def scene(central: Central) -> None:
        await central.switch_on()
        with pytest.raises(FirmwareError, match="a bug"):
            await central.band.run_python(crash)
        assert central.band.printed[-1] == "on"
        assert not central.band.motor_on

    run(scene)


def test_an_identified_band_blinks_and_vibrates() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        assert (await central.ask(protocol.IDENTIFY)).status == protocol.OK
        assert central.band.motor_on
        seen = set()
        for _ in range(20):
            await central.wait(0.05)
            seen.add(central.band.pins["21"])
        assert seen == {0, 1}
        assert not central.band.motor_on

    run(scene)


@pytest.mark.parametrize("chip", ["lsm6dsox", "bmi270", "mpu6050"])
def test_a_sound_band_passes_its_self_test_and_streams_on(chip: str) -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.stream(100, 1.0)
        assert (await central.ask(protocol.SELF_TEST)).values == (protocol.TEST_ALL,)
        await central.wait(2.0)
        central.imu.clear()
        await central.wait(1.0)
        assert len(central.packets()) > 8

    run(scene, Central(resting, chip=chip))


def test_a_broken_sensor_fails_its_part_of_the_self_test_and_no_other() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        central.band.chip.test_passes = False
        broken = protocol.TEST_ACCELEROMETER | protocol.TEST_GYROSCOPE
        assert (await central.ask(protocol.SELF_TEST)).values == (protocol.TEST_ALL & ~broken,)
        central.band.chip.errno = errno.EIO
        await empty_battery(central)
        assert (await central.ask(protocol.SELF_TEST)).values == (protocol.TEST_STORAGE,)

    run(scene, Central(resting))


def test_a_central_that_hammers_the_control_characteristic_is_told_so_and_costs_no_sample() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.stream(100, 0.5)
        before = len(central.answers)
        for i in range(500):
            await central.write(protocol.encode_request(protocol.PING, i & 0xFF))
            await central.wait(0.001)
        answers = central.answers[before:]
        assert sum(answer.status == protocol.OK for answer in answers) <= 30 + 25 + 1
        busy = sum(answer.status == protocol.BUSY for answer in answers)
        assert 3 <= busy <= 6
        await central.wait(1.0)
        assert (await central.ask(protocol.PING)).status == protocol.OK

    packets = run(scene).packets()
    assert all(b.seq == (a.seq + a.n) & 0xFFFF for a, b in itertools.pairwise(packets))
    assert not any(packet.flags & protocol.FLAG_OVERFLOW for packet in packets)


def test_any_bytes_on_the_control_characteristic_are_answered_or_ignored() -> None:
    rng = random.Random(1)

    async def scene(central: Central) -> None:
        await central.meet()
        for _ in range(150):
            opcode = rng.choice([*protocol.REQUESTS, rng.randrange(256)])
            await central.write((bytes([opcode]) + rng.randbytes(rng.randrange(20)))[: rng.randrange(21)])
            await central.wait(0.02)
        await central.wait(2.0)
        assert (await central.ask(protocol.PING)).status == protocol.OK

    central = run(scene)
    assert {answer.status for answer in central.answers} >= {protocol.OK, protocol.WRONG_LENGTH, protocol.UNKNOWN_OPCODE}


def test_nothing_is_obeyed_before_the_link_is_encrypted_with_a_bond() -> None:
    async def scene(central: Central) -> None:
        await central.switch_on()
        await central.band.connect(central.now_ns)
        await central.write(protocol.encode_request(protocol.START, 1))
        await central.band.encrypt(central.now_ns, bonded=False)
        await central.write(protocol.encode_request(protocol.VIBRATE, 2, 1000, 255))
        await central.wait(1.0)
        assert not central.answers
        assert not central.imu
        assert not central.band.motor_on

    run(scene)


def test_a_stranger_that_does_not_encrypt_is_hung_up_on() -> None:
    async def scene(central: Central) -> None:
        await central.switch_on()
        await central.band.connect(central.now_ns)
        await central.wait(9.0)
        assert not central.hung_up
        await central.wait(2.0)
        assert central.hung_up == 1
        await central.band.disconnect(central.now_ns)
        advertised = len(central.advertised)
        await central.wait(0.1)
        assert len(central.advertised) == advertised + 1

    run(scene)


def test_pairing_is_open_for_a_minute_after_switching_on_and_the_bond_survives() -> None:
    async def scene(central: Central) -> None:
        await central.switch_on()
        await central.band.connect(central.now_ns)
        assert await central.band.offer_bond(central.now_ns, b"appliance", b"its key")
        await central.wait(0.1)
        await central.band.disconnect(central.now_ns)
        await central.skip(61.0)
        await central.band.connect(central.now_ns)
        assert not await central.band.offer_bond(central.now_ns, b"stranger", b"another key")
        assert central.hung_up == 1
        # Whom it knows may renew its key at any time.
        assert await central.band.offer_bond(central.now_ns, b"appliance", b"a new key")
        await central.wait(0.1)
        await central.band.reboot(central.now_ns)
        assert json.loads(central.band.files["/bonds.json"])["secrets"] == [[1, b"appliance".hex(), b"a new key".hex()]]

    run(scene, Central(moving))


def test_advertising_has_the_service_the_wanted_interval_and_the_name() -> None:
    async def scene(central: Central) -> None:
        await central.switch_on()

    data, response = run(scene, Central(unique_id=bytes.fromhex("0011223344556677"))).advertised[0]
    assert len(data) <= 31
    assert bytes.fromhex(protocol.SERVICE_UUID.replace("-", ""))[::-1] in data
    assert bytes([5, 0x12, 12, 0, 12, 0]) in data
    assert response == bytes([len("Spotter 6677") + 1, 0x09]) + b"Spotter 6677"


def test_a_name_and_a_calibration_are_kept_without_power() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        assert (await central.ask(protocol.SET_NAME, b"left wrist")).status == protocol.OK
        assert (await central.ask(protocol.SET_NAME, b"\xff" * 12)).status == protocol.OUT_OF_RANGE
        assert (await central.ask(protocol.SET_CALIBRATION, -120, 32767, 5)).status == protocol.OK
        await central.band.reboot(central.now_ns)
        await central.wait(0.5)
        await central.connect()
        assert (await central.ask(protocol.GET_CALIBRATION)).values == (-120, 32767, 5)
        assert central.advertised[-1][1].endswith(b"left wrist")

    run(scene)


@pytest.mark.parametrize(
    "content", ["", "{", "[1, 2]", '{"name": 7, "bias_x": "x", "session": null, "secrets": [[1], 7, [1, "x", 2]]}']
)
def test_a_damaged_file_is_as_good_as_none(content: str) -> None:
    async def scene(central: Central) -> None:
        central.band.files = {"/band.json": content, "/bonds.json": content}
        await central.meet()
        assert (await central.ask(protocol.GET_CALIBRATION)).values == (0, 0, 0)
        assert (await central.ask(protocol.PING)).values[2] > 0

    run(scene)


def test_a_power_cut_while_a_file_is_written_leaves_the_old_one() -> None:
    cut = """
import os, storage
def fail(a, b):
    raise OSError(5)
storage.os = type("Os", (), {"rename": staticmethod(fail)})
"""

    async def scene(central: Central) -> None:
        await central.meet()
        await central.ask(protocol.SET_CALIBRATION, 1, 2, 3)
        await central.band.run_python(cut)
        assert (await central.ask(protocol.SET_CALIBRATION, 4, 5, 6)).status == protocol.STORAGE_FAILED
        assert (await central.ask(protocol.SELF_TEST)).values[0] == protocol.TEST_ALL & ~protocol.TEST_STORAGE
        await central.band.reboot(central.now_ns)
        await central.connect()
        assert (await central.ask(protocol.GET_CALIBRATION)).values == (1, 2, 3)

    run(scene, Central(resting))


def test_an_empty_battery_is_said_and_feeds_no_motor_while_the_samples_go_on() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        assert central.band.read("battery") == bytes([85])
        await central.stream(100, 0.5)
        assert not central.packets()[-1].flags & protocol.FLAG_LOW_BATTERY
        await empty_battery(central)
        assert central.band.read("battery") == bytes([0])
        assert central.battery[-1] == 0
        assert central.packets()[-1].flags & protocol.FLAG_LOW_BATTERY
        assert (await central.ask(protocol.VIBRATE, 500, 255)).values == (0,)
        assert not central.band.motor_on

    central = run(scene)
    assert central.packets()[-1].n == 4


def test_a_band_that_nobody_uses_sleeps_until_it_is_moved() -> None:
    def lifted(times_ns: NDArray[np.int64]) -> NDArray[np.int16]:
        counts = resting(times_ns)
        counts[times_ns > 5_000_000_000, 0] = 4000
        return counts

    async def scene(central: Central) -> None:
        await central.meet()
        before = (await central.ask(protocol.PING)).values[2]
        await central.band.disconnect(central.now_ns)
        await central.skip(110.0)
        assert central.band.is_on
        await central.skip(15.0)
        assert central.offs == ["asleep"]
        assert central.advertised[-1] == (b"", b"")
        await central.wait(5.0)
        assert central.band.is_on
        await central.wait(1.0)
        await central.band.connect(central.now_ns)
        # Picking it up is not switching it on: nobody can pair now.
        assert not await central.band.offer_bond(central.now_ns, b"stranger", b"key")
        await central.connect()
        assert (await central.ask(protocol.PING)).values[2] != before

    run(scene, Central(lifted))


def test_a_band_in_use_does_not_sleep_however_still_it_is() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        await central.skip(150.0)
        await central.skip(150.0)
        assert central.band.is_on
        assert (await central.ask(protocol.PING)).status == protocol.OK

    run(scene, Central(resting))


def test_a_firmware_that_hangs_is_started_anew_by_the_watchdog() -> None:
    async def scene(central: Central) -> None:
        await central.meet()
        before = (await central.ask(protocol.PING)).values[2]
        await central.band.run_python("band.watchdog.feed = lambda: None")
        await central.wait(9.0)
        assert central.offs == ["watchdog"]
        await central.connect()
        assert (await central.ask(protocol.PING)).values[2] != before

    run(scene)
