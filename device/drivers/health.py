"""How one band is doing, whichever driver it comes by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BandHealth:
    """Counts go on from the opening of the source; what a driver can't know is None.

    `name`: of the band or chip, for people. `identity`: what it can be told by for ever, empty where there is no such thing.
    `rate_hz`: samples a second, measured; 0 before it is known. `received`, `lost`, `duplicated`, `saturated`: samples.
    `overflows`: times that the band or chip lost some because nobody read them in time. `dropped`: packets, frames or transfers
    that made no sense. `reconnects`: times that it was set up anew. `last_seen_ns`: host time of its newest data, None before
    any. `stuck`: it repeats itself, and nothing of it is handed on. `problem`: what keeps it from working now, with what to do;
    empty when it works.
    """

    name: str = ""
    identity: str = ""
    rate_hz: float = 0.0
    received: int = 0
    lost: int = 0
    duplicated: int = 0
    overflows: int = 0
    dropped: int = 0
    saturated: int = 0
    reconnects: int = 0
    last_seen_ns: int | None = None
    battery: int | None = None
    rssi_dbm: int | None = None
    stuck: bool = False
    problem: str = ""

    @property
    def loss(self) -> float:
        """Share of samples that did not arrive, 0..1."""
        whole = self.received + self.lost
        return self.lost / whole if whole else 0.0
