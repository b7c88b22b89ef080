"""All that a session gave, kept for the plots, the summary and the scores."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from device.messages import NS_PER_S, Cue, Estimate, Repetition, SetEnded, Speech, StageBoundary, Vibration
from device.runtime.session import Heard
from device.skeleton import N_JOINTS


@dataclass(frozen=True, slots=True, eq=False)
class SessionLog:
    """One session, tick by tick (n ticks) and event by event.

    `start_ns`: time zero of the session, for people.
    `times_ns`: (n,). `exercise`: (n,) index into `classes`. `stage`: (n,). `phase`: (n,). `refined`: (n, 12) rad, the model's
    angles. `raw`: (n, 12) rad, angles of the aligned landmarks as the pose estimator gave them. `sigma`: (n, 12) rad.
    """

    classes: tuple[str, ...]
    times_ns: NDArray[np.int64]
    exercise: NDArray[np.int64]
    stage: NDArray[np.int64]
    phase: NDArray[np.float64]
    refined: NDArray[np.float64]
    raw: NDArray[np.float64]
    sigma: NDArray[np.float64]
    sets: tuple[SetEnded, ...]
    repetitions: tuple[Repetition, ...]
    boundaries: tuple[StageBoundary, ...]
    cues: tuple[Cue, ...]
    speeches: tuple[Speech, ...]
    vibrations: tuple[Vibration, ...]
    start_ns: int = 0

    def seconds(self, t_ns: int) -> float:
        """Time in the session (s)."""
        return (t_ns - self.start_ns) / NS_PER_S

    def within(self, start_ns: int, end_ns: int) -> NDArray[np.bool_]:
        """(n,) which ticks are from `start_ns` to `end_ns`."""
        return (self.times_ns >= start_ns) & (self.times_ns <= end_ns)


Event = Repetition | SetEnded | StageBoundary | Cue | Speech | Vibration


@dataclass(slots=True)
class LogBook:
    """A sink that gathers what the core puts out; `log` makes the record."""

    classes: tuple[str, ...]
    start_ns: int = 0
    estimates: list[Estimate] = field(default_factory=list)
    raw: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def receive(self, message: Heard) -> None:
        if isinstance(message, Estimate):
            self.estimates.append(message)
        elif isinstance(message, Event):
            self.events.append(message)

    def close(self) -> None:
        """Nothing is held open."""

    def log(self) -> SessionLog:
        """The record so far. `raw` is NaN at ticks for which none was noted."""
        estimates = self.estimates
        missing = np.full(N_JOINTS, np.nan)
        return SessionLog(
            classes=self.classes,
            times_ns=np.array([e.t_ns for e in estimates], np.int64),
            exercise=np.array([int(np.argmax(e.exercise)) for e in estimates], np.int64),
            stage=np.array([int(np.argmax(e.stage)) for e in estimates], np.int64),
            phase=np.array([e.phase for e in estimates], np.float64),
            refined=np.array([e.angles for e in estimates], np.float64).reshape(-1, N_JOINTS),
            raw=np.array([self.raw.get(e.t_ns, missing) for e in estimates], np.float64).reshape(-1, N_JOINTS),
            sigma=np.array([e.angle_sigma for e in estimates], np.float64).reshape(-1, N_JOINTS),
            sets=tuple(e for e in self.events if isinstance(e, SetEnded)),
            repetitions=tuple(e for e in self.events if isinstance(e, Repetition)),
            boundaries=tuple(e for e in self.events if isinstance(e, StageBoundary)),
            cues=tuple(e for e in self.events if isinstance(e, Cue)),
            speeches=tuple(e for e in self.events if isinstance(e, Speech)),
            vibrations=tuple(e for e in self.events if isinstance(e, Vibration)),
            start_ns=self.start_ns,
        )
