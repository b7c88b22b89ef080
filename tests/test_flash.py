"""Flashing a band: what would be run, and what is said when it can't be."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device.band_tools import flash as tool
from device.errors import DriverUnavailable, FlashError


def finished(status: int = 0, stdout: str = "", stderr: str = "") -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda argv, **_: subprocess.CompletedProcess(argv, status, stdout, stderr)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """mpremote and esptool as if they were installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())


@pytest.mark.parametrize("board", tool.BOARDS)
def test_the_old_firmware_is_stopped_before_and_main_is_copied_last(board: str) -> None:
    commands = tool.plan_flash(board, "/dev/ttyACM0")
    assert all(command.argv[:5] == (sys.executable, "-m", "mpremote", "connect", "/dev/ttyACM0") for command in commands)
    assert [command.argv[5] for command in commands] == ["exec", "reset", "exec", "fs", "reset"]
    copy = commands[3].argv[5:]
    targets = [argument for argument in copy if argument.startswith(":")]
    assert targets[-1] == ":main.py"
    assert targets == [f":{target}" for target in tool.firmware_files()]
    assert copy.count("+") == len(targets) - 1


def test_the_folders_are_made_where_they_are_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tool.plan_flash("picow", "/dev/ttyACM0")[2].argv[-1].replace("os.listdir('/'", f"os.listdir('{tmp_path}/'")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        exec(code, {})
        assert (tmp_path / "device" / "band" / "chips").is_dir()
        assert (tmp_path / "boards").is_dir()


def test_the_old_firmware_is_stopped_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tool.plan_flash("picow", "/dev/ttyACM0")[0].argv[-1]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").touch()
    for _ in range(2):
        exec(code, {})
        assert not (tmp_path / "main.py").exists()


def test_an_image_of_micropython_is_written_first(tmp_path: Path) -> None:
    image = tmp_path / "micropython.bin"
    image.touch()
    first, second, *_ = tool.plan_flash("esp32s3", "/dev/ttyACM0", image)
    esptool = (sys.executable, "-m", "esptool", "--chip", "esp32s3", "--port", "/dev/ttyACM0")
    assert first.argv == (*esptool, "erase-flash")
    assert second.argv == (*esptool, "write-flash", "0", str(image))


def test_a_pico_says_how_it_takes_its_image(tmp_path: Path) -> None:
    image = tmp_path / "micropython.uf2"
    image.touch()
    with pytest.raises(FlashError, match="BOOTSEL"):
        tool.plan_flash("picow", "/dev/ttyACM0", image)


def test_an_unknown_board_and_an_absent_image_are_named(tmp_path: Path) -> None:
    with pytest.raises(FlashError, match="'esp8266'; the boards are: esp32s3, picow"):
        tool.plan_flash("esp8266", "/dev/ttyACM0")
    with pytest.raises(FlashError, match=r"no MicroPython image .*absent\.bin"):
        tool.plan_flash("esp32s3", "/dev/ttyACM0", tmp_path / "absent.bin")


def test_a_dry_run_says_every_command_and_runs_none() -> None:
    said: list[str] = []

    def never(*_arguments: Any, **_options: Any) -> Any:
        raise AssertionError("A dry run runs nothing.")

    tool.flash("esp32s3", "/dev/ttyACM0", dry_run=True, say=said.append, run=never)
    assert said == [str(command) for command in tool.plan_flash("esp32s3", "/dev/ttyACM0")]


@pytest.mark.usefixtures("tools")
def test_every_step_is_run_in_order(tmp_path: Path) -> None:
    port = tmp_path / "port"
    port.touch()
    ran: list[tuple[str, ...]] = []

    def run(argv: tuple[str, ...], **_options: Any) -> subprocess.CompletedProcess[str]:
        ran.append(argv)
        return subprocess.CompletedProcess(argv, 0, "", "")

    said: list[str] = []
    slept: list[float] = []
    tool.flash("picow", str(port), say=said.append, run=run, sleep=slept.append)
    assert ran == [command.argv for command in tool.plan_flash("picow", str(port))]
    assert len(said) == len(ran)
    assert len(slept) == 1


@pytest.mark.usefixtures("tools")
def test_a_band_that_does_not_come_back_from_its_reset_is_reported(tmp_path: Path) -> None:
    port = tmp_path / "port"
    port.touch()

    def run(argv: tuple[str, ...], **_options: Any) -> subprocess.CompletedProcess[str]:
        if argv[-1] == "reset":
            port.unlink()
        return subprocess.CompletedProcess(argv, 0, "", "")

    with pytest.raises(FlashError, match="did not come back"):
        tool.flash("picow", str(port), say=lambda _: None, run=run, sleep=lambda _: None)


@pytest.mark.usefixtures("tools")
def test_a_step_that_fails_ends_it_with_the_tools_words(tmp_path: Path) -> None:
    port = tmp_path / "port"
    port.touch()
    with pytest.raises(FlashError, match=r"stop the firmware that is there: .*could not enter raw repl"):
        tool.flash("picow", str(port), say=lambda _: None, run=finished(1, stderr="mpremote\ncould not enter raw repl\n"))


@pytest.mark.usefixtures("tools")
def test_an_absent_port_is_named() -> None:
    with pytest.raises(FlashError, match="no port /dev/none"):
        tool.flash("picow", "/dev/none", run=finished())


def test_an_absent_tool_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = tmp_path / "port"
    port.touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DriverUnavailable, match=r"mpremote.*spotter\[flash\]"):
        tool.flash("picow", str(port), run=finished())


@pytest.mark.parametrize(
    ("plugged", "message"), [([], "No esp32s3 is plugged in"), ([("/dev/a", 0x303A), ("/dev/b", 0x303A)], "Several .*--port")]
)
def test_the_port_is_not_guessed(plugged: list[tuple[str, int]], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    list_ports = pytest.importorskip("serial.tools.list_ports", reason="pyserial is absent; install it")
    ports = [type("Port", (), {"device": device, "vid": vid})() for device, vid in plugged]
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    with pytest.raises(FlashError, match=message):
        tool.find_port("esp32s3")


def test_the_only_board_of_its_kind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    list_ports = pytest.importorskip("serial.tools.list_ports", reason="pyserial is absent; install it")
    ports = [type("Port", (), {"device": d, "vid": v})() for d, v in (("/dev/a", 0x303A), ("/dev/b", 0x2E8A), ("/dev/c", None))]
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    assert tool.find_port("esp32s3") == "/dev/a"
    assert tool.find_port("picow") == "/dev/b"
