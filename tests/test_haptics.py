import json
import logging
from pathlib import Path

import pytest

from device.config import HapticConfig
from device.drivers.haptic_log import LogHaptic
from device.drivers.haptic_pwm import PwmHaptic
from device.drivers.haptic_virtual import VirtualHaptic
from device.errors import StoreError

MS = 1_000_000


def test_the_log_holds_one_line_per_vibration_and_an_end(tmp_path):
    file = tmp_path / "haptic.jsonl"
    with LogHaptic(HapticConfig(type="log", device=str(file))) as haptic:
        haptic.vibrate(0, 0.123456, 200 * MS, 5 * MS)
        haptic.vibrate(3, 2.0, 9_000 * MS, 6 * MS)
        haptic.vibrate(1, 0.0, 200 * MS, 7 * MS)
        # What was written is there at once, whatever happens next.
        assert len(file.read_text().splitlines()) == 2
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"event": "vibrate", "t_ns": 5 * MS, "band": "left_wrist", "intensity": 0.1235, "duration_ms": 200.0},
        {"event": "vibrate", "t_ns": 6 * MS, "band": "right_ankle", "intensity": 1.0, "duration_ms": 1000.0},
        {"event": "off"},
    ]


def test_without_a_file_the_programs_log_holds_the_lines(caplog):
    caplog.set_level(logging.INFO)
    with LogHaptic(HapticConfig(type="log")) as haptic:
        haptic.vibrate(2, 1.0, 200 * MS, 0)
    assert "left_ankle" in caplog.text


def test_a_log_that_can_not_be_written_says_what_to_set(tmp_path):
    with pytest.raises(StoreError, match=r"haptic\.device"):
        LogHaptic(HapticConfig(type="log", device=str(tmp_path / "nowhere" / "log"))).open()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_a_store_error():
    haptic = LogHaptic(HapticConfig(type="log", device="/dev/full"))
    haptic.open()
    with pytest.raises(StoreError, match="Make room"):
        haptic.vibrate(0, 1.0, 200 * MS, 0)
    haptic.close()


def test_the_virtual_motors_tell_their_listener_what_was_granted():
    heard = []
    with VirtualHaptic(HapticConfig(type="virtual", max_on_ms=300), heard.append) as haptic:
        haptic.vibrate(1, 0.5, 900 * MS, 7)
    assert haptic.vibrations == heard
    (vibration,) = heard
    assert (vibration.t_ns, vibration.band, vibration.intensity, vibration.duration_ns) == (7, 1, 0.5, 300 * MS)
    assert haptic.offs == 1


def test_a_band_without_a_motor_does_not_vibrate_and_uses_nothing_up(monkeypatch):
    pytest.importorskip("gpiozero", reason="gpiozero is not installed")
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    monkeypatch.setenv("GPIOZERO_MOCK_PIN_CLASS", "mockpwmpin")
    with PwmHaptic(HapticConfig(type="pwm", pins={"left_wrist": 12})) as haptic:
        assert haptic.vibrate(1, 1.0, 200 * MS, 0) == 0
        assert haptic.vibrate(0, 1.0, 200 * MS, 0) == 200 * MS
