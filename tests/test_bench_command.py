import inspect
import json
from importlib import import_module

import pytest

from device.bench.session import sensed
from device.cli import build_parser, main
from device.commands.bench import PARTS, Part
from device.config import config_from
from device.messages import NS_PER_S, ImuBatch, Pose


def test_the_virtual_session_has_poses_and_bands_in_order_of_time() -> None:
    messages = list(sensed(config_from({"imu": {"type": "virtual"}}), seed=3, seconds=4))
    poses = [m for m in messages if isinstance(m, Pose)]
    assert len(poses) == 60
    assert poses[-1].t_ns < 4 * NS_PER_S
    assert all(0 < pose.image[:, 1].mean() < 1 for pose in poses)
    assert poses[-1].world[0, 1] < poses[-1].world[31, 1], "y points down: the nose is above the feet"
    assert {m.band for m in messages if isinstance(m, ImuBatch)} == {0, 1, 2, 3}


def test_the_model_is_measured_on_every_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "model", "--seconds", "5", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert {"model_step_ms", "model_step_litert_int8_ms", "int8_agreement", "int8_angle_diff_deg", "bundle_kb"} <= set(rows)
    assert rows["bundle_kb"]["ok"]
    assert rows["stream_window_diff"]["value"] is None or rows["stream_window_diff"]["ok"]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_part_has_its_module_and_an_example_that_is_valid(part: Part) -> None:
    assert inspect.signature(import_module(f"device.bench.{part.module}").measure).parameters.keys() == {"args", "progress"}
    args = build_parser().parse_args(["bench", part.name, *part.example.split()])
    assert args.module == part.module


@pytest.mark.parametrize(
    "arguments",
    [
        "model --seconds 0",
        "model --seconds nan",
        "pose --seed -1",
        "assign --trials 0",
        "render --sessions 0.5",
        "time --seconds x",
    ],
)
def test_numbers_that_make_no_sense_are_refused(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["bench", *arguments.split()])
    assert stopped.value.code == 2
    assert arguments.split()[1] in capsys.readouterr().err


def test_a_part_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["bench"])
    assert stopped.value.code == 2
    assert "PART" in capsys.readouterr().err
