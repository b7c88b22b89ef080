"""The whole pipeline is measured from outside and inside."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from device.bench import pipeline
from device.bench.pipeline import Scene, draw, judged, session, started
from device.bench.processes import busy_s, child, cpu_s, resident_mb
from device.cli import main
from device.config import BudgetConfig, Config, config_from
from device.errors import DriverError
from device.messages import NS_PER_S, ImuBatch, StageTiming
from device.runtime.recording import read_recording

needs_mediapipe = pytest.mark.skipif(importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return draw(tmp_path_factory.mktemp("scene"), Config(), 3, 1.0)


def test_the_bands_are_of_the_time_that_the_video_shows(scene: Scene) -> None:
    assert scene.frames == 15
    batches = [message for message in read_recording(scene.bands) if isinstance(message, ImuBatch)]
    assert {batch.band for batch in batches} == {0, 1, 2, 3}
    assert all(0 <= batch.t_ns <= NS_PER_S for batch in batches)
    assert sum(len(batch.times_ns) for batch in batches) == pytest.approx(400, rel=0.2)


def test_each_section_is_held_against_its_budget() -> None:
    timings = [StageTiming(0, "model", n * 1_000_000) for n in (1, 3, 50)] + [StageTiming(0, "unheard_of", 1_000_000)]
    model, other = judged(timings, BudgetConfig())
    assert (model.name, model.value, model.limit, model.ok) == ("model_ms", 3.0, "<= 2", False)
    assert (other.name, other.limit, other.ok) == ("unheard_of_ms", None, True)


@pytest.mark.parametrize("what", ["core", "pose"])
def test_a_fresh_process_is_timed_to_its_first_tick(scene: Scene, what: str) -> None:
    assert 0.1 < started(what, scene) < 60


def test_a_start_that_fails_says_why(scene: Scene, tmp_path: Path) -> None:
    absent = Scene(tmp_path / "absent.mp4", scene.bands, 1, 15.0)
    with pytest.raises(DriverError, match=r"absent\.mp4"):
        started("pose", absent)


def test_a_session_that_ends_early_says_why(scene: Scene, tmp_path: Path) -> None:
    config = config_from({"model": {"bundle": str(tmp_path / "no-bundle")}})
    with pytest.raises(DriverError, match=r"ended before it was measured.*no-bundle"):
        session(tmp_path, config, scene, 5.0)


def test_processes_are_seen_with_their_time_memory_and_children() -> None:
    before_s, machine_s = cpu_s(os.getpid()), busy_s()
    while cpu_s(os.getpid()) < before_s + 0.05:
        pass
    assert busy_s() > machine_s
    assert resident_mb() == pytest.approx(resident_mb(os.getpid()), rel=0.1)
    assert child(os.getpid(), "http.server") is None
    with subprocess.Popen([sys.executable, "-c", "input()", "http.server"], stdin=subprocess.PIPE) as other:
        assert child(os.getpid(), "http.server") == other.pid
    with pytest.raises(FileNotFoundError):
        cpu_s(other.pid)


@needs_mediapipe
def test_the_command_measures_a_whole_session(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pipeline, "SETTLED_S", 0.2)
    monkeypatch.setattr(pipeline, "MARGIN_S", 3.0)
    monkeypatch.setattr(pipeline, "STARTS", 1)
    assert main(["bench", "pipeline", "--seconds", "1", "--seed", "3", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in printed["rows"]}
    limits = {
        "core_cpu_share": "<= 0.1",
        "cold_start_core_s": "<= 3",
        "cold_start_pose_s": "<= 6",
        "core_rss_mb": "<= 120",
        "eye_rss_mb": "<= 250",
    }
    assert {name: rows[name]["limit"] for name in limits} == limits
    assert {"camera_ms", "pose_ms", "align_ms", "features_ms", "model_ms", "coach_ms"} <= set(rows)
    assert all(row["value"] > 0 for row in rows.values())
    shares = rows["core_cpu_share"]["value"], rows["core_cpu_ms_per_s"]["value"] / rows["bare_loop_cpu_ms_per_s"]["value"]
    assert shares[0] == pytest.approx(shares[1])
    assert printed["machine"]
