"""Neutral calibration of a band: what its gyro reads at rest, where up is, and whether its accelerometer reads 1 g.

Kept for each band by its identity. The gyro's bias is taken off every sample on its way in; it wanders with temperature and
age, so every rest that is long enough gives a new one.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.drivers.base import ImuSource
from device.drivers.health import BandHealth
from device.errors import CalibrationError, StoreError
from device.messages import NS_PER_S, Array, ClockPing, ImuBatch
from device.skeleton import BANDS

Floats = NDArray[np.float64]

log = logging.getLogger(__name__)

FILE_NAME = "calibrations.json"
"""Beside the store of sessions."""

GRAVITY = 9.80665
REST_S = 1.5
MAX_RATE_SPREAD, MAX_FORCE_SPREAD = 0.02, 0.2
"""Largest standard deviation of an axis at rest, rad/s and m/s^2: ten times a cheap chip's noise, a tenth of a hand's."""
MAX_BIAS = math.radians(25.0)
"""A steadier turn is not a bias: the MPU-6050 allows 20 degrees/s (PS-MPU-6000A-00, section 6.1), the other chips 1."""
MAX_FORCE_ERROR = 0.03
"""Departure of the specific force from 1 g at rest that is reported."""
WORKABLE_FORCE_ERROR = 0.2
"""A larger one is no accelerometer at rest at all."""
MAX_GAP_S = 0.1

STALE_S = 24 * 3600.0
SAME_BIAS = math.radians(0.2)
RENEWAL_S = 600.0
"""A stored calibration is replaced when it is older than STALE_S, or its bias differs by more than SAME_BIAS and it is
RENEWAL_S old."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A band at rest. `rate_bias`: rad/s, band frame. `up`: unit vector, band frame. `force_scale`: specific force in units of
    g, 1 where the accelerometer is right. `rest_s`: how long it was looked at. `made_s`: when, Unix time; 0 where unknown."""

    rate_bias: tuple[float, float, float]
    up: tuple[float, float, float]
    force_scale: float
    rest_s: float
    made_s: float = 0.0

    @property
    def force_right(self) -> bool:
        """Whether the accelerometer reads 1 g within MAX_FORCE_ERROR."""
        return abs(self.force_scale - 1) <= MAX_FORCE_ERROR

    def applied(self, batch: ImuBatch) -> ImuBatch:
        """`batch` without the gyro's bias."""
        values: Array = np.array(batch.values, dtype=np.float32)
        values[:, 3:] -= np.array(self.rate_bias, dtype=np.float32)
        return replace(batch, values=values)


def calibrate(samples: Sequence[ImuBatch]) -> Calibration:
    """What the stillest REST_S of one band's consecutive batches tell, on whatever clock their times are.

    Raises CalibrationError where the band was never at rest that long, sends one and the same sample, or can't be at rest with
    what it reads.
    """
    times = np.concatenate([np.zeros(0, dtype=np.int64), *(batch.times_ns for batch in samples)]) / NS_PER_S
    values = np.concatenate([np.zeros((0, 6)), *(np.asarray(batch.values, dtype=np.float64) for batch in samples)])
    best: tuple[float, slice] | None = None
    for window in _windows(times):
        spread = _spread(values[window])
        if best is None or spread < best[0]:
            best = spread, window
    if best is None:
        raise CalibrationError(f"The band sent no {REST_S:g} s without a gap. Bring it closer and try again.")
    spread, window = best
    if not spread <= 1:
        raise CalibrationError(f"The band was not at rest for {REST_S:g} s. Lay it on a table and do not touch it.")
    rest = values[window]
    if spread == 0:
        raise CalibrationError("The band sends the same sample all the time: its sensor is stuck. Switch it off and on.")
    force, bias = rest[:, :3].mean(0), rest[:, 3:].mean(0)
    scale = float(np.linalg.norm(force)) / GRAVITY
    if abs(scale - 1) > WORKABLE_FORCE_ERROR:
        raise CalibrationError(f"The band reads {scale:.2f} g at rest. Its accelerometer is broken or set to another range.")
    if float(np.linalg.norm(bias)) > MAX_BIAS:
        turning = math.degrees(float(np.linalg.norm(bias)))
        raise CalibrationError(f"The band reads {turning:.0f} degrees/s at rest. Lay it on a table that does not turn.")
    up = force / np.linalg.norm(force)
    seconds = float(times[window][-1] - times[window][0])
    return Calibration(_triple(bias), _triple(up), scale, seconds)


class CalibrationStore:
    """Calibrations by band identity in one JSON file, which is replaced as a whole. `now_s`: Unix time."""

    def __init__(self, path: Path | str, now_s: Callable[[], float] = time.time) -> None:
        self.path = Path(path).expanduser()
        self.now_s = now_s

    def load(self) -> dict[str, Calibration]:
        """All that are kept; an absent file holds none. Raises StoreError when the file is unreadable or damaged."""
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
            return {str(band): _entry(entry) for band, entry in entries.items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(f"{self.path}: can't be read ({error.strerror}). Check its permissions.") from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise StoreError(f"{self.path}: is damaged ({error}). Delete it and calibrate: spotter band calibrate") from error

    def keep(self, band: str, calibration: Calibration) -> None:
        """Put `calibration`, made now where it doesn't say when, in the place of the one that `band` had.

        Raises StoreError; the file is then as before.
        """
        entries = self.load() | {band: replace(calibration, made_s=calibration.made_s or self.now_s())}
        unfinished = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("w", encoding="utf-8") as file:
                json.dump({name: asdict(entry) for name, entry in entries.items()}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, self.path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise StoreError(f"{self.path}: can't be written ({error.strerror}). Make room or set store.path.") from error


class RestWatch:
    """Finds the rests of one band as its batches come in; holds no more than REST_S of them and a batch."""

    def __init__(self) -> None:
        self._batches: list[ImuBatch] = []

    def push(self, batch: ImuBatch) -> Calibration | None:
        """The next batch, not calibrated. Returns what a rest tells that is over with it."""
        if len(batch.times_ns) == 0:
            return None
        if self._batches and not _follows(self._batches[-1], batch):
            self._batches = []
        self._batches.append(batch)
        if batch.times_ns[-1] - self._batches[0].times_ns[0] < REST_S * NS_PER_S:
            return None
        block, self._batches = self._batches, []
        try:
            return calibrate(block)
        except CalibrationError:
            return None


class CalibratedImu(ImuSource):
    """Another source whose gyros have their biases taken off, and which learns them anew at every rest.

    A band without an identity goes by its limb. A calibration that can't be kept is used all the same; it and an accelerometer
    that is wrong are logged, once a band.
    """

    def __init__(self, source: ImuSource, store: CalibrationStore) -> None:
        self.source = source
        self._store = store
        self._identities: dict[int, str] = {}
        self._known: dict[str, Calibration] = {}
        self._rests: dict[str, RestWatch] = {}
        self._warned: set[tuple[str, str]] = set()

    def open(self) -> None:
        try:
            self._known = self._store.load()
        except StoreError as error:
            log.warning("The bands start without their calibrations: %s", error)
        self._rests, self._identities = {}, {}
        self.source.open()

    def close(self) -> None:
        self.source.close()

    def read(self, until_ns: int) -> list[ImuBatch]:
        return [self._calibrated(batch) for batch in self.source.read(until_ns)]

    def pings(self, until_ns: int) -> list[ClockPing]:
        return self.source.pings(until_ns)

    def health(self) -> dict[int, BandHealth]:
        return self.source.health()

    def _calibrated(self, batch: ImuBatch) -> ImuBatch:
        band = self._identities.get(batch.band) or self._identify(batch.band)
        found = self._rests.setdefault(band, RestWatch()).push(batch)
        if found is not None:
            self._learn(band, replace(found, made_s=self._store.now_s()))
        known = self._known.get(band)
        return batch if known is None else known.applied(batch)

    def _identify(self, limb: int) -> str:
        health = self.source.health().get(limb)
        self._identities[limb] = health.identity if health is not None and health.identity else BANDS[limb]
        return self._identities[limb]

    def _learn(self, band: str, found: Calibration) -> None:
        if not found.force_right:
            self._warn(band, "force", f"its accelerometer reads {found.force_scale:.2f} g at rest; it can't be trusted.")
        known = self._known.get(band)
        if known is not None and not _replaces(found, known):
            return
        self._known[band] = found
        try:
            self._store.keep(band, found)
        except StoreError as error:
            self._warn(band, "store", f"its calibration is lost when the session ends: {error}")

    def _warn(self, band: str, what: str, text: str) -> None:
        if (band, what) not in self._warned:
            self._warned.add((band, what))
            log.warning("Band %s: %s", band, text)


def _replaces(found: Calibration, known: Calibration) -> bool:
    age_s = found.made_s - known.made_s
    # A clock that was set back makes everything from before it stale.
    if not 0 <= age_s < STALE_S:
        return True
    return age_s >= RENEWAL_S and math.dist(found.rate_bias, known.rate_bias) > SAME_BIAS


def _follows(before: ImuBatch, batch: ImuBatch) -> bool:
    gap_ns = int(batch.times_ns[0]) - int(before.times_ns[-1])
    return batch.session == before.session and 0 < gap_ns <= MAX_GAP_S * NS_PER_S


def _windows(times: Floats) -> Iterator[slice]:
    """Stretches of REST_S without a gap, one every tenth of it."""
    if len(times) < 2:
        return
    steps = np.diff(times)
    broken = np.concatenate([[0], np.cumsum((steps > MAX_GAP_S) | (steps <= 0))])
    due = times[0]
    for start, begun in enumerate(times):
        if begun < due and broken[start] == broken[max(start - 1, 0)]:
            continue
        run_end = int(np.searchsorted(broken, broken[start], side="right"))
        end = start + int(np.searchsorted(times[start:run_end], begun + REST_S - 1e-3))
        if end < run_end:
            yield slice(start, end + 1)
        due = begun + REST_S / 10


def _spread(values: Floats) -> float:
    """Largest standard deviation of (n, 6), in units of what an axis has at rest at most; infinite where not finite."""
    if not np.isfinite(values).all():
        return math.inf
    deviations = values.std(0)
    return float(max(deviations[:3].max() / MAX_FORCE_SPREAD, deviations[3:].max() / MAX_RATE_SPREAD))


def _entry(entry: dict[str, object]) -> Calibration:
    calibration = Calibration(**entry)  # type: ignore[arg-type]
    bias, up = tuple(map(float, calibration.rate_bias)), tuple(map(float, calibration.up))
    numbers = (*bias, *up, calibration.force_scale, calibration.rest_s, calibration.made_s)
    if len(bias) != 3 or len(up) != 3 or not all(math.isfinite(number) for number in numbers):
        raise ValueError("not three finite numbers an axis")
    return replace(calibration, rate_bias=bias, up=up)


def _triple(vector: Floats) -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return x, y, z
