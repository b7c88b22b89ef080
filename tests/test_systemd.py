import configparser
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
    assert set(service["SupplementaryGroups"].split()) - {"video", "audio"} <= made
    assert service["User"] in made
