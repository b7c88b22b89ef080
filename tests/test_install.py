"""`make install` and `make uninstall` into a folder that stands for the root of a system; without the Python environment."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNITS = {
    "etc/systemd/system/spotter.service",
    "etc/sysusers.d/spotter.conf",
    "etc/tmpfiles.d/spotter.conf",
    "etc/udev/rules.d/60-spotter.rules",
}

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is absent")


def make(target: str, root: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    settings = [f"{name}={value}" for name, value in ({"DESTDIR": str(root), "PIP": "no"} | variables).items()]
    return subprocess.run(["make", target, *settings], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def installed(root: Path, **variables: str) -> Path:
    done = make("install", root, **variables)
    assert done.returncode == 0, done.stderr
    return root


def test_units_settings_and_nothing_else_are_installed(tmp_path: Path) -> None:
    installed(tmp_path)
    program = {"opt/spotter/installed.txt", "opt/spotter/spotter.toml"}
    assert files(tmp_path) == UNITS | program | {"etc/spotter.toml"}
    assert (tmp_path / "etc/spotter.toml").read_text() == (ROOT / "systemd/spotter.toml").read_text()


def test_another_prefix_is_in_the_unit(tmp_path: Path) -> None:
    unit = (installed(tmp_path, PREFIX="/srv/coach") / "etc/systemd/system/spotter.service").read_text()
    assert "ExecStart=/srv/coach/bin/spotter run" in unit
    assert "/opt/spotter" not in unit


def test_settings_that_are_there_are_kept_by_install_and_uninstall(tmp_path: Path) -> None:
    config = tmp_path / "etc/spotter.toml"
    config.parent.mkdir()
    config.write_text('[camera]\ntype = "v4l2"\n')
    assert "is kept as it is" in make("install", tmp_path).stdout
    assert "because it was edited" in make("uninstall", tmp_path).stdout
    assert files(tmp_path) == {"etc/spotter.toml"}
    assert config.read_text() == '[camera]\ntype = "v4l2"\n'


def test_uninstall_takes_off_what_was_put_there_keeps_the_sessions_and_says_so(tmp_path: Path) -> None:
    installed(tmp_path)
    others = {"var/lib/spotter/sessions.sqlite", "etc/systemd/system/other.service", "opt/other/tool"}
    for other in others:
        (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / other).write_text("mine")
    done = make("uninstall", tmp_path)
    assert done.returncode == 0
    assert files(tmp_path) == others
    assert "Kept: the sessions" in done.stdout


def test_installing_twice_is_an_update(tmp_path: Path) -> None:
    installed(tmp_path)
    (tmp_path / "etc/systemd/system/spotter.service").write_text("old")
    before = files(installed(tmp_path))
    assert "ExecStart" in (tmp_path / "etc/systemd/system/spotter.service").read_text()
    assert make("uninstall", tmp_path).returncode == 0
    assert before
    assert files(tmp_path) == set()


def test_a_folder_that_holds_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    (tmp_path / "usr/local/bin/tool").write_text("mine")
    for target in ("install", "uninstall"):
        done = make(target, tmp_path, PREFIX="/usr/local")
        assert done.returncode != 0
        assert "/usr/local" in done.stderr
    assert files(tmp_path) == {"usr/local/bin/tool"}


def test_what_is_not_installed_can_not_be_taken_off(tmp_path: Path) -> None:
    done = make("uninstall", tmp_path)
    assert done.returncode != 0
    assert "not installed" in done.stderr


def test_a_prefix_is_absolute(tmp_path: Path) -> None:
    done = make("install", tmp_path, PREFIX="opt/spotter")
    assert done.returncode != 0
    assert "absolute" in done.stderr
    assert files(tmp_path) == set()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_only_root_installs_into_the_system_itself() -> None:
    done = make("install", Path(), DESTDIR="")
    assert done.returncode != 0
    assert "sudo make install" in done.stderr
