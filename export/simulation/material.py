"""What the zoo learns from and is judged on, made when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from device.config import SignalsConfig
from device.runtime.features import FeatureConstants
from device.sim.trainee import VirtualTrainee
from export.clips import Clip, clip_plan, clips
from export.dataset import Sampler, Session, emulated_sessions, observed, rendered
from export.landmark_noise import LandmarkNoise, fit_landmark_noise
from export.seeds import EMULATED, RENDERED, UNSEEN
from export.simulation.upper_bands import emulated_trainee, with_upper_bands
from export.zoo.training import DENSE, Batches, Job, Paired

Reporter = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much: rendered clips to fit the estimator's errors on and to learn from, emulated sessions to learn from, emulated
    sessions to judge networks by, rendered clips to judge the shipped coach by."""

    clips: int = 60
    sessions: int = 60
    unseen_sessions: int = 10
    unseen_clips: int = 10


class Material:
    """Sessions and clips by their seeds. `clip_cache`: folder of rendered clips; those that are absent are rendered."""

    def __init__(self, amounts: Amounts, clip_cache: Path, *, processes: int = 1, report: Reporter = lambda *_: None) -> None:
        self.amounts = amounts
        self.signals, self.constants = SignalsConfig(), FeatureConstants()
        self._cache = clip_cache
        self._processes = processes
        self._report = report

    @cached_property
    def noise(self) -> LandmarkNoise:
        """The estimator's errors, fitted on the rendered clips."""
        seen = [observed(clip) for clip in self.training_clips]
        self._report("fit the landmark noise", 0, 1)
        noise = fit_landmark_noise(seen, seed=1)
        self._report("fit the landmark noise", 1, 1)
        return noise

    @cached_property
    def training_clips(self) -> list[Clip]:
        """Rendered clips to learn from."""
        return self._clips(range(RENDERED, RENDERED + self.amounts.clips), "render clips")

    @cached_property
    def unseen_clips(self) -> list[Clip]:
        """Rendered clips that nothing learns from."""
        return self._clips(range(UNSEEN, UNSEEN + self.amounts.unseen_clips), "render clips to judge by")

    @cached_property
    def learned(self) -> list[Session]:
        """The sessions of `training_clips`."""
        return [rendered(clip, self.signals) for clip in self.training_clips]

    @cached_property
    def sessions(self) -> list[Session]:
        """Emulated sessions to learn from."""
        return self._emulated(EMULATED, self.amounts.sessions, "make sessions")

    @cached_property
    def unseen(self) -> list[Session]:
        """Emulated sessions that nothing learns from."""
        return self._emulated(UNSEEN, self.amounts.unseen_sessions, "make sessions to judge by")

    @cached_property
    def upper(self) -> list[Session]:
        """`sessions` with units at upper arms and thighs instead of the bands."""
        return self._upper(EMULATED, self.sessions, emulated_trainee)

    @cached_property
    def learned_upper(self) -> list[Session]:
        """`learned` with units at upper arms and thighs instead of the bands."""
        return self._upper(RENDERED, self.learned, lambda seed: VirtualTrainee(seed, clip_plan(seed), deaf=True))

    @cached_property
    def unseen_upper(self) -> list[Session]:
        """`unseen` with units at upper arms and thighs instead of the bands."""
        return self._upper(UNSEEN, self.unseen, emulated_trainee)

    def batches(self, job: Job, ticks: int) -> Batches:
        """What `job` is trained on."""

        def sampler(sessions: Sequence[Session], learned: Sequence[Session]) -> Sampler:
            return Sampler([(0.5, sessions), (0.5, learned)], self.constants, ticks=ticks, seed=job.seed)

        bands = sampler(self.sessions, self.learned)
        return Paired(bands, sampler(self.upper, self.learned_upper)) if job.sensors == DENSE else bands

    def _clips(self, seeds: range, title: str) -> list[Clip]:
        found: list[Clip] = []
        self._report(title, 0, len(seeds))
        for clip in clips(seeds, self._cache, processes=self._processes):
            found.append(clip)
            self._report(title, len(found), len(seeds))
        return sorted(found, key=lambda clip: clip.seed)

    def _emulated(self, first: int, count: int, title: str) -> list[Session]:
        seeds = range(first, first + count)
        made: list[Session] = []
        noise = self.noise
        self._report(title, 0, count)
        for chunk in emulated_sessions(seeds, noise, self.signals, processes=self._processes):
            made += chunk
            self._report(title, len(made), count)
        return made

    def _upper(self, first: int, sessions: Sequence[Session], trainee: Callable[[int], VirtualTrainee]) -> list[Session]:
        made: list[Session] = []
        for i, session in enumerate(sessions):
            made.append(with_upper_bands(first + i, trainee(first + i), session, self.signals))
            self._report("add units at upper arms and thighs", i + 1, len(sessions))
        return made
