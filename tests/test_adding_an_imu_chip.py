"""docs/adding-an-imu-chip.md, followed to the letter."""

import re
import sys
from importlib import import_module, invalidate_caches
from pathlib import Path

import numpy as np
import pytest
from chip_bench import Clock, ModelBus, counting

import device.band.chips
from device.band.chips import CHIPS
from device.drivers import imu_i2c
from device.drivers.imu_i2c import ChipReader, parse_places
from device.sim_chips.smbus import SimulatedSmbus

GUIDE = Path(__file__).parents[1] / "docs" / "adding-an-imu-chip.md"
FILES = dict(re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL))


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """The guide's chip and its model, with the chip in the table of chips."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    invalidate_caches()
    chip, model = import_module("acm100").Acm100, import_module("acm100_model").Acm100Model
    monkeypatch.setattr(device.band.chips, "CHIPS", (*CHIPS, chip))
    monkeypatch.setattr(imu_i2c, "CHIPS", (*CHIPS, chip))
    yield chip, model
    for name in ("acm100", "acm100_model", "test_acm100"):
        sys.modules.pop(name, None)


def test_the_guide_shows_every_file():
    assert set(FILES) == {"acm100.py", "acm100_model.py", "test_acm100.py"}


def test_the_guide_names_every_chip():
    text = GUIDE.read_text(encoding="utf-8")
    for chip in CHIPS:
        assert re.search(rf"\| `{chip.NAME}` \| .* \| {chip.FIFO_SAMPLES} samples \|", text)


@pytest.mark.usefixtures("acme")
def test_the_tests_of_the_guide_pass():
    found = vars(import_module("test_acm100"))
    tests = [test for name, test in found.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


def test_the_chip_of_the_guide_is_found_among_the_others(acme):
    chip, model = acme
    clock, there = Clock(), model(counting())

    class Empty:
        def read(self, register, n):  # noqa: ARG002
            raise OSError(121, "nobody")

    found = device.band.chips.find(
        lambda address: ModelBus(there, clock) if address == there.address else Empty(), clock.sleep_ms
    )
    assert type(found) is chip


def test_the_i2c_driver_reads_the_chip_of_the_guide(acme):
    _, model = acme
    clock, there = Clock(), model(counting(), rate_error=0.02)

    def now_ns():
        clock.ns += 5_000
        return clock.ns

    place = parse_places({"right_ankle": "1:0x40:acm100"})[0]
    reader = ChipReader(place, lambda _n: SimulatedSmbus([there], now_ns), 100, clock=now_ns, sleep_ms=clock.sleep_ms)
    for _ in range(60):
        clock.ns = max(clock.ns, reader.step())
    assert reader.problem == ""
    last = reader.batches[-1]
    ticks = np.round(last.values[:, [3, 0]] / [np.deg2rad(2000), 16 * 9.80665] * 32768).astype(np.int64)
    assert np.abs(last.times_ns - (ticks[:, 0] * 32768 + ticks[:, 1]) * 100_000).max() < 1_000_000
