"""The ble driver against bands on the virtual radio."""

import asyncio
import contextlib
import threading
import time

import numpy as np
import pytest
from bands_on_air import air, make_band, read_for, read_until, source

from device.band import protocol
from device.config import HapticConfig, ImuConfig
from device.drivers import imu_ble
from device.drivers.ble.states import State
from device.drivers.imu_none import NoImu
from device.drivers.registry import create_haptic
from device.errors import BandError, DriverError, DriverUnavailable
from device.runtime.calibration import CalibratedImu, CalibrationStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bands.json"


def of(batches, band):
    return [batch for batch in batches if batch.band == band]


def numbers(batches, band):
    return np.concatenate([batch.seq + np.arange(len(batch.times_ns)) for batch in of(batches, band)])


def all_of(*indices):
    return lambda batches: set(indices) <= {batch.band for batch in batches}


def test_four_bands_stream_whole(path):
    bands = [make_band(i, reading_us=i * 1_000_000, skew=i * 1e-5) for i in range(1, 5)]
    with air(path, *bands) as radio, source(radio, path) as imu:
        batches = read_until(imu, all_of(0, 1, 2, 3), 10.0)
        read_for(imu, 1.0, batches)
        pings = imu.pings(time.monotonic_ns())
        for i, band in enumerate(bands):
            seen = numbers(batches, i)
            assert np.all(np.diff(seen) == 1)
            assert {batch.session for batch in of(batches, i)} == {band.session}
            for batch in of(batches, i):
                true_ns = band.to_host(batch.times_ns // 1000)
                assert np.all(true_ns <= batch.t_ns)
                assert np.all(batch.t_ns - true_ns < 1_000_000_000)
        assert {ping.band for ping in pings} == {0, 1, 2, 3}
        for ping in pings:
            true_ns = bands[ping.band].to_host(np.array([ping.band_ns // 1000]))[0]
            assert ping.sent_ns - 1000 <= true_ns <= ping.received_ns + 1000
        assert all(band.stream.lost == band.stream.duplicated == band.stream.garbage == 0 for band in imu.bands)
        assert all(band.battery == 80 and band.identity.chip == "lsm6dsox" for band in imu.bands)


def test_a_link_with_a_small_mtu_streams_as_well(path):
    with air(path, make_band(), mtu=23) as radio, source(radio, path) as imu:
        batches = read_until(imu, lambda batches: len(batches) > 6)
        assert np.all(np.diff(numbers(batches, 0)) == 1)
        assert imu.bands[0].stream.garbage == 0


def test_pings_come_fast_after_connecting(path):
    with air(path, make_band()) as radio, source(radio, path) as imu:
        read_until(imu, all_of(0))
        imu.pings(time.monotonic_ns())
        read_for(imu, 1.5)
        assert 4 <= len(imu.pings(time.monotonic_ns())) <= 7


def test_doubled_callbacks_change_nothing_but_a_count(path):
    with air(path, make_band()) as radio:
        radio.doubles_callbacks = True
        with source(radio, path) as imu:
            batches = read_until(imu, lambda batches: len(batches) > 8)
            assert np.all(np.diff(numbers(batches, 0)) == 1)
            assert imu.bands[0].stream.duplicated > 0


def test_lost_notifications_are_counted(path):
    with air(path, make_band(), seed=1) as radio, source(radio, path) as imu:
        batches = read_until(imu, all_of(0))
        radio.link.notification_loss = 0.3
        read_for(imu, 2.0, batches)
        radio.link.notification_loss = 0.0
        read_for(imu, 0.3, batches)
        seen = numbers(batches, 0)
        missing = int(seen[-1] - seen[0] + 1 - len(seen))
        assert missing > 0
        assert imu.bands[0].stream.lost == missing


def test_a_band_that_was_out_of_range_comes_back(path):
    bands = [make_band(1), make_band(2)]
    with air(path, *bands, supervision_s=0.4) as radio, source(radio, path) as imu:
        read_until(imu, all_of(0, 1))
        radio.start(radio.outage(bands[1], 1.0))
        read_until(imu, lambda _: imu.bands[1].link.state is not State.STREAMING)
        batches = read_until(imu, all_of(1))
        assert [band.link.reconnects for band in imu.bands] == [0, 1]
        assert len(of(batches, 0)) > 3
        assert np.all(np.diff(numbers(batches, 0)) == 1)
        assert imu.bands[1].stream.lost > 0


def test_a_band_that_reboots_has_a_new_session(path):
    band = make_band()
    with air(path, band) as radio, source(radio, path) as imu:
        before = read_until(imu, all_of(0))[-1].session
        radio.call(band.reboot())
        batches = read_until(imu, lambda batches: any(batch.session != before for batch in batches))
        assert batches[-1].session == before + 1
        assert imu.bands[0].stream.lost == 0


def test_a_connection_without_data_is_made_anew(path):
    band = make_band()
    with air(path, band) as radio, source(radio, path, silence_s=0.5) as imu:
        read_until(imu, all_of(0))
        radio.call(_mute(band))
        read_until(imu, lambda _: imu.bands[0].link.connections == 2)
        assert read_until(imu, all_of(0))


async def _mute(band):
    band._streams = False


def test_a_phantom_connection_counts_as_failed(path):
    band = make_band()
    with air(path, band) as radio:
        radio.phantoms.add(band.address)
        with source(radio, path) as imu:
            read_until(imu, lambda _: imu.bands[0].link.failures >= 2)
            assert imu.bands[0].link.connections == 0
            radio.phantoms.clear()
            assert read_until(imu, all_of(0))


def test_another_version_of_the_protocol_is_refused_and_said_once(path, caplog):
    good, old = make_band(1), make_band(2, mangle=lambda packet: b"\x02" + packet[1:])
    with air(path, good, old) as radio, source(radio, path) as imu:
        batches = read_until(imu, lambda _: imu.bands[1].link.state is State.REFUSED)
        read_for(imu, 0.5, batches)
        assert of(batches, 0)
        assert not of(batches, 1)
        assert [
            record.message for record in caplog.records if "spotter band flash" in record.message and "band2" in record.message
        ]
        assert len([record for record in caplog.records if "version 2" in record.message]) == 1


def test_a_band_with_an_empty_battery_says_so(path):
    band = make_band()
    band.battery = 0
    with air(path, band) as radio, source(radio, path) as imu:
        read_until(imu, lambda _: imu.health()[0].battery == 0)
        assert imu.health()[0].problem == "its battery is low: charge it"


def test_garbage_from_a_band_is_dropped_and_counted(path):
    count = iter(range(10**9))
    band = make_band(mangle=lambda packet: packet if next(count) % 2 else packet[:9])
    with air(path, band) as radio, source(radio, path) as imu:
        read_until(imu, lambda batches: len(batches) > 5)
        assert imu.bands[0].stream.garbage > 3


def test_the_limbs_of_the_settings_win(path):
    bands = [make_band(1), make_band(2)]
    with air(path, *bands) as radio, source(radio, path, bands={bands[0].address: "right_ankle"}) as imu:
        batches = read_until(imu, all_of(0, 3))
        assert {batch.session: batch.band for batch in batches} == {101: 3, 102: 0}


def test_a_band_on_a_limb_vibrates(path):
    band = make_band()
    with air(path, band) as radio, source(radio, path) as imu:
        read_until(imu, all_of(0))
        imu.vibrate(0, 200, 255)
        imu.vibrate(3, 200, 255)
        read_until(imu, lambda _: band.vibrations == [200])


def test_the_haptic_driver_vibrates_the_band_itself(path):
    band = make_band()
    with air(path, band) as radio, source(radio, path) as imu:
        read_until(imu, all_of(0))
        with create_haptic(HapticConfig(type="band"), source=CalibratedImu(imu, CalibrationStore(path))) as haptic:
            assert haptic.vibrate(0, 0.5, 300_000_000, 0) == 300_000_000
            read_until(imu, lambda _: len(band.vibrations) == 1)
        read_until(imu, lambda _: len(band.vibrations) == 2)
        asked = [request.values for request in band.requests if request.opcode == protocol.VIBRATE]
        assert asked == [(300, 128), (1, 0)]


def test_the_haptic_driver_needs_bands_that_vibrate():
    with pytest.raises(DriverUnavailable, match=r"imu\.type"):
        create_haptic(HapticConfig(type="band"), source=NoImu(ImuConfig())).open()


def test_opening_says_what_is_missing(path):
    with air(path, make_band(), paired=False) as radio, pytest.raises(DriverUnavailable, match="spotter band pair"):
        source(radio, path).open()


def test_a_rate_that_bands_do_not_have_is_refused(path):
    with air(path, make_band()) as radio, pytest.raises(DriverUnavailable, match="50, 100, 200 Hz"):
        source(radio, path, rate_hz=80.0).open()


def test_an_adapter_that_is_off_is_said(path):
    with air(path, make_band()) as radio:

        class Off(radio.scanner):
            async def start(self):
                raise OSError("org.bluez.Error.NotReady")

        imu = source(radio, path)
        imu._backend = type(imu._backend)(radio.client, Off)
        with pytest.raises(DriverUnavailable, match=r"NotReady.*power on"):
            imu.open()
        assert imu.thread is None


def test_two_owners_are_one_too_many(path):
    with air(path, make_band()) as radio, source(radio, path), pytest.raises(BandError, match="systemctl stop"):
        source(radio, path).open()


def test_it_closes_where_a_cancellation_is_lost(path, monkeypatch):
    async def deaf(_, listening):
        listening()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    monkeypatch.setattr(imu_ble.Central, "run", deaf)
    monkeypatch.setattr(imu_ble, "CANCEL_AGAIN_S", 0.05)
    with air(path, make_band()) as radio:
        imu = source(radio, path)
        imu.open()
        thread = imu.thread
        imu.close()
    assert thread is not None
    assert not thread.is_alive()


def test_it_closes_twice_leaves_no_thread_and_opens_again(path):
    with air(path, make_band()) as radio:
        imu = source(radio, path)
        with pytest.raises(DriverError, match="not open"):
            imu.read(0)
        for _ in range(2):
            imu.open()
            read_until(imu, all_of(0))
            imu.close()
            imu.close()
            assert "bands" not in {thread.name for thread in threading.enumerate()}
