"""What is said and felt: corrections during a repetition, praise for an error put right, a summary of the set.

An error is judged only in the phases that its rule names, and compared as it is: |angle - standard| against the larger of the
threshold (11 to 7 degrees by strictness) and the joint's tolerance; nothing is subtracted for the tolerance. It is said when
the mean over the window passes the threshold by well over its own uncertainty, or by somewhat less of it here and in this joint's
window of the repetition before. That is asked from the window's middle on, once it lasted `sustain_ms`: before, an error of the
phase has shifted the way there and not yet the way back, where it cancels. What is no larger than its uncertainty is never said.

Most of that uncertainty is of the body, the clothes and the view, and the same in each repetition. Where a joint moved well
before in the set and no longer does, the change is what counts, and it is far surer.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field, replace

from device.config import CoachConfig
from device.exercises import CueRule, Exercise
from device.messages import NS_PER_S, Cue, Repetition, SetEnded, Speech, Vibration
from device.runtime.evidence import Window
from device.runtime.fast_path import Shown
from device.skeleton import BANDS
from device.voice import Prompts

ONCE = 2.0
"""Excess over the threshold, in standard uncertainties, at which one repetition is evidence enough."""
TWICE = 1.5
"""The same for two repetitions, each."""
RISEN = 0.9
"""Change since the best repetition of the set, in thresholds, that is an error where it shows at least SHOWN thresholds now."""
SHOWN = 0.6
_CHANGE_SHARE, _CHANGE_LEAST = 0.8, math.radians(1.0)
"""Uncertainty of a change: this share of the uncertainty of one repetition, and what remains when that is small."""
FULL_EXCESS = math.radians(20.0)
"""Excess over the threshold at which the vibration is at its strongest."""
UNHEEDED = 2
"""Times that an error is corrected in a set without being put right; after that it is left to the summary. Whoever could not do
it twice can't by being told again, or the coach is wrong about this body."""
PRAISE_SHARE = 2 / 3
"""A joint whose windows stay below this share of the threshold is put right."""
PRAISE_REPETITIONS = 2

_MIN_INTENSITY = 0.4
_NOTICES_KEPT = 8
_SHORTEST_NS, _LONGEST_NS = 150_000_000, 400_000_000
_BREATH_NS = 200_000_000
_SUMMARY_WAIT_NS = 6 * NS_PER_S
_LAST_COUNT = 30

Said = Cue | Speech | Vibration


def threshold_rad(config: CoachConfig) -> float:
    """Deviation (rad) above which a joint is corrected: 11 degrees at strictness 0, 9 at 0.5, 7 at 1."""
    return math.radians(11.0 - 4.0 * config.strictness)


@dataclass(slots=True)
class _Correction:
    """A correction that was said in this set. `good`: repetitions since then whose window was put right."""

    rule: CueRule
    joint: str
    t_ns: int
    good: int = 0
    praised: bool = False


@dataclass(slots=True)
class _SetMemory:
    """What the coach knows of the open set. `before`: windows that were wrong in the last repetition that had them. `best`: the
    smallest difference (rad) of each window so far. `excess`: sum over the set of what was above the threshold, by rule.
    `times_said`: corrections by rule; `unheeded`: those since it was last put right."""

    before: set[tuple[int, str]] = field(default_factory=set)
    best: dict[tuple[int, str], float] = field(default_factory=dict)
    excess: dict[int, float] = field(default_factory=dict)
    corrections: dict[tuple[int, str], _Correction] = field(default_factory=dict)
    times_said: Counter[int] = field(default_factory=Counter)
    unheeded: Counter[int] = field(default_factory=Counter)
    praise: list[_Correction] = field(default_factory=list)


class Coach:
    """Decides what is said. One prompt at a time: each waits until the one before is over and `min_between_s` since its start."""

    def __init__(self, config: CoachConfig, prompts: Prompts) -> None:
        self._config = config
        self._prompts = prompts
        self._threshold = threshold_rad(config)
        self._between_ns = round(config.min_between_s * NS_PER_S)
        self._repeat_ns = round(config.repeat_after_s * NS_PER_S)
        self._free_ns: int | None = None
        self._said: dict[tuple[str, str], int] = {}
        self._memory = _SetMemory()
        self._said_now = False
        self._summary: tuple[int, Cue] | None = None
        self._notices: deque[Cue] = deque(maxlen=_NOTICES_KEPT)
        self._felt_ns: int | None = None

    def set_started(self) -> None:
        """A new set: nothing of the one before is left to say."""
        self._memory = _SetMemory()
        self._summary = None

    def repetition_began(self) -> None:
        self._said_now = False

    def during(self, t_ns: int, exercise: Exercise, windows: list[Window]) -> list[Said]:
        """Next tick of a repetition in an open set. `windows`: of the variant being done. Returns at most one correction."""
        if self._said_now or not self._may_speak(t_ns):
            return []
        wrong = [w for w in windows if self._is_wrong(exercise, w)]
        found = [w for w in wrong if not (self._said_lately(t_ns, exercise, w.rule) or self._is_unheeded(exercise, w.rule))]
        if not found:
            return []
        worst = max(found, key=lambda w: (w.rule.priority, w.difference_rad))
        if any(w.rule.priority > worst.rule.priority and self._is_fresh(exercise, w.rule) for w in wrong):
            return []
        joints = [w.joint for w in found if w.rule is worst.rule]
        return self._correct(t_ns, exercise, worst, joints)

    def felt(self, exercise: Exercise, shown: Shown) -> list[Said]:
        """A band showed an error by itself. Returns a vibration unless a prompt, or a vibration before it, is too near.

        It says nothing and holds up no prompt: what it feels like is over before the skeleton shows anything.
        """
        t_ns, rule, band = shown.t_ns, shown.cue, shown.band
        key = (exercise.name, f"band {rule.error}")
        too_soon = self._felt_ns is not None and t_ns - self._felt_ns < self._between_ns
        lately = key in self._said and t_ns - self._said[key] < self._repeat_ns
        if not self._config.haptics or too_soon or lately or not self._may_speak(t_ns):
            return []
        self._felt_ns = self._said[key] = t_ns
        corrected = next((cue for cue in exercise.cues if cue.error == rule.error), None)
        joint = f"{BANDS[band].split('_', 1)[0]}_{corrected.joint}" if corrected is not None else ""
        sign = corrected.sign if corrected is not None else 0
        intensity = _MIN_INTENSITY + (1 - _MIN_INTENSITY) * min(shown.excess - 1, 1.0)
        cue = Cue(t_ns, 0, "correction", exercise.name, joint, sign, rule.text, (), 0.0, (band,), intensity, t_ns)
        return [cue, Vibration(t_ns, 0, band, intensity, _SHORTEST_NS, t_ns, "bands")]

    def repetition_done(self, t_ns: int, exercise: Exercise, repetition: Repetition, windows: list[Window]) -> list[Said]:
        """A repetition was counted. `windows`: all of it. Returns a late correction or a praise, if one is due."""
        said = self.during(t_ns, exercise, windows)
        for window in windows:
            self._remember(exercise, repetition, window)
        return said or self._praise(t_ns, exercise)

    def set_ended(self, t_ns: int, exercise: Exercise, ended: SetEnded) -> list[Said]:
        """A set is over. Returns its summary, now or from `idle` once the prompt before is over."""
        if self._config.summary and self._config.voice:
            self._summary = (t_ns + _SUMMARY_WAIT_NS, self._summarise(t_ns, exercise, ended))
        return self.idle(t_ns)

    def notice(self, t_ns: int, names: tuple[str, ...]) -> list[Said]:
        """Something about the equipment, not the movement. Returns it, now or from `idle` once the prompt before is over."""
        prompts = self._known(names)
        said = prompts if self._config.voice else ()
        if prompts:
            self._notices.append(Cue(t_ns, 0, "notice", "none", "", 0, self._text(prompts), said, 0.0, (), 0.0))
        return self.idle(t_ns)

    def idle(self, t_ns: int) -> list[Said]:
        """Next tick, whatever is done. Returns a notice or a summary that waited."""
        if self._notices and self._may_speak(t_ns):
            return self._say(t_ns, self._notices.popleft())
        if self._summary is None:
            return []
        latest_ns, cue = self._summary
        if t_ns > latest_ns:
            self._summary = None
            return []
        if not self._may_speak(t_ns):
            return []
        self._summary = None
        return self._say(t_ns, cue)

    def close(self, t_ns: int) -> list[Said]:
        """The stream is over: what waits is queued behind the prompt before."""
        waiting = [*self._notices, *([self._summary[1]] if self._summary is not None else [])]
        self._notices.clear()
        self._summary = None
        return [said for cue in waiting for said in self._say(t_ns, cue)]

    def _limit(self, exercise: Exercise, rule: CueRule) -> float:
        return max(self._threshold, exercise.tolerance.get(rule.joint, 0.0))

    def _is_wrong(self, exercise: Exercise, window: Window) -> bool:
        limit = self._limit(exercise, window.rule)
        if window.ended and self._has_risen(exercise, window, limit):
            return True
        excess = window.difference_rad - limit
        if excess < TWICE * window.sigma_rad or window.difference_rad <= window.sigma_rad:
            return False
        if not (window.ended or (window.half and window.seconds >= self._config.sustain_ms / 1000)):
            return False
        return excess >= ONCE * window.sigma_rad or _key(exercise, window) in self._memory.before

    def _has_risen(self, exercise: Exercise, window: Window, limit: float) -> bool:
        """Whether the joint moved well in a repetition of this set and no longer does."""
        best = self._memory.best.get(_key(exercise, window))
        if best is None or window.difference_rad < SHOWN * limit:
            return False
        return window.difference_rad - best >= RISEN * limit + math.hypot(_CHANGE_SHARE * window.sigma_rad, _CHANGE_LEAST)

    def _may_speak(self, t_ns: int) -> bool:
        return self._free_ns is None or t_ns >= self._free_ns

    def _said_lately(self, t_ns: int, exercise: Exercise, rule: CueRule) -> bool:
        last = self._said.get((exercise.name, rule.error))
        return last is not None and t_ns - last < self._repeat_ns

    def _is_unheeded(self, exercise: Exercise, rule: CueRule) -> bool:
        return self._memory.unheeded[exercise.cues.index(rule)] >= UNHEEDED

    def _is_fresh(self, exercise: Exercise, rule: CueRule) -> bool:
        """Said once in this set: what it disturbs elsewhere may go with it, so lesser corrections wait for it."""
        return self._memory.times_said[exercise.cues.index(rule)] == 1

    def _correct(self, t_ns: int, exercise: Exercise, worst: Window, joints: list[str]) -> list[Said]:
        rule = worst.rule
        bands = tuple(BANDS.index(f"{joint.split('_', 1)[0]}_{rule.bands}") for joint in joints)
        excess = min(max((worst.difference_rad - self._limit(exercise, rule)) / FULL_EXCESS, 0.0), 1.0)
        cue = Cue(
            t_ns=t_ns,
            seq=0,
            kind="correction",
            exercise=exercise.name,
            joint=worst.joint,
            sign=rule.sign,
            text=rule.text,
            prompts=(rule.prompt,) if self._config.voice else (),
            deviation_rad=rule.sign * worst.difference_rad,
            bands=bands if self._config.haptics else (),
            intensity=_MIN_INTENSITY + (1 - _MIN_INTENSITY) * excess,
            cause_ns=t_ns,
        )
        if not cue.prompts and not cue.bands:
            return []
        number = exercise.cues.index(rule)
        self._memory.times_said[number] += 1
        self._memory.unheeded[number] += 1
        self._said_now = True
        self._said[exercise.name, rule.error] = t_ns
        for joint in joints:
            self._memory.corrections[number, joint] = _Correction(rule, joint, t_ns)
        duration_ns = round(_SHORTEST_NS + (_LONGEST_NS - _SHORTEST_NS) * excess)
        return [*self._say(t_ns, cue), *(Vibration(t_ns, 0, band, cue.intensity, duration_ns, t_ns) for band in cue.bands)]

    def _remember(self, exercise: Exercise, repetition: Repetition, window: Window) -> None:
        key = _key(exercise, window)
        limit = self._limit(exercise, window.rule)
        over = max(window.difference_rad - limit, 0.0)
        self._memory.best[key] = min(self._memory.best.get(key, math.inf), window.difference_rad)
        self._memory.before.discard(key)
        if over >= TWICE * window.sigma_rad and window.difference_rad > window.sigma_rad:
            self._memory.before.add(key)
        self._memory.excess[key[0]] = self._memory.excess.get(key[0], 0.0) + over
        correction = self._memory.corrections.get(key)
        if correction is None or repetition.start_ns < correction.t_ns:
            return
        put_right = window.difference_rad < PRAISE_SHARE * limit
        if put_right:
            self._memory.unheeded[key[0]] = 0
        if correction.praised:
            return
        correction.good = correction.good + 1 if put_right else 0
        if correction.good >= PRAISE_REPETITIONS:
            correction.praised = True
            self._memory.praise.append(correction)

    def _praise(self, t_ns: int, exercise: Exercise) -> list[Said]:
        if not (self._memory.praise and self._config.praise and self._config.voice and self._may_speak(t_ns)):
            return []
        fixed = self._memory.praise.pop(0)
        self._memory.praise = [other for other in self._memory.praise if other.rule is not fixed.rule]
        prompts = self._known((fixed.rule.praise,))
        text = self._text(prompts)
        return self._say(t_ns, Cue(t_ns, 0, "praise", exercise.name, fixed.joint, fixed.rule.sign, text, prompts, 0.0, (), 0.0))

    def _summarise(self, t_ns: int, exercise: Exercise, ended: SetEnded) -> Cue:
        done = self._known(("set_done",))
        counted = self._count_prompts(exercise, ended.repetitions)
        rule = self._main_error(exercise)
        remark = ("good_form",) if rule is None else ("remember", rule.prompt)
        sentences = [self._text(done), self._text(counted)]
        sentences.append(self._text(remark) if rule is None else f"{self._text(('remember',))}: {rule.text}")
        text = ". ".join(s[:1].upper() + s[1:] for s in sentences if s) + "."
        prompts = (*done, *counted, *self._known(remark))
        return Cue(t_ns, 0, "summary", exercise.name, "", 0, text, prompts, 0.0, (), 0.0)

    def _count_prompts(self, exercise: Exercise, count: int) -> tuple[str, ...]:
        number = f"count_{count}" if count <= _LAST_COUNT else "many"
        if count == 1:
            return self._known((number,))
        plural = f"{exercise.name}s"
        return self._known((number, plural if plural in self._prompts.texts else "repetitions"))

    def _main_error(self, exercise: Exercise) -> CueRule | None:
        """The rule with the most left above the threshold, among those that were said and still wrong at the end."""
        open_rules = {key[0] for key, c in self._memory.corrections.items() if not c.good}
        if not open_rules:
            return None
        return exercise.cues[max(sorted(open_rules), key=lambda r: self._memory.excess.get(r, 0.0))]

    def _say(self, t_ns: int, cue: Cue) -> list[Said]:
        cue = replace(cue, t_ns=t_ns)
        over_ns = t_ns + self._prompts.duration_ns(cue.prompts) + _BREATH_NS
        self._free_ns = max(over_ns, t_ns + self._between_ns)
        return [cue, Speech(t_ns, 0, cue.prompts, cue.text, cue.cause_ns)] if cue.prompts else [cue]

    def _known(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if name in self._prompts.texts)

    def _text(self, names: tuple[str, ...]) -> str:
        return " ".join(self._prompts.texts[name] for name in names if name in self._prompts.texts)


def _key(exercise: Exercise, window: Window) -> tuple[int, str]:
    return exercise.cues.index(window.rule), window.joint
