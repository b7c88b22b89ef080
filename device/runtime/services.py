"""Every service of the appliance in one flat table: how often it is heard of, when it counts as stale, how it is restarted.

`device.runtime.supervisor` decides by this table, `device.runtime.freshness` measures by it; docs/supervision.md says what the
trainee hears.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from device.config import Config
from device.skeleton import BANDS

NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Restarts:
    """How a service that fails is started again.

    `rests_s`: the rest before each restart, by how many failures the last `window_s` saw; the last one goes on for the others.
    After more than `most` failures in that time it rests `long_rest_s` each time, until it has run for `settled_s` on end. There
    is no last attempt.
    """

    rests_s: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 3.0)
    most: int = 20
    window_s: float = 120.0
    long_rest_s: float = 30.0
    settled_s: float = 10.0

    def __post_init__(self) -> None:
        numbers = (*self.rests_s, self.window_s, self.long_rest_s, self.settled_s)
        if not self.rests_s or self.most < 1 or any(not 0 <= number < NEVER for number in numbers):
            raise ValueError(f"restarts need rests, all of them finite and none negative, and most >= 1: {self}")


@dataclass(frozen=True, slots=True)
class Service:
    """One row. `rate_hz`: data a second, 0 where it acts when asked; `fresh_s`: data older than this is stale; `start_s`: how
    long its opening may take; `first_s`: from then to its first data; `hung_s`: silence after which it is restarted;
    `restarts`: None where it is no process or device of its own."""

    name: str
    rate_hz: float
    fresh_s: float
    start_s: float
    first_s: float
    hung_s: float
    restarts: Restarts | None

    def __post_init__(self) -> None:
        if not (self.rate_hz >= 0 and self.fresh_s > 0 and self.start_s > 0 and self.first_s > 0 and self.hung_s >= self.fresh_s):
            raise ValueError(f"service {self.name!r}: rates can't be negative, times must be above 0, hung_s not below fresh_s")


RESTARTS = Restarts()

SERVICES: tuple[Service, ...] = (
    #       name           rate   fresh   start  first   hung   restarts
    Service("core",         30.0,   0.5, NEVER, NEVER, NEVER, None),      # systemd's watchdog restarts it
    Service("eye",          15.0,   1.0,  60.0,   5.0,   2.0, RESTARTS),  # camera and pose estimator, one process
    Service("bands",         0.0,   1.0,  45.0, NEVER,  30.0, RESTARTS),  # the driver; bands may be off for hours
    Service("left_wrist",  100.0,   0.5, NEVER, NEVER, NEVER, None),      # the driver connects each band anew
    Service("right_wrist", 100.0,   0.5, NEVER, NEVER, NEVER, None),
    Service("left_ankle",  100.0,   0.5, NEVER, NEVER, NEVER, None),
    Service("right_ankle", 100.0,   0.5, NEVER, NEVER, NEVER, None),
    Service("voice",         0.0, NEVER,  20.0, NEVER, NEVER, RESTARTS),
    Service("vibration",     0.0, NEVER,  20.0, NEVER, NEVER, RESTARTS),
    Service("store",         0.0, NEVER,  20.0, NEVER, NEVER, RESTARTS),
    Service("recording",     0.0, NEVER,  20.0, NEVER, NEVER, RESTARTS),
)  # fmt: skip
"""The bands are sampled 100 times a second each; a batch of them comes every 10 to 50 ms."""

WATCHING = ("eye", "bands")
"""Where data comes from. Without any of them nobody is watched."""


def services(config: Config, names: Iterable[str]) -> tuple[Service, ...]:
    """Rows of the table for `names`, in its order, with the rates that `config` asks for. Raises KeyError on an unknown name."""
    wanted = set(names)
    unknown = wanted - {service.name for service in SERVICES}
    if unknown:
        raise KeyError(f"no service {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in SERVICES)}")
    rates = {"core": config.signals.tick_hz, "eye": config.camera.rate_hz} | dict.fromkeys(BANDS, config.imu.rate_hz)
    return tuple(replace(s, rate_hz=rates.get(s.name, s.rate_hz)) for s in SERVICES if s.name in wanted)


def watched(config: Config) -> tuple[str, ...]:
    """Names of the services that bring data where `config` is used."""
    return ("core", "eye") if config.imu.type == "none" else ("core", "eye", "bands", *BANDS)
