"""Faults of real parts and of a real eye process, and the commands that show them."""

import json
import logging
import os
import resource
from pathlib import Path

import pytest

from device.bench.faults import FaultsFound, fault_rows, made_on
from device.cli import main
from device.config import CameraConfig, Config
from device.drivers.registry import available, create_camera
from device.errors import DriverError, DriverUnavailable, StaleFrame
from device.messages import NS_PER_S
from device.runtime.bundle import load_bundle
from device.sim.faults import camera, process, real
from device.sim.faults.feed import crystals, resting
from device.sim.faults.memory import pressed
from device.sim.faults.outcome import Outcome
from device.sim.faults.table import FAULTS
from device.sim.faults.trial import quiet


@pytest.fixture
def command(tmp_path: Path) -> Path:
    return tmp_path / "camera"


def faulty(command: Path) -> camera.FaultyCamera:
    return camera.FaultyCamera(CameraConfig(type=camera.TYPE, device=str(command), width=64, height=64, rate_hz=60.0))


def test_every_fault_of_the_table_can_be_made_somewhere() -> None:
    assert all(kind.make is not None or made_on(kind.name) != "simulated" for kind in FAULTS)
    assert set(process.MADE) < {kind.name for kind in FAULTS}


def test_the_failing_camera_is_a_driver_only_while_it_is_installed(command: Path) -> None:
    assert camera.TYPE not in available("camera")
    with camera.installed():
        config = CameraConfig(type=camera.TYPE, device=str(command))
        assert type(create_camera(config)).__name__ == "FaultyCamera"
    assert camera.TYPE not in available("camera")


def test_the_failing_camera_does_as_it_is_told(command: Path) -> None:
    with faulty(command) as source:
        assert camera.pid_file(command).read_text() == str(os.getpid())
        assert source.read().pixels.shape == (64, 64, 3)
        assert source.latest(NS_PER_S).seq == 2
        command.write_text("stale")
        with pytest.raises(StaleFrame):
            source.latest(NS_PER_S)
        command.write_text("hang 1")
        assert source.read().seq == 4
        command.write_text("unplugged")
        with pytest.raises(DriverError, match="plugged"):
            source.read()
    with pytest.raises(DriverUnavailable, match="plugged"):
        faulty(command).open()


def test_an_eye_process_that_is_killed_is_noticed_and_replaced() -> None:
    worn = crystals(1)
    with quiet():
        outcome = process.on_real_eye("eye_killed", resting(1, 10.0, worn), worn, Config(), load_bundle())
    assert outcome.survived, outcome.problem
    assert outcome.detected_s is not None
    assert outcome.recovered_s is not None
    assert outcome.lost.startswith("camera ")


def test_a_chip_that_does_not_answer_is_noticed_and_comes_back() -> None:
    with quiet():
        outcome = real.i2c_errno_121(1)
    assert outcome.survived, outcome.problem
    assert outcome.detected_s is not None
    assert outcome.lost.endswith("samples")
    assert int(outcome.lost.split()[0]) > 50


def test_motors_whose_guard_dies_are_opened_again() -> None:
    pytest.importorskip("gpiozero", reason="gpiozero is not installed")
    before = dict(os.environ)
    with quiet():
        outcome = real.pwm_write_fails(1)
    assert outcome.survived, outcome.problem
    assert outcome.detected_s is not None
    assert dict(os.environ) == before


def test_a_damaged_bundle_is_refused_and_replaced_by_the_shipped_one() -> None:
    with quiet():
        assert real.bundle_damaged(3).survived


def test_under_pressure_hardly_any_memory_is_left_and_then_all_of_it() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pressed(1 << 20) as ballast:
        assert ballast > 1 << 20
        with pytest.raises(MemoryError):
            bytearray(64 << 20)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert len(bytearray(64 << 20)) == 64 << 20


def test_a_fault_without_recovery_misses_its_limit_and_that_of_all() -> None:
    fine = Outcome("camera_hang", 1.0, 2.0, (), "", survived=True)
    stuck = Outcome("disk_full", 0.1, None, (), "", survived=False, problem="it did not recover")
    rows = {row.name: row for row in fault_rows(FaultsFound((fine, stuck), None))}
    assert rows["camera_hang_recovery_s"].ok
    assert not rows["disk_full_recovery_s"].ok
    assert not rows["longest_recovery_s"].ok
    assert rows["faults_survived"].value == 0.5
    assert "power_cut_reopened" not in rows


def test_a_band_may_take_longer_to_reboot_than_anything_else_may() -> None:
    rows = {row.name: row for row in fault_rows(FaultsFound((Outcome("band_reboot", 0.5, 7.0, (), "", survived=True),), 1.0))}
    assert rows["band_reboot_recovery_s"].ok
    assert rows["longest_recovery_s"].ok
    assert rows["power_cut_reopened"].ok


def test_the_bench_prints_rows_of_the_faults_that_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "faults", "--only", "bundle_damaged,power_cut", "--cuts", "5", "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["rows"]]
    assert {"bundle_damaged_recovery_s", "power_cut_recovery_s", "faults_survived", "power_cut_reopened"} <= set(names)
    assert "camera_hang_recovery_s" not in names


def test_the_bench_refuses_faults_that_it_does_not_know_and_lists_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "faults", "--only", "camera_hnag"]) == 1
    said = capsys.readouterr().err
    assert "camera_hnag" in said
    assert all(kind.name in said for kind in FAULTS)


def test_the_table_for_people_says_what_was_heard_and_lost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "faults", "--only", "bundle_damaged"]) == 0
    printed = capsys.readouterr().out
    assert "the newer model" in printed
    assert "survived" in printed


@pytest.mark.parametrize("arguments", [["--sets", "squat"], ["--radio"], ["--reps", "3"]])
def test_a_demo_with_faults_makes_a_session_of_its_own(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--faults", "1", *arguments]) == 1
    assert "--faults" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--hours", "0"], ["--every", "5"], ["--hours", "x"]])
def test_a_soak_that_makes_no_sense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "soak", *arguments])


def test_the_log_is_quiet_only_while_faults_are_made() -> None:
    logger = logging.getLogger("device.runtime.live_runner")
    with quiet():
        assert not logger.isEnabledFor(logging.ERROR)
    assert logger.isEnabledFor(logging.ERROR)
