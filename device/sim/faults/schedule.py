"""When which fault happens: all of it follows from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from device.messages import NS_PER_S
from device.sim.faults.kinds import Fault
from device.sim.faults.table import FAULTS, Kind

ANY_TIME: tuple[Kind, ...] = tuple(kind for kind in FAULTS if kind.make is not None and kind.name != "counter_wrap")
"""Those that can be made on a simulated appliance whenever one likes. Counters wrap by themselves, every 18 minutes."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault: its cause is there from `begin_ns` to `end_ns` (host)."""

    kind: Kind
    fault: Fault
    begin_ns: int
    end_ns: int


def planned(kind: Kind, begin_ns: int, rng: np.random.Generator) -> Planned:
    """`kind` at `begin_ns`, with a band, a duration and whatever else it leaves open drawn from `rng`."""
    if kind.make is None:
        raise ValueError(f"{kind.name} can't be made on a simulated appliance; it is made on real parts.")
    lasts_ns = round(float(rng.uniform(*kind.lasts_s)) * NS_PER_S)
    return Planned(kind, kind.make(rng), begin_ns, begin_ns + lasts_ns)


def schedule(seed: int, start_ns: int, every_s: float, kinds: Sequence[Kind] = ANY_TIME) -> Iterator[Planned]:
    """Faults without end, one about every `every_s`, never two at a time; all kinds come once before any comes again."""
    rng = np.random.default_rng((seed, 14))
    now_ns = start_ns
    while True:
        for i in rng.permutation(len(kinds)):
            now_ns += round(every_s * float(rng.uniform(0.7, 1.3)) * NS_PER_S)
            one = planned(kinds[i], now_ns, rng)
            yield one
            now_ns = one.end_ns
