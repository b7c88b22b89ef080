"""Follows one fault on a simulated appliance from its beginning until all is as it was."""

from __future__ import annotations

from collections import deque

from device.messages import NS_PER_S
from device.sim.faults.appliance import Appliance
from device.sim.faults.schedule import Planned

WHOLE_TICKS, WHOLE_SHARE = 30, 0.9
"""So much of a second in which everything is as it should be ends a fault."""


class Tracker:
    """Makes `planned` happen on `rig`; `step` after each step of it. Times are the host's, None until they are known.

    `detected_ns`: a service that the fault harms was seen not to run, or not as it should. `recovered_ns`: from then on all was
    whole for a second, the cause being gone. `blind_ticks`: ticks without the skeleton; `numb_ticks`: ticks without a band;
    `unsaid`: sentences that never reached the sound device.
    """

    def __init__(self, rig: Appliance, planned: Planned) -> None:
        self.planned = planned
        self.begun = False
        self.ended = False
        self.detected_ns: int | None = None
        self.recovered_ns: int | None = None
        self.blind_ticks = self.numb_ticks = 0
        self._rig = rig
        self._unsaid_before = self._unsaid_until_now = 0
        self._seq = -1
        self._whole: deque[tuple[int, bool]] = deque(maxlen=WHOLE_TICKS)

    def step(self, now_ns: int) -> None:
        """What is due at `now_ns`."""
        if self.recovered_ns is not None or now_ns < self.planned.begin_ns:
            return
        if not self.begun:
            self.begun = True
            self._unsaid_before = self._unsaid()
            self.planned.fault.begin(self._rig)
        elif self.detected_ns is None and self._rig.failing(self.planned.fault.services):
            self.detected_ns = now_ns
        if not self.ended and now_ns >= self.planned.end_ns:
            self.ended = True
            self.planned.fault.end(self._rig)
        self._look(now_ns)

    @property
    def detected_s(self) -> float | None:
        return None if self.detected_ns is None else (self.detected_ns - self.planned.begin_ns) / NS_PER_S

    @property
    def recovered_s(self) -> float | None:
        """From the end of the cause, or from the detection where only Spotter could end it."""
        if self.recovered_ns is None:
            return None
        since_ns = self.planned.end_ns
        if self.planned.kind.ends_by_restart and self.detected_ns is not None:
            since_ns = max(since_ns, self.detected_ns)
        return max(0.0, (self.recovered_ns - since_ns) / NS_PER_S)

    @property
    def over_ns(self) -> int | None:
        """When the fault had no more effect; None while it has."""
        return None if self.recovered_ns is None else max(self.recovered_ns, self.planned.end_ns)

    @property
    def unsaid(self) -> int:
        return self._unsaid_until_now - self._unsaid_before

    def _unsaid(self) -> int:
        return self._rig.witness.sentences - self._rig.sound.said

    def _look(self, now_ns: int) -> None:
        tick = self._rig.core.last_tick
        if tick is not None and tick.seq != self._seq:
            self._seq = tick.seq
            self.blind_ticks += not tick.pose_present
            self.numb_ticks += not tick.imu_present.all()
        self._unsaid_until_now = self._unsaid()
        if not self.ended:
            return
        self._whole.append((now_ns, self._rig.whole()))
        if len(self._whole) == WHOLE_TICKS and sum(whole for _, whole in self._whole) >= WHOLE_SHARE * WHOLE_TICKS:
            self.recovered_ns = next(then_ns for then_ns, whole in self._whole if whole)
