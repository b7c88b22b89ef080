"""Every fault once: how soon it is noticed, how soon all is well again, what the trainee hears, and what is lost."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from device.bench.outcomes import print_outcomes
from device.bench.progress import Progress
from device.config import Config, load_config
from device.errors import ConfigError
from device.rows import Report, Row, report, row
from device.runtime.bundle import Bundle
from device.runtime.live import config_bundle
from device.sim.faults import process, real
from device.sim.faults.feed import Crystal, Piece, crystals, library, resting
from device.sim.faults.outcome import Outcome
from device.sim.faults.table import FAULTS, Kind
from device.sim.faults.trial import quiet, simulated

CUTS = 1000
REBOOT = "band_reboot"
SIMULATED = "simulated"
REAL: dict[str, Callable[[int], Outcome]] = {
    "i2c_errno_121": real.i2c_errno_121,
    "pwm_write_fails": real.pwm_write_fails,
    "bundle_damaged": real.bundle_damaged,
    "memory_pressure": real.memory_pressure,
}
"""Made on real parts, in real time."""


@dataclass(frozen=True, slots=True)
class FaultsFound:
    """`outcomes` in the order of the table; `reopened`: share of power cuts after which the store had everything, None where none
    was made."""

    outcomes: tuple[Outcome, ...]
    reopened: float | None


def measure(args: Namespace, progress: Progress) -> Report:
    """All figures; for people also what became of each fault. Raises ConfigError where `args.only` names none."""
    names = [kind.name for kind in FAULTS]
    wanted = [name.strip() for name in args.only.split(",")] if args.only else names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise ConfigError(f"--only: there is no fault {', '.join(unknown)}; there are {', '.join(names)}.")
    config = load_config(args.config)
    bundle = config_bundle(config)
    kinds = [kind for kind in FAULTS if kind.name in wanted]
    progress.begin(len(kinds) + 1, "virtual trainees")
    found = find(args.seed, config, bundle, kinds, args.cuts, progress.step)
    if not args.json:
        print_outcomes(found.outcomes, made_on)
    return report(fault_rows(found), seed=args.seed, bundle=bundle.version)


def made_on(name: str) -> str:
    """What the bench makes the fault `name` on, for people."""
    if name in process.MADE:
        return "real process"
    if name in REAL or name == "power_cut":
        return "real parts"
    return SIMULATED


def find(
    seed: int, config: Config, bundle: Bundle, kinds: Sequence[Kind], cuts: int = CUTS, on_step: Callable[[str], None] = print
) -> FaultsFound:
    """Make each of `kinds` happen once. `on_step` hears which one is next."""
    worn = crystals(seed)
    sets, rests = library(seed) if any(made_on(kind.name) == SIMULATED for kind in kinds) else ([], [])
    outcomes: list[Outcome] = []
    reopened: float | None = None
    for kind in kinds:
        on_step(kind.name)
        with quiet():
            if kind.name == "power_cut":
                outcome, reopened = real.power_cut(seed, cuts)
            else:
                outcome = _made(kind, seed, worn, sets, rests, config, bundle)
        outcomes.append(outcome)
    return FaultsFound(tuple(outcomes), reopened)


def _made(
    kind: Kind, seed: int, worn: tuple[Crystal, ...], sets: list[Piece], rests: list[Piece], config: Config, bundle: Bundle
) -> Outcome:
    if kind.name in process.MADE:
        return process.on_real_eye(kind.name, resting(seed, 10.0, worn), worn, config, bundle, seed)
    if kind.name in REAL:
        return REAL[kind.name](seed)
    pieces = (sets[FAULTS.index(kind) % len(sets)], rests[0])
    return simulated(kind, seed, pieces, worn, config, bundle)


def fault_rows(found: FaultsFound) -> list[Row]:
    """The figures. A fault that did not recover has none, which misses its limit."""
    limits = {kind.name: kind.limit_s for kind in FAULTS}
    rows = []
    for outcome in found.outcomes:
        if outcome.detected_s is not None:
            rows.append(row(f"{outcome.fault}_detected_s", outcome.detected_s, "s"))
        rows.append(row(f"{outcome.fault}_recovery_s", outcome.recovered_s, "s", at_most=limits[outcome.fault]))
    recoveries = [outcome.recovered_s for outcome in found.outcomes if outcome.fault != REBOOT]
    longest = None if None in recoveries else max((s for s in recoveries if s is not None), default=None)
    rows.append(row("longest_recovery_s", longest, "s", at_most=5.0 if recoveries else None))
    survived = sum(outcome.survived for outcome in found.outcomes) / len(found.outcomes)
    rows.append(row("faults_survived", survived, "share", at_least=1.0))
    if found.reopened is not None:
        rows.append(row("power_cut_reopened", found.reopened, "share", at_least=1.0))
    return rows
