"""Bands on the virtual radio, already paired, for the tests of what talks to them."""

import asyncio
import time
from contextlib import contextmanager

import pytest

pytest.importorskip("bleak", reason="bleak is absent; install it with: pip install bleak")
pytest.importorskip("bumble", reason="bumble is absent; install it with: pip install bumble")

from device.config import ImuConfig
from device.drivers.ble import pairing
from device.drivers.ble.backend import Backend
from device.drivers.ble.states import Rests
from device.drivers.ble.trust import AllowList, PairingWindow
from device.drivers.imu_ble import BleImu
from device.sim_radio.band import PythonBand
from device.sim_radio.radio import VirtualRadio

QUICK = Rests(first_s=0.05, longest_s=0.5, refused_s=5.0, steady_s=0.5)


def make_band(i=1, **parts):
    return PythonBand(f"band{i}", f"F{i}:00:00:00:00:01", session=100 + i, **parts)


def backend(radio):
    return Backend(radio.client, radio.scanner)


def pair_all(radio, path, bands):
    """Pair `bands` in this order; the nearest is paired first."""
    for i, band in enumerate(bands):
        radio.rssi[band.address] = -40 - i
    listened, pairing.LISTEN_S = pairing.LISTEN_S, 0.25
    try:
        allow_list = AllowList(path).load()
        done = asyncio.run(pairing.pair_bands(backend(radio), allow_list, PairingWindow(20.0), count=len(bands)))
    finally:
        pairing.LISTEN_S = listened
    assert len(done) == len(bands)
    return allow_list


@contextmanager
def air(path, *bands, paired=True, **settings):
    """A radio with `bands` switched on and paired in this order."""
    with VirtualRadio(**settings) as radio:
        radio.add(*bands)
        if paired:
            pair_all(radio, path, bands)
        yield radio


def source(radio, path, **settings):
    config = ImuConfig(type="ble", trusted=str(path), **settings)
    return BleImu(config, backend(radio), QUICK)


def read_for(imu, seconds, batches=None):
    """All that arrives within `seconds`."""
    batches = [] if batches is None else batches
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        batches += imu.read(time.monotonic_ns())
        time.sleep(0.01)
    return batches


def read_until(imu, done, timeout_s=6.0):
    """Read until `done(batches)`; what was read."""
    batches, end = [], time.monotonic() + timeout_s
    while not done(batches):
        assert time.monotonic() < end, f"not done after {timeout_s} s with {len(batches)} batches: {[b.link for b in imu.bands]}"
        batches += imu.read(time.monotonic_ns())
        time.sleep(0.01)
    return batches
