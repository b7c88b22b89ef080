"""What is given up, and in which order, when the pipeline is too slow; and when it is taken back.

A pure state machine: timings go in with `timing`, time with `step`, changes come out. It reads no clock and touches nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from device.config import BudgetConfig
from device.messages import NS_PER_S, Degraded, StageTiming


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to run. `every`: frames of which one is looked at. `rate`, `size`: share of the camera's rate, and of its width and
    height; 0 is no camera."""

    name: str
    every: int = 1
    rate: float = 1.0
    size: float = 1.0


RUNGS = (
    Rung("full"),
    Rung("every second frame", every=2),
    Rung("every third frame", every=3),
    Rung("a third of the camera's rate", rate=1 / 3),
    Rung("a third of the camera's rate at half its size", rate=1 / 3, size=0.5),
    Rung("bands only", rate=0.0, size=0.0),
)
"""From the whole service down. Skipping comes first, because it costs no restart of the eye."""

SKIPS = 2
"""As deep as a single section takes it: one that is slow on a slow machine doesn't cost the camera while the whole is in time."""
WINDOW = 15
TOO_MANY = 8
"""Down when so many of the newest WINDOW data of a section, or of the whole, were over their budget."""
ROOM = 0.8
TIGHT = 4
"""There is room to go up while fewer than TIGHT of the newest WINDOW take more than this share of their budget."""
SETTLE_NS = 2 * NS_PER_S
"""What comes this soon after a change belongs to the rung before."""
HOLD_NS = 10 * NS_PER_S
LONGEST_HOLD_NS = 320 * NS_PER_S
"""Time with room before it goes up; doubled each time that a climb failed, up to the longest."""
FAILED_NS = 20 * NS_PER_S
"""A climb after which it has to go down again within this time failed."""
KEPT = 1000
"""Changes that are remembered for the summary; with the longest holds that is more than a day of them."""
UNTIMED = ("camera", "haptic", "form_haptic", "voice")
"""Sections that say nothing of the load: reading a frame may wait for the camera, and corrections are rare."""

_TICK = "tick"


class Ladder:
    """Which of RUNGS to run on. `without_camera`: whether the last rung, the bands alone, is there to go to.

    `changes`: the newest KEPT of them, in order.
    """

    def __init__(self, budget: BudgetConfig, *, without_camera: bool) -> None:
        sections = [part.removesuffix("_ms") for parts in budget.wholes().values() for part in parts]
        self._budgets_ns = {name: round(1e6 * getattr(budget, f"{name}_ms")) for name in sections if name not in UNTIMED}
        # A tick is done when the coach is; from then on the voice needs next to nothing.
        self._budgets_ns[_TICK] = round(1e6 * budget.voice_ms)
        self._lowest = len(RUNGS) - (1 if without_camera else 2)
        self._taken: dict[str, deque[int]] = {}
        self._looked = False
        self._late: str | None = None
        self._tight = False
        self._settled_ns: int | None = None
        self._no_room_ns: int | None = None
        self._climbed_ns: int | None = None
        self._hold_ns = HOLD_NS
        self.level = 0
        self.changes: deque[Degraded] = deque(maxlen=KEPT)

    @property
    def rung(self) -> Rung:
        """The rung that it stands on."""
        return RUNGS[self.level]

    def timing(self, timing: StageTiming) -> None:
        """A section worked on one datum, live: its `t_ns` and `start_ns` are of one clock."""
        if timing.section not in self._budgets_ns or (self._settled_ns is not None and timing.start_ns < self._settled_ns):
            return
        self._take(timing.section, timing.duration_ns)
        if timing.section == "coach":
            self._take(_TICK, timing.end_ns - timing.t_ns)

    def settle(self, now_ns: int) -> None:
        """Something was started anew: what is timed in the next seconds says nothing."""
        self._settled_ns = self._no_room_ns = now_ns + SETTLE_NS
        self._taken.clear()
        self._looked = False

    def step(self, now_ns: int) -> Degraded | None:
        """Time is `now_ns`. Returns a change of rung, if it is time for one."""
        self._look()
        late = self._late
        if late is not None and self.level < (self._lowest if late == _TICK else min(SKIPS, self._lowest)):
            return self._down(now_ns, late)
        if self._no_room_ns is None or self._tight:
            self._no_room_ns = now_ns
        if self.level and now_ns - self._no_room_ns >= self._hold_ns:
            return self._up(now_ns)
        if self._climbed_ns is not None and now_ns - self._climbed_ns > FAILED_NS:
            self._climbed_ns, self._hold_ns = None, HOLD_NS
        return None

    def as_json(self, start_ns: int) -> dict[str, Any]:
        """Where it stands and how it came there, as a summary holds it; times in s since `start_ns`."""
        changes = [
            {"t_s": round((c.t_ns - start_ns) / NS_PER_S, 3), "from": RUNGS[c.before].name, "to": c.rung, "reason": c.reason}
            for c in self.changes
        ]
        return {"level": self.level, "rung": self.rung.name, "changes": changes}

    def _look(self) -> None:
        """Look at what was taken, unless nothing came since: the live loop asks three times as often as there are ticks."""
        if not self._looked:
            self._late, self._tight, self._looked = self._too_slow(), self._is_tight(), True

    def _take(self, section: str, took_ns: int) -> None:
        self._looked = False
        self._taken.setdefault(section, deque(maxlen=WINDOW)).append(took_ns)

    def _over(self, section: str, share: float) -> list[int]:
        return [took_ns for took_ns in self._taken[section] if took_ns > share * self._budgets_ns[section]]

    def _too_slow(self) -> str | None:
        """What is over its budget; the whole before its sections, for it may go deeper."""
        for section in sorted(self._taken, key=lambda name: name != _TICK):
            if len(self._over(section, 1.0)) >= TOO_MANY:
                return section
        return None

    def _is_tight(self) -> bool:
        return any(len(self._over(section, ROOM)) >= TIGHT for section in self._taken)

    def _down(self, now_ns: int, section: str) -> Degraded:
        if self._climbed_ns is not None and now_ns - self._climbed_ns <= FAILED_NS:
            self._hold_ns = min(2 * self._hold_ns, LONGEST_HOLD_NS)
        self._climbed_ns = None
        over = sorted(self._over(section, 1.0))
        what = "the coach was done with ticks" if section == _TICK else f"{section} took"
        when = " after they happened" if section == _TICK else ""
        reason = f"{what} {over[len(over) // 2] / 1e6:.3g} ms{when}, the budget is {self._budgets_ns[section] / 1e6:g} ms"
        return self._go(now_ns, self.level + 1, reason)

    def _up(self, now_ns: int) -> Degraded:
        self._climbed_ns = now_ns
        return self._go(now_ns, self.level - 1, f"there was room for {self._hold_ns // NS_PER_S} s")

    def _go(self, now_ns: int, level: int, reason: str) -> Degraded:
        change = Degraded(now_ns, self.level, level, RUNGS[level].name, reason)
        self.level = level
        self.changes.append(change)
        self.settle(now_ns)
        return change
