import json
import math
from argparse import ArgumentParser

import pytest

from device import rows


def test_a_row_is_judged_against_its_limit() -> None:
    assert rows.row("angle_score", 0.95, "rad", at_least=0.9).ok
    assert not rows.row("angle_score", 0.85, "rad", at_least=0.9).ok
    assert rows.row("model_step_ms", 1.0, "ms", at_most=1.0).ok
    assert not rows.row("model_step_ms", 1.1, "ms", at_most=1.0).ok


def test_a_row_without_a_limit_is_ok() -> None:
    assert rows.row("angle_score_raw", 0.1, "rad") == rows.Row("angle_score_raw", 0.1, "rad", None, True)


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_was_not_measured_misses_its_limit_and_is_null_in_json(value: float | None) -> None:
    row = rows.row("cue_hit_rate", value, at_least=0.9)
    assert not row.ok
    assert json.loads(json.dumps(rows.as_json(rows.report([row]))))["rows"][0]["value"] is None


def test_json_has_the_agreed_keys(capsys: pytest.CaptureFixture[str]) -> None:
    report = rows.report([rows.row("bundle_kb", 120.0, "KB", at_most=300)], seed=7, bundle="1.2")
    assert rows.show(report, _arguments("--json")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"rows", "machine", "seed", "bundle"}
    assert printed["rows"] == [{"name": "bundle_kb", "value": 120.0, "unit": "KB", "limit": "<= 300", "ok": True}]
    assert (printed["seed"], printed["bundle"]) == (7, "1.2")
    assert "core" in printed["machine"]


def test_the_table_shows_every_row_and_what_missed(capsys: pytest.CaptureFixture[str]) -> None:
    report = rows.report([rows.row("reps_exact", 0.5, "share", at_least=0.85), rows.row("note", 1.0)], seed=3)
    rows.show(report, _arguments())
    printed = capsys.readouterr().out
    assert "reps_exact" in printed
    assert "missed" in printed
    assert ">= 0.85" in printed
    assert "seed 3" in printed


def test_only_strict_turns_a_missed_limit_into_an_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    missed = rows.report([rows.row("reps_exact", 0.5, "share", at_least=0.85)])
    met = rows.report([rows.row("reps_exact", 0.9, "share", at_least=0.85)])
    assert rows.show(missed, _arguments()) == 0
    assert rows.show(missed, _arguments("--strict")) == 1
    assert rows.show(met, _arguments("--strict")) == 0
    capsys.readouterr()


def _arguments(*options: str):
    parser = ArgumentParser()
    rows.add_arguments(parser)
    return parser.parse_args(options)
