"""One tree of errors. A message says what happened, where, and what to do about it."""

from __future__ import annotations


class SpotterError(Exception):
    """Base of every error that Spotter raises on purpose; the command line prints it without a traceback."""


class ConfigError(SpotterError):
    """A configuration file or value is wrong; the message carries the path of the key."""


class DriverError(SpotterError):
    """A driver could not be opened or failed while open."""


class DriverUnavailable(DriverError):
    """The driver's library or device is absent; the message names the package or device."""


class UnknownDriver(DriverError):
    """No driver of that type is registered for that base."""


class StaleFrame(DriverError):
    """`Camera.latest` found no frame that is young enough."""


class EndOfStream(DriverError):
    """A finite source (a file, a recording, a virtual session) has given all that it has."""


class MediaError(SpotterError):
    """A video, sound or landmark file is absent, truncated or not what it says."""


class BundleError(SpotterError):
    """A model bundle is incomplete, altered or of another version."""


class ExerciseError(SpotterError):
    """An exercise file is wrong; the message carries the file and the path of the key."""


class StoreError(SpotterError):
    """The session store or an output folder can't be read or written."""


class RecordingError(StoreError):
    """A recording is incomplete or of another version."""


class EyeError(SpotterError):
    """The eye process died or stopped answering."""


class BandError(DriverError):
    """A band is not trusted, does not answer, or the list of paired bands can't be used."""


class FirmwareError(DriverError):
    """A band's firmware failed in the interpreter that stands for the band; the message has its traceback."""


class FlashError(SpotterError):
    """A band could not be flashed; the message says what to install, connect or press."""


class CalibrationError(SpotterError):
    """A band was never at rest, or what it measures can't be; the message says how to calibrate."""


class DatasetError(SpotterError):
    """A set of recordings or one of its clips is absent, damaged, or not what it must be; the message carries its name."""


class TrainingRefused(DatasetError):
    """A set that may only be measured on was asked for to train with."""


class TrainingError(SpotterError):
    """A training's state can't be kept or taken up again; the message says what to do."""
