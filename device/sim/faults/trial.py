"""One fault on a simulated appliance, in the middle of a set."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from device.config import Config
from device.messages import NS_PER_S
from device.runtime.bundle import Bundle
from device.runtime.history import read_sessions
from device.sim.faults.appliance import START_NS, Appliance
from device.sim.faults.feed import Crystal, Piece, true_repetitions
from device.sim.faults.outcome import Outcome
from device.sim.faults.schedule import planned
from device.sim.faults.table import FAULTS, Kind
from device.sim.faults.tracker import Tracker
from device.sim_clock.band import COUNTER_BITS
from device.skeleton import N_BANDS

BEGINS_S = 8.0
"""Into the set: some repetitions are counted, and most are still to come."""
SAID_S = 6.0
"""So long after the recovery the trainee may still hear of the fault."""
TICK_HZ = 30.0


def simulated(kind: Kind, seed: int, pieces: Sequence[Piece], worn: Sequence[Crystal], config: Config, bundle: Bundle) -> Outcome:
    """`kind` happens during the first set of `pieces`."""
    first = pieces[0].sets[0]
    begin_ns = START_NS + first.start_ns + round(BEGINS_S * NS_PER_S)
    rng = np.random.default_rng((seed, 16, FAULTS.index(kind)))
    plan = planned(kind, begin_ns, rng)
    turn_s = (1 << COUNTER_BITS) * 1e-6
    # Every band's counter wraps when the fault is to happen, where that is the fault.
    booted_s = [turn_s - (begin_ns - START_NS) / NS_PER_S] * N_BANDS if kind.name == "counter_wrap" else None
    with TemporaryDirectory() as folder, quiet():
        rig = Appliance(pieces, worn, seed, Path(folder), config=config, bundle=bundle, booted_s=booted_s)
        tracker = Tracker(rig, plan)
        length_ns = sum(piece.seconds for piece in pieces) * NS_PER_S
        with rig:
            for now_ns in rig.run(START_NS + length_ns):
                tracker.step(now_ns)
        stored = read_sessions(rig.store_path)[0]
    outcome = outcome_of(rig, tracker)
    counted, true = len(rig.witness.repetitions), sum(true_repetitions(piece.sets) for piece in pieces)
    problems = [outcome.problem] if outcome.problem else []
    if stored.repetitions != counted or stored.status != "complete":
        problems.append(f"{stored.repetitions} of {counted} counted repetitions are in the store ({stored.status})")
    lost = [outcome.lost] if outcome.lost else []
    if counted != true:
        lost.append(f"{true - counted} of {true} repetitions")
    return replace(outcome, lost=", ".join(lost) or "nothing", survived=not problems, problem="; ".join(problems))


def outcome_of(rig: Appliance, tracker: Tracker) -> Outcome:
    """What became of the fault that `tracker` followed, as far as it shows while the session goes on."""
    planned = tracker.planned
    until_ns = None if tracker.over_ns is None else tracker.over_ns + round(SAID_S * NS_PER_S)
    heard = tuple(
        cue.text for cue in rig.witness.notices if cue.t_ns >= planned.begin_ns and (until_ns is None or cue.t_ns <= until_ns)
    )
    well = tracker.recovered_s is not None
    problem = "" if well else "it did not recover"
    return Outcome(planned.kind.name, tracker.detected_s, tracker.recovered_s, heard, _lost(tracker), well, problem)


def _lost(tracker: Tracker) -> str:
    parts = []
    if tracker.blind_ticks:
        parts.append(f"camera {tracker.blind_ticks / TICK_HZ:.1f} s")
    if tracker.numb_ticks:
        parts.append(f"bands {tracker.numb_ticks / TICK_HZ:.1f} s")
    if tracker.unsaid:
        parts.append(f"{tracker.unsaid} sentence{'s' if tracker.unsaid > 1 else ''}")
    return ", ".join(parts)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What the product logs of a fault that is made on purpose is not news."""
    logger = logging.getLogger("device")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
