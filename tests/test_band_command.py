"""`spotter band` against bands on the virtual radio."""

import json

import numpy as np
import pytest
from bands_on_air import air, backend, make_band

from device.band import protocol
from device.cli import build_parser, main
from device.commands.band import LIMBS
from device.drivers.ble import pairing
from device.errors import BandError, ConfigError, DriverUnavailable
from device.sim_radio.band import at_rest
from device.skeleton import BANDS


@pytest.fixture(autouse=True)
def short_listening(monkeypatch):
    monkeypatch.setattr(pairing, "LISTEN_S", 0.3)


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "spotter.toml"
    file.write_text(
        f'[imu]\ntype = "ble"\ntrusted = "{tmp_path / "bands.json"}"\npairing_window_s = 5\n'
        f'[store]\npath = "{tmp_path / "sessions.sqlite"}"\n'
    )
    return file


@pytest.fixture
def path(config):
    return config.with_name("bands.json")


@pytest.fixture
def spotter(config, capsys):
    """Run `spotter band ...` over a radio: exit status, what it printed, what it said on the side."""

    def run(radio, *argv):
        args = build_parser().parse_args(["band", *argv, "--config", str(config)])
        args.backend = backend(radio)
        capsys.readouterr()
        status = args.run(args)
        out = capsys.readouterr()
        return status, json.loads(out.out) if "--json" in argv and "watch" not in argv else out.out, out.err

    return run


def turning(times_ns):
    """A band on a table whose gyro reads 20 counts too many about x."""
    return at_rest(times_ns) + np.array([0, 0, 0, 20, 0, 0], np.int16)


def test_pair_list_identify_selftest_forget(spotter, path):
    bands = [make_band(1), make_band(2)]
    with air(path, *bands, paired=False) as radio:
        radio.rssi = {bands[0].address: -40, bands[1].address: -60}
        status, paired, said = spotter(radio, "pair", "--limb", "right_wrist", "--json")
        assert (status, paired["paired"][0]["address"]) == (0, bands[0].address)
        assert "hold it close" in said

        status, out, _ = spotter(radio, "list")
        assert status == 0
        assert "band1" in out
        assert "right_wrist" in out
        listed = spotter(radio, "list", "--scan", "0.3", "--json")[1]["bands"]
        assert [(row["name"], row["paired"], row["limb"], row["rssi_dbm"]) for row in listed] == [
            ("band1", True, "right_wrist", -40),
            ("band2", False, "", -60),
        ]

        assert spotter(radio, "identify", "right_wrist")[0] == 0
        assert bands[0].requests[-1].opcode == protocol.IDENTIFY

        assert spotter(radio, "selftest")[:2] == (0, "band1: passed\n")
        bands[0].self_test = protocol.TEST_ALL & ~protocol.TEST_GYROSCOPE
        assert spotter(radio, "selftest", "band1")[:2] == (1, "band1: failed: gyroscope\n")
        assert spotter(radio, "selftest", "--json")[1]["bands"][0]["tests"]["gyroscope"] is False

        status, out, _ = spotter(radio, "forget", "band1")
        assert (status, "is forgotten" in out) == (0, True)
        assert not radio.is_bonded(bands[0].address)
        assert spotter(radio, "list")[1] == "No band is paired. Pair one: spotter band pair\n"
        with pytest.raises(BandError, match="No paired bands are called 'band1'"):
            spotter(radio, "identify", "band1")


def test_pairing_that_finds_nobody_closes_and_says_so(spotter, path):
    with air(path) as radio:
        status, out, _ = spotter(radio, "pair", "--seconds", "0.4")
    assert status == 1
    assert "closed with 0 of 1" in out


def test_watch_shows_rate_loss_battery_and_clock(spotter, path):
    band = make_band()
    band.battery = 5
    with air(path, band) as radio:
        lines = spotter(radio, "watch", "--duration", "4", "--json")[1].splitlines()
        newest = json.loads(lines[-1])["bands"][0]
        assert (newest["limb"], newest["name"]) == ("left_wrist", "band1")
        assert newest["rate_hz"] == pytest.approx(100, abs=15)
        assert (newest["loss"], newest["battery"], newest["reconnects"]) == (0, 5, 0)
        assert newest["sync_ms"] < 20
        assert newest["problem"] == "its battery is low: charge it"
        assert "left_wrist" in spotter(radio, "watch", "--duration", "1.5")[1]


def test_calibrate_keeps_the_bias_of_a_band_at_rest(spotter, path):
    with air(path, make_band(source=turning)) as radio:
        status, result, _ = spotter(radio, "calibrate", "--json")
        assert status == 0
        bias = result["calibrated"]["band1"]["rate_bias"]
        assert bias[0] == pytest.approx(np.deg2rad(20 * 2000 / 32768), rel=0.2)
        assert path.with_name("calibrations.json").exists()


def test_the_watch_without_paired_bands_says_what_to_do(spotter, path):
    with air(path) as radio, pytest.raises(DriverUnavailable, match="spotter band pair"):
        spotter(radio, "watch")


@pytest.mark.parametrize("wrong", [["--count", "0"], ["--count", "5"], ["--count", "2", "--limb", "left_wrist"]])
def test_a_count_that_makes_no_sense_is_refused(spotter, path, wrong):
    with air(path) as radio, pytest.raises(ConfigError, match="--count"):
        spotter(radio, "pair", *wrong)


def test_flash_shows_its_commands(spotter, path):
    with air(path) as radio:
        status, steps, _ = spotter(radio, "flash", "--board", "esp32s3", "--port", "/dev/ttyACM0", "--dry-run", "--json")
    assert status == 0
    assert any("main.py" in step for step in steps["steps"])


def test_the_limbs_are_those_of_the_skeleton():
    assert LIMBS == BANDS


@pytest.mark.parametrize("what", ["list", "pair", "forget", "identify", "watch", "selftest", "calibrate", "flash"])
def test_every_part_has_help_with_an_example(capsys, what):
    with pytest.raises(SystemExit) as done:
        main(["band", what, "--help"])
    assert done.value.code == 0
    assert f"example: spotter band {what}" in capsys.readouterr().out
