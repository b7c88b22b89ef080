"""The IMU chips against models of them that do what the data sheets say."""

import struct

import numpy as np
import pytest
from chip_bench import KINDS, MS, Clock, ModelBus, bench, counting, load_blob, model_of, rows

from device.band.chips import bmi270, find, lsm6dsox, mpu6050
from device.band.chips.base import ACCEL_RANGES_G, GYRO_RANGES_DPS, UNKNOWN, ChipError, MissingBlob, WrongChip
from device.band.protocol import CHIP_NAMES, RATES_HZ
from device.sim_chips.model import resting

CHIPS = pytest.mark.parametrize("name", KINDS)


def assert_whole(found, chip, model):
    """The samples of `counting` are consecutive ones of the model, each as old as its filter's delay makes it."""
    assert (found[:, [1, 2, 4, 5]] == (1000, -2000, -30, 40)).all()
    said = (found[:, 3].astype(np.int64) * 32768 + found[:, 0]) * (MS // 10) + chip.delay_us * 1000
    first = int(np.argmin(np.abs(model.time_of(np.arange(model.taken)) - said[0])))
    assert np.abs(model.time_of(np.arange(first, first + len(found))) - said).max() <= MS // 10


@CHIPS
def test_a_chip_says_who_it_is(name):
    chip, _, _ = bench(name)
    chip.probe()
    assert name == chip.NAME
    assert CHIP_NAMES[chip.CODE] == name


@pytest.mark.parametrize(("name", "other"), [("bmi270", "mpu6050"), ("mpu6050", "bmi270"), ("lsm6dsox", "mpu6050")])
def test_another_chip_at_the_address_is_named_by_what_it_says(name, other):
    clock = Clock()
    chip = KINDS[name](ModelBus(model_of(other), clock), clock.sleep_ms, load_blob)
    with pytest.raises(WrongChip, match=r"WHO_AM_I \(register 0x..\) says 0x..; a \w+ says 0x") as caught:
        chip.probe()
    assert caught.value.found == model_of(other).read(chip.ID_REGISTER, 1, 0)[0]


@CHIPS
def test_a_chip_is_found_by_its_answer(name):
    clock = Clock()
    model = model_of(name)

    class Empty:
        def read(self, register, n):  # noqa: ARG002
            raise OSError(121, "nobody")

    chip = find(lambda address: ModelBus(model, clock) if address == model.address else Empty(), clock.sleep_ms, load_blob)
    assert name == chip.NAME


def test_nothing_on_the_bus_is_an_error_of_the_bus():
    class Empty:
        def read(self, register, n):  # noqa: ARG002
            raise OSError(121, "nobody")

    with pytest.raises(OSError, match="nobody"):
        find(lambda _address: Empty(), Clock().sleep_ms)


@CHIPS
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_every_sample_of_the_fifo_comes_once_and_in_order(name, rate_hz):
    chip, model, clock = bench(name, counting(), rate_error=0.013)
    chip.probe()
    chip.start(rate_hz)
    taken_before = model.taken
    found = []
    for pause_ms in (80, 3, 150, 0, 211, 80):
        clock.sleep_ms(pause_ms)
        chip.read_fifo()
        assert (chip.overflow, chip.lost) == (False, 0)
        found.append(rows(chip).copy())
    found = np.concatenate(found)
    assert len(found) == pytest.approx(model.taken - taken_before, abs=1)
    assert_whole(found, chip, model)
    assert chip.rate_hz == pytest.approx(rate_hz, rel=0.041)


@CHIPS
@pytest.mark.parametrize(("accel_g", "gyro_dps"), [(2, 250), (4, 500), (8, 1000), (16, 2000)])
def test_ranges_scale_the_counts_and_are_named_by_their_codes(name, accel_g, gyro_dps):
    def source(times):
        return np.tile([1000.0, -500.0, 200.0, 100.0, -800.0, 64.0], (len(times), 1))

    chip, _, clock = bench(name, source)
    chip.start(100, accel_g, gyro_dps)
    clock.sleep_ms(30)
    chip.read_fifo()
    assert (ACCEL_RANGES_G[chip.accel_code], GYRO_RANGES_DPS[chip.gyro_code]) == (accel_g, gyro_dps)
    scaled = np.array([1000, -500, 200]) * 16 / accel_g, np.array([100, -800, 64]) * 2000 / gyro_dps
    assert np.abs(rows(chip)[-1] - np.concatenate(scaled)).max() <= 1


@pytest.mark.parametrize("name", ["lsm6dsox", "bmi270"])
def test_the_finest_gyroscope_range_is_there(name):
    chip, _, clock = bench(name, lambda times: np.tile([0, 0, 2048, 0, 0, 10.0], (len(times), 1)))
    chip.start(100, 16, 125)
    clock.sleep_ms(30)
    chip.read_fifo()
    assert GYRO_RANGES_DPS[chip.gyro_code] == 125
    assert rows(chip)[-1][5] == 160


@CHIPS
def test_what_a_chip_does_not_have_is_refused(name):
    chip, _, _ = bench(name)
    with pytest.raises(ValueError, match="50, 100 and 200"):
        chip.start(1000)
    with pytest.raises(ValueError, match="2, 4, 8, 16"):
        chip.start(100, 3)
    with pytest.raises(ValueError, match="250, 500, 1000, 2000"):
        chip.start(100, 16, 300)


def test_the_mpu6050_has_no_125_dps():
    chip, _, _ = bench("mpu6050")
    with pytest.raises(ValueError, match="125 dps; there are 250"):
        chip.start(100, 16, 125)


@CHIPS
def test_an_overflow_is_told_once_and_the_newest_samples_are_whole(name):
    chip, model, clock = bench(name, counting())
    chip.start(100)
    began = model.taken
    clock.sleep_ms(4000)
    n = chip.read_fifo()
    assert chip.overflow
    if name == "bmi270":
        assert chip.lost + n == pytest.approx(model.taken - began, abs=1)
    else:
        assert chip.lost == UNKNOWN
    if n:
        assert_whole(rows(chip), chip, model)
    clock.sleep_ms(100)
    fresh = chip.read_fifo()
    assert not chip.overflow
    assert fresh >= 9
    assert_whole(rows(chip), chip, model)


@CHIPS
def test_the_fifo_holds_what_the_data_sheet_says(name):
    chip, model, clock = bench(name, counting())
    chip.start(200)
    began = model.taken
    while model.taken - began < chip.FIFO_SAMPLES - 1:
        clock.sleep_ms(4)
        model.advance(clock.ns)
    assert chip.read_fifo() >= chip.FIFO_SAMPLES - 2
    assert not chip.overflow


@CHIPS
def test_the_self_test_of_a_sound_chip_passes(name):
    chip, _, _ = bench(name)
    result = chip.self_test()
    assert result.passed()
    assert result.text().startswith("accelerometer passed")


@CHIPS
def test_the_self_test_of_a_broken_chip_fails(name):
    chip, model, _ = bench(name)
    model.test_passes = False
    result = chip.self_test()
    assert not result.accel
    assert not result.gyro
    assert "failed" in result.text()


@CHIPS
def test_a_chip_measures_after_its_self_test(name):
    chip, _, clock = bench(name)
    chip.self_test()
    chip.start(100)
    clock.sleep_ms(100)
    assert chip.read_fifo() >= 9
    assert abs(int(rows(chip)[:, 2].mean()) - 2048) < 10


def test_the_self_test_of_the_mpu6050_follows_its_factory_trim():
    passes = {}
    for error in (-0.2, -0.1, 0.1, 0.2):
        chip, _, _ = bench("mpu6050", resting(noise=0), test_error=error)
        result = chip.self_test()
        passes[error] = result.passed()
        assert result.accel_change == pytest.approx([100 * error] * 3, abs=0.5)
        assert result.gyro_change == pytest.approx([100 * error] * 3, abs=0.5)
    assert passes == {-0.2: False, -0.1: True, 0.1: True, 0.2: False}


def test_an_mpu6050_without_factory_trim_does_not_pass():
    chip, model, _ = bench("mpu6050")
    read = model.read
    model.read = lambda register, n, ns: bytes(4) if register == mpu6050.SELF_TEST_X else read(register, n, ns)
    assert not chip.self_test().passed()


def test_the_response_of_the_lsm6dsox_is_measured():
    result = bench("lsm6dsox")[0].self_test()
    assert result.accel_change == pytest.approx([500] * 3, rel=0.05)
    assert result.gyro_change == pytest.approx([300] * 3, rel=0.05)


def test_the_bmi270_needs_its_configuration_file():
    clock = Clock()

    def absent(name):
        raise FileNotFoundError(2, "absent", name)

    chip = bmi270.Bmi270(ModelBus(model_of("bmi270"), clock), clock.sleep_ms, absent)
    with pytest.raises(MissingBlob, match=r"bmi270\.bin.*SensorAPI"):
        chip.start()
    chip = bmi270.Bmi270(ModelBus(model_of("bmi270"), clock), clock.sleep_ms, lambda _name: bytes(100))
    with pytest.raises(ChipError, match="100 bytes"):
        chip.start()


def test_a_bmi270_that_refuses_its_configuration_says_so():
    clock = Clock()
    damaged = bytearray(load_blob("bmi270.bin"))
    damaged[4000] ^= 1
    chip = bmi270.Bmi270(ModelBus(model_of("bmi270"), clock), clock.sleep_ms, lambda _name: bytes(damaged))
    with pytest.raises(ChipError, match="configuration"):
        chip.start()


@CHIPS
def test_a_chip_that_lost_its_power_starts_anew(name):
    chip, model, clock = bench(name)
    chip.start(100)
    model.power_cycle(clock.ns)
    clock.sleep_ms(100)
    assert chip.read_fifo() == 0
    chip.start(100)
    clock.sleep_ms(100)
    assert chip.read_fifo() >= 9


@CHIPS
def test_the_interrupt_pin_rises_when_a_batch_is_there(name):
    chip, model, clock = bench(name)
    chip.start(100, watermark=8)
    batch = chip.samples_per_interrupt
    assert batch == (1 if name == "mpu6050" else 8)
    for _ in range(3):
        moment = model.interrupt_ns(clock.ns + 1000 * MS)
        assert moment is not None
        clock.ns = moment
        assert chip.read_fifo() == batch


@CHIPS
def test_motion_raises_the_interrupt_pin_and_rest_does_not(name):
    moved_at = 5_000 * MS + 4_000 * MS

    def source(times):
        counts = resting(3)(times)
        moving = (times >= moved_at) & (times < moved_at + 400 * MS)
        counts[:, 0] += np.where(moving, 2048 * 0.4 * np.sin((times - moved_at) / 5e7), 0)
        return counts

    chip, model, clock = bench(name, source)
    chip.wake_on_motion(80)
    assert clock.ns < moved_at
    assert model.interrupt_ns(moved_at) is None
    moment = model.interrupt_ns(moved_at + 2000 * MS)
    assert moment is not None
    assert moment < moved_at + 400 * MS
    clock.ns = moment + 2000 * MS
    assert model.interrupts(clock.ns)
    chip.start(100)
    clock.sleep_ms(50)
    assert chip.read_fifo() >= 4


@CHIPS
def test_a_stopped_chip_measures_nothing(name):
    chip, model, clock = bench(name)
    chip.start(100)
    chip.stop()
    taken = model.taken
    clock.sleep_ms(500)
    model.advance(clock.ns)
    assert model.taken == taken


def test_words_of_the_lsm6dsox_are_paired_by_their_time_slot():
    chip, _, _ = bench("lsm6dsox")

    def word(sensor, slot, value):
        return bytes([sensor << 3 | slot << 1]) + struct.pack("<3h", value, value, value)

    gyro, accel = lsm6dsox.TAG_GYRO, lsm6dsox.TAG_ACCEL
    # An accelerometer word whose partner was overwritten, two whole samples, a temperature word between, half of a third one.
    words = [word(accel, 0, 1), word(gyro, 1, 2), word(accel, 1, 3), word(gyro, 2, 4), word(3, 2, 9), word(accel, 2, 5)]
    words.append(word(gyro, 3, 6))
    chip._take(b"".join(words), len(words))
    assert rows_of(chip, 2).tolist() == [[3, 3, 3, 2, 2, 2], [5, 5, 5, 4, 4, 4]]
    chip._take(word(accel, 3, 7), 1)
    assert rows_of(chip, 3)[2].tolist() == [7, 7, 7, 6, 6, 6]


def rows_of(chip, n):
    assert chip._n == n
    return rows(chip)
