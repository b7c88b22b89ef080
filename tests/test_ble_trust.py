"""Who may connect: the allow-list, the pairing window, bonding and refusal over SMP."""

import asyncio
import json
import os
import stat

import pytest
from bands_on_air import air, backend, make_band, pair_all, read_for, read_until, source

from device.band import protocol
from device.drivers.ble import pairing
from device.drivers.ble.backend import Backend
from device.drivers.ble.pairing import listen, pair_bands, visit
from device.drivers.ble.states import State
from device.drivers.ble.trust import AllowList, PairingWindow, Trusted, sole_owner, worn
from device.errors import BandError
from device.sim_radio.radio import VirtualRadio


def entry(i=1, limb="", identity=None):
    return Trusted(f"F{i}:00:00:00:00:01", identity or f"{i:016x}", f"Spotter {i}", limb, "2026-01-01T00:00:00+00:00")


def open_window():
    return PairingWindow(60.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "bands.json"


@pytest.fixture(autouse=True)
def short_listening(monkeypatch):
    monkeypatch.setattr(pairing, "LISTEN_S", 0.3)


# --- the list -----------------------------------------------------------------------------------------------------------


def test_the_list_survives_and_only_its_owner_reads_it(path):
    allow_list = AllowList(path).load()
    assert allow_list.bands == ()
    allow_list.add(entry(1, "left_wrist"), open_window())
    allow_list.add(entry(2), open_window())
    assert AllowList(path).load().bands == (entry(1, "left_wrist"), entry(2))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["bands.json"]


def test_nothing_is_added_once_the_window_has_closed(path):
    now = [0.0]
    window = PairingWindow(60.0, lambda: now[0])
    allow_list = AllowList(path)
    now[0] = 59.9
    allow_list.add(entry(1), window)
    now[0] = 60.0
    with pytest.raises(BandError, match="window has closed"):
        allow_list.add(entry(2), window)
    assert AllowList(path).load().bands == (entry(1),)


def test_a_second_band_with_one_identity_is_not_added(path):
    allow_list = AllowList(path)
    allow_list.add(entry(1), open_window())
    with pytest.raises(BandError, match=r"identity of Spotter 1.*spotter band forget"):
        allow_list.add(entry(2, identity=entry(1).identity), open_window())
    assert allow_list.bands == (entry(1),)


def test_pairing_again_replaces_and_a_limb_has_one_band(path):
    allow_list = AllowList(path)
    allow_list.add(entry(1, "left_wrist"), open_window())
    allow_list.add(entry(1, "right_wrist"), open_window())
    allow_list.add(entry(2, "right_wrist"), open_window())
    assert allow_list.bands == (entry(2, "right_wrist"),)


def test_a_write_that_fails_leaves_the_list_as_it_was(path, monkeypatch):
    allow_list = AllowList(path)
    allow_list.add(entry(1), open_window())

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BandError, match="No space"):
        allow_list.add(entry(2), open_window())
    assert allow_list.bands == AllowList(path).load().bands == (entry(1),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 2, "bands": []}',
        '{"version": 1, "bands": [{"address": "x"}]}',
        '{"version": 1, "bands": [{"address": 1, "identity": "", "name": "", "limb": "", "paired_at": ""}]}',
        '{"version": 1, "bands": [{"address": "", "identity": "", "name": "", "limb": "tail", "paired_at": ""}]}',
    ],
)
def test_a_broken_list_is_no_list(path, text):
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(BandError, match="pair the bands again"):
        AllowList(path).load()


def test_a_list_that_others_can_write_to_is_not_trusted(path):
    AllowList(path).add(entry(1), open_window())
    path.chmod(0o620)
    with pytest.raises(BandError, match="chmod 600"):
        AllowList(path).load()


def test_bands_are_found_by_any_of_their_names(path):
    allow_list = AllowList(path)
    allow_list.add(entry(1, "left_wrist"), open_window())
    allow_list.add(entry(2), open_window())
    for text in ("F1:00:00:00:00:01", "f1:00:00:00:00:01", "0000000000000001", "spotter 1", "left_wrist"):
        assert allow_list.find(text) == entry(1, "left_wrist")
    for text in ("", "Spotter", "right_wrist"):
        with pytest.raises(BandError, match="Spotter 1, Spotter 2"):
            allow_list.find(text)


def test_the_bands_have_one_owner(path):
    with sole_owner(path), pytest.raises(BandError, match="systemctl stop spotter"), sole_owner(path):
        pass
    with sole_owner(path):
        pass


# --- which band is worn where ----------------------------------------------------------------------------------------------


def test_limbs_come_from_settings_then_pairing_then_order():
    bands = [entry(1), entry(2, "right_ankle"), entry(3, "left_ankle"), entry(4)]
    placed = worn(bands, {"Spotter 3": "left_wrist"})
    assert placed == {bands[2].address: 0, bands[1].address: 3, bands[0].address: 1, bands[3].address: 2}


def test_a_fifth_band_stays_out():
    assert len(worn([entry(i) for i in range(1, 6)], {})) == 4


def test_no_limb_is_given_twice_or_made_up():
    with pytest.raises(BandError, match="Two bands are set for left_wrist"):
        worn([entry(1), entry(2)], {entry(1).address: "left_wrist", entry(2).identity: "left_wrist"})
    with pytest.raises(BandError, match=r"imu\.bands\.x = 'tail'"):
        worn([], {"x": "tail"})


# --- bonding over SMP ------------------------------------------------------------------------------------------------------


def run_pairing(radio, path, window=None, **options):
    said = []
    allow_list = AllowList(path).load()
    done = asyncio.run(pair_bands(backend(radio), allow_list, window or PairingWindow(5.0), say=said.append, **options))
    return done, said


def test_pairing_bonds_trusts_and_vibrates(path):
    band = make_band()
    with air(path, band, paired=False) as radio:
        (paired,), said = run_pairing(radio, path, limb="left_ankle")
        assert AllowList(path).load().bands == (paired,)
        assert (paired.address, paired.name, paired.limb) == (band.address, "band1", "left_ankle")
        assert paired.identity == band.identity.hex()
        assert radio.is_bonded(band.address)
        assert band.requests[-1].opcode == protocol.IDENTIFY
        assert "vibrates" in said[0]


def test_the_nearest_band_is_paired_first_and_a_paired_one_not_again(path):
    near, far = make_band(1), make_band(2)
    with air(path, near, far, paired=False) as radio:
        radio.rssi = {near.address: -80, far.address: -50}
        assert [band.address for band in run_pairing(radio, path)[0]] == [far.address]
        assert [band.address for band in run_pairing(radio, path)[0]] == [near.address]
        assert run_pairing(radio, path, PairingWindow(0.6))[0] == []


def test_without_a_band_the_window_closes_by_itself(path):
    with VirtualRadio() as radio:
        assert run_pairing(radio, path, PairingWindow(0.5)) == ([], [])
    assert not path.exists()


def test_pairing_without_an_adapter_says_what_to_do(path):
    with VirtualRadio() as radio:

        class Off(radio.scanner):
            async def start(self):
                raise OSError("org.bluez.Error.NotReady")

        with pytest.raises(BandError, match=r"bluetoothctl power on.*NotReady"):
            asyncio.run(pair_bands(Backend(radio.client, Off), AllowList(path), PairingWindow(5.0)))


def test_a_band_that_refuses_to_bond_is_not_trusted(path):
    band = make_band()
    with air(path, band, paired=False) as radio:
        band.refuses_pairing = True
        done, said = run_pairing(radio, path, PairingWindow(3.0))
        assert done == []
        assert "AuthenticationFailed" in said[0]
        assert not radio.is_bonded(band.address)
    assert not path.exists()


def test_two_bands_with_one_identity_are_not_both_paired(path):
    first, second = make_band(1, identity=b"samesame"), make_band(2, identity=b"samesame")
    with air(path, first, second, paired=False) as radio:
        radio.rssi = {first.address: -40, second.address: -60}
        done, said = run_pairing(radio, path, PairingWindow(4.0), count=2)
        assert [band.address for band in done] == [first.address]
        assert any("two bands with one identity" in text for text in said)
        assert not radio.is_bonded(second.address)


def test_a_band_that_changes_its_identity_to_anothers_is_refused_and_said_once(path, caplog):
    bands = [make_band(1), make_band(2)]
    with air(path, *bands) as radio:
        bands[1].identity = bands[0].identity
        with source(radio, path) as imu:
            batches = read_until(imu, lambda _: imu.bands[1].link.state is State.REFUSED and imu.bands[0].stream.received)
            read_for(imu, 0.3, batches)
            assert {batch.band for batch in batches} == {0}
            assert len([record for record in caplog.records if "has the identity of band1" in record.message]) == 1


def test_an_unpaired_band_with_the_right_name_is_ignored_and_said_once(path, caplog):
    ours, stranger = make_band(1), make_band(2)
    stranger.name = ours.name
    with air(path, ours) as radio:
        radio.add(stranger)
        with source(radio, path) as imu:
            batches = read_until(imu, lambda batches: batches)
            radio.call(ours.hang_up())
            read_until(imu, lambda _: imu.bands[0].link.connections == 2)
            read_for(imu, 0.3, batches)
            assert {batch.session for batch in batches} == {101}
            assert stranger.requests == []
            said = [record.message for record in caplog.records if stranger.address in record.message]
            assert len(said) == 1
            assert "not paired" in said[0]


def test_a_listed_band_without_a_bond_is_refused(path, caplog):
    band = make_band()
    with air(path, band) as radio:
        radio.call(radio.forget(band.address))
        with source(radio, path) as imu:
            read_until(imu, lambda _: imu.bands[0].link.state is State.REFUSED)
            assert imu.read(2**62) == []
            assert len([record for record in caplog.records if "bond is gone" in record.message]) == 1


def test_an_impostor_under_a_paired_address_gets_no_link(path):
    band, impostor = make_band(), make_band()
    with air(path, band, supervision_s=0.1) as radio:
        radio.remove(band)
        radio.call(asyncio.sleep(0.2))
        radio.add(impostor)
        with source(radio, path) as imu:
            read_until(imu, lambda _: imu.bands[0].link.failures >= 2)
            assert imu.bands[0].link.connections == 0
            assert impostor.requests == []


def test_a_visit_asks_and_leaves(path):
    band = make_band()
    with air(path, band) as radio:

        async def go():
            async with visit(backend(radio), AllowList(path).load().bands[0]) as (_client, control):
                return await control.ask(protocol.SELF_TEST)

        assert asyncio.run(go()) == (protocol.TEST_ALL,)
        assert [each.bonded for each in asyncio.run(listen(backend(radio), 0.3))] == [True]


def test_a_visit_to_a_band_that_is_off_says_so(path):
    band = make_band()
    with air(path, band, supervision_s=0.1) as radio:
        radio.remove(band)

        async def go():
            async with visit(backend(radio), AllowList(path).load().bands[0]):
                pass

        with pytest.raises(BandError, match="Switch it on"):
            asyncio.run(go())


def test_a_central_that_hammers_the_control_characteristic_is_told_to_wait(path):
    band = make_band()
    with air(path, band) as radio:

        async def go():
            async with visit(backend(radio), AllowList(path).load().bands[0]) as (client, control):
                for i in range(300):
                    request = protocol.encode_request(protocol.VIBRATE, i % 256, 1000, 255)
                    await client.write_gatt_char(protocol.CONTROL_UUID, request, response=True)
                await asyncio.sleep(1.1)
                return await control.ask(protocol.SELF_TEST)

        assert asyncio.run(go()) == (protocol.TEST_ALL,)
        assert len(band.vibrations) < 100


def test_the_files_text_is_what_it_says(path):
    band = make_band()
    with air(path, band, paired=False) as radio:
        pair_all(radio, path, [band])
    data = json.loads(path.read_text())
    assert data["version"] == 1
    assert data["bands"][0]["address"] == band.address
