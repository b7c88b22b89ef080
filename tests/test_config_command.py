import json
import tomllib
from pathlib import Path

import pytest

from device.cli import main
from device.commands.config import as_toml
from device.config import Config, config_from, load_config, settings


def test_the_shown_settings_load_back_as_they_were(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(
        '[camera]\ntype = "file"\ndevice = "C:\\\\films\\\\a \\"b\\".mp4"\nrate_hz = 29.97\n'
        '[haptic]\npins = { left_wrist = 4 }\n[exercises]\nenabled = ["squat", "lunge"]\n[coach]\npraise = false\n'
    )
    assert main(["config", "show", "--config", str(changed)]) == 0
    shown = tmp_path / "shown.toml"
    shown.write_text(capsys.readouterr().out)
    assert load_config(shown) == load_config(changed)
    assert load_config(shown) != Config()


def test_texts_survive_toml_whatever_is_in_them() -> None:
    for text in ('"', "\\", "\x7f", "\t\n", "°ü", "'", "#", "[a]"):
        config = config_from({"store": {"trainee": text}})
        assert config_from(tomllib.loads(as_toml(settings(config)))) == config


def test_every_setting_is_shown_with_its_meaning_and_range(capsys: pytest.CaptureFixture[str]) -> None:
    main(["config", "show"])
    printed = capsys.readouterr().out
    for setting in settings(Config()):
        assert f"# {setting.description}" in printed
    assert "1 to 120 Hz." in printed
    assert "One of auto, litert, tflite_runtime." in printed


def test_json_carries_path_value_unit_range_and_description(capsys: pytest.CaptureFixture[str]) -> None:
    main(["config", "show", "--json"])
    shown = {row["path"]: row for row in json.loads(capsys.readouterr().out)["settings"]}
    rate = shown["camera.rate_hz"]
    assert (rate["value"], rate["unit"], rate["low"], rate["high"]) == (15.0, "Hz", 1, 120)
    assert rate["description"]
    assert shown["haptic.pins"]["value"]["left_wrist"] == 12


def test_check_says_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "spotter.toml"
    file.write_text("[coach]\nstrictness = 1\n")
    assert main(["config", "check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: OK\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[camera]\nrate_hs = 15\n", "unknown key camera.rate_hs. Did you mean camera.rate_hz?"),
        ('[camera]\nrate_hz = "fast"\n', "camera.rate_hz must be a number"),
        ("[camera]\nrate_hz = -3\n", "camera.rate_hz = -3.0 is out of range; it must be 1 to 120 Hz."),
        ("[camera\n", "not valid TOML"),
    ],
)
def test_check_says_what_is_wrong_in_one_line(
    text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "spotter.toml"
    file.write_text(text)
    assert main(["config", "check", str(file)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"spotter: {file}: ")
    assert complaint in error
    assert error.count("\n") == 1


def test_an_absent_file_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", str(tmp_path / "none.toml")]) == 1
    assert "can't be read" in capsys.readouterr().err
