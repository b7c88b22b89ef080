"""What the bands show by themselves, judged sample by sample: no camera frame and no tick is waited for.

A limb that turns too fast, one that should be still and isn't, and two that should move alike and need no skeleton. What is
compared with what is data of the exercise (`[[band_cues]]`); the slow path says which exercise is being done.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from device.exercises import BandCue, Exercise
from device.messages import NS_PER_S, ImuBatch
from device.skeleton import BANDS, N_BANDS

ENVELOPE_S = 0.3
"""Time constant of the rates' envelopes that asymmetry compares."""
LASTS_NS = 300_000_000
"""How long two limbs differ before it is asymmetry: one may begin a little before the other."""
TOGETHER_NS = 100_000_000
"""Newest samples of two bands that are further apart are not compared."""
NEAR = 0.75
"""Share of a limit at which the sample before makes a sample past it believable: at 100 Hz no limb gathers more speed in one."""
STALE_NS = 300_000_000
"""A sample this old when it arrives is left alone: a correction that late is felt in another part of the movement."""
KEPT = 64
"""Batches that wait for `judge`, should nobody call it."""
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Shown:
    """A limit of `cue` was passed on `band` at `t_ns`, sensor time; `excess` is the value over the limit, 1 or more."""

    cue: BandCue
    band: int
    t_ns: int
    excess: float


@dataclass(slots=True)
class _Limb:
    """One band so far. `seq`: of the next sample. `rate`, `twist`: of the newest, NaN after a gap. `power`: mean square of the
    rate, rad^2/s^2. `over`: errors whose limit it is past at the moment."""

    session: int = -1
    seq: int = -1
    t_ns: int = 0
    rate: float = math.nan
    twist: float = math.nan
    power: float = 0.0
    over: frozenset[str] = _NOTHING


class FastPath:
    """Watches the bands' samples. A limit is shown once for each time that it is passed, by the first sample past it; where the
    sample before was far below it or is lost, that is a knock or nobody knows, and the next one decides."""

    def __init__(self) -> None:
        self._limbs = [_Limb() for _ in range(N_BANDS)]
        self._waiting: deque[ImuBatch] = deque(maxlen=KEPT)
        self._uneven: dict[str, tuple[int, bool]] = {}

    @property
    def waiting(self) -> bool:
        """Whether something came since the last `judge`."""
        return bool(self._waiting)

    def push(self, batch: ImuBatch) -> None:
        """Take a batch on host time whose `band` is the limb that it is worn on."""
        self._waiting.append(batch)

    def judge(self, now_ns: int, exercise: Exercise | None) -> list[Shown]:
        """Look at all that came since the last call. `exercise`: that of the open set where it is beyond doubt; with None nothing
        is shown, but the bands are followed all the same."""
        shown: list[Shown] = []
        rules = exercise.band_cues if exercise is not None else ()
        while self._waiting:
            batch = self._waiting.popleft()
            shown += self._follow(batch, [rule for rule in rules if rule.measure != "asymmetry" and _is_on(rule, batch.band)])
        shown += [found for rule in rules if rule.measure == "asymmetry" for found in self._compare(rule)]
        return [one for one in shown if now_ns - one.t_ns <= STALE_NS]

    def _follow(self, batch: ImuBatch, rules: list[BandCue]) -> list[Shown]:
        limb = self._limbs[batch.band]
        if batch.session != limb.session or batch.seq != limb.seq:
            # Of NaN no comparison is true.
            limb.rate = limb.twist = math.nan
        limb.session, limb.seq = batch.session, batch.seq + len(batch.times_ns)
        shown: list[Shown] = []
        # Some 400 samples a second, most of them without a rule: plain numbers are the quickest.
        for t_ns, (_, _, _, x, y, z) in zip(batch.times_ns.tolist(), batch.values.tolist(), strict=True):
            rate = math.sqrt(x * x + y * y + z * z)
            if not math.isfinite(rate):
                limb.rate = limb.twist = math.nan
                continue
            if t_ns <= limb.t_ns:
                continue
            twist = abs(x)
            if rules:
                shown += self._passed(batch.band, t_ns, rules, rate, twist)
            else:
                limb.over = _NOTHING
            share = 1 - math.exp(-(t_ns - limb.t_ns) / NS_PER_S / ENVELOPE_S)
            limb.power += share * (rate * rate - limb.power)
            limb.t_ns, limb.rate, limb.twist = t_ns, rate, twist
        return shown

    def _passed(self, band: int, t_ns: int, rules: list[BandCue], rate: float, twist: float) -> list[Shown]:
        """What the sample at `t_ns` shows for the first time."""
        limb = self._limbs[band]
        before, now = {"rate": limb.rate, "twist": limb.twist}, {"rate": rate, "twist": twist}
        over = [rule for rule in rules if now[rule.measure] > rule.limit and before[rule.measure] > NEAR * rule.limit]
        first = [rule for rule in over if rule.error not in limb.over]
        limb.over = frozenset(rule.error for rule in over)
        return [Shown(rule, band, t_ns, now[rule.measure] / rule.limit) for rule in first]

    def _compare(self, rule: BandCue) -> list[Shown]:
        """The slower limb of two that differ too much, once it has lasted."""
        one, other = (band for band in range(N_BANDS) if _is_on(rule, band))
        slow, quick = sorted((one, other), key=lambda band: self._limbs[band].power)
        now_ns = max(self._limbs[slow].t_ns, self._limbs[quick].t_ns)
        low, high = (math.sqrt(self._limbs[band].power) for band in (slow, quick))
        apart = abs(self._limbs[slow].t_ns - self._limbs[quick].t_ns) > TOGETHER_NS
        if apart or high < rule.floor or high <= rule.limit * low:
            self._uneven.pop(rule.error, None)
            return []
        since_ns, said = self._uneven.setdefault(rule.error, (now_ns, False))
        if said or now_ns - since_ns < LASTS_NS:
            return []
        self._uneven[rule.error] = (since_ns, True)
        return [Shown(rule, slow, now_ns, high / max(low, 1e-3) / rule.limit)]


def _is_on(rule: BandCue, band: int) -> bool:
    return BANDS[band].endswith(rule.bands)
