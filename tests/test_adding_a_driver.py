"""docs/adding-a-driver.md, followed to the letter."""

import re
import sys
import tomllib
from importlib import invalidate_caches
from pathlib import Path

import pytest

from device.config import config_from
from device.drivers.registry import BASES, available, create_imu
from device.errors import DriverError, DriverUnavailable

GUIDE = Path(__file__).parents[1] / "docs" / "adding-a-driver.md"
FILES = dict(re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """What pip leaves in site-packages of the guide's package."""
    project = tomllib.loads(FILES["pyproject.toml"])
    for module in project["tool"]["setuptools"]["py-modules"]:
        (tmp_path / f"{module}.py").write_text(FILES[f"{module}.py"])
    name, version = project["project"]["name"], project["project"]["version"]
    info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        line
        for group, points in project["project"]["entry-points"].items()
        for line in (f"[{group}]", *(f"{point} = {place}" for point, place in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    invalidate_caches()
    yield
    sys.modules.pop("acme_spotter", None)


def test_the_guide_shows_every_file():
    assert set(FILES) == {"acme_spotter.py", "pyproject.toml", "spotter.toml", "test_acme_spotter.py"}


def test_the_guide_names_every_base():
    text = GUIDE.read_text(encoding="utf-8")
    for base, cls in BASES.items():
        assert f"| `{base}` | `{cls.__name__}` |" in text


@pytest.mark.usefixtures("package")
def test_the_driver_of_the_guide_is_found_by_its_settings():
    config = config_from(tomllib.loads(FILES["spotter.toml"]))
    assert type(create_imu(config.imu)).__name__ == "AcmeHub"
    assert available("imu")["acme"] == "acme-spotter"


@pytest.mark.usefixtures("package")
def test_the_test_of_the_guide_passes(tmp_path):
    names: dict = {}
    exec(compile(FILES["test_acme_spotter.py"], "test_acme_spotter.py", "exec"), names)
    tests = [test for name, test in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test(tmp_path)


@pytest.mark.usefixtures("package")
def test_the_driver_of_the_guide_says_what_is_wrong():
    hub = create_imu(config_from({"imu": {"type": "acme", "device": "/dev/no-such-hub"}}).imu)
    with pytest.raises(DriverUnavailable, match=r"Plug it in"):
        hub.open()
    with pytest.raises(DriverError, match="not open"):
        hub.read(0)
    hub.close()
