"""Repetitions from the phase.

Phase is a place on a circle: 0 and 1 are the entry pose, 0.5 is the far end. What is tracked is the depth
(1 - cos 2 pi phase) / 2: 0 in the entry pose, 1 at the far end. Noise around the wrap from 1 to 0 leaves it unchanged, and a
repetition is one excursion from below LOW past HIGH and back, however the phase jitters in between. In rest the phase means
nothing, so rest counts as the entry pose.
"""

from __future__ import annotations

import math
from enum import Enum, auto

from device.config import RepsConfig
from device.messages import NS_PER_S

LOW = 0.25
"""Depth at phase 1/6 and 5/6."""
HIGH = 0.75
"""Depth at phase 1/3 and 2/3."""

_PHASE_SMOOTHING = 0.6
_REST_SMOOTHING = 0.5
_REST = 0.6
_CONFIRM_TICKS = 2
_NEAR_NS = 300_000_000
_REST_NS = 150_000_000
_STARTING = 0.1
_STEADY_PHASE = 0.1
_STEADY_LENGTH = 0.7
_SLOWEST_START_NS = 1_500_000_000


class Move(Enum):
    """What one tick means for the repetition in progress."""

    STILL = auto()
    BEGAN = auto()
    MOVING = auto()
    DONE = auto()
    DROPPED = auto()


class RepetitionFinder:
    """Finds repetitions in a stream of phases, whatever the exercise.

    `start_ns`: when the repetition in progress (or the one just done) began; between repetitions the earliest time at which the
    next one can have begun. `end_ns`: end of the one just done. `steady`: the newest phase agrees with those just before it.
    """

    def __init__(self, config: RepsConfig) -> None:
        self._min_ns = round(config.min_period_s * NS_PER_S)
        self._max_ns = round(config.max_period_s * NS_PER_S)
        self.moving = False
        self.far = False
        self.steady = False
        self.start_ns = 0
        self.end_ns = 0
        self.depth = 0.0
        self._cos = 1.0
        self._sin = 0.0
        self._rest = 1.0
        self._rest_since: int | None = None
        self._near_since: int | None = None
        self._near_ticks = 0
        self._out_ticks = 0
        self._last_ns = 0

    def step(self, t_ns: int, phase: float, rest: float) -> Move:
        """Next tick. `phase`: 0..1. `rest`: probability of the rest stage."""
        self._cos += _PHASE_SMOOTHING * (math.cos(2 * math.pi * phase) - self._cos)
        self._sin += _PHASE_SMOOTHING * (math.sin(2 * math.pi * phase) - self._sin)
        self._rest += _REST_SMOOTHING * (rest - self._rest)
        self.depth = (1 - self._cos) / 2
        self.steady = self._agrees(phase)
        self._watch_rest(t_ns)
        self._watch_near(t_ns)
        self._last_ns = t_ns
        if not self.moving:
            return self._wait(t_ns)
        if t_ns - self.start_ns > self._max_ns:
            return self._drop(t_ns)
        return self._return(t_ns) if self.far else self._go_out(t_ns)

    def close(self) -> Move:
        """The stream ends: a repetition that is most of the way back is done, any other one is dropped."""
        if self.moving and self.far and (self.depth < 0.5 or self._rest_since is not None):
            return self._finish(self._last_ns)
        return self._drop(self._last_ns) if self.moving else Move.STILL

    def _agrees(self, phase: float) -> bool:
        apart = (phase - math.atan2(self._sin, self._cos) / (2 * math.pi) + 0.5) % 1.0 - 0.5
        return abs(apart) < _STEADY_PHASE and math.hypot(self._sin, self._cos) > _STEADY_LENGTH

    def _watch_rest(self, t_ns: int) -> None:
        if self._rest <= _REST:
            self._rest_since = None
        elif self._rest_since is None:
            self._rest_since = t_ns

    def _watch_near(self, t_ns: int) -> None:
        resting = self._rest_since is not None and t_ns - self._rest_since >= _REST_NS
        if self.depth >= LOW and not resting:
            self._near_since, self._near_ticks = None, 0
            return
        if self._near_since is None:
            self._near_since = t_ns
        self._near_ticks += 1

    def _wait(self, t_ns: int) -> Move:
        resting = self._rest_since is not None
        self.start_ns = max(self.start_ns, self.end_ns)
        if resting or self._sin < _STARTING:
            self.start_ns = t_ns
        self.start_ns = max(self.start_ns, t_ns - _SLOWEST_START_NS)
        if resting or self.depth < LOW or self._sin <= 0:
            self._out_ticks = 0
            return Move.STILL
        self._out_ticks += 1
        if self._out_ticks < _CONFIRM_TICKS:
            return Move.STILL
        self.moving, self.far = True, self.depth > HIGH
        return Move.BEGAN

    def _go_out(self, t_ns: int) -> Move:
        if self.depth > HIGH:
            self.far = True
            return Move.MOVING
        if self._near_since is not None and t_ns - self._near_since >= _REST_NS:
            return self._drop(t_ns)
        return Move.MOVING

    def _return(self, t_ns: int) -> Move:
        if self._near_since is None or self._near_ticks < _CONFIRM_TICKS:
            return Move.MOVING
        rested = self._rest_since is not None and t_ns - self._rest_since >= _REST_NS
        waited = t_ns - self._near_since >= _NEAR_NS
        if not (rested or waited or self._sin > 0):
            return Move.MOVING
        end_ns = self._rest_since if rested and self._rest_since is not None else t_ns
        if end_ns - self.start_ns >= self._min_ns:
            return self._finish(end_ns)
        return self._drop(t_ns) if waited else Move.MOVING

    def _finish(self, end_ns: int) -> Move:
        self.moving = self.far = False
        self.end_ns = end_ns
        self._out_ticks = 0
        return Move.DONE

    def _drop(self, t_ns: int) -> Move:
        self.moving = self.far = False
        self.start_ns = t_ns
        self._out_ticks = 0
        return Move.DROPPED
