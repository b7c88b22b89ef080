"""What the trainee hears of services that went or came back: a sentence for each, one for all the bands, one for everything.

Sans-I/O, part of the core, so that a recording replayed says the same. A change is said once it has lasted SAID_AFTER_NS.
"""

from __future__ import annotations

from device.messages import NS_PER_S, ServiceChanged, ServiceState
from device.skeleton import BANDS

SAID_AFTER_NS = NS_PER_S
"""A blip is not worth a sentence."""
TOGETHER_NS = NS_PER_S // 2
"""Bands rarely go in the same tick; what is about to change too is waited for this long, to be said in one sentence."""

CAMERA = "eye"
NOTHING_LEFT = "nothing_left"
GONE, BACK = "gone", "back"
NAMES = {CAMERA: "camera", "bands": "bands"} | {band: f"{band}_band" for band in BANDS}
"""Prompt that names each service."""
PROMPTS = (*NAMES.values(), GONE, BACK, NOTHING_LEFT)
"""Everything that is said of services; device/voice has a text for each."""

_LOST = (ServiceState.FAILED, ServiceState.RESTING, ServiceState.GONE)


class Absences:
    """Hears how the services change, and says at each tick which prompts are due.

    A band that was never there is not missed. A camera that never came is.
    """

    def __init__(self) -> None:
        self._lost: dict[str, bool] = {}
        self._since_ns: dict[str, int] = {}
        self._missed: set[str] = set()

    def push(self, changed: ServiceChanged) -> None:
        """Take in a change; those of services that nobody is watched with say nothing."""
        if changed.service not in (CAMERA, *BANDS) or changed.state is ServiceState.STARTING:
            return
        lost = changed.state in _LOST
        if self._lost.get(changed.service) is not lost:
            self._lost[changed.service] = lost
            self._since_ns[changed.service] = changed.t_ns

    def step(self, t_ns: int) -> list[tuple[str, ...]]:
        """What is due to be said at the tick `t_ns`, each as the prompts that make it; most often nothing."""
        pending = [name for name, lost in self._lost.items() if lost is not (name in self._missed)]
        if not pending:
            return []
        ages_ns = [t_ns - self._since_ns[name] for name in pending]
        due = [name for name, age_ns in zip(pending, ages_ns, strict=True) if age_ns >= SAID_AFTER_NS]
        if not due or (len(due) < len(pending) and max(ages_ns) < SAID_AFTER_NS + TOGETHER_NS):
            return []
        before = set(self._missed)
        self._missed ^= set(due)
        if self._missed and len(self._missed) == len(self._lost):
            return [(NOTHING_LEFT,)]
        return [*self._said(before - self._missed, BACK), *self._said(self._missed - before, GONE)]

    def _said(self, names: set[str], change: str) -> list[tuple[str, ...]]:
        bands = [band for band in BANDS if band in names]
        known = [band for band in BANDS if band in self._lost]
        together = len(bands) > 1 and len(bands) == len(known)
        said = [CAMERA] if CAMERA in names else []
        return [(NAMES[name], change) for name in [*said, *(["bands"] if together else bands)]]
