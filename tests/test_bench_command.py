import json
from pathlib import Path

import pytest
from scripted import ScriptedModel, rest

from device.cli import main
from device.commands.bench import sensed
from device.config import config_from
from device.messages import NS_PER_S, ImuBatch, Pose
from device.runtime.bundle import Bundle
from device.runtime.features import FeatureConstants


def test_the_virtual_session_has_poses_and_bands_in_order_of_time() -> None:
    messages = list(sensed(config_from({"imu": {"type": "virtual"}}), seed=3, seconds=4))
    poses = [m for m in messages if isinstance(m, Pose)]
    assert len(poses) == 60
    assert poses[-1].t_ns < 4 * NS_PER_S
    assert all(0 < pose.image[:, 1].mean() < 1 for pose in poses)
    assert poses[-1].world[0, 1] < poses[-1].world[31, 1], "y points down: the nose is above the feet"
    assert {m.band for m in messages if isinstance(m, ImuBatch)} == {0, 1, 2, 3}


def test_the_core_is_measured_section_by_section(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = Bundle(Path(), "test", (), FeatureConstants(), 0, (), {}, {})
    monkeypatch.setattr("device.runtime.live.config_bundle", lambda _: bundle)
    monkeypatch.setattr("device.runtime.model.StepModel", lambda *_: ScriptedModel([*rest(1)]))
    assert main(["bench", "core", "--seconds", "3", "--seed", "5", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in printed["rows"]}
    assert set(rows) == {"align_us", "features_us", "model_us", "coach_us", "bands_us"}
    assert all(row["value"] > 0 for row in printed["rows"])
    assert rows["align_us"]["limit"] == rows["bands_us"]["limit"] == "<= 1000"
    assert (printed["seed"], printed["bundle"]) == (5, "test")


def test_the_model_is_measured_on_every_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "model", "--seconds", "5", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert {"model_step_ms", "model_step_litert_int8_ms", "int8_agreement", "int8_angle_diff_deg", "bundle_kb"} <= set(rows)
    assert rows["bundle_kb"]["ok"]
    assert rows["stream_window_diff"]["value"] is None or rows["stream_window_diff"]["ok"]


def test_a_part_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["bench"])
    assert stopped.value.code == 2
    assert "PART" in capsys.readouterr().err
