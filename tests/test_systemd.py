import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from device.config import load_config
from device.drivers.registry import available

FOLDER = Path(__file__).parents[1] / "systemd"


@pytest.fixture(scope="module")
def service():
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str
    unit.read(FOLDER / "spotter.service")
    return unit["Service"]


def test_the_settings_of_an_appliance_are_valid_and_their_drivers_are_there():
    config = load_config(FOLDER / "spotter.toml")
    for base in ("camera", "imu", "speaker", "haptic"):
        assert getattr(config, base).type in available(base)


def test_the_motors_are_turned_off_after_the_service(service, monkeypatch):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setenv("GPIOZERO_MOCK_PIN_CLASS", "mockpwmpin")
    python, *arguments = service["ExecStopPost"].split()
    assert python == "/opt/spotter/bin/python"
    arguments = [str(FOLDER / "spotter.toml") if argument == "/etc/spotter.toml" else argument for argument in arguments]
    subprocess.run([sys.executable, *arguments], check=True, timeout=20)


def test_the_service_starts_the_coach_with_a_command_that_exists(service):
    from device.cli import main

    spotter, *arguments = service["ExecStart"].split()
    assert spotter == "/opt/spotter/bin/spotter"
    assert arguments[-2:] == ["--config", "/etc/spotter.toml"]
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert end.value.code == 0


def test_sessions_are_kept_where_the_service_may_write(service):
    assert load_config(FOLDER / "spotter.toml").store.path.startswith(f"/var/lib/{service['StateDirectory']}/")


def test_every_group_of_the_service_is_made_or_part_of_debian(service):
    made = {line.split()[1] for line in (FOLDER / "spotter.sysusers").read_text().splitlines() if line[:1] in "gu"}
    assert set(service["SupplementaryGroups"].split()) - {"video", "audio", "dialout"} <= made
    assert service["User"] in made


MOST_EXPOSURE = 3.0
analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is absent: apt install systemd")


@pytest.fixture
def unit(tmp_path):
    """The unit with programs that are there."""
    (tmp_path / "bin").mkdir()
    for program in ("spotter", "python"):
        (tmp_path / "bin" / program).symlink_to(sys.executable)
    file = tmp_path / "spotter.service"
    file.write_text((FOLDER / "spotter.service").read_text().replace("/opt/spotter", str(tmp_path)))
    return file


def analyzed(*arguments):
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@analyze
def test_systemd_understands_every_line_of_the_unit(unit):
    found = analyzed("verify", "--man=no", "--recursive-errors=no", str(unit))
    # Its own units may lack something on this machine; of ours nothing is said.
    assert "spotter" not in found.stderr, found.stderr


@analyze
def test_systemd_finds_a_wrong_line(unit):
    unit.write_text(unit.read_text().replace("[Install]", "PrivatTmp=yes\n[Install]"))
    assert "PrivatTmp" in analyzed("verify", "--man=no", "--recursive-errors=no", str(unit)).stderr


@analyze
def test_the_unit_exposes_little(unit):
    found = analyzed("security", "--offline=true", "--no-pager", f"--threshold={round(MOST_EXPOSURE * 10)}", str(unit))
    assert found.returncode == 0, found.stdout
    assert "Overall exposure level" in found.stdout


def test_the_service_is_ready_and_alive_by_its_own_word_and_saved_when_it_is_not(service):
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    assert service["WatchdogSignal"] == "SIGTERM"
    assert service["SuccessExitStatus"] == "143"
    assert service["Restart"] == "always"


def test_the_service_may_reach_what_its_drivers_open(service_text):
    allowed = {line.split("=")[1].split()[0] for line in service_text.splitlines() if line.startswith("DeviceAllow=")}
    assert allowed >= {f"char-{name}" for name in ("video4linux", "media", "alsa", "gpiochip", "i2c", "ttyACM", "ttyUSB")}
    families = next(line for line in service_text.splitlines() if line.startswith("RestrictAddressFamilies="))
    # D-Bus, for Bluetooth, and systemd's own socket.
    assert "AF_UNIX" in families


@pytest.fixture
def service_text():
    return (FOLDER / "spotter.service").read_text()
