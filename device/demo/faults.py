"""A session during which one thing after another goes wrong, on the simulated appliance."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from device.config import Config
from device.errors import StoreError
from device.messages import NS_PER_S
from device.rows import Report, Row, report, row
from device.runtime.live import config_bundle
from device.screen import Screen
from device.sim.faults.appliance import START_NS, Appliance
from device.sim.faults.feed import Piece, crystals, library, true_repetitions
from device.sim.faults.outcome import Outcome
from device.sim.faults.schedule import Planned, schedule
from device.sim.faults.tracker import Tracker
from device.sim.faults.trial import outcome_of, quiet

EVERY_S = 12.0
LAST_S = 25.0
"""No fault begins later than this before the end: the last one is to be over by then."""
LIMIT_S = 8.0


@dataclass(frozen=True, slots=True)
class FaultyDemo:
    """What became of each fault, in order; repetitions `true` and `counted`; where the session is kept."""

    outcomes: tuple[Outcome, ...]
    true: int
    counted: int
    store: Path
    figures: Report


def run_faulty_demo(config: Config, seed: int, out: Path, screen: Screen, *, realtime: bool = False) -> FaultyDemo:
    """All exercises with faults from `seed`; the session is kept in `out`. Raises StoreError where that can't be used."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{out}: can't be made ({error.strerror}). Give another folder to --out.") from error
    bundle = config_bundle(config)
    screen.note("making the virtual trainees")
    sets, rests = library(seed)
    pieces = [piece for one in sets for piece in (one, rests[0])]
    total_s = sum(piece.seconds for piece in pieces)
    until_ns = START_NS + total_s * NS_PER_S
    rig = Appliance(pieces, crystals(seed), seed, out, config=config, bundle=bundle)
    faults = _before(schedule(seed, START_NS, EVERY_S), until_ns - round(LAST_S * NS_PER_S))
    with rig, screen, quiet():
        story = _Story(rig, faults)
        began_s = time.monotonic()
        for now_ns in rig.run(until_ns):
            story.step(now_ns)
            elapsed_s = (now_ns - START_NS) / NS_PER_S
            if realtime:
                time.sleep(max(0.0, began_s + elapsed_s - time.monotonic()))
            screen.update(rig.core.progress, elapsed_s=elapsed_s, total_s=total_s)
    outcomes = tuple(outcome_of(rig, tracker) for tracker in story.trackers if tracker.begun)
    counted, true = len(rig.witness.repetitions), _true(pieces)
    return FaultyDemo(
        outcomes, true, counted, rig.store_path, report(_rows(outcomes, true, counted), seed=seed, bundle=bundle.version)
    )


class _Story:
    """Makes the faults happen one after the other and tells of them on standard error as they do."""

    def __init__(self, rig: Appliance, faults: Iterator[Planned]) -> None:
        self.trackers: list[Tracker] = []
        self._rig = rig
        self._faults = faults
        self._told: set[tuple[int, str]] = set()
        self._next()

    def step(self, now_ns: int) -> None:
        tracker = self.trackers[-1]
        tracker.step(now_ns)
        name = tracker.planned.kind.name
        seconds = (now_ns - START_NS) / NS_PER_S
        if tracker.begun:
            self._tell("begins", f"{seconds:6.1f} s  {name} begins")
        if tracker.detected_s is not None:
            self._tell("noticed", f"{seconds:6.1f} s  {name} noticed after {tracker.detected_s:.1f} s")
        if tracker.recovered_s is not None:
            self._tell("over", f"{seconds:6.1f} s  {name} over, {tracker.recovered_s:.1f} s after its cause")
            self._next()

    def _next(self) -> None:
        planned = next(self._faults, None)
        if planned is not None:
            self.trackers.append(Tracker(self._rig, planned))

    def _tell(self, what: str, line: str) -> None:
        key = (len(self.trackers), what)
        if key not in self._told:
            self._told.add(key)
            print(line, file=sys.stderr, flush=True)


def _before(faults: Iterator[Planned], until_ns: int) -> Iterator[Planned]:
    for planned in faults:
        if planned.end_ns > until_ns:
            return
        yield planned


def _true(pieces: list[Piece]) -> int:
    return sum(true_repetitions(piece.sets) for piece in pieces)


def _rows(outcomes: tuple[Outcome, ...], true: int, counted: int) -> list[Row]:
    recoveries = [outcome.recovered_s for outcome in outcomes]
    longest = None if None in recoveries else max((s for s in recoveries if s is not None), default=None)
    return [
        row("faults", len(outcomes), ""),
        row("faults_survived", sum(o.survived for o in outcomes) / len(outcomes) if outcomes else None, "share", at_least=1.0),
        row("longest_recovery_s", longest, "s", at_most=LIMIT_S),
        row("repetitions_true", true, ""),
        row("repetitions_counted", counted, ""),
    ]
