import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from device import __version__, cli
from device.errors import StoreError

ROOT = Path(__file__).parents[1]


def spotter(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "device.cli", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"spotter {__version__}\n"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_help_of_every_command_has_a_description_and_an_example(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert f"example: spotter {command}" in printed
    assert len(printed.split("\n\n")[1].split()) >= 6


def test_usage_errors_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["dance"], ["history", "--no-such-option"], ["history", "three"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        assert stopped.value.code == 2
    assert "usage: spotter" in capsys.readouterr().err


def test_help_does_not_load_what_only_the_commands_need() -> None:
    heavy = ("numpy", "cv2", "mediapipe", "matplotlib", "rich", "ai_edge_litert", "tflite_runtime")
    code = f"import sys; from device import cli; cli.build_parser(); print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_error_is_one_line_without_traceback(tmp_path: Path) -> None:
    done = spotter("history", "--store", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("spotter: ")
    assert done.stderr.count("\n") == 1


def test_a_message_of_several_lines_becomes_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_args: object) -> int:
        raise StoreError("first\n  second")

    monkeypatch.setattr("device.commands.history.run", fail)
    assert cli.main(["history"]) == 1
    assert capsys.readouterr().err == "spotter: first second\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_have_exit_statuses_of_their_own(number: signal.Signals) -> None:
    code = """
import sys, time
from device import cli
import device.commands.history as history
def wait(args):
    print("ready", flush=True)
    time.sleep(30)
history.run = wait
sys.exit(cli.main(["history"]))
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, error = process.communicate(timeout=10)
    assert process.returncode == (cli.TERMINATED if number == signal.SIGTERM else cli.INTERRUPTED)
    assert error == "spotter: stopped.\n"


def test_a_reader_that_goes_away_is_no_crash() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "device.cli", "config", "show"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=10) in (0, 1)


def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "device.cli", "config", "show"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("spotter: ")
    assert "No space left" in done.stderr
    assert done.stderr.count("\n") == 1


def test_warnings_are_lines_on_standard_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def warn(_args: object) -> int:
        logging.getLogger("device.runtime.session").warning("goes on without its %s", "voice")
        logging.getLogger("device.runtime.session").info("all is well")
        return 0

    monkeypatch.setattr("device.commands.history.run", warn)
    assert cli.main(["history"]) == 0
    assert capsys.readouterr().err == "spotter: goes on without its voice\n"
