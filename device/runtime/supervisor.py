"""Decides which service is started and stopped when. No input, no output, no clock of its own; the shell around it acts.

    STARTING --data came, or opened and acts when asked--> RUNNING --error, or silent for hung_s--> FAILED
        ^  \\--error, or too slow--------------------------------------------------------------------^  |
        |                                                                                             stopped
        +--rest over-- RESTING or, after too many failures, GONE <---------------------------------------+

A service that is GONE is tried after each long rest, and stays GONE to everybody until it runs. A service without restarts of
its own (one band, the core's ticks) is RUNNING while its data is fresh, and GONE when it no longer is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from device.messages import NS_PER_S, ServiceChanged, ServiceState
from device.runtime.freshness import Freshness, Health
from device.runtime.services import NEVER, WATCHING, Restarts, Service

STALL_NS = NS_PER_S // 2
"""Steps further apart than this: it is the core that was held up, and others are not blamed for the silence."""

SILENT_PERIODS = 4
"""Of what was asked for, before silence is a failure."""

STARTING, RUNNING, FAILED, RESTING, GONE = ServiceState


class Do(Enum):
    START = "start"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Order:
    """What the shell has to do. It answers START with `opened`, `heard` or `failed`, and STOP with `stopped`."""

    service: str
    do: Do


class Supervisor:
    """The services' states. The shell reports what happens, asks `step` for orders, and passes `changes` on."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._units: dict[str, _Unit] = {}
        self._orders: list[Order] = []
        self._changes: list[ServiceChanged] = []
        self._stepped_ns: int | None = None
        self.add(services)

    def add(self, services: Iterable[Service]) -> None:
        """Look after `services` too, from the next step on."""
        self._units |= {service.name: _Unit(service) for service in services}

    def step(self, now_ns: int) -> list[Order]:
        """What is to be done at `now_ns`; each order once."""
        if self._stepped_ns is not None and now_ns - self._stepped_ns > STALL_NS:
            for unit in self._units.values():
                unit.forgive(now_ns - self._stepped_ns)
        self._stepped_ns = now_ns
        for unit in self._units.values():
            if unit.service.restarts is None:
                self._follow(unit, now_ns)
            else:
                self._look_at(unit, now_ns)
        orders, self._orders = self._orders, []
        return orders

    def opened(self, name: str, now_ns: int) -> None:
        """`name` is open. It runs, unless it has to bring data first (then `first_s` is its new patience)."""
        unit = self._units[name]
        if unit.state is not STARTING:
            return
        unit.opened = True
        if unit.service.first_s < NEVER:
            unit.deadline_ns = now_ns + unit.service.first_s * NS_PER_S
        else:
            self._enter(unit, RUNNING, now_ns)

    def heard(self, name: str, now_ns: int, t_ns: int | None = None, count: int = 1) -> bool:
        """Data of `name` came, as for `Freshness.heard`. Returns whether they are valid; only then it runs."""
        unit = self._units[name]
        valid = unit.freshness.heard(now_ns, t_ns, count)
        if valid and unit.state is STARTING and unit.service.restarts is not None:
            unit.opened = True
            self._enter(unit, RUNNING, now_ns)
        return valid

    def expect(self, name: str, rate_hz: float, now_ns: int) -> None:
        """From now on data of `name` come at `rate_hz`, because it was asked for that. 0: none are asked for, and silence is no
        failure."""
        unit = self._units[name]
        if not unit.freshness.rate_hz and rate_hz:
            unit.freshness.excuse(now_ns)
        unit.freshness.rate_hz = rate_hz

    def failed(self, name: str, now_ns: int, reason: str) -> None:
        """`name` could not be started, or failed while it ran. Said again before it has been stopped, it counts once."""
        unit = self._units[name]
        if unit.state not in (STARTING, RUNNING):
            return
        if unit.state is RUNNING and now_ns - unit.since_ns >= unit.restarts.settled_s * NS_PER_S:
            unit.failures.clear()
            unit.exhausted = False
        unit.fail(now_ns)
        unit.reason = reason
        self._orders.append(Order(name, Do.STOP))
        self._enter(unit, FAILED, now_ns)

    def stopped(self, name: str, now_ns: int) -> None:
        """`name` is out of the way: its rest begins."""
        unit = self._units[name]
        if unit.state is not FAILED:
            return
        unit.opened = False
        unit.until_ns = now_ns + round(unit.rest_s() * NS_PER_S)
        self._enter(unit, GONE if unit.exhausted else RESTING, now_ns)

    def changes(self) -> list[ServiceChanged]:
        """What changed since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    def __contains__(self, name: str) -> bool:
        return name in self._units

    def state(self, name: str) -> ServiceState:
        """In which state `name` is now."""
        return self._units[name].state

    def is_open(self, name: str) -> bool:
        """Whether `name` could be opened and has not failed since."""
        return self._units[name].opened

    def has_failed(self, name: str) -> bool:
        """Whether `name` failed at least once."""
        return self._units[name].failed > 0

    def reason(self, name: str) -> str:
        """What made `name` fail last; empty where nothing did."""
        return self._units[name].reason

    def rest_s(self, name: str) -> float:
        """How long `name` rests after its newest failure."""
        return self._units[name].rest_s()

    def health(self, name: str, now_ns: int) -> Health:
        """How the data of `name` comes."""
        return self._units[name].freshness.at(now_ns)

    def flowing(self, now_ns: int) -> bool:
        """Whether data flows: from the camera or a band, and out of the core."""
        coming = any(self._units[name].freshness.fresh(now_ns) for name in WATCHING if name in self._units)
        return coming and ("core" not in self._units or self._units["core"].freshness.fresh(now_ns))

    def status(self) -> str:
        """One line: what runs, and what does not."""
        running = [name for name, unit in self._units.items() if unit.public is RUNNING]
        others = [f"{name} {unit.public}" for name, unit in self._units.items() if unit.public is not RUNNING]
        return "; ".join(part for part in (", ".join(running) and f"running: {', '.join(running)}", ", ".join(others)) if part)

    def report(self, now_ns: int) -> dict[str, dict[str, Any]]:
        """State of every service, for JSON: state, failures, what made it fail last, and the rate of its data (Hz)."""
        return {
            name: {
                "state": unit.public.value,
                "failures": unit.failed,
                "reason": unit.reason,
                "rate_hz": round(unit.freshness.at(now_ns).rate_hz, 1),
            }
            for name, unit in self._units.items()
        }

    def _look_at(self, unit: _Unit, now_ns: int) -> None:
        name = unit.service.name
        if unit.state in (RESTING, GONE):
            if now_ns >= unit.until_ns:
                unit.freshness.restart()
                unit.deadline_ns = now_ns + unit.service.start_s * NS_PER_S
                self._orders.append(Order(name, Do.START))
                self._enter(unit, STARTING, now_ns)
        elif unit.state is STARTING:
            if now_ns > unit.deadline_ns and not (unit.opened and unit.unasked):
                patience_s = unit.service.first_s if unit.opened else unit.service.start_s
                what = "has brought no data" if unit.opened else "did not start"
                self.failed(name, now_ns, f"It {what} within {patience_s:g} s.")
        elif unit.state is RUNNING:
            silent_ns = now_ns - max(unit.freshness.valid_ns or 0, 0)
            if unit.freshness.valid_ns is not None and silent_ns > unit.patience_s * NS_PER_S and not unit.unasked:
                sends = unit.freshness.at(now_ns).alive
                what = "sent nothing but stale data" if sends else "sent nothing"
                self.failed(name, now_ns, f"It has {what} for {silent_ns / NS_PER_S:.1f} s.")

    def _follow(self, unit: _Unit, now_ns: int) -> None:
        fresh = unit.freshness.fresh(now_ns)
        if fresh and unit.state is not RUNNING:
            self._enter(unit, RUNNING, now_ns)
        elif not fresh and unit.state is RUNNING:
            unit.failed += 1
            unit.reason = f"Nothing came for {unit.service.fresh_s:g} s."
            self._enter(unit, GONE, now_ns)

    def _enter(self, unit: _Unit, state: ServiceState, now_ns: int) -> None:
        unit.state, unit.since_ns = state, now_ns
        # To others a service that is gone stays so until it runs: each attempt would only be noise.
        unit.public = GONE if unit.exhausted and state is not RUNNING else state
        said = (unit.public, unit.reason if unit.public in (FAILED, RESTING, GONE) else "")
        if said != unit.said and not (unit.said is not None and unit.said[0] is GONE and unit.public is GONE):
            unit.said = said
            self._changes.append(ServiceChanged(now_ns, unit.service.name, *said))


class _Unit:
    """What is known of one service. `failures`: when it failed in the last `window_s`. `exhausted`: it failed too often."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.freshness = Freshness(service.rate_hz, service.fresh_s)
        # A service that can be started begins with a rest that is over; the others begin when their data does.
        self.state = STARTING if service.restarts is None else RESTING
        self.public = self.state
        self.said: tuple[ServiceState, str] | None = None
        self.since_ns = 0
        self.until_ns: float = 0
        self.deadline_ns: float = 0
        self.opened = False
        self.failures: deque[int] = deque()
        self.failed = 0
        self.exhausted = False
        self.reason = ""

    @property
    def restarts(self) -> Restarts:
        assert self.service.restarts is not None
        return self.service.restarts

    @property
    def unasked(self) -> bool:
        """Whether it brings data by itself, but was asked not to."""
        return self.service.rate_hz > 0 and not self.freshness.rate_hz

    @property
    def patience_s(self) -> float:
        """Silence that is no failure: some periods at least, where few data are asked for."""
        rate_hz = self.freshness.rate_hz
        return max(self.service.hung_s, SILENT_PERIODS / rate_hz if rate_hz else 0.0)

    def fail(self, now_ns: int) -> None:
        self.failed += 1
        self.failures.append(now_ns)
        while now_ns - self.failures[0] > self.restarts.window_s * NS_PER_S:
            self.failures.popleft()
        self.exhausted = self.exhausted or len(self.failures) > self.restarts.most

    def rest_s(self) -> float:
        if self.service.restarts is None:
            return NEVER
        if self.exhausted:
            return self.restarts.long_rest_s
        rests = self.restarts.rests_s
        return rests[min(max(len(self.failures), 1), len(rests)) - 1]

    def forgive(self, gap_ns: int) -> None:
        self.freshness.forgive(gap_ns)
        if self.state is STARTING:
            self.deadline_ns += gap_ns
