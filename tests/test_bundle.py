import json
import shutil
from pathlib import Path

import pytest

from device.errors import BundleError
from device.messages import EXERCISES
from device.runtime.bundle import MANIFEST, STEP, last_good_bundle, load_bundle, sha256, shipped_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(shipped_bundle(), tmp_path / "coach")
    return tmp_path / "coach"


def change(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST
    manifest = json.loads(path.read_text())
    manifest.update(changes)
    path.write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}))


def test_the_shipped_bundle_loads_and_names_its_classes() -> None:
    bundle = load_bundle()
    assert bundle.classes == EXERCISES
    assert bundle.step.is_file()
    assert bundle.constants.tick_hz == 30


def test_the_shipped_bundle_is_small() -> None:
    assert load_bundle().size_bytes <= 300_000


def test_an_altered_file_is_refused_by_name(folder: Path) -> None:
    path = folder / STEP
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"step_int8\.tflite: SHA-256"):
        load_bundle(folder)


def test_an_appliance_with_an_altered_bundle_goes_on_with_the_shipped_one_and_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / STEP).write_bytes(b"not a model")
    bundle = last_good_bundle(folder)
    assert bundle.folder == shipped_bundle()
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "step_int8.tflite: SHA-256" in caplog.text


def test_a_good_bundle_is_the_last_good_one(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert last_good_bundle(folder).folder == folder
    assert last_good_bundle("").folder == shipped_bundle()
    assert not caplog.records


def test_a_missing_file_is_refused_by_name(folder: Path) -> None:
    (folder / STEP).unlink()
    with pytest.raises(BundleError, match=r"step_int8\.tflite: can't be read"):
        load_bundle(folder)


def test_a_folder_without_a_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json: can't be read .* make model|model\.bundle"):
        load_bundle(tmp_path)


def test_another_format_is_refused(folder: Path) -> None:
    change(folder, format=1)
    with pytest.raises(BundleError, match="format 1, and this Spotter reads format 5"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour are missing or unknown"),
        ({"seed": None}, "seed are missing or unknown"),
        ({"seed": "1"}, "seed must be int, not str"),
        ({"seed": True}, "seed must be int, not bool"),
        ({"past": []}, "past must be dict, not list"),
        ({"past": {"taps": [1, 2]}}, r"past\.taps must have dilations and a shape"),
        ({"past": {"taps": {"dilations": [1, 2]}}}, r"past\.taps must have dilations and a shape"),
        ({"past": {"taps": {"dilations": [1], "shape": [33, 10**9]}}}, "1 to 1024"),
        ({"past": {"taps": {"dilations": [], "shape": [33, 40]}}}, "1 to 1024"),
        ({"past": {"taps": {"dilations": [1, 2.5], "shape": [33, 40]}}}, "1 to 1024"),
        ({"classes": ["squat", "lunge"]}, "the last one none"),
        ({"classes": ["squat", 3, "none"]}, "the last one none"),
        ({"joints": ["left_elbow"]}, "another skeleton"),
        ({"features": {"tick_hz": 30.0}}, "alpha"),
        ({"responses": {"squat": {"shallow": [0.1, 0.5]}}}, "three numbers for each class and error"),
        ({"responses": {"squat": {"shallow": "wide"}}}, "three numbers for each class and error"),
        ({"responses": {"squat": {"shallow": [0.1, 0.0, 1.0]}}}, "a gain and a spread above 0"),
        ({"responses": {"squat": {"shallow": [float("nan"), 1.0, 1.0]}}}, "a gain and a spread above 0"),
    ],
)
def test_a_manifest_with_a_wrong_entry_is_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    change(folder, **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\ud800".encode("utf-8", "surrogatepass").hex(), "[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json: (not valid JSON|must hold)"):
        load_bundle(folder)


def test_a_manifest_of_other_bytes_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match="not valid JSON"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["../outside.tflite", "/etc/passwd", "step_int8.tflite/../../outside.tflite"])
def test_a_file_name_that_leads_out_is_refused(folder: Path, name: str) -> None:
    (folder.parent / "outside.tflite").write_bytes(b"x")
    change(folder, files={name: "0" * 64, STEP: sha256(folder / STEP)})
    with pytest.raises(BundleError, match="files must be"):
        load_bundle(folder)


def test_a_link_that_leads_out_is_refused(folder: Path) -> None:
    outside = folder.parent / "outside.tflite"
    (folder / STEP).rename(outside)
    (folder / STEP).symlink_to(outside)
    with pytest.raises(BundleError, match="leads out of the bundle"):
        load_bundle(folder)
