"""Which bands are trusted: the allow-list on disk, the window in which it can grow, and which band is worn where."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from device.errors import BandError
from device.skeleton import BANDS

VERSION = 1


@dataclass(frozen=True, slots=True)
class Trusted:
    """A paired band. `identity`: its own id, 16 hex digits. `limb`: where it was said to be worn, empty when it was not."""

    address: str
    identity: str
    name: str
    limb: str
    paired_at: str

    def called(self, text: str) -> bool:
        """Whether `text` names this band: its address, id, name or limb, in any case."""
        return text.lower() in {self.address.lower(), self.identity.lower(), self.name.lower(), self.limb.lower()} - {""}


class PairingWindow:
    """The time in which bands can be paired; it closes by itself."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = clock() + seconds

    @property
    def left_s(self) -> float:
        """Seconds until it closes; 0 when it has."""
        return max(0.0, self._until - self._clock())


class AllowList:
    """The bands that may connect, in the order in which they were paired, kept in one file that only its owner can read."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._bands: tuple[Trusted, ...] = ()

    @property
    def bands(self) -> tuple[Trusted, ...]:
        return self._bands

    def load(self) -> AllowList:
        """Read the file; an absent one is an empty list. Raises BandError when it is broken or others can write to it."""
        try:
            with self.path.open(encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                    raise BandError(f"{self.path}: others can write to it, so it can't be trusted. Run: chmod 600 {self.path}")
                self._bands = _parse(json.load(file))
        except FileNotFoundError:
            self._bands = ()
        except OSError as error:
            raise BandError(f"{self.path}: the list of paired bands can't be read ({error.strerror}).") from error
        except (ValueError, TypeError, KeyError) as error:
            raise BandError(f"{self.path}: broken ({error}). Remove it and pair the bands again: spotter band pair") from error
        return self

    def find(self, text: str) -> Trusted:
        """The one band that `text` names. Raises BandError."""
        found = [band for band in self._bands if band.called(text)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(band.name for band in self._bands) or "none"
        raise BandError(f"{len(found) or 'No'} paired bands are called {text!r}. Paired: {known} (spotter band list).")

    def add(self, band: Trusted, window: PairingWindow) -> None:
        """Trust `band` from now on. Raises BandError when the window is closed, or its identity is another band's."""
        if window.left_s <= 0:
            raise BandError(f"The pairing window has closed; {band.name} was not paired. Run spotter band pair again.")
        for other in self._bands:
            if other.identity == band.identity and other.address != band.address:
                raise BandError(
                    f"{band.address} has the identity of {other.name} ({other.address}); two bands with one identity are not "
                    f"trusted. If {other.name} was repaired, run first: spotter band forget {other.address}"
                )
        kept = [other for other in self._bands if other.address != band.address and (not band.limb or other.limb != band.limb)]
        self._write((*kept, band))

    def remove(self, band: Trusted) -> None:
        """Trust `band` no longer."""
        self._write(tuple(other for other in self._bands if other != band))

    def _write(self, bands: tuple[Trusted, ...]) -> None:
        text = json.dumps({"version": VERSION, "bands": [asdict(band) for band in bands]}, indent=1) + "\n"
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.unlink(missing_ok=True)
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            raise BandError(f"{self.path}: the list of paired bands can't be written ({error.strerror}).") from error
        self._bands = bands


@contextmanager
def sole_owner(path: str | Path) -> Iterator[None]:
    """Hold the bands: two processes on one adapter break each other's connections. Raises BandError when another has them."""
    file = Path(path).expanduser().with_suffix(".lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BandError(f"{file}: can't be opened ({error.strerror}). Run as the user that runs Spotter.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BandError(
                "Another Spotter has the bands. Stop it first (on an appliance: sudo systemctl stop spotter)."
            ) from None
        yield
    finally:
        os.close(handle)


def worn(bands: Sequence[Trusted], chosen: Mapping[str, str]) -> dict[str, int]:
    """Address -> index into `skeleton.BANDS` of the bands to connect to.

    `chosen`: limb by id, address or name, from the settings; it wins over the limb said at pairing. Bands without either take
    the limbs that are left over in the order of pairing; those beyond the fourth stay out. Raises BandError.
    """
    for name, limb in chosen.items():
        if limb not in BANDS:
            raise BandError(f"imu.bands.{name} = {limb!r} is no limb; there are {', '.join(BANDS)}.")
    placed: dict[str, int] = {}
    for band in bands:
        limb = next((limb for name, limb in chosen.items() if band.called(name)), band.limb)
        if not limb:
            continue
        if BANDS.index(limb) in placed.values():
            raise BandError(f"Two bands are set for {limb}; see spotter band list and imu.bands.")
        placed[band.address] = BANDS.index(limb)
    left = [index for index in range(len(BANDS)) if index not in placed.values()]
    for band in bands:
        if band.address not in placed and left:
            placed[band.address] = left.pop(0)
    return placed


def _parse(data: object) -> tuple[Trusted, ...]:
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise ValueError(f"not version {VERSION}")
    bands = tuple(Trusted(**entry) for entry in data["bands"])
    for band in bands:
        if not all(isinstance(value, str) for value in asdict(band).values()) or (band.limb and band.limb not in BANDS):
            raise ValueError("a band's entry makes no sense")
    return bands
