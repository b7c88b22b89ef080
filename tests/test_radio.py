"""The virtual radio under bleak: what a central sees of bands, of connection events, losses and outages."""

import asyncio
import time

import numpy as np
import pytest

from device.band import protocol

bleak = pytest.importorskip("bleak", reason="bleak is absent; install it with: pip install bleak")
pytest.importorskip("bumble", reason="bumble is absent; install it with: pip install bumble")

from bleak.exc import BleakError, BleakGATTProtocolError  # noqa: E402

from device.sim_radio.band import PythonBand  # noqa: E402
from device.sim_radio.radio import VirtualRadio  # noqa: E402

ADDRESS = "F1:00:00:00:00:01"


def band(i=1, **parts):
    return PythonBand(f"band{i}", f"F{i}:00:00:00:00:01", session=100 + i, **parts)


async def find(radio, address=ADDRESS, timeout=2.0):
    return await bleak.BleakScanner.find_device_by_address(address, timeout=timeout, backend=radio.scanner)


class Central:
    """A bleak client of one band that keeps what it is notified of."""

    def __init__(self, radio, device):
        self.packets, self.answers, self.parted = [], asyncio.Queue(), asyncio.Event()
        self.client = bleak.BleakClient(device, lambda _client: self.parted.set(), backend=radio.client, timeout=2.0)

    async def __aenter__(self):
        await self.client.connect()
        return self

    async def __aexit__(self, *_):
        await self.client.disconnect()

    async def subscribe(self):
        await self.client.start_notify(protocol.CONTROL_UUID, lambda _c, data: self.answers.put_nowait(bytes(data)))
        await self.client.start_notify(
            protocol.IMU_UUID, lambda _c, data: self.packets.append((time.monotonic_ns(), bytes(data)))
        )

    async def ask(self, opcode, *values):
        await self.client.write_gatt_char(protocol.CONTROL_UUID, protocol.encode_request(opcode, 7, *values), response=False)
        return protocol.decode_answer(await asyncio.wait_for(self.answers.get(), 2.0))


def run(go, *bands, **settings):
    with VirtualRadio(**settings) as radio:
        radio.add(*bands)
        return asyncio.run(go(radio))


def test_a_scan_sees_name_service_and_strength():
    async def go(radio):
        radio.rssi[ADDRESS] = -71
        found = await bleak.BleakScanner.discover(
            0.3, return_adv=True, service_uuids=[protocol.SERVICE_UUID], backend=radio.scanner
        )
        assert sorted(found) == [ADDRESS, "F2:00:00:00:00:01"]
        device, advertisement = found[ADDRESS]
        assert (device.name, advertisement.rssi) == ("band1", -71)
        assert advertisement.service_uuids == [protocol.SERVICE_UUID]
        assert device.details["props"]["Paired"] is False

    run(go, band(1), band(2))


def test_samples_arrive_whole_and_in_order():
    async def go(radio):
        async with Central(radio, await find(radio)) as central:
            await central.subscribe()
            assert (await central.ask(protocol.START)).status == protocol.OK
            await asyncio.sleep(0.6)
        packets = [protocol.decode_packet(data) for _, data in central.packets]
        assert len(packets) >= 4
        assert np.all(np.diff([packet.seq for packet in packets]) == 4)
        assert all(packet.session == 101 and packet.n == 4 for packet in packets)

    run(go, band(encrypted=False))


def test_a_small_mtu_gets_the_same_samples_in_fragments():
    async def go(radio):
        async with Central(radio, await find(radio)) as central:
            await central.subscribe()
            await central.ask(protocol.START)
            await asyncio.sleep(0.4)
        joined = protocol.Reassembler()
        packets = [packet for packet in (joined.feed(data) for _, data in central.packets) if packet]
        assert max(len(data) for _, data in central.packets) <= 20
        assert len(packets) >= 2
        assert all(protocol.decode_packet(packet).n == 8 for packet in packets)

    run(go, band(encrypted=False), mtu=23)


def test_an_unencrypted_link_gets_nothing_from_a_band_that_wants_bonding():
    async def go(radio):
        async with Central(radio, await find(radio)) as central:
            with pytest.raises(BleakGATTProtocolError):
                await central.client.start_notify(protocol.IMU_UUID, lambda _c, _d: None)
            with pytest.raises(BleakGATTProtocolError):
                await central.client.write_gatt_char(protocol.CONTROL_UUID, b"\x03\x00", response=True)

    run(go, band())


def test_a_bonded_link_is_encrypted_and_the_bond_is_used_again():
    async def go(radio):
        async with Central(radio, await find(radio)) as central:
            await central.client.pair()
            await central.subscribe()
            assert (await central.ask(protocol.IDENTITY)).values[1] == b"band1\0\0\0"
        device = await find(radio)
        assert device.details["props"]["Paired"] is True
        async with Central(radio, device) as central:
            await central.subscribe()
            assert (await central.ask(protocol.SELF_TEST)).values == (protocol.TEST_ALL,)

    run(go, band())


def test_another_device_under_a_bonded_address_does_not_connect():
    async def go(radio, real, impostor):
        async with Central(radio, await find(radio)) as central:
            await central.client.pair()
        await asyncio.to_thread(radio.remove, real)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(radio.add, impostor)
        with pytest.raises(BleakError):
            async with Central(radio, await find(radio)):
                pass

    real, impostor = band(), band()
    with VirtualRadio(supervision_s=0.2) as radio:
        radio.add(real)
        asyncio.run(go(radio, real, impostor))


def test_answers_wait_for_connection_events():
    async def go(radio):
        async with Central(radio, await find(radio)) as central:
            await central.subscribe()
            trips = []
            for _ in range(20):
                sent = time.monotonic_ns()
                await central.ask(protocol.PING)
                trips.append((time.monotonic_ns() - sent) / 1e6)
                await asyncio.sleep(0.007)
        assert min(trips) >= 19
        assert np.median(trips) >= 21

    run(go, band(encrypted=False), interval_ms=20.0)


def test_notifications_get_lost_and_nothing_else_does():
    async def go(radio):
        async with Central(radio, await find(radio)) as central:
            await central.subscribe()
            for _ in range(60):
                request = protocol.encode_request(protocol.STOP, 0)
                await central.client.write_gatt_char(protocol.CONTROL_UUID, request, response=True)
                await asyncio.sleep(0.02)
            assert 10 <= central.answers.qsize() <= 50
            assert central.answers.qsize() + radio.link.lost_notifications == 60

    run(go, band(encrypted=False), notification_loss=0.5, seed=3)


def test_a_short_outage_delays_and_a_long_one_parts():
    async def go(radio, worn):
        async with Central(radio, await find(radio)) as central:
            await central.subscribe()
            await central.ask(protocol.START)
            await radio.across(radio.outage(worn, 0.3))
            await asyncio.sleep(0.3)
            sequence = [protocol.decode_packet(data).seq for _, data in central.packets]
            assert np.all(np.diff(sequence) == 4)
            assert not central.parted.is_set()
            radio.start(radio.outage(worn, 1.0))
            began = time.monotonic()
            await asyncio.wait_for(central.parted.wait(), 2.0)
            assert time.monotonic() - began == pytest.approx(0.5, abs=0.2)
            assert await find(radio, timeout=0.3) is None
            assert await find(radio, timeout=2.0) is not None

    worn = band(encrypted=False)
    with VirtualRadio(supervision_s=0.5, interval_ms=10.0) as radio:
        radio.add(worn)
        asyncio.run(go(radio, worn))


def test_a_connection_during_a_scan_is_refused_as_bluez_does():
    async def go(radio):
        device = await find(radio)
        async with bleak.BleakScanner(backend=radio.scanner):
            with pytest.raises(BleakError, match="InProgress"):
                async with Central(radio, device):
                    pass

    run(go, band())


def test_a_device_that_is_gone_is_not_found():
    async def go(radio, worn):
        device = await find(radio)
        await asyncio.to_thread(radio.remove, worn)
        client = bleak.BleakClient(device, backend=radio.client, timeout=0.3)
        with pytest.raises(BleakError):
            await client.connect()
        assert not client.is_connected

    worn = band()
    with VirtualRadio(supervision_s=0.1) as radio:
        radio.add(worn)
        asyncio.run(go(radio, worn))
