"""What an appliance is installed with is enough: the commands run while everything else can't be imported."""

import configparser
import json
import os
import subprocess
import sys
from importlib.metadata import requires
from itertools import islice
from pathlib import Path

import pytest

from device.bench.pose import frames, write_video

ROOT = Path(__file__).parents[1]
ABSENT = ("mediapipe", "jax", "jaxlib", "matplotlib", "PIL", "scipy", "google.protobuf", "tflite_runtime", "torch", "bumble")
"""What only the extras bring."""

BLOCKED = f"import sys\nsys.modules.update(dict.fromkeys({ABSENT!r}))\n"
"""Runs at the start of every interpreter that finds it, the eye's too."""


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video, settings that read it, and the module that hides what only the extras bring."""
    folder = tmp_path_factory.mktemp("appliance")
    (folder / "hidden").mkdir()
    (folder / "hidden" / "sitecustomize.py").write_text(BLOCKED)
    write_video(folder / "video.mp4", islice(frames(3, 2.0), 20), 20)
    (folder / "spotter.toml").write_text(
        f'[camera]\ntype = "file"\ndevice = "{folder}/video.mp4"\n[speaker]\ntype = "none"\n'
        f'[haptic]\ndevice = "{folder}/haptic.jsonl"\n[store]\npath = "{folder}/sessions.sqlite"\n'
    )
    return folder


def spotter(appliance: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(appliance / "hidden"), str(ROOT)))}
    command = [sys.executable, "-m", "device.cli", *arguments]
    return subprocess.run(command, env=environment, cwd=appliance, capture_output=True, text=True, timeout=120, check=False)


def test_settings_are_checked(appliance: Path) -> None:
    done = spotter(appliance, "config", "check", str(appliance / "spotter.toml"))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_video_is_replayed(appliance: Path) -> None:
    done = spotter(appliance, "replay", str(appliance / "video.mp4"), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "sets" in json.loads(done.stdout)


def test_a_session_is_coached_and_kept(appliance: Path) -> None:
    done = spotter(appliance, "run", "--config", str(appliance / "spotter.toml"), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "sets" in json.loads(done.stdout)
    kept = spotter(appliance, "history", "--store", str(appliance / "sessions.sqlite"), "--json")
    assert len(json.loads(kept.stdout)["sessions"]) == 1


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["demo", "--quiet", "--out", "demo"], "report"),
        (["replay", "video.mp4", "--out", "report"], "report"),
        (["bench", "pose"], "mediapipe"),
        (["bench", "radio"], "radio"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]),
)
def test_what_needs_an_extra_names_it_before_it_begins(appliance: Path, arguments: list[str], extra: str) -> None:
    done = spotter(appliance, *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("spotter: ")
    assert f"pip install 'spotter[{extra}]'" in done.stderr
    assert not (appliance / "demo").exists()
    assert not (appliance / "report").exists()


def test_the_estimator_mediapipe_names_its_extra(appliance: Path) -> None:
    config = appliance / "mediapipe.toml"
    config.write_text('[pose]\nestimator = "mediapipe"\n')
    done = spotter(appliance, "replay", "video.mp4", "--config", str(config))
    assert done.returncode == 1
    assert "pip install 'spotter[mediapipe]'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_every_requirement_is_pinned_and_there_is_one_opencv() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    lists = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    named = {_name(line) for text in lists for line in text.splitlines() if line.strip() and not line.startswith("#")}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {_name(line) for line in lines if "==" in line}
    assert named - {"spotter"} <= pinned
    assert [name for name in pinned if name.startswith("opencv")] == ["opencv-contrib-python"]
    wanted = {_name(line) for line in requires("mediapipe") or ()}
    assert "opencv-contrib-python" in wanted, "the one that Spotter names has to be the one that mediapipe brings"


def _name(requirement: str) -> str:
    """Normalised name of a requirement without extras, version and marker."""
    name = "".join(c if c.isalnum() or c in "-_." else " " for c in requirement).split()[0]
    return name.lower().replace("_", "-").replace(".", "-")
