"""The model bundle: one folder with the step's TFLite file and a manifest that says what it is.

Nothing of it is used before all of it was checked. `write_manifest` is the other half, for the exporter.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from device.errors import BundleError
from device.messages import EXERCISES
from device.runtime.evidence import Response
from device.runtime.features import FeatureConstants
from device.skeleton import JOINTS, LANDMARKS

log = logging.getLogger(__name__)

FORMAT = 5
"""Version of the bundle's format; another one is refused."""
MANIFEST = "manifest.json"
STEP = "step_int8.tflite"
"""The step that the device runs."""

_KEYS: dict[str, type] = {
    "format": int,
    "version": str,
    "classes": list,
    "landmarks": list,
    "joints": list,
    "features": dict,
    "past": dict,
    "files": dict,
    "responses": dict,
    "data": dict,
    "scores": dict,
    "seed": int,
}


class Past(NamedTuple):
    """What a step is given of its past under one name: what its layers with these `dilations` read 2d and d ticks ago, each time
    of this `shape`."""

    dilations: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A checked bundle. `manifest` is its whole manifest; `past`: what the step is given of its past, by the input's name.
    `responses`: how the model shows errors, by class and error."""

    folder: Path
    version: str
    classes: tuple[str, ...]
    constants: FeatureConstants
    past: Mapping[str, Past]
    responses: Mapping[str, Mapping[str, Response]]
    manifest: Mapping[str, Any]

    @property
    def step(self) -> Path:
        """File of the step."""
        return self.folder / STEP

    @property
    def size_bytes(self) -> int:
        """Bytes of all files, the manifest's own included."""
        return sum((self.folder / name).stat().st_size for name in (STEP, MANIFEST))


def shipped_bundle() -> Path:
    """Folder of the bundle that comes with the package."""
    return Path(__file__).resolve().parent.parent / "models" / "coach"


def load_bundle(folder: Path | str | None = None) -> Bundle:
    """The bundle in `folder`, or the shipped one, checked whole: format, manifest, and the SHA-256 of each file.

    Raises BundleError: what is wrong, in which file, and what to do.
    """
    where = Path(folder).expanduser() if folder else shipped_bundle()
    manifest = _read_manifest(where / MANIFEST)
    _check_files(where, manifest["files"])
    return Bundle(
        folder=where,
        version=manifest["version"],
        classes=tuple(manifest["classes"]),
        constants=FeatureConstants.from_dict(manifest["features"]),
        past={name: Past(tuple(of["dilations"]), tuple(of["shape"])) for name, of in manifest["past"].items()},
        responses=_responses(where / MANIFEST, manifest["responses"]),
        manifest=manifest,
    )


def last_good_bundle(folder: Path | str | None = None) -> Bundle:
    """The bundle in `folder`; where that one is damaged, the shipped one, and a warning in the log says so.

    For an appliance that has to coach tonight. Raises BundleError when the shipped one is damaged too.
    """
    if not folder:
        return load_bundle()
    try:
        return load_bundle(folder)
    except BundleError as error:
        shipped = load_bundle()
        log.warning("The session goes on with the shipped bundle %s, the configured one is damaged: %s", shipped.version, error)
        return shipped


def write_manifest(
    folder: Path,
    *,
    version: str,
    constants: FeatureConstants,
    past: Mapping[str, Past],
    responses: Mapping[str, Mapping[str, Response]],
    data: Mapping[str, Any],
    scores: Mapping[str, float],
    seed: int,
) -> None:
    """Describe the step that lies in `folder`. `past`: what it is given of its past; `responses`: how it shows errors, by class
    and error; `data`: what the model was trained on; `scores`: what it reached."""
    manifest = {
        "format": FORMAT,
        "version": version,
        "classes": list(EXERCISES),
        "landmarks": list(LANDMARKS),
        "joints": [joint.name for joint in JOINTS],
        "features": constants.to_dict(),
        "past": {name: {"dilations": list(of.dilations), "shape": list(of.shape)} for name, of in past.items()},
        "files": {STEP: sha256(folder / STEP)},
        "responses": {
            name: {error: [round(value, 4) for value in response] for error, response in of_class.items()}
            for name, of_class in responses.items()
        },
        "data": dict(data),
        "scores": dict(scores),
        "seed": seed,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(
            f"{path}: can't be read ({error.strerror}). Name a bundle's folder in model.bundle, or leave it empty for the "
            "shipped one; `make model` builds that anew."
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path}: not valid JSON ({error}). {_INSTALL}") from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{path}: must hold a JSON object, not {type(manifest).__name__}. {_INSTALL}")
    if manifest.get("format") != FORMAT:
        raise BundleError(f"{path}: format {manifest.get('format')!r}, and this Spotter reads format {FORMAT}. {_INSTALL}")
    wrong = sorted(set(_KEYS).symmetric_difference(manifest))
    if wrong:
        raise BundleError(f"{path}: keys {', '.join(wrong)} are missing or unknown. {_INSTALL}")
    for key, kind in _KEYS.items():
        if not isinstance(manifest[key], kind) or isinstance(manifest[key], bool):
            raise BundleError(f"{path}: {key} must be {kind.__name__}, not {type(manifest[key]).__name__}. {_INSTALL}")
    _check_meaning(path, manifest)
    return manifest


def _check_meaning(path: Path, manifest: dict[str, Any]) -> None:
    if manifest["landmarks"] != list(LANDMARKS) or manifest["joints"] != [joint.name for joint in JOINTS]:
        raise BundleError(f"{path}: made for another skeleton. {_INSTALL}")
    classes = manifest["classes"]
    if (
        len(classes) < 2
        or classes[-1] != "none"
        or not all(isinstance(c, str) for c in classes)
        or len(set(classes)) < len(classes)
    ):
        raise BundleError(f"{path}: classes must be different names, the last one none, not {classes!r}. {_INSTALL}")
    for name, of in manifest["past"].items():
        if not isinstance(of, dict) or set(of) != set(Past._fields) or not all(map(_are_sizes, of.values())):
            raise BundleError(
                f"{path}: past.{name} must have dilations and a shape, lists of whole numbers of 1 to 1024. {_INSTALL}"
            )


def _are_sizes(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(n) is int and 1 <= n <= 1024 for n in given)


def _responses(path: Path, given: dict[str, Any]) -> dict[str, dict[str, Response]]:
    try:
        responses = {
            name: {error: Response(float(bias), float(gain), float(spread)) for error, (bias, gain, spread) in of_class.items()}
            for name, of_class in given.items()
        }
    except (TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path}: responses must be three numbers for each class and error ({error}). {_INSTALL}") from error
    for response in (r for of_class in responses.values() for r in of_class.values()):
        if not (all(map(math.isfinite, response)) and response.gain > 0 and response.spread > 0):
            raise BundleError(f"{path}: a response must have a gain and a spread above 0, not {tuple(response)}. {_INSTALL}")
    return responses


def _check_files(folder: Path, files: dict[str, Any]) -> None:
    if set(files) != {STEP}:
        raise BundleError(f"{folder / MANIFEST}: files must be {STEP}, not {', '.join(files)}. {_INSTALL}")
    for name, expected in files.items():
        path = folder / name
        try:
            if not path.resolve(strict=True).is_relative_to(folder.resolve()):
                raise BundleError(f"{path}: leads out of the bundle. {_INSTALL}")
            found = sha256(path)
        except OSError as error:
            raise BundleError(f"{path}: can't be read ({error.strerror}). {_INSTALL}") from error
        if found != expected:
            raise BundleError(f"{path}: SHA-256 is {found[:12]}..., the manifest says {str(expected)[:12]}.... {_INSTALL}")


_INSTALL = "Install the bundle again."
