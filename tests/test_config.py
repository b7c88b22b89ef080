"""Settings: defaults, files, and what a mistake in a file is answered with."""

from pathlib import Path

import pytest

from device.config import Config, config_from, load_config, settings, with_settings
from device.errors import ConfigError


def test_defaults_need_no_file() -> None:
    assert load_config(None) == Config()


def test_every_setting_has_a_description_and_a_default_inside_its_own_range() -> None:
    rows = list(settings(Config()))
    assert all(row.description.endswith(".") for row in rows)
    data: dict[str, dict[str, object]] = {}
    for row in rows:
        section, name = row.path.split(".")
        data.setdefault(section, {})[name] = row.value
    assert config_from(data) == Config()


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "spotter.toml"
    file.write_text("[coach]\nstrictness = 1\n", encoding="utf-8")
    config = load_config(file)
    assert config.coach.strictness == 1.0
    assert config.signals == Config().signals


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[coach]\nstrictnes = 1\n", r"unknown key coach\.strictnes\. Did you mean coach\.strictness\?"),
        ("[couch]\nstrictness = 1\n", r"unknown key couch\. Did you mean coach\?"),
        ("[coach]\nstrictness = 'high'\n", r"coach\.strictness must be a number, not 'high'"),
        ("[coach]\npraise = 1\n", r"coach\.praise must be true or false"),
        ("[camera]\nwidth = true\n", r"camera\.width must be a whole number"),
        ("[coach]\nstrictness = 1.5\n", r"coach\.strictness = 1\.5 is out of range; it must be 0 to 1"),
        ("[coach]\nstrictness = nan\n", r"out of range"),
        ("[model]\nruntime = 'litart'\n", r"must be one of auto, litert, tflite_runtime\. Did you mean litert\?"),
        ("[haptic]\npins = {left_wrist = 'a'}\n", r"haptic\.pins\.left_wrist must be a whole number"),
        ("[coach]\nfast_pathe = true\n", r"unknown key coach\.fast_pathe\. Did you mean coach\.fast_path\?"),
        ("[budget]\nvoices_ms = 1\n", r"unknown key budget\.voices_ms\. Did you mean budget\.voice_ms\?"),
        ("[budget]\npose_ms = 300\n", r"budget\.pose_ms = 300 is more than budget\.voice_ms = 250, which contains it"),
        ("[budget]\nhaptic_ms = 5\nbands_ms = 6\n", r"budget\.bands_ms = 6 is more than budget\.haptic_ms = 5"),
        ("[budget]\npose_ms = 240\n", r"budget\.voice_ms = 250 contains take 261 ms together, budget\.pose_ms = 240 the most"),
        ("camera = 3\n", r"camera must be a table"),
        ("[camera\n", r"not valid TOML"),
    ],
)
def test_a_mistake_is_an_error_with_its_path(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "spotter.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(file)
    assert str(file) in str(caught.value)


def test_an_absent_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        load_config(tmp_path / "nowhere.toml")


def test_settings_changed_in_code_are_checked_too() -> None:
    assert with_settings(Config(), camera={"type": "file"}).camera.type == "file"
    with pytest.raises(ConfigError, match=r"camera\.rate_hz"):
        with_settings(Config(), camera={"rate_hz": -1})
