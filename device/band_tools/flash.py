"""Puts the firmware on a band over its USB cable, with mpremote and, for MicroPython itself, esptool."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from device.errors import DriverUnavailable, FlashError

ROOT = Path(__file__).parents[2]
BOARDS = ("esp32s3", "picow")
_VENDORS = {"esp32s3": 0x303A, "picow": 0x2E8A}
"""USB vendors of the boards' serial ports: Espressif, Raspberry Pi."""
_STAND_INS = "standins"
_TIMEOUT_S = 300.0
_RESET_S = 2.0
_RETURN_S = 15.0
"""A board that starts anew leaves the USB bus for the first, and is back after the second at the latest."""
# The watchdog of a running firmware can't be stopped: without its main.py, the band boots into a prompt that has none.
_DISARM = "import os; 'main.py' in os.listdir() and os.remove('main.py')"
_FOLDERS = "import os; [os.mkdir(d) for d in {folders!r} if d.rsplit('/', 1)[-1] not in os.listdir('/' + d.rpartition('/')[0])]"


@dataclass(frozen=True, slots=True)
class FlashCommand:
    """One step. `argv`: the program and its arguments; `purpose`: what it does, for people. `resets`: the port goes away."""

    purpose: str
    argv: tuple[str, ...]
    resets: bool = False

    def __str__(self) -> str:
        return shlex.join(self.argv)


def plan_flash(board: str, port: str, image: Path | None = None) -> list[FlashCommand]:
    """The steps that put the firmware, and first MicroPython's `image` (.bin) where one is given, on the band at `port`.

    Nothing is run and no device is touched. Bonds, name and calibration survive unless there is an `image`. Raises FlashError
    for an unknown board, an image that is absent or can't be written this way, and a tree without firmware.
    """
    if board not in BOARDS:
        raise FlashError(f"There is no firmware for the board {board!r}; the boards are: {', '.join(BOARDS)}.")
    commands = [] if image is None else _write_image(board, port, image)
    sources = firmware_files()
    folders = sorted({str(parent) for target in sources for parent in Path(target).parents if str(parent) != "."})
    commands += [
        FlashCommand("stop the firmware that is there", _mpremote(port, "exec", _DISARM)),
        FlashCommand("start anew without it", _mpremote(port, "reset"), resets=True),
        FlashCommand("make the folders", _mpremote(port, "exec", _FOLDERS.format(folders=folders))),
    ]
    copies = [argument for target, source in sources.items() for argument in ("+", "fs", "cp", str(source), f":{target}")]
    return [
        *commands,
        FlashCommand(f"copy {len(sources)} files", _mpremote(port, *copies[1:])),
        FlashCommand("start the firmware", _mpremote(port, "reset")),
    ]


def flash(
    board: str,
    port: str | None = None,
    image: Path | None = None,
    *,
    dry_run: bool = False,
    say: Callable[[str], None] = print,
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Flash the band at `port` (the only one of its kind when None). `dry_run` says the commands and runs none.

    Raises DriverUnavailable naming the package of an absent tool, FlashError when the port is absent or a step fails.
    """
    if dry_run:
        for command in plan_flash(board, port or "PORT", image):
            say(str(command))
        return
    found = find_port(board) if port is None else port
    if not Path(found).exists():
        raise FlashError(
            f"There is no port {found}; plug the band in with a cable that carries data, or name its port with --port."
        )
    commands = plan_flash(board, found, image)
    for tool in ("mpremote", "esptool") if image else ("mpremote",):
        if importlib.util.find_spec(tool) is None:
            raise DriverUnavailable(f"Flashing needs {tool}, which is absent; install it with: pip install 'spotter[flash]'")
    for command in commands:
        say(f"{command.purpose} ...")
        _step(command, run)
        if command.resets:
            _wait_for(Path(found), sleep)


def find_port(board: str) -> str:
    """The serial port of the one board of that kind that is plugged in. Raises FlashError where there is none or several."""
    try:
        from serial.tools import list_ports
    except ImportError as error:
        raise DriverUnavailable("Finding the port needs pyserial; install it with: pip install 'spotter[flash]'") from error
    ports = sorted(each.device for each in list_ports.comports() if each.vid == _VENDORS.get(board))
    if len(ports) == 1:
        return str(ports[0])
    if not ports:
        raise FlashError(f"No {board} is plugged in. Connect one with a cable that carries data, or name its port with --port.")
    raise FlashError(f"Several {board} boards are plugged in: {', '.join(ports)}. Name one with --port.")


def firmware_files() -> dict[str, Path]:
    """What goes on a band: its path there and the file here, `main.py` last. Raises FlashError without a source tree."""
    firmware, shared = ROOT / "firmware_wearable", ROOT / "device" / "band"
    if not (firmware / "main.py").exists():
        raise FlashError(f"There is no firmware in {firmware}; flash from Spotter's source tree.")
    own = [path for path in sorted(firmware.rglob("*.py")) if _STAND_INS not in path.relative_to(firmware).parts]
    files = {str(path.relative_to(ROOT)): path for path in sorted(shared.rglob("*")) if path.suffix in (".py", ".bin")}
    files |= {str(path.relative_to(firmware)): path for path in own if path.name != "main.py"}
    return files | {"main.py": firmware / "main.py"}


def _write_image(board: str, port: str, image: Path) -> list[FlashCommand]:
    if not image.is_file():
        raise FlashError(f"There is no MicroPython image {image}; download the one of your board from micropython.org.")
    if board == "picow":
        raise FlashError(
            f"A Pico takes MicroPython as a drive: hold BOOTSEL while you plug it in, copy {image.name} onto RPI-RP2, and "
            "flash again without an image."
        )
    esptool = (sys.executable, "-m", "esptool", "--chip", board, "--port", port)
    return [
        FlashCommand("erase the flash", (*esptool, "erase-flash")),
        FlashCommand("write MicroPython", (*esptool, "write-flash", "0", str(image)), resets=True),
    ]


def _mpremote(port: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "mpremote", "connect", port, *arguments)


def _step(command: FlashCommand, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    try:
        done = run(command.argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise FlashError(f"It took too long to {command.purpose}; unplug the band, plug it in again and retry.") from error
    if done.returncode:
        raise FlashError(f"Could not {command.purpose}: {_last_words(done.stdout, done.stderr)} ({command})")


def _wait_for(port: Path, sleep: Callable[[float], None]) -> None:
    sleep(_RESET_S)
    waited = _RESET_S
    while not port.exists():
        if waited >= _RETURN_S:
            raise FlashError(f"The band did not come back at {port}; unplug it, plug it in again and retry.")
        sleep(0.5)
        waited += 0.5


def _last_words(*outputs: str) -> str:
    lines: Sequence[str] = [line.strip() for output in outputs for line in (output or "").splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "it said nothing"
