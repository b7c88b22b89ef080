import json
import logging
import math
from dataclasses import replace

import numpy as np
import pytest

from device.config import Config, config_from
from device.drivers.base import ImuSource
from device.drivers.health import BandHealth
from device.errors import CalibrationError, StoreError
from device.messages import NS_PER_S, ImuBatch
from device.runtime.calibration import (
    GRAVITY,
    RENEWAL_S,
    STALE_S,
    CalibratedImu,
    Calibration,
    CalibrationStore,
    RestWatch,
    calibrate,
)
from device.runtime.live import make_bands

BIAS = np.array([0.02, -0.03, 0.011])
UP = np.array([0.6, 0.0, 0.8])


def batches(seconds, *, bias=BIAS, force=UP * GRAVITY, noise=1.0, start_s=0.0, rate_hz=100, seed=0, seq=0, band=0):
    """Samples of a band that lies still, eight to a batch; `noise` in units of a cheap chip's."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate_hz)
    values = np.concatenate([np.tile(force, (n, 1)), np.tile(bias, (n, 1))], axis=1)
    values += rng.normal(size=(n, 6)) * np.repeat([0.03, 0.004], 3) * noise
    times = round(start_s * NS_PER_S) + np.arange(n, dtype=np.int64) * (NS_PER_S // rate_hz)
    return [
        ImuBatch(int(times[i : i + 8][-1]), 0, seq + i, band, 1, times[i : i + 8], values[i : i + 8].astype(np.float32))
        for i in range(0, n, 8)
    ]


def moving(seconds, **options):
    """The same in somebody's hand."""
    return [
        replace(b, values=b.values + np.float32(0.5) * np.sin(b.times_ns[:, None] / 2e8).astype(np.float32))
        for b in batches(seconds, **options)
    ]


def test_a_band_at_rest_tells_its_bias_and_where_up_is():
    found = calibrate(batches(3))
    np.testing.assert_allclose(found.rate_bias, BIAS, atol=0.002)
    np.testing.assert_allclose(found.up, UP, atol=0.005)
    assert found.force_scale == pytest.approx(1, abs=0.002)
    assert found.force_right
    assert found.rest_s == pytest.approx(1.5, abs=0.02)


@pytest.mark.parametrize("rate_hz", [50, 100, 200])
def test_the_stillest_stretch_between_movements_is_taken(rate_hz):
    parts = moving(2, rate_hz=rate_hz), batches(1.9, start_s=2, rate_hz=rate_hz), moving(2, start_s=3.9, rate_hz=rate_hz)
    np.testing.assert_allclose(calibrate([b for part in parts for b in part]).rate_bias, BIAS, atol=0.002)


def test_an_accelerometer_that_is_off_by_more_than_three_percent_is_not_right():
    assert calibrate(batches(2, force=UP * GRAVITY * 1.025)).force_right
    assert not calibrate(batches(2, force=UP * GRAVITY * 1.04)).force_right


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([], "no 1.5 s"),
        (batches(1.4), "no 1.5 s"),
        ([*batches(1), *batches(1, start_s=1.5)], "no 1.5 s"),
        ([*batches(1, start_s=1.0), *batches(1)], "no 1.5 s"),
        (moving(5), "not at rest"),
        (batches(3, noise=8), "not at rest"),
        (batches(3, noise=0), "stuck"),
        (batches(3, force=UP * 3 * GRAVITY), "3.00 g at rest"),
        (batches(3, force=np.zeros(3)), "0.00 g at rest"),
        (batches(3, bias=np.array([0.0, 0.0, 1.0])), "57 degrees/s"),
        (batches(3, force=np.full(3, np.nan)), "not at rest"),
    ],
)
def test_what_is_no_rest_is_refused_with_what_to_do(samples, says):
    with pytest.raises(CalibrationError, match=says):
        calibrate(samples)


def test_applying_it_takes_the_bias_off_and_leaves_the_batch_alone():
    batch = batches(1)[0]
    kept = batch.values.copy()
    calibrated = calibrate(batches(2)).applied(batch)
    assert np.abs(calibrated.values[:, 3:].mean(0)).max() < 0.005
    np.testing.assert_array_equal(calibrated.values[:, :3], kept[:, :3])
    np.testing.assert_array_equal(batch.values, kept)


def test_a_watch_finds_rests_in_a_stream_and_holds_little():
    watch, found = RestWatch(), []
    for batch in [*moving(4), *batches(4, start_s=4), *moving(4, start_s=8)]:
        found.append(watch.push(batch))
        assert len(watch._batches) <= 1.5 * 100 / 8 + 1
    rests = [calibration for calibration in found if calibration is not None]
    assert 1 <= len(rests) <= 2
    np.testing.assert_allclose(rests[0].rate_bias, BIAS, atol=0.003)


def test_a_rest_does_not_reach_over_a_gap_or_a_reboot():
    watch = RestWatch()
    first, second = batches(1), batches(1, start_s=1.0)
    for batch in [*first, *(replace(b, session=2) for b in second), *batches(1, start_s=3)]:
        assert watch.push(batch) is None


def test_the_store_gives_back_what_it_kept(tmp_path):
    store = CalibrationStore(tmp_path / "deep" / "calibration.json", lambda: 7.0)
    assert store.load() == {}
    first, second = calibrate(batches(2)), calibrate(batches(2, bias=-BIAS))
    store.keep("AA:01", first)
    store.keep("AA:02", second)
    store.keep("AA:01", second)
    kept = replace(second, made_s=7.0)
    assert CalibrationStore(store.path).load() == {"AA:01": kept, "AA:02": kept}
    assert [file.name for file in store.path.parent.iterdir()] == ["calibration.json"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1}', '{"a": {}}', '{"a": {"rate_bias": [1], "up": [0, 0, 1], "force_scale": 1, "rest_s": 1}}']
)
def test_a_damaged_store_says_so_and_is_left_as_it_is(tmp_path, text):
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=r"calibration\.json"):
        CalibrationStore(path).load()
    with pytest.raises(StoreError):
        CalibrationStore(path).keep("a", calibrate(batches(2)))
    assert path.read_text() == text


class Given(ImuSource):
    """A source that hands out what it was given."""

    def __init__(self, *given):
        self.given = [list(part) for part in given]
        self.is_open = False

    def open(self):
        self.is_open = True

    def close(self):
        self.is_open = False

    def read(self, _until_ns):
        return self.given.pop(0)

    def health(self):
        return {0: BandHealth(identity="AA:00")}


def test_a_source_learns_at_rest_and_calibrates_from_then_on(tmp_path):
    store = CalibrationStore(tmp_path / "calibration.json", lambda: 1000.0)
    source = Given(batches(1.6), batches(1, start_s=1.6))
    with CalibratedImu(source, store) as calibrated:
        assert source.is_open
        calibrated.read(0)
        after = np.concatenate([batch.values for batch in calibrated.read(0)])
    assert not source.is_open
    assert np.abs(after[:, 3:].mean(0)).max() < 0.003
    assert store.load()["AA:00"].made_s == 1000.0
    with CalibratedImu(Given(batches(0.1)), store) as calibrated:
        assert np.abs(calibrated.read(0)[0].values[:, 3:].mean(0)).max() < 0.01


@pytest.mark.parametrize(
    ("age_s", "bias", "replaced"),
    [
        (60.0, BIAS + 0.02, False),
        (RENEWAL_S + 1, BIAS + 0.02, True),
        (RENEWAL_S + 1, BIAS, False),
        (STALE_S + 1, BIAS, True),
        (-60.0, BIAS, True),
    ],
)
def test_stale_values_are_replaced_and_good_ones_kept(tmp_path, age_s, bias, replaced):
    store = CalibrationStore(tmp_path / "calibration.json", lambda: 1e9 + age_s)
    store.keep("AA:00", replace(calibrate(batches(2)), made_s=1e9))
    with CalibratedImu(Given(batches(2, bias=bias, seed=4)), store) as calibrated:
        calibrated.read(0)
    assert (store.load()["AA:00"].made_s != 1e9) == replaced


def test_a_wrong_accelerometer_and_a_store_that_fails_are_logged_once(tmp_path, caplog):
    (tmp_path / "taken").write_text("")
    clock = iter(range(10**6, 10**9, 10**6))
    store = CalibrationStore(tmp_path / "taken" / "calibration.json", lambda: next(clock))
    given = [batches(1.6, start_s=2 * i, force=UP * GRAVITY * 1.1) for i in range(3)]
    with caplog.at_level(logging.WARNING), CalibratedImu(Given(*given), store) as calibrated:
        for _ in given:
            last = calibrated.read(0)
    assert sum("1.10 g at rest" in record.message for record in caplog.records) == 1
    assert sum("is lost" in record.message for record in caplog.records) == 1
    assert np.abs(last[-1].values[:, 3:].mean(0)).max() < 0.01


def test_bands_of_a_live_session_are_calibrated_and_made_up_ones_are_not(tmp_path, monkeypatch):
    config = config_from({"imu": {"type": "ble"}, "store": {"path": str(tmp_path / "sessions.sqlite")}})
    source = Given(batches(1.6))
    monkeypatch.setattr("device.runtime.live.create_imu", lambda _: source)
    with make_bands(config) as bands:
        bands.read(0)
    assert list(CalibrationStore(tmp_path / "calibrations.json").load()) == ["AA:00"]
    assert make_bands(Config()) is source


def test_the_file_is_plain_json(tmp_path):
    store = CalibrationStore(tmp_path / "calibration.json")
    store.keep("AA:01", Calibration((0.0, 0.0, math.pi), (0.0, 0.0, 1.0), 1.0, 1.5, 12.0))
    assert json.loads(store.path.read_text())["AA:01"]["rate_bias"] == [0.0, 0.0, math.pi]
