"""One run of the evaluation: what is asked for, what is known already, and how the rest is trained and measured."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

import device
from device.config import Config
from device.runtime.bundle import MANIFEST, Bundle, load_bundle, sha256
from device.runtime.core import Stepping
from device.runtime.evidence import Response
from device.runtime.features import FeatureConstants
from device.runtime.model import StepModel
from export.clips import clips_fingerprint
from export.dataset import Batch
from export.kept import Kept, fingerprint
from export.landmark_noise import LandmarkNoise
from export.model import Coach
from export.responses import fitted_responses, shown_windows
from export.seeds import UNSEEN
from export.simulation.drill import Drill, run_drill
from export.simulation.judge import bundle_answers, bundle_step_s, judge, network_answers, network_step_s, seen_by
from export.simulation.material import Amounts, Material, Reporter
from export.simulation.shipped import pooled, stream_clip
from export.train import Progress, Recipe
from export.zoo.catalogue import MODELS
from export.zoo.stepping import TorchStep
from export.zoo.training import DENSE, Job, recipe_of, restored, trained

RESPONSE_CLIPS = 30
"""Rendered clips by which it is measured how a network shows errors, before it coaches."""


@dataclass(frozen=True, slots=True)
class Options:
    """`seeds`: of each network in table 5. `drills`: sessions of each kind in the loop; `demos`: of those with real pictures."""

    seeds: int
    drills: int
    demos: int
    windows: tuple[int, ...]
    thresholds: tuple[float, ...]
    occlusions: tuple[int, ...]
    processes: int


class Run:
    """`cache`: where trainings and measurements are kept, in a folder that is named after all that they follow from."""

    def __init__(
        self, options: Options, recipe: Recipe, amounts: Amounts, config: Config, cache: Path, clip_cache: Path, report: Reporter
    ) -> None:
        self.options, self.recipe, self.config = options, recipe, config
        self.bundle = load_bundle(config.model.bundle or None)
        self.material = Material(amounts, clip_cache, processes=options.processes, report=report)
        self.constants: FeatureConstants = self.material.constants
        self.report = report
        learned = fingerprint(_sources(LEARNED), clips_fingerprint(), asdict(amounts), recipe.steps, recipe.batch, recipe.ticks)
        self.trainings = Kept(cache / learned)
        # What coaches decides over the figures too, so those are kept apart by more than the networks are.
        self.measurements = Kept(
            cache / learned / f"measured-{fingerprint(_sources(MEASURED), sha256(self.bundle.folder / MANIFEST))}"
        )

    def network(self, job: Job) -> nn.Module:
        """The network of `job`, trained where it isn't yet. Raises StoreError."""
        recipe = recipe_of(job, self.recipe)

        def tell(progress: Progress) -> None:
            self.report(f"train {job.title}", progress.steps, recipe.steps)

        return trained(job, self.trainings, lambda: self.material.batches(job, recipe.ticks), recipe, tell)

    def judged(self, job: Job, occlusion: int = 0) -> dict[str, float]:
        """`export.simulation.judge.Judged` of `job`, with its `step_s` and its `latency_s`. `occlusion`: percent."""

        def measure() -> dict[str, float]:
            network = self.network(job)
            sessions = self._seen(occlusion, dense=job.sensors == DENSE)
            self.report(f"judge {job.title}", 0, 1)
            found = judge(network_answers(network, job.sensors), sessions, self.constants.tick_hz)
            step_s = network_step_s(network, sessions[0], self.constants)
            self.report(f"judge {job.title}", 1, 1)
            return found | {"step_s": step_s}

        found = self.measurements.measured(f"judged-{job.key}-occluded{occlusion}", measure)
        wait_s = MODELS[job.model].waits_ticks / self.constants.tick_hz
        return cast(dict[str, float], found) | {"latency_s": found["delay_s"] + found["step_s"] + wait_s}

    def shipped(self, occlusion: int = 0) -> dict[str, float]:
        """The same of the shipped int8 bundle, stepped on the device's runtime."""

        def measure() -> dict[str, float]:
            sessions = self._seen(occlusion)
            self.report("judge the shipped bundle", 0, 1)
            found = judge(bundle_answers(self.bundle, self.config.model.runtime), sessions, self.constants.tick_hz)
            step_s = bundle_step_s(self.bundle, sessions[0], self.config.model.runtime)
            self.report("judge the shipped bundle", 1, 1)
            return found | {"step_s": step_s}

        found = self.measurements.measured(f"judged-shipped-occluded{occlusion}", measure)
        return cast(dict[str, float], found) | {"latency_s": found["delay_s"] + found["step_s"]}

    def streamed(self, part: str, occlusion: int) -> dict[str, float]:
        """The shipped bundle in the device's core on the rendered clips: `export.simulation.shipped.pooled`."""

        def measure() -> dict[str, float]:
            clips, done = self.material.unseen_clips, []
            for clip in clips:
                done.append(stream_clip(self.config, self.bundle, clip, part, occlusion / 100))
                self.report(f"stream clips, {part}, {occlusion} % hidden", len(done), len(clips))
            return pooled(done)

        key = f"streamed-{part.replace(' ', '_')}-occluded{occlusion}"
        return cast(dict[str, float], self.measurements.measured(key, measure))

    def drilled(self, who: Job | None, drills: Sequence[Drill]) -> list[dict[str, Any]]:
        """Outcomes of `drills`, in their order, with the network of `who` as the coach's, or with the shipped bundle."""
        name = "shipped" if who is None else who.key
        keys = [f"drill-{name}-{drill.key}" for drill in drills]
        missing = [(key, drill) for key, drill in zip(keys, drills, strict=True) if self.measurements.known(key) is None]
        if missing:
            title = f"{'the shipped coach' if who is None else who.title} coaches"
            self.report(title, 0, len(missing))
            work = _Work(self.config, who, self.trainings.folder, self._responses(who) if who is not None else {})
            noise = self.material.noise if any(not drill.rendered for _, drill in missing) else None
            for done, (key, outcome) in enumerate(self._coached(work, noise, missing), 1):
                self.measurements.keep(key, outcome)
                self.report(title, done, len(missing))
        return [self.measurements.known(key) for key in keys]

    def drills(self, **kind: Any) -> list[Drill]:
        """As many sessions in the loop as asked for, all of one kind (`Drill`)."""
        return [Drill(UNSEEN + 100_000 + i, **kind) for i in range(self.options.drills)]

    def demos(self) -> list[Drill]:
        """Sessions as the demo has them, with real pictures."""
        return [Drill(401 + i, tempo="", rendered=True) for i in range(self.options.demos)]

    @cached_property
    def _plain(self) -> list[Batch]:
        return [seen_by(session, self.constants) for session in self.material.unseen]

    def _seen(self, occlusion: int, *, dense: bool = False) -> list[Batch]:
        if dense:
            upper = [seen_by(session, self.constants) for session in self.material.unseen_upper]
            return [
                bands._replace(inertial=torch.cat((torch.from_numpy(bands.inertial), torch.from_numpy(more.inertial)), 2).numpy())
                for bands, more in zip(self._plain, upper, strict=True)
            ]
        if not occlusion:
            return self._plain
        sessions = enumerate(self.material.unseen)
        return [seen_by(session, self.constants, occlusion=occlusion / 100, seed=UNSEEN + i) for i, session in sessions]

    def _responses(self, job: Job) -> dict[str, dict[str, Response]]:
        """How the network of `job` shows errors, measured as for the shipped bundle, on clips that it learned from."""

        def measure() -> dict[str, dict[str, list[float]]]:
            network = cast(Coach, self.network(job))
            clips = list(zip([clip.seed for clip in self.material.training_clips], self.material.learned, strict=True))
            self.report(f"how {job.title} shows errors", 0, 1)
            found = fitted_responses(shown_windows(network, clips[:RESPONSE_CLIPS], self.constants))
            self.report(f"how {job.title} shows errors", 1, 1)
            return {name: {error: list(response) for error, response in of.items()} for name, of in found.items()}

        found = self.measurements.measured(f"responses-{job.key}", measure)
        return {name: {error: Response(*values) for error, values in of.items()} for name, of in found.items()}

    def _coached(self, work: _Work, noise: LandmarkNoise | None, drills: Sequence[tuple[str, Drill]]) -> Any:
        if self.options.processes == 1:
            _begin(work, noise)
            for key, drill in drills:
                yield key, _drilled(drill)
            return
        # Fresh interpreters: the estimator's threads do not survive a fork.
        context = get_context("spawn")
        with ProcessPoolExecutor(self.options.processes, mp_context=context, initializer=_begin, initargs=(work, noise)) as pool:
            waiting = {pool.submit(_drilled, drill): key for key, drill in drills}
            try:
                for done in as_completed(waiting):
                    yield waiting[done], done.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


@dataclass(frozen=True, slots=True)
class _Work:
    """What a process that drills needs: `who` is None for the shipped bundle."""

    config: Config
    who: Job | None
    trainings: Path
    responses: dict[str, dict[str, Response]]


_working: tuple[_Work, LandmarkNoise | None] | None = None
"""Of a process that drills."""


def _begin(work: _Work, noise: LandmarkNoise | None) -> None:
    global _working
    torch.set_num_threads(1)
    _working = (work, noise)


def _drilled(drill: Drill) -> dict[str, Any]:
    assert _working is not None
    work, noise = _working
    return run_drill(work.config, drill, _stepping(work), noise)


def _stepping(work: _Work) -> Stepping:
    if work.who is None:
        bundle: Bundle = load_bundle(work.config.model.bundle or None)
        return StepModel(bundle, work.config.model.runtime)
    network = cast(Coach, restored(work.who, Kept(work.trainings)))
    return TorchStep(network, FeatureConstants(), work.responses)


LEARNED = (
    "export/model.py", "export/train.py", "export/dataset.py", "export/augment.py", "export/landmark_noise.py", "export/seeds.py",
    "export/zoo/*.py", "export/simulation/material.py", "export/simulation/upper_bands.py", "device/skeleton.py",
    "device/runtime/align.py", "device/runtime/features.py",
)  # fmt: skip
"""What a training follows from, beside the virtual trainee, its exercises and its clips."""
MEASURED = (
    "device/runtime/*.py", "device/demo/loop.py", "device/demo/scores.py", "export/responses.py", "export/people/watch.py",
    *(f"export/simulation/{name}.py" for name in ("drill", "eyes", "judge", "measures", "occlusion", "shipped", "run")),
)  # fmt: skip
"""What a measurement follows from beside that."""


def _sources(patterns: Sequence[str]) -> list[Path]:
    root = Path(device.__file__).parents[1]
    return [file for pattern in patterns for file in root.glob(pattern)]
