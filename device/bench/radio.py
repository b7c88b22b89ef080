"""Four bands with the real firmware over the virtual radio into the ble driver: what gets lost, and how well times are known.

What a band measures is the number of the sample, so each one that arrives can be told from every other and its true time is
known: that at which the chip took it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from device.band import protocol
from device.bench.progress import Progress
from device.config import ImuConfig
from device.drivers.ble.backend import Backend
from device.drivers.ble.pairing import pair_bands
from device.drivers.ble.trust import AllowList, PairingWindow
from device.drivers.imu_ble import BleImu
from device.errors import BandError
from device.messages import NS_PER_S, ImuBatch
from device.rows import Report, Row, report, row
from device.runtime.timebase import Timebase
from device.skeleton import BANDS, N_BANDS

if TYPE_CHECKING:
    from device.sim_radio.hosted import HostedBand
    from device.sim_radio.radio import VirtualRadio

SKEWS = (50e-6, -50e-6, 20e-6, -35e-6)
RATE_ERRORS = (0.01, -0.012, 0.004, -0.006)
"""A chip's oscillator is right to some 1 %."""
LOSS = 0.05
INTERVALS_MS = (15.0, 30.0)
OUTAGE_S = 3.0
SUPERVISION_S = 1.0
USABLE_NS = 5_000_000
SETTLED_NS = NS_PER_S
FIT_S = 3.0
"""A clock may take this long after connecting; what its errors are until then is not among the errors of sample times."""
READ_S = 0.02
STREAMING_S = 30.0

_FORCE = 16 * 9.80665 / protocol.FULL_SCALE
_TURN = 30_000


class Numbered:
    """A source whose samples carry their numbers. `times_ns`: the true time of each."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.int64]] = []
        self._count = 0

    def __call__(self, times_ns: NDArray[np.int64]) -> NDArray[np.int16]:
        numbers = np.arange(self._count, self._count + len(times_ns))
        self._blocks.append(times_ns.copy())
        self._count += len(times_ns)
        counts = np.zeros((len(times_ns), 6), np.int16)
        counts[:, 0] = numbers % _TURN - _TURN // 2
        counts[:, 1] = numbers // _TURN
        # A band that lies still goes to sleep when its connection is lost.
        counts[:, 2] = 2048 + 1500 * np.sin(times_ns * (2 * np.pi / NS_PER_S))
        return counts

    @property
    def times_ns(self) -> NDArray[np.int64]:
        return np.concatenate([np.zeros(0, np.int64), *self._blocks])


def numbers_of(batch: ImuBatch) -> NDArray[np.int64]:
    """The numbers that `Numbered` gave the samples of a batch."""
    counts = np.round(batch.values[:, :2] / _FORCE).astype(np.int64)
    numbers: NDArray[np.int64] = counts[:, 0] + _TURN // 2 + counts[:, 1] * _TURN
    return numbers


@dataclass(slots=True)
class Arrived:
    """What came of one band: sample numbers, converted times, stated standard deviations and times of arrival, and when its
    streams began (host ns)."""

    numbers: list[NDArray[np.int64]] = field(default_factory=list)
    times_ns: list[NDArray[np.int64]] = field(default_factory=list)
    sigmas_ns: list[NDArray[np.float64]] = field(default_factory=list)
    arrivals_ns: list[NDArray[np.int64]] = field(default_factory=list)
    began_ns: list[int] = field(default_factory=list)

    def add(self, batch: ImuBatch, converted: ImuBatch) -> None:
        """A batch as it came, and on host time; one of which the timebase kept nothing is still one that came."""
        self.numbers.append(numbers_of(batch))
        n = len(batch.times_ns)
        kept = len(converted.times_ns) == n
        self.times_ns.append(converted.times_ns if kept else np.full(n, -1, np.int64))
        self.sigmas_ns.append(np.full(n, float(converted.sigma_ns)))
        self.arrivals_ns.append(np.full(n, batch.t_ns, np.int64))


@dataclass(frozen=True, slots=True)
class Errors:
    """Of every sample whose time was stated: error (ns), stated standard deviation (ns), arrival (ns)."""

    error_ns: NDArray[np.float64]
    sigma_ns: NDArray[np.float64]
    arrival_ns: NDArray[np.int64]


def measure(args: Namespace, progress: Progress) -> Report:
    """All figures; each of the two parts takes `args.minutes`."""
    progress.begin(2, "calm radio")
    return report(radio_rows(args.minutes, args.seed, progress.step), seed=args.seed)


def radio_rows(minutes: float, seed: int, step: Callable[[str], None]) -> list[Row]:
    """Rows of both parts, each `minutes` long. Raises DriverUnavailable where node, MicroPython or bumble is absent."""
    seconds = minutes * 60
    with _four_bands(seed) as (radio, bands, imu, _sources):
        radio.link.interval_s = INTERVALS_MS[0] / 1e3
        cpu = _ThreadTime(imu)
        arrived = _listen(imu, seconds, [])
        driver_cpu = cpu.share()
        rates = [band.stream.rate_hz(time.monotonic_ns()) for band in imu.bands]
        dropped = sum(band.stream.garbage + band.stream.duplicated for band in imu.bands)
    step("rough radio")
    quiet = [
        row("radio_lost_samples", sum(_lost(each) for each in arrived), "", at_most=0),
        row("radio_duplicated_samples", sum(_doubled(each) for each in arrived) + dropped, "", at_most=0),
        row("radio_samples", sum(len(number) for each in arrived for number in each.numbers), ""),
        row("radio_slowest_band_hz", min(rates), "Hz", at_least=95),
        row("radio_driver_cpu", driver_cpu, "cores", at_most=0.10),
    ]
    with _four_bands(seed + 1, wraps_after_s=seconds / 3) as (radio, bands, imu, sources):
        radio.link.notification_loss = LOSS
        radio.link.interval_s = INTERVALS_MS[0] / 1e3
        arrived = _listen(imu, seconds, _troubles(radio, bands, seconds))
        truths = [_against_truth(each, source) for each, source in zip(arrived, sources, strict=True)]
        waits = [wait for each, errors in zip(arrived, truths, strict=True) for wait in _waits_s(each, errors)]
        reconnects = sum(band.link.reconnects for band in imu.bands)
        lost_packets = radio.link.lost_notifications
        doubled = sum(_doubled(each) for each in arrived)
    step("")
    error_ms = np.abs(np.concatenate([errors.error_ns for errors in truths])) / 1e6
    sigma_ms = np.concatenate([errors.sigma_ns for errors in truths]) / 1e6
    fitted_ms = error_ms[np.concatenate([_fitted(each, errors) for each, errors in zip(arrived, truths, strict=True)])]
    return [
        *quiet,
        row("rough_time_error_p95_ms", float(np.percentile(fitted_ms, 95)), "ms", at_most=2),
        row("rough_time_error_p99_ms", float(np.percentile(fitted_ms, 99)), "ms", at_most=5),
        row("rough_truth_in_interval", float(np.mean(error_ms <= 1.96 * sigma_ms)), "share", at_least=0.95),
        row("rough_stated_sigma_ms", float(np.median(sigma_ms)), "ms"),
        row("rough_time_to_fit_s", max(waits), "s", at_most=FIT_S),
        row("rough_duplicated_samples", doubled, "", at_most=0),
        row("rough_notifications_lost", lost_packets, ""),
        row("rough_reconnects", reconnects, "", at_least=2),
    ]


@contextmanager
def _four_bands(
    seed: int, wraps_after_s: float | None = None
) -> Iterator[tuple[VirtualRadio, list[HostedBand], BleImu, list[Numbered]]]:
    """Four paired bands that stream. `wraps_after_s`: when the first one's counter wraps, from its start."""
    from device.sim_radio.needs import require_bumble

    require_bumble()
    from device.sim_radio.hosted import HostedBand
    from device.sim_radio.radio import VirtualRadio

    sources = [Numbered() for _ in BANDS]
    rng = np.random.default_rng(seed)
    readings = [int(rng.integers(0, 1 << 29)) for _ in BANDS]
    if wraps_after_s is not None:
        readings[0] = (1 << protocol.COUNTER_BITS) - round((wraps_after_s + 10) * 1e6)
    bands = [
        HostedBand(
            f"band{i}",
            f"F{i + 1}:00:00:00:00:01",
            sources[i],
            reading_us=readings[i],
            skew=SKEWS[i],
            sample_rate_error=RATE_ERRORS[i],
        )
        for i in range(N_BANDS)
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        VirtualRadio(supervision_s=SUPERVISION_S, seed=seed) as radio,
    ):
        radio.add(*bands)
        radio.rssi = {band.address: -40 - i for i, band in enumerate(bands)}
        path = Path(folder) / "bands.json"
        backend = Backend(radio.client, radio.scanner)
        done = asyncio.run(pair_bands(backend, AllowList(path), PairingWindow(STREAMING_S), count=N_BANDS))
        if len(done) < N_BANDS:
            raise BandError(
                f"Only {len(done)} of {N_BANDS} bands could be paired over the virtual radio. Is the machine overloaded?"
            )
        with BleImu(ImuConfig(type="ble", trusted=str(path)), backend) as imu:
            yield radio, bands, imu, sources


def _listen(imu: BleImu, seconds: float, troubles: list[tuple[float, Callable[[], None]]]) -> list[Arrived]:
    """Read and convert for `seconds` after all bands stream; each trouble starts at its second. Raises BandError."""
    arrived = [Arrived() for _ in BANDS]
    timebase = Timebase()
    patience_s = time.monotonic() + STREAMING_S
    ends_s: float | None = None
    waiting = sorted(troubles, key=lambda trouble: trouble[0])
    while ends_s is None or time.monotonic() < ends_s:
        time.sleep(READ_S)
        now_ns = time.monotonic_ns()
        for ping in imu.pings(now_ns):
            timebase.ping(ping)
        for batch in imu.read(now_ns):
            arrived[batch.band].add(batch, timebase.convert(batch, batch.t_ns))
        for band in imu.bands:
            began_ns = arrived[band.stream.band].began_ns
            if band.link.connections > len(began_ns):
                began_ns.append(band.link.since_ns)
        if ends_s is None and all(each.numbers for each in arrived):
            ends_s = time.monotonic() + seconds
        if ends_s is None and time.monotonic() > patience_s:
            raise BandError("Not all bands stream over the virtual radio. Is the machine overloaded?")
        while ends_s is not None and waiting and time.monotonic() > ends_s - seconds + waiting[0][0]:
            waiting.pop(0)[1]()
    return arrived


def _troubles(radio: VirtualRadio, bands: list[HostedBand], seconds: float) -> list[tuple[float, Callable[[], None]]]:
    """Half way the connection interval doubles; before it one band is out of range, after it one reboots."""

    def slower() -> None:
        radio.link.interval_s = INTERVALS_MS[1] / 1e3

    return [
        (seconds * 0.2, lambda: radio.start(radio.outage(bands[1], OUTAGE_S))),
        (seconds * 0.5, slower),
        (seconds * 0.6, lambda: radio.start(bands[2].reboot())),
    ]


def _lost(arrived: Arrived) -> int:
    numbers = np.concatenate(arrived.numbers)
    return int(numbers.max() - numbers.min() + 1 - len(np.unique(numbers)))


def _doubled(arrived: Arrived) -> int:
    numbers = np.concatenate(arrived.numbers)
    return int(len(numbers) - len(np.unique(numbers)))


def _against_truth(arrived: Arrived, source: Numbered) -> Errors:
    true_ns = source.times_ns[np.concatenate(arrived.numbers)]
    times_ns = np.concatenate(arrived.times_ns)
    stated = times_ns >= 0
    return Errors(
        (times_ns - true_ns)[stated].astype(np.float64),
        np.concatenate(arrived.sigmas_ns)[stated],
        np.concatenate(arrived.arrivals_ns)[stated],
    )


def _fitted(arrived: Arrived, errors: Errors) -> NDArray[np.bool_]:
    """Which samples came FIT_S after the beginning of their stream or later."""
    began_ns = np.array(arrived.began_ns)
    of = np.searchsorted(began_ns, errors.arrival_ns, side="right") - 1
    late: NDArray[np.bool_] = errors.arrival_ns - began_ns[np.maximum(of, 0)] >= FIT_S * NS_PER_S
    return late & (of >= 0)


def _waits_s(arrived: Arrived, errors: Errors) -> list[float]:
    """Of each stream, how long it took until all samples of the next second were right to 5 ms."""
    waits = []
    for began_ns in arrived.began_ns:
        wrong = errors.arrival_ns[(np.abs(errors.error_ns) > USABLE_NS) & (errors.arrival_ns >= began_ns)]
        after_ns = began_ns
        for wrong_ns in wrong.tolist():
            if wrong_ns > after_ns + SETTLED_NS:
                break
            after_ns = wrong_ns
        first = errors.arrival_ns[errors.arrival_ns > after_ns]
        waits.append((int(first[0]) - began_ns) / NS_PER_S if len(first) else float("inf"))
    return waits


class _ThreadTime:
    """Processor time of the driver's thread since this was made."""

    def __init__(self, imu: BleImu) -> None:
        thread = imu.thread
        self._clock = time.pthread_getcpuclockid(thread.ident) if thread is not None and thread.ident is not None else None
        self._wall_s = time.monotonic()
        self._cpu_s = self._now_s()

    def share(self) -> float:
        """Of one core."""
        return (self._now_s() - self._cpu_s) / (time.monotonic() - self._wall_s)

    def _now_s(self) -> float:
        return time.clock_gettime(self._clock) if self._clock is not None else float("nan")
