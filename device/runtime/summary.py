"""What was done in a session: its sets with their repetitions, deviations and cues."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from device.messages import NS_PER_S, Cue, Repetition, SetEnded, SetStarted
from device.runtime.session import Heard


@dataclass(slots=True)
class DoneSet:
    """One set as it goes on. Times are host monotonic ns; `end_ns` is the last repetition's end so far."""

    exercise: str
    start_ns: int
    end_ns: int
    repetitions: list[Repetition] = field(default_factory=list)
    cues: list[Cue] = field(default_factory=list)


class SetCollector:
    """A sink that keeps the sets of a session. Cues between sets belong to the set before them."""

    name = "summary"

    def __init__(self) -> None:
        self.sets: list[DoneSet] = []
        self._open = False

    def receive(self, message: Heard) -> None:
        match message:
            case SetStarted():
                self._start(message.exercise, message.t_ns)
            case Repetition():
                if not self._open:
                    self._start(message.exercise, message.start_ns)
                self.sets[-1].repetitions.append(message)
                self.sets[-1].end_ns = message.end_ns
            case SetEnded():
                if self._open:
                    self.sets[-1].start_ns, self.sets[-1].end_ns = message.start_ns, message.end_ns
                self._open = False
            case Cue():
                if self.sets:
                    self.sets[-1].cues.append(message)
            case _:
                pass

    def close(self) -> None:
        self._open = False

    def _start(self, exercise: str, start_ns: int) -> None:
        self.sets.append(DoneSet(exercise, start_ns, start_ns))
        self._open = True


def mean_deviations(repetitions: Iterable[Repetition]) -> dict[str, float]:
    """Mean over the repetitions of each joint's signed worst deviation (rad); a repetition without it counts 0."""
    reps = list(repetitions)
    joints = dict.fromkeys(d.joint for rep in reps for d in rep.worst)
    return {
        joint: math.fsum(d.deviation_rad for rep in reps for d in rep.worst if d.joint == joint) / len(reps)
        for joint in sorted(joints)
    }


def as_json(sets: Iterable[DoneSet], start_ns: int) -> dict[str, Any]:
    """`{"sets": [...]}` with times in s since `start_ns` and deviations in degrees, both to the thousandth."""
    return {"sets": [_set_as_json(done, start_ns) for done in sets if done.repetitions]}


def _set_as_json(done: DoneSet, start_ns: int) -> dict[str, Any]:
    def seconds(t_ns: int) -> float:
        return round((t_ns - start_ns) / NS_PER_S, 3)

    return {
        "exercise": done.exercise,
        "reps": len(done.repetitions),
        "start_s": seconds(done.start_ns),
        "end_s": seconds(done.end_ns),
        "rep_times_s": [seconds(rep.end_ns) for rep in done.repetitions],
        "deviations": {joint: round(math.degrees(d), 3) for joint, d in mean_deviations(done.repetitions).items()},
        "cues": [
            {"t_s": seconds(cue.t_ns), "kind": cue.kind, "joint": cue.joint, "sign": cue.sign, "text": cue.text}
            for cue in done.cues
        ],
    }
