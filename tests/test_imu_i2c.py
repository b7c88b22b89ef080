"""The `i2c` driver on simulated buses: times, losses, failures, and what it says about them."""

import threading
import time

import numpy as np
import pytest
from chip_bench import KINDS, MS, Clock, S, counting, model_of

from device.config import ImuConfig
from device.drivers.imu_i2c import MOST_FAILURES, ChipReader, I2cImu, parse_places
from device.errors import ConfigError, DriverError, DriverUnavailable
from device.sim_chips.model import resting
from device.sim_chips.smbus import SimulatedSmbus
from device.skeleton import BANDS

CHIPS = pytest.mark.parametrize("name", KINDS)


class Rig:
    """One chip, its reader and a clock of their own. `lateness_ns(generator)`: how late a step is called."""

    def __init__(
        self, name, source=None, rate_error=0.0, rate_hz=100, lateness_ns=lambda g: int(g.exponential(300_000)), **options
    ):
        self.clock = Clock()
        self.model = model_of(name, source or counting(), rate_error)
        self.reader = ChipReader(
            parse_places({"left_wrist": f"1:0x{self.model.address:02x}"})[0],
            self.open_bus,
            rate_hz,
            clock=self.now_ns,
            sleep_ms=self.clock.sleep_ms,
            **options,
        )
        self.batches = []
        self.absent = None
        self._lateness_ns = lateness_ns
        self._generator = np.random.default_rng(11)

    def now_ns(self):
        self.clock.ns += 3_000
        return self.clock.ns

    def open_bus(self, _number):
        if self.absent is not None:
            raise self.absent
        return SimulatedSmbus([self.model], self.now_ns, self._pass)

    def run(self, seconds):
        """Step until so much time has passed; the batches of this time come back."""
        until = self.clock.ns + round(seconds * S)
        found = []
        while self.clock.ns < until:
            due = self.reader.step()
            found += self.reader.batches
            self.reader.batches.clear()
            self.clock.ns = max(self.clock.ns, min(due, until)) + self._lateness_ns(self._generator)
        self.batches += found
        return found

    def truth_ns(self, batch):
        """When the motion was that a batch of `counting` shows."""
        ax = np.round(batch.values[:, 0] / (16 * 9.80665) * 32768).astype(np.int64)
        gx = np.round(batch.values[:, 3] / np.deg2rad(2000) * 32768).astype(np.int64)
        return (gx * 32768 + ax) * (MS // 10)

    def _pass(self, ns):
        self.clock.ns += ns


def errors_ns(rig, batches):
    return np.concatenate([batch.times_ns - rig.truth_ns(batch) for batch in batches])


@CHIPS
@pytest.mark.parametrize("rate_error", [-0.03, 0.0, 0.02])
def test_samples_carry_the_host_time_at_which_they_were_taken(name, rate_error):
    rig = Rig(name, rate_error=rate_error)
    rig.run(3)
    batches = rig.run(6)
    # `counting` notes times in steps of 0.1 ms.
    assert np.quantile(np.abs(errors_ns(rig, batches)), 0.95) < 0.7 * MS
    assert all(batch.sigma_ns < MS for batch in batches)


@CHIPS
def test_the_stated_uncertainty_holds_the_truth(name):
    held = []
    for rate_error in (-0.02, 0.001, 0.017):
        rig = Rig(name, rate_error=rate_error)
        for batch in rig.run(4):
            held += (np.abs(batch.times_ns - rig.truth_ns(batch)) <= 1.96 * batch.sigma_ns + 0.1 * MS).tolist()
    assert np.mean(held) >= 0.95


@CHIPS
def test_every_sample_is_handed_on_once(name):
    rig = Rig(name, rate_error=0.011)
    batches = rig.run(5)
    seq = np.concatenate([batch.seq + np.arange(len(batch.times_ns)) for batch in batches])
    assert (np.diff(seq) == 1).all()
    truth = np.concatenate([rig.truth_ns(batch) for batch in batches])
    assert np.ptp(np.diff(truth)) <= 0.2 * MS
    assert (np.diff(np.concatenate([batch.times_ns for batch in batches])) > 0).all()
    health = rig.reader.health()
    assert (health.received, health.lost, health.overflows, health.problem) == (len(seq), 0, 0, "")
    assert health.rate_hz == pytest.approx(1e9 / rig.model._period_ns, rel=1e-4)
    assert health.name == name


@CHIPS
@pytest.mark.parametrize("rate_hz", [50, 200])
def test_other_rates(name, rate_hz):
    rig = Rig(name, rate_hz=rate_hz)
    rig.run(3)
    assert np.quantile(np.abs(errors_ns(rig, rig.run(3))), 0.95) < 0.7 * MS
    assert rig.reader.health().rate_hz == pytest.approx(rate_hz, rel=0.05)


@CHIPS
def test_an_overflow_is_counted_and_the_sequence_goes_on_by_what_was_lost(name):
    rig = Rig(name)
    before = rig.run(3)
    rig.clock.ns += 4 * S
    after = rig.run(2)
    health = rig.reader.health()
    assert health.overflows == 1
    seq = np.concatenate([batch.seq + np.arange(len(batch.times_ns)) for batch in before + after])
    truth = np.concatenate([rig.truth_ns(batch) for batch in before + after])
    gap = int(np.argmax(np.diff(truth)))
    missing = round((truth[gap + 1] - truth[gap]) / rig.model._period_ns) - 1
    assert missing > 50
    assert np.diff(seq)[gap] - 1 == missing == health.lost
    assert {batch.session for batch in before + after} == {1}
    assert np.abs(errors_ns(rig, after)).max() < 2 * MS


@CHIPS
@pytest.mark.parametrize("errno", [121, 5])
def test_a_bus_that_fails_for_a_while_is_survived(name, errno):
    rig = Rig(name)
    rig.run(2)
    rig.model.errno = errno
    rig.run(1)
    problem = rig.reader.health().problem
    assert f"errno {errno}" in problem
    assert "left_wrist (/dev/i2c-1, address 0x" in problem
    rig.model.errno = 0
    rig.model.power_cycle(rig.clock.ns)
    after = rig.run(4)
    assert after
    assert {batch.session for batch in after} == {2}
    health = rig.reader.health()
    assert (health.problem, health.reconnects) == ("", 1)
    assert health.lost > 90
    assert np.quantile(np.abs(errors_ns(rig, after[30:])), 0.95) < MS


@CHIPS
def test_a_chip_that_never_comes_back_is_given_up(name):
    rig = Rig(name)
    rig.run(2)
    rig.model.errno = 121
    transfers = []
    rig.run(120)
    assert rig.reader.given_up
    assert f"Given up after {MOST_FAILURES} attempts" in rig.reader.problem
    rig.model.errno = 0
    assert rig.run(10) == transfers


def test_rests_between_attempts_grow_and_have_a_limit():
    rig = Rig("lsm6dsox")
    rig.absent = FileNotFoundError(2, "No such file or directory")
    rests = []
    for _ in range(MOST_FAILURES):
        due = rig.reader.step()
        rests.append((due - rig.clock.ns) / S)
        rig.clock.ns = due
    assert rests == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0], abs=0.01)


@CHIPS
def test_a_stuck_sensor_is_told_and_not_handed_on(name):
    rig = Rig(name, resting(1))
    rig.run(2)
    rig.model.frozen = True
    rig.run(0.8)
    assert "stuck" in rig.reader.problem
    assert rig.reader.health().stuck
    assert rig.run(1.0) == []
    rig.model.frozen = False
    after = rig.run(3)
    assert after
    health = rig.reader.health()
    assert (health.stuck, health.problem) == (False, "")


def test_saturated_samples_are_counted():
    rig = Rig(
        "bmi270", lambda times: np.tile([40000.0, 0, 0, 0, 0, 0], (len(times), 1)) + (times % 7)[:, None] * [0, 1, 1, 1, 1, 1]
    )
    rig.run(1)
    health = rig.reader.health()
    assert health.saturated == health.received > 50


@CHIPS
def test_the_self_test_at_opening(name):
    rig = Rig(name, resting(2), self_test=True)
    rig.run(3)
    assert rig.reader.health().problem == ""
    rig = Rig(name, resting(2), self_test=True)
    rig.model.test_passes = False
    rig.run(3)
    assert "its self-test failed: accelerometer failed" in rig.reader.problem


def test_a_wrong_chip_is_told_by_what_it_says():
    rig = Rig("mpu6050")
    rig.reader.place = parse_places({"left_wrist": "1:0x68:bmi270"})[0]
    rig.reader.step()
    assert "WHO_AM_I (register 0x00) says 0x00; a BMI270 says 0x24" in rig.reader.problem
    assert "left_wrist (/dev/i2c-1, address 0x68)" in rig.reader.problem


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (FileNotFoundError(2, "No such file or directory"), "/dev/i2c-1 is absent.*raspi-config"),
        (PermissionError(13, "Permission denied"), "group i2c"),
    ],
)
def test_a_bus_that_can_not_be_opened(error, says):
    def open_bus(_number):
        raise error

    source = I2cImu(ImuConfig(type="i2c", chips={"left_wrist": "1:0x6a"}), open_bus)
    with pytest.raises(DriverUnavailable, match=says):
        source.open()
    source.close()


@pytest.mark.parametrize(
    ("chips", "says"),
    [
        ({"left_arm": "1:0x6a"}, "no such limb"),
        ({"left_wrist": "0x6a"}, "bus:address"),
        ({"left_wrist": "1:0x6a:lsm6dsl"}, "chips are lsm6dsox"),
        ({"left_wrist": "1:0x99"}, "bus:address"),
        ({"left_wrist": "1:0x40"}, "Say which it is: 1:0x40:lsm6dsox"),
        ({"left_wrist": "1:0x6a", "right_wrist": "1:106"}, "two limbs"),
    ],
)
def test_places_that_make_no_sense(chips, says):
    with pytest.raises(ConfigError, match=says):
        I2cImu(ImuConfig(type="i2c", chips=chips)).open()


def test_a_machine_without_that_bus():
    pytest.importorskip("smbus2", reason="smbus2 is absent: pip install smbus2")
    with pytest.raises(DriverUnavailable, match="/dev/i2c-250 is absent"):
        I2cImu(ImuConfig(type="i2c", chips={"left_wrist": "250:0x6a"})).open()


def test_no_chip_named():
    with pytest.raises(DriverUnavailable, match="names no chip"):
        I2cImu(ImuConfig(type="i2c")).open()


def test_a_rate_that_the_chips_do_not_have():
    with pytest.raises(DriverUnavailable, match="50, 100 or 200"):
        I2cImu(ImuConfig(type="i2c", rate_hz=120, chips={"left_wrist": "1:0x6a"})).open()


def test_four_chips_in_real_time_and_one_fails():
    models = [
        model_of("lsm6dsox", resting(0)),
        model_of("lsm6dsox", resting(1), address=0x6B),
        model_of("bmi270", resting(2)),
        model_of("mpu6050", resting(3), address=0x69),
    ]
    chips = {limb: f"1:{model.address:#x}" for limb, model in zip(BANDS, models, strict=True)}
    buses = []

    def open_bus(_number):
        buses.append(SimulatedSmbus(models))
        return buses[-1]

    threads = threading.active_count()
    with I2cImu(ImuConfig(type="i2c", chips=chips), open_bus) as source:
        time.sleep(0.6)
        models[1].errno = 121
        source.read(time.monotonic_ns())
        time.sleep(0.8)
        now = time.monotonic_ns()
        batches = source.read(now)
        assert {batch.band for batch in batches} >= {0, 2, 3}
        assert all(batch.times_ns[-1] <= now for batch in batches)
        counted = {band: sum(len(b.times_ns) for b in batches if b.band == band) for band in (0, 2, 3)}
        assert all(50 <= n <= 110 for n in counted.values())
        health = source.health()
        assert [bool(health[band].problem) for band in range(4)] == [False, True, False, False]
    assert threading.active_count() == threads
    assert all(bus.closed for bus in buses)
    with pytest.raises(DriverError, match="not open"):
        source.read(0)


def test_when_every_chip_was_given_up_reading_raises():
    source = I2cImu(ImuConfig(type="i2c", chips={"left_wrist": "1:0x6a"}), lambda _n: SimulatedSmbus([model_of("lsm6dsox")]))
    with source:
        source._readers[0].given_up = True
        source._readers[0].problem = "It is gone."
        source._threads[0].join(0.2)
        source._readers[0].batches.clear()
        with pytest.raises(DriverError, match="It is gone"):
            source.read(2**62)
