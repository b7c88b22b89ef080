"""Typed settings from one TOML file. The classes below are the reference: `spotter config show` prints them.

Each setting carries its description, unit and range; an unknown or out-of-range key is a `ConfigError` with
its path and the nearest valid name. Angles are degrees here, and only here.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device.errors import ConfigError


def setting(
    default: Any,
    description: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field with its description, unit and range."""
    metadata = {"description": description, "unit": unit, "low": low, "high": high, "choices": choices}
    if isinstance(default, dict | list):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class CameraConfig:
    type: str = setting("v4l2", "Camera driver: v4l2, picamera2, file, virtual, or one from an installed package.")
    rate_hz: float = setting(15.0, "Frames asked of the camera.", unit="Hz", low=1, high=120)
    width: int = setting(640, "Width of a frame.", unit="px", low=64, high=4096)
    height: int = setting(480, "Height of a frame.", unit="px", low=64, high=4096)
    device: str = setting("/dev/video0", "Video device of the v4l2 driver, or the video file of the file driver.")
    exposure_ms: float = setting(10.0, "Exposure assumed where the camera does not report it.", unit="ms", low=0, high=200)


@dataclass(frozen=True, slots=True)
class PoseConfig:
    estimator: str = setting(
        "litert", "Pose estimator: BlazePose's networks on a TFLite runtime, or MediaPipe.", choices=("litert", "mediapipe")
    )
    threads: int = setting(2, "Threads of the litert estimator; MediaPipe takes its own.", low=1, high=16)
    min_detection: float = setting(0.5, "Confidence below which nobody was found.", low=0, high=1)
    min_tracking: float = setting(0.5, "Confidence below which the person is searched anew.", low=0, high=1)


@dataclass(frozen=True, slots=True)
class ImuConfig:
    type: str = setting(
        "none", "Source of the bands: none, ble, i2c, serial, virtual, recording, or one from an installed package."
    )
    rate_hz: float = setting(100.0, "Samples a second of each band.", unit="Hz", low=25, high=200)
    device: str = setting("", "Recording that the recording driver plays (a folder of `spotter record`).")
    trusted: str = setting("~/.local/share/spotter/bands.json", "List of paired bands that `spotter band pair` writes.")
    bands: dict[str, str] = setting({}, "Limb of each band by its id, address or name; wins over the limb given at pairing.")
    adapter: str = setting("", "Bluetooth adapter of the ble driver, such as hci1; empty is the system's default.")
    pairing_window_s: float = setting(60.0, "Time after which pairing closes by itself.", unit="s", low=5, high=600)
    silence_s: float = setting(2.0, "Time without data after which a band is connected anew.", unit="s", low=0.5, high=60)
    chips: dict[str, str] = setting({}, "Chip of each limb for the i2c driver: bus:address or bus:address:chip, such as 1:0x6a.")
    self_test: bool = setting(False, "Let the chips of the i2c driver test themselves when it is opened; they have to lie still.")
    ports: dict[str, str] = setting({}, "Port of each limb's band for the serial driver, such as /dev/ttyACM0.")
    baud: int = setting(460800, "Bits a second of the serial driver's ports; USB takes no notice.", low=9600, high=3000000)


@dataclass(frozen=True, slots=True)
class SpeakerConfig:
    type: str = setting("alsa", "Speaker driver: alsa, wav, none, or one from an installed package.")
    device: str = setting("", "Sound device of the alsa driver (empty: the system's default), or the file of the wav driver.")
    volume: float = setting(1.0, "Loudness of the prompts.", low=0, high=1)
    language: str = setting("en", "Folder of prompts under device/voice, or the path of one of your own.")


@dataclass(frozen=True, slots=True)
class HapticConfig:
    type: str = setting("log", "Haptic driver: band, pwm, log, virtual, or one from an installed package.")
    device: str = setting("", "File to which the log driver appends JSON lines; empty is the program's own log.")
    pins: dict[str, int] = setting(
        {"left_wrist": 12, "right_wrist": 13, "left_ankle": 18, "right_ankle": 19}, "GPIO pin of each band's motor (BCM)."
    )
    max_on_ms: int = setting(1000, "Longest time a motor stays on in one go.", unit="ms", low=30, high=5000)
    max_duty: float = setting(0.3, "Largest share of any 10 s that a motor is on.", low=0.01, high=1)


@dataclass(frozen=True, slots=True)
class SignalsConfig:
    tick_hz: float = setting(30.0, "Rate of the grid onto which all signals are aligned.", unit="Hz", low=10, high=60)
    max_wait_ms: float = setting(
        150.0, "How long a tick waits for late samples before its gap is filled.", unit="ms", low=10, high=1000
    )
    max_gap_ms: float = setting(
        250.0, "Longest gap between two samples that is interpolated and still counts as seen.", unit="ms", low=10, high=2000
    )
    sync: str = setting(
        "auto", "Delay of the bands against the camera: found out while the trainee moves, or fixed.", choices=("auto", "fixed")
    )
    camera_offset_ms: float = setting(
        0.0, "Delay of the bands against the camera, where sync is fixed.", unit="ms", low=-500, high=500
    )
    imu_smoothing: float = setting(0.6, "Weight of the newest IMU sample (paper eq. 10).", low=0.05, high=1)


@dataclass(frozen=True, slots=True)
class RepsConfig:
    min_visibility: float = setting(0.5, "Visibility that an exercise's joints need for a repetition to count.", low=0, high=1)
    min_period_s: float = setting(0.4, "Shortest repetition.", unit="s", low=0.2, high=5)
    max_period_s: float = setting(10.0, "Longest repetition.", unit="s", low=2, high=60)
    set_end_s: float = setting(4.0, "Pause that ends a set.", unit="s", low=1, high=60)


@dataclass(frozen=True, slots=True)
class CoachConfig:
    strictness: float = setting(
        0.5, "0 forgives (11 degrees), 0.5 is the default (9 degrees), 1 is strict (7 degrees).", low=0, high=1
    )
    sustain_ms: float = setting(200.0, "How long a deviation lasts before it is said.", unit="ms", low=0, high=2000)
    min_between_s: float = setting(3.5, "Shortest time between two prompts.", unit="s", low=0.5, high=60)
    repeat_after_s: float = setting(8.0, "Shortest time before the same correction is said again.", unit="s", low=1, high=120)
    praise: bool = setting(True, "Praise an error that was put right.")
    summary: bool = setting(True, "Say a summary at the end of a set.")
    voice: bool = setting(True, "Correct by voice.")
    haptics: bool = setting(True, "Correct by vibration.")
    fast_path: bool = setting(True, "Vibrate at once for what the bands show by themselves, without waiting for the camera.")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    bundle: str = setting("", "Folder of the model bundle; empty is the shipped one.")
    runtime: str = setting(
        "auto", "TFLite runtime; auto takes LiteRT where installed.", choices=("auto", "litert", "tflite_runtime")
    )


@dataclass(frozen=True, slots=True)
class StoreConfig:
    path: str = setting("~/.local/share/spotter/sessions.sqlite", "Database of sessions.")
    trainee: str = setting("trainee", "Name under which sessions are kept.")


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """Time that each section of the pipeline may take, and the whole of it (docs/latency.md).

    `haptic_ms` holds the bands' fast path, `voice_ms` everything from the camera to the voice.
    """

    camera_ms: float = setting(15.0, "Reading (or rendering) a frame.", unit="ms", low=0.1, high=1000)
    pose_ms: float = setting(60.0, "Finding the landmarks in a frame.", unit="ms", low=0.1, high=1000)
    align_ms: float = setting(1.0, "Alignment onto a tick.", unit="ms", low=0.1, high=1000)
    features_ms: float = setting(1.0, "Node features of a tick.", unit="ms", low=0.1, high=1000)
    model_ms: float = setting(2.0, "The model step of a tick.", unit="ms", low=0.1, high=1000)
    coach_ms: float = setting(2.0, "Stages, repetitions, deviation and cues of a tick.", unit="ms", low=0.1, high=1000)
    bands_ms: float = setting(1.0, "Judging new samples of the bands by themselves.", unit="ms", low=0.1, high=1000)
    haptic_ms: float = setting(80.0, "The whole from a band's sample to the motor command.", unit="ms", low=1, high=5000)
    voice_ms: float = setting(
        250.0, "The whole from the deciding tick to the first sample of the voice.", unit="ms", low=1, high=5000
    )

    def wholes(self) -> dict[str, tuple[str, ...]]:
        """The budgets of wholes, each with the sections that it contains."""
        return {
            "voice_ms": ("camera_ms", "pose_ms", "align_ms", "features_ms", "model_ms", "coach_ms"),
            "haptic_ms": ("bands_ms",),
        }


@dataclass(frozen=True, slots=True)
class ExercisesConfig:
    folder: str = setting("", "Folder with more exercise files, beside the built-in ones.")
    enabled: list[str] = setting([], "Exercises that are coached; empty is all of them.")


@dataclass(frozen=True, slots=True)
class Config:
    camera: CameraConfig = field(default_factory=CameraConfig)
    pose: PoseConfig = field(default_factory=PoseConfig)
    imu: ImuConfig = field(default_factory=ImuConfig)
    speaker: SpeakerConfig = field(default_factory=SpeakerConfig)
    haptic: HapticConfig = field(default_factory=HapticConfig)
    signals: SignalsConfig = field(default_factory=SignalsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    exercises: ExercisesConfig = field(default_factory=ExercisesConfig)
    reps: RepsConfig = field(default_factory=RepsConfig)
    coach: CoachConfig = field(default_factory=CoachConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the reference: where a setting is, what it holds and what it means."""

    path: str
    value: Any
    description: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]


def load_config(path: Path | str | None = None) -> Config:
    """Settings from a TOML file on top of the defaults; the defaults alone where `path` is None.

    Raises ConfigError: absent or broken file, unknown key, wrong type, value out of range.
    """
    if path is None:
        return Config()
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: can't be read ({error.strerror}). Give an existing TOML file to --config.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from error
    return config_from(data, str(file))


def config_from(data: dict[str, Any], source: str = "config") -> Config:
    """Settings from a nested mapping; raises ConfigError like `load_config`."""
    config: Config = _build(Config, data, source, "")
    _check_budget(config.budget, source)
    return config


def with_settings(config: Config, **sections: dict[str, Any]) -> Config:
    """`config` with some settings changed, checked like a file's: `with_settings(c, camera={"type": "file"})`."""
    data = dataclasses.asdict(config)
    for name, changes in sections.items():
        data[name] = {**data.get(name, {}), **changes}
    return config_from(data, "command line")


def settings(config: Config) -> Iterator[Setting]:
    """Every setting of `config` with its path, for `spotter config show` and the docs."""
    for section in dataclasses.fields(config):
        node = getattr(config, section.name)
        for f in dataclasses.fields(node):
            m = f.metadata
            yield Setting(
                f"{section.name}.{f.name}", getattr(node, f.name), m["description"], m["unit"], m["low"], m["high"], m["choices"]
            )


def _check_budget(budget: BudgetConfig, source: str) -> None:
    """Raises ConfigError where a section may take longer than the whole that contains it, or all of them together."""
    for whole, parts in budget.wholes().items():
        limit = getattr(budget, whole)
        times = {part: getattr(budget, part) for part in parts}
        longest = max(times, key=lambda part: times[part])
        if times[longest] > limit:
            raise ConfigError(
                f"{source}: budget.{longest} = {times[longest]:g} is more than budget.{whole} = {limit:g}, which contains it. "
                f"Lower the one or raise the other."
            )
        if sum(times.values()) > limit:
            raise ConfigError(
                f"{source}: the sections that budget.{whole} = {limit:g} contains take {sum(times.values()):g} ms together, "
                f"budget.{longest} = {times[longest]:g} the most of it. Lower it or raise the whole."
            )


def _build(cls: type[Any], data: Any, source: str, path: str) -> Any:
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: {path or 'the file'} must be a table, not {type(data).__name__}.")
    hints = typing.get_type_hints(cls)
    for key in data:
        if key not in hints:
            raise ConfigError(f"{source}: unknown key {_join(path, key)}.{_nearest(_join(path, key), path, hints)}")
    values = {}
    for f in dataclasses.fields(cls):
        if f.name not in data:
            continue
        where = _join(path, f.name)
        if dataclasses.is_dataclass(hints[f.name]):
            values[f.name] = _build(hints[f.name], data[f.name], source, where)
        else:
            values[f.name] = _checked(data[f.name], hints[f.name], f.metadata, source, where)
    return cls(**values)


def _checked(value: Any, hint: Any, metadata: types.MappingProxyType[str, Any], source: str, path: str) -> Any:
    expected = typing.get_origin(hint) or hint
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise ConfigError(f"{source}: {path} must be {_article(expected.__name__)}, not {value!r}.")
    _check_items(value, hint, source, path)
    low, high, choices = metadata["low"], metadata["high"], metadata["choices"]
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        unit = f" {metadata['unit']}" if metadata["unit"] else ""
        raise ConfigError(f"{source}: {path} = {value} is out of range; it must be {low:g} to {high:g}{unit}.")
    if choices and value not in choices:
        raise ConfigError(f"{source}: {path} = {value!r} must be one of {', '.join(choices)}.{_did_you_mean(value, choices)}")
    return value


def _check_items(value: Any, hint: Any, source: str, path: str) -> None:
    arguments = typing.get_args(hint)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if not isinstance(item, arguments[-1]) or isinstance(item, bool):
            raise ConfigError(f"{source}: {path}.{key} must be {_article(arguments[-1].__name__)}, not {item!r}.")


def _article(name: str) -> str:
    names = {
        "str": "a text",
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "dict": "a table",
        "list": "a list",
    }
    return names.get(name, name)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _nearest(wrong: str, path: str, hints: dict[str, Any]) -> str:
    here = _did_you_mean(wrong.rsplit(".", 1)[-1], tuple(hints))
    if here:
        return here.replace("mean ", f"mean {path}." if path else "mean ")
    return _did_you_mean(wrong, tuple(s.path for s in settings(Config()))) or f" Valid here: {', '.join(hints)}."


def _did_you_mean(wrong: str, valid: tuple[str, ...]) -> str:
    match = difflib.get_close_matches(str(wrong), valid, n=1, cutoff=0.5)
    return f" Did you mean {match[0]}?" if match else ""
