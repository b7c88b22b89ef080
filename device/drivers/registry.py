"""Which drivers there are. Built-in ones are in one table; installed packages add theirs by entry points.

A package names its drivers in the entry-point group `spotter.drivers`, as `base.type = package.module:Class`
(`camera.acme = acme_spotter:AcmeCamera`). docs/adding-a-driver.md walks through one.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from device.config import CameraConfig, HapticConfig, ImuConfig, SpeakerConfig
from device.drivers.base import Camera, Driver, Haptic, ImuSource, Speaker
from device.errors import DriverError, DriverUnavailable, UnknownDriver

GROUP = "spotter.drivers"

BASES: dict[str, type[Any]] = {"camera": Camera, "imu": ImuSource, "speaker": Speaker, "haptic": Haptic}

BUILT_IN: dict[tuple[str, str], str] = {
    ("camera", "v4l2"): "device.drivers.camera_v4l2:V4l2Camera",
    ("camera", "picamera2"): "device.drivers.camera_picamera2:Picamera2Camera",
    ("camera", "file"): "device.drivers.camera_file:FileCamera",
    ("camera", "virtual"): "device.drivers.camera_virtual:VirtualCamera",
    ("imu", "none"): "device.drivers.imu_none:NoImu",
    ("imu", "ble"): "device.drivers.imu_ble:BleImu",
    ("imu", "i2c"): "device.drivers.imu_i2c:I2cImu",
    ("imu", "serial"): "device.drivers.imu_serial:SerialImu",
    ("imu", "virtual"): "device.drivers.imu_virtual:VirtualImu",
    ("imu", "recording"): "device.drivers.imu_recording:RecordedImu",
    ("speaker", "alsa"): "device.drivers.speaker_alsa:AlsaSpeaker",
    ("speaker", "wav"): "device.drivers.speaker_wav:WavSpeaker",
    ("speaker", "none"): "device.drivers.speaker_none:SilentSpeaker",
    ("haptic", "pwm"): "device.drivers.haptic_pwm:PwmHaptic",
    ("haptic", "band"): "device.drivers.haptic_band:BandHaptic",
    ("haptic", "log"): "device.drivers.haptic_log:LogHaptic",
    ("haptic", "virtual"): "device.drivers.haptic_virtual:VirtualHaptic",
}
"""(base, type) of every driver that is shipped, and where its class is."""


def available(base: str) -> dict[str, str]:
    """Types of `base` that can be chosen, each with who brings it: "spotter" or the name of a distribution."""
    types = {kind: "spotter" for of, kind in BUILT_IN if of == base}
    for kind, entry in _installed(base).items():
        types.setdefault(kind, _distribution(entry))
    return types


def create(base: str, kind: str, config: Any, **parts: Any) -> Driver:
    """A driver of `base` (camera, imu, speaker, haptic), constructed with its section of the config, not opened.

    `parts`: what the class takes besides (the virtual ones take the trainee). A built-in type can't be replaced.
    Raises UnknownDriver, and DriverError where the driver's package is broken; other packages don't matter then.
    """
    place = BUILT_IN.get((base, kind))
    if place is not None:
        return _construct(_load(place), base, kind, "spotter", config, parts)
    entry = _installed(base).get(kind)
    if entry is None:
        raise UnknownDriver(_unknown(base, kind))
    owner = _distribution(entry)
    try:
        found = entry.load()
    except Exception as error:
        raise DriverError(
            f"The {base} driver {kind!r} of the installed package {owner} can't be loaded: {type(error).__name__}: {error}. "
            f"Repair or remove {owner}, or set {base}.type to one of {', '.join(available(base))}."
        ) from error
    if not (inspect.isclass(found) and issubclass(found, BASES[base])):
        raise DriverError(f"{entry.value} of the installed package {owner} is not a {BASES[base].__name__}; it can't be used.")
    return _construct(found, base, kind, owner, config, parts)


def create_camera(config: CameraConfig, **parts: Any) -> Camera:
    """The camera that `config.type` names; raises like `create`."""
    return cast(Camera, create("camera", config.type, config, **parts))


def create_imu(config: ImuConfig, **parts: Any) -> ImuSource:
    """The source of the bands that `config.type` names; raises like `create`."""
    return cast(ImuSource, create("imu", config.type, config, **parts))


def create_speaker(config: SpeakerConfig, **parts: Any) -> Speaker:
    """The speaker that `config.type` names; raises like `create`."""
    return cast(Speaker, create("speaker", config.type, config, **parts))


def create_haptic(config: HapticConfig, **parts: Any) -> Haptic:
    """The haptic driver that `config.type` names; raises like `create`."""
    return cast(Haptic, create("haptic", config.type, config, **parts))


def _load(place: str) -> type[Any]:
    module, _, name = place.partition(":")
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found


def _construct(cls: type[Any], base: str, kind: str, owner: str, config: Any, parts: dict[str, Any]) -> Driver:
    try:
        inspect.signature(cls).bind(config, **parts)
    except TypeError as error:
        raise DriverUnavailable(
            f"The {base} driver {kind!r} ({owner}) needs more than the config: {error}. "
            f"Set {base}.type to another one of {', '.join(available(base))}, or start it from `spotter demo`."
        ) from error
    driver: Driver = cls(config, **parts)
    return driver


def _installed(base: str) -> dict[str, EntryPoint]:
    if base not in BASES:
        raise UnknownDriver(f"{base!r} is no kind of driver; there are {', '.join(BASES)}.")
    prefix = f"{base}."
    return {entry.name.removeprefix(prefix): entry for entry in entry_points(group=GROUP) if entry.name.startswith(prefix)}


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.module


def _unknown(base: str, kind: str) -> str:
    known = available(base)
    nearest = difflib.get_close_matches(kind, known, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    listed = ", ".join(name if owner == "spotter" else f"{name} ({owner})" for name, owner in sorted(known.items()))
    return f"There is no {base} driver {kind!r}.{hint} {base}.type can be: {listed}."
