"""A day of an appliance in simulated time, with a fault every few minutes: does anything grow, get lost or get stuck?"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import tee
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from device.bench.outcomes import print_soak
from device.bench.progress import Progress
from device.config import Config, load_config
from device.errors import SpotterError
from device.messages import NS_PER_S, Repetition
from device.rows import Report, Row, report, row
from device.runtime.bundle import Bundle
from device.runtime.live import config_bundle
from device.sim.faults.appliance import START_NS, Appliance
from device.sim.faults.feed import Crystal, Piece, Placed, crystals, day, library, placed
from device.sim.faults.schedule import Planned, schedule
from device.sim.faults.tracker import Tracker
from device.sim.faults.trial import quiet
from device.sim.trainee import TrueSet

STEPS = 1000
"""Of the progress bar."""
EVERY_S = 180.0
FIRST_FAULT_S = 10.0
SAMPLED_NS = 30 * NS_PER_S
WARM_SHARE, WARM_MOST_S = 0.25, 1200.0
"""Memory counts from then on: the allocator and the caches have what they need."""
BEFORE_NS, AFTER_NS = 10 * NS_PER_S, 6 * NS_PER_S
"""A fault so long before a set, or after it, still touches it: the entry pose, the summary and the clocks' windows."""
STUCK_NS = 30 * NS_PER_S
"""A fault that has an effect so long after its cause has gone is stuck."""
SAME_NS = NS_PER_S
"""A counted repetition that ends so near to a true set belongs to it."""
MB = 1e6


@dataclass(slots=True)
class SoakFindings:
    """Everything over a whole soak. `recoveries_s`: by fault. `untouched`: (true, counted) repetitions of each set that no fault
    touched; `touched`: of the others. `stuck`: what had not recovered in time, and when (s). `usage`: (simulated s, bytes
    resident, open files, threads). `ghosts`: repetitions outside all sets, and when (s), that no fault touched; `touched_ghosts`:
    the others."""

    seconds: float = 0.0
    wall_s: float = 0.0
    recoveries_s: dict[str, list[float]] = field(default_factory=dict)
    untouched: list[tuple[int, int]] = field(default_factory=list)
    touched: list[tuple[int, int]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    usage: list[tuple[float, int, int, int]] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    touched_ghosts: list[str] = field(default_factory=list)


def measure(args: Namespace, progress: Progress) -> Report:
    """All figures of `args.hours`; for people also how long each kind of fault took to be over."""
    config = load_config(args.config)
    progress.begin(STEPS, "making virtual trainees")
    steps = iter(range(1, STEPS + 1))
    following = next(steps)

    def show(share: float, what: str) -> None:
        nonlocal following
        while share * STEPS >= following:
            progress.step(what)
            following = next(steps, STEPS + 1)

    with quiet():
        found = soak(args.hours, args.seed, config, every_s=args.every, on_progress=show)
    if not args.json:
        print_soak(found)
    return report(soak_rows(found), seed=args.seed, bundle=config_bundle(config).version)


def counted_alone(
    sets: list[Piece], rests: list[Piece], worn: tuple[Crystal, ...], config: Config, bundle: Bundle
) -> list[Piece]:
    """Those of `sets` of which the coach counts every repetition where nothing goes wrong. The soak asks what faults and time do;
    how well the network counts is asked elsewhere. Raises SpotterError where hardly any is left."""
    with TemporaryDirectory() as folder:
        pieces = [piece for one in sets for piece in (one, rests[-1])]
        order, again = tee(placed(pieces, START_NS))
        rig = Appliance(pieces, worn, 0, Path(folder), config=config, bundle=bundle)
        with rig:
            for _ in rig.run(list(order)[-1].end_ns):
                pass
        found = [_counted(rig.witness.repetitions, here, here.piece.sets[0]) for here in again if here.piece.sets]
    kept = [one for one, n in zip(sets, found, strict=True) if n == len(one.sets[0].repetitions)]
    if 2 * len(kept) < len(sets):
        raise SpotterError(f"Only {len(kept)} of {len(sets)} virtual sets are counted without faults; give another --seed.")
    return kept


def soak(
    hours: float,
    seed: int,
    config: Config,
    *,
    every_s: float = EVERY_S,
    pieces: tuple[list[Piece], list[Piece]] | None = None,
    on_progress: Callable[[float, str], None] = lambda _share, _what: None,
) -> SoakFindings:
    """Run an appliance for `hours` of simulated time, or until Ctrl-C. `pieces`: sets and rests that it is made of, with
    bands of `crystals(seed)`; None makes one of each exercise. `on_progress`: share done, and what goes on."""
    bundle, worn = config_bundle(config), crystals(seed)
    on_progress(0.0, "making virtual trainees")
    sets, rests = library(seed) if pieces is None else pieces
    sets = counted_alone(sets, rests, worn, config, bundle)
    began_s = time.monotonic()
    with TemporaryDirectory() as folder:
        feed, order = tee(day(sets, rests, seed))
        rig = Appliance(feed, worn, seed, Path(folder), config=config, bundle=bundle)
        found = _Soak(rig, placed(order, START_NS), schedule(seed, START_NS + round(FIRST_FAULT_S * NS_PER_S), every_s))
        until_ns = START_NS + round(hours * 3600 * NS_PER_S)
        # The pieces stay for good; looking through them again and again would take a tenth of the time.
        gc.collect()
        gc.freeze()
        with contextlib.suppress(KeyboardInterrupt), rig:
            for now_ns in rig.run(until_ns):
                found.step(now_ns)
                if now_ns >= found.sample_ns:
                    found.sample(now_ns)
                    on_progress((now_ns - START_NS) / (until_ns - START_NS), found.doing)
        gc.unfreeze()
    found.findings.wall_s = time.monotonic() - began_s
    return found.findings


class _Soak:
    def __init__(self, rig: Appliance, pieces: Iterator[Placed], faults: Iterator[Planned]) -> None:
        self.findings = SoakFindings()
        self.sample_ns = START_NS
        self.doing = "no fault yet"
        self._rig = rig
        self._pieces = pieces
        self._here = next(pieces)
        self._faults = faults
        self._tracker = Tracker(rig, next(faults))
        self._harmed: deque[tuple[int, int]] = deque(maxlen=8)
        self._sets: deque[tuple[Placed, TrueSet]] = deque()
        self._repetitions: deque[Repetition] = deque()

    def step(self, now_ns: int) -> None:
        self._tracker.step(now_ns)
        planned = self._tracker.planned
        if self._tracker.over_ns is not None or now_ns > planned.end_ns + STUCK_NS:
            self._close(now_ns)
        while now_ns >= self._here.start_ns:
            self._sets.extend((self._here, done) for done in self._here.piece.sets)
            self._here = next(self._pieces)
        witness = self._rig.witness
        self._repetitions.extend(witness.repetitions)
        for taken in (witness.repetitions, witness.sets, witness.notices, witness.changes):
            taken.clear()
        while self._sets and now_ns > self._sets[0][0].end_ns + AFTER_NS + SAME_NS:
            self._judge(*self._sets.popleft())

    def sample(self, now_ns: int) -> None:
        """Note what the process uses."""
        self.sample_ns += SAMPLED_NS
        seconds = (now_ns - START_NS) / NS_PER_S
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.findings.seconds = seconds
        self.findings.usage.append((seconds, resident, len(os.listdir("/proc/self/fd")), threading.active_count()))

    def _close(self, now_ns: int) -> None:
        """A fault is over, or will never be."""
        tracker, findings = self._tracker, self.findings
        name = tracker.planned.kind.name
        self.doing = f"{name} survived"
        if tracker.recovered_s is None:
            self.doing = f"{name} is stuck"
            findings.stuck.append(f"{name} at {(tracker.planned.begin_ns - START_NS) / NS_PER_S:.0f} s")
        else:
            findings.recoveries_s.setdefault(name, []).append(tracker.recovered_s)
        self._harmed.append((tracker.planned.begin_ns, tracker.over_ns or now_ns))
        self._tracker = Tracker(self._rig, next(self._faults))

    def _judge(self, here: Placed, done: TrueSet) -> None:
        """Whether the repetitions of a set that is over were counted."""
        start_ns, end_ns = here.start_ns + done.start_ns, here.start_ns + done.end_ns
        harmed = self._is_harmed(start_ns, end_ns)
        true, counted = len(done.repetitions), _counted(self._repetitions, here, done)
        (self.findings.touched if harmed else self.findings.untouched).append((true, counted))
        if not harmed and true != counted:
            self.findings.missed.append(f"{done.exercise} at {(start_ns - START_NS) / NS_PER_S:.0f} s: {counted} of {true}")
        while self._repetitions and self._repetitions[0].end_ns < end_ns + SAME_NS:
            first = self._repetitions.popleft()
            if first.end_ns < start_ns - SAME_NS:
                touched = self._is_harmed(first.start_ns, first.end_ns)
                ghosts = self.findings.touched_ghosts if touched else self.findings.ghosts
                ghosts.append(f"{first.exercise} at {(first.end_ns - START_NS) / NS_PER_S:.0f} s")

    def _is_harmed(self, start_ns: int, end_ns: int) -> bool:
        """Whether a fault touched what was done from `start_ns` to `end_ns`."""
        windows = [*self._harmed]
        if self._tracker.begun:
            windows.append((self._tracker.planned.begin_ns, end_ns + AFTER_NS))
        return any(begin_ns < end_ns + AFTER_NS and over_ns > start_ns - BEFORE_NS for begin_ns, over_ns in windows)


def _counted(repetitions: deque[Repetition], here: Placed, done: TrueSet) -> int:
    start_ns, end_ns = here.start_ns + done.start_ns - SAME_NS, here.start_ns + done.end_ns + SAME_NS
    return sum(start_ns <= one.end_ns <= end_ns and one.exercise == done.exercise for one in repetitions)


def soak_rows(found: SoakFindings) -> list[Row]:
    """The figures. Slopes are of a straight line through all samples after the warm-up, per simulated hour."""
    warm_s = min(WARM_SHARE * found.seconds, WARM_MOST_S)
    usage = np.array([one for one in found.usage if one[0] >= warm_s], float).reshape(-1, 4)
    slopes = np.polyfit(usage[:, 0] / 3600, usage[:, 1:], 1)[0] if len(usage) > 2 else np.full(3, np.nan)
    lost = sum(max(0, true - counted) for true, counted in found.untouched)
    recoveries = [s for of in found.recoveries_s.values() for s in of]
    return [
        row("soak_hours", found.seconds / 3600, "h"),
        row("soak_faults", len(recoveries) + len(found.stuck), ""),
        row("soak_memory_slope", slopes[0] / MB, "MB/h", at_most=1.0),
        row("soak_memory", usage[-1, 1] / MB if len(usage) else None, "MB"),
        row("soak_files_slope", slopes[1], "1/h", at_most=0.5),
        row("soak_threads_slope", slopes[2], "1/h", at_most=0.5),
        row("soak_sets_untouched", len(found.untouched), ""),
        row("soak_repetitions_untouched", sum(true for true, _ in found.untouched), ""),
        row("soak_repetitions_lost", lost if found.untouched else None, "", at_most=0),
        row("soak_repetitions_too_many", sum(max(0, c - t) for t, c in found.untouched) + len(found.ghosts), "", at_most=0),
        row("soak_ghosts_touched", len(found.touched_ghosts), ""),
        row("soak_lost_share_touched", _share_lost(found.touched), "share"),
        row("soak_longest_recovery_s", max(recoveries, default=None), "s", at_most=8),
        row("soak_stuck", len(found.stuck), "", at_most=0),
        row("soak_speed", found.seconds / found.wall_s if found.wall_s else None, "x"),
    ]


def _share_lost(sets: list[tuple[int, int]]) -> float | None:
    true = sum(t for t, _ in sets)
    return sum(max(0, t - c) for t, c in sets) / true if true else None
