"""`python -m export.build`: from nothing to the bundle that the device runs, in some 65 minutes on two cores, or on a GPU."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from device import rows
from device.config import SignalsConfig
from device.runtime import bundle, parity
from device.runtime.evidence import Response
from device.runtime.features import FeatureConstants
from export.checkpoint import Checkpoint
from export.clips import DEFAULT_CACHE, Clip, clips, clips_fingerprint
from export.convert import convert, pasts
from export.dataset import Sampler, Session, emulated_sessions, observed, rendered, whole
from export.datasets.catalogue import DEFAULT, ENVIRONMENT, data_folder
from export.kept import fingerprint
from export.landmark_noise import LandmarkNoise, fit_landmark_noise
from export.model import Coach
from export.recorded import people
from export.refine import RefineRecipe, refine
from export.seeds import ANY_MANNER, EMULATED, EVERYDAY, FREE, HELD_OUT, LIVELY, LIVELY_OTHERS, OTHERS, RENDERED
from export.train import Progress as Trained
from export.train import Recipe, Scores, badness, evaluate, standardise, train
from export.train_blind import BLIND_RECIPE, Felt, train_blind
from export.train_onlooker import ONLOOKER_RECIPE, Watched, train_onlooker

SHARE_EMULATED, SHARE_ANY_MANNER, SHARE_OTHERS, SHARE_RENDERED, SHARE_RECORDED = 0.08, 0.30, 0.12, 0.36, 0.14
"""From where the stretches come that the network sees."""


class Made(NamedTuple):
    """Emulated sessions to learn from, `number` of them: by which name, with which seeds, whether a camera watches, and whom."""

    name: str
    seeds: range
    watched: bool
    number: int
    whom: str


MADE = (
    Made("plain", range(EMULATED, RENDERED), True, 80, "trainees as they are coached"),
    Made(
        "manner", ANY_MANNER, True, 240,
        "trainees who stand, hold their arms and rest as anybody might, and do other exercises between sets",
    ),
    Made("other", OTHERS, True, 100, "who does other exercises alone"),
    Made("free", FREE, True, 320, "who does sets as people do them before a camera, for the onlooker"),
    Made("everyday", EVERYDAY, True, 160, "who claps, waves, gets up and does other exercises, for the same"),
    Made("lively", LIVELY, False, 360, "who does sets in lively manners, for the network of the bands"),
    Made("gym", LIVELY_OTHERS, False, 240, "who does other exercises, those of gyms among them, for the same"),
)  # fmt: skip
JUDGES = ("free", "lively")
"""Names of those of whom the last seeds tell how a training goes."""
DEFAULT_LOG = Path("~/.cache/spotter/training")


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the bundle and print its figures; 1 when a limit is missed and --strict is given."""
    args = _parser().parse_args(arguments)
    console = Console(stderr=True)
    torch.set_num_threads(args.processes)
    with Progress(
        TextColumn("{task.description:<34}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn(),
        TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console,
    ) as progress:  # fmt: skip
        figures = _build(args, progress)
    return rows.show(rows.report(figures, seed=args.seed, bundle=str(args.out)), args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.build", description=__doc__, epilog="example: python -m export.build --out /tmp/coach --steps 300"
    )
    parser.add_argument(
        "--out", type=Path, default=bundle.shipped_bundle(), help="the bundle's folder (default: the shipped one)"
    )
    parser.add_argument("--steps", type=int, default=Recipe().steps, help="steps to train (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=220, help="rendered clips to learn from (default: %(default)s)")
    for made in MADE:
        parser.add_argument(
            f"--{made.name}-sessions", metavar="N", type=int, default=made.number,
            help=f"emulated sessions to learn from of {made.whom} (default: %(default)s)",
        )  # fmt: skip
    parser.add_argument(
        "--onlooker-steps", type=int, default=ONLOOKER_RECIPE.steps, help="steps to train the onlooker (default: %(default)s)"
    )
    parser.add_argument(
        "--blind-steps",
        type=int,
        default=BLIND_RECIPE.steps,
        help="steps to train the network of the bands (default: %(default)s)",
    )
    parser.add_argument("--held-out", type=int, default=12, help="rendered clips to judge by (default: %(default)s)")
    parser.add_argument(
        "--people",
        action=argparse.BooleanOptionalAction,
        help="learn from those of the recorded people who may be trained on, too (default: where their recordings are)",
    )
    parser.add_argument("--data", type=Path, help=f"folder of the recordings (default: {ENVIRONMENT}, {DEFAULT})")
    parser.add_argument(
        "--log",
        type=Path,
        default=DEFAULT_LOG,
        help="folder of the curves (CSV) and of the state, from which an interrupted training goes on (default: %(default)s)",
    )
    parser.add_argument("--processes", type=int, default=2, help="processor cores to use (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder of rendered clips (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=Recipe().seed, help="of weights and batches (default: %(default)s)")
    rows.add_arguments(parser)
    return parser


def _build(args: argparse.Namespace, progress: Progress) -> list[rows.Row]:
    signals, constants = SignalsConfig(), FeatureConstants()
    recipe = dataclasses.replace(Recipe(), steps=args.steps, seed=args.seed)
    found = _clips(args, progress, range(RENDERED, RENDERED + args.clips), "render clips")
    judged = _clips(args, progress, range(HELD_OUT, HELD_OUT + args.held_out), "render clips to judge by")

    task = progress.add_task("fit the landmark noise", total=1, note="")
    noise = fit_landmark_noise([observed(clip) for clip in found], seed=args.seed)
    progress.update(task, completed=1)
    emulated = {
        made.name: _emulated(args, progress, made, made.seeds[: getattr(args, f"{made.name}_sessions")], noise) for made in MADE
    }
    judging = {
        made.name: _emulated(args, progress, made, made.seeds[-args.held_out :], noise) for made in MADE if made.name in JUDGES
    }
    learned = [rendered(clip, signals) for clip in found]
    held_out = [rendered(clip, signals) for clip in judged]
    recordings = _recordings(args, progress, noise, signals)
    pools = [
        (SHARE_EMULATED, emulated["plain"]), (SHARE_ANY_MANNER, emulated["manner"]), (SHARE_OTHERS, emulated["other"]),
        (SHARE_RENDERED, learned), (SHARE_RECORDED, recordings),
    ]  # fmt: skip
    sampler = Sampler(pools, constants, ticks=recipe.ticks, seed=args.seed)
    torch.manual_seed(args.seed)
    coach = Coach()
    standardise(coach, sampler)
    task = progress.add_task("train", total=recipe.steps, note="")
    learned_from = {
        "source": "virtual trainees" + (" and recorded people (ui_prmd)" if recordings else ""),
        "code": clips_fingerprint(),
        "rendered_clips": len(found),
        "rendered_ticks": sum(map(len, learned)),
        "emulated_sessions": {name: len(sessions) for name, sessions in emulated.items()},
        "emulated_ticks": {name: sum(map(len, sessions)) for name, sessions in emulated.items()},
        "recorded_sessions": len(recordings),
        "recorded_ticks": sum(map(len, recordings)),
        "held_out_clips": len(judged),
        "steps": args.steps,
        "onlooker_steps": args.onlooker_steps,
        "blind_steps": args.blind_steps,
    }
    checkpoint = Checkpoint(args.log.expanduser(), f"{recipe} {coach.shape} {learned_from} {_code()}")
    train(
        coach, sampler, recipe, _reporter(progress, task), judge=lambda network: badness(network, held_out, constants),
        checkpoint=checkpoint,
    )  # fmt: skip
    beside: dict[str, Checkpoint] = {}

    def teach(title: str, name: str, recipe: Recipe, steps: int) -> tuple[Recipe, Callable[[Trained], None], Checkpoint]:
        recipe = dataclasses.replace(recipe, steps=steps, seed=args.seed)
        beside[name] = Checkpoint(args.log.expanduser() / name, f"{recipe} {learned_from} {_code()}")
        return recipe, _reporter(progress, progress.add_task(title, total=steps, note="")), beside[name]

    watched = Watched(emulated["plain"], emulated["free"], emulated["everyday"], learned, recordings, judging["free"])
    taught, report, kept = teach("train the onlooker", "onlooker", ONLOOKER_RECIPE, args.onlooker_steps)
    coach.onlooker = train_onlooker(watched, constants, taught, report, checkpoint=kept)
    felt = Felt(emulated["plain"], emulated["lively"], emulated["gym"], learned, recordings, judging["lively"])
    taught, report, kept = teach("train on bands alone", "blind", BLIND_RECIPE, args.blind_steps)
    coach.blind = train_blind(felt, constants, taught, report, checkpoint=kept)

    responses = _refined(args, progress, coach, list(zip((clip.seed for clip in found), learned, strict=True)), constants)
    task = progress.add_task("export and check", total=1, note="")
    scores = {"": evaluate(coach, held_out, constants), "_camera_only": evaluate(coach, held_out, constants, bands=False)}
    _write(args.out, coach, sampler, constants, responses, learned_from, _flat(scores), args.seed)
    for saved in (checkpoint, *beside.values()):
        saved.clear()
    figures = _figures(args.out, scores, held_out, constants)
    progress.update(task, completed=1)
    return figures


def _reporter(progress: Progress, task: TaskID) -> Callable[[Trained], None]:
    return lambda p: progress.update(task, completed=p.steps, note=" ".join(f"{n} {v:.3f}" for n, v in p.losses.items()))


def _clips(args: argparse.Namespace, progress: Progress, seeds: range, title: str) -> list[Clip]:
    task = progress.add_task(title, total=len(seeds), note="")
    done = []
    for clip in clips(seeds, args.cache, processes=args.processes):
        done.append(clip)
        progress.advance(task)
    return sorted(done, key=lambda clip: clip.seed)


def _recordings(args: argparse.Namespace, progress: Progress, noise: LandmarkNoise, signals: SignalsConfig) -> list[Session]:
    if args.people is False or (args.people is None and not (data_folder(args.data) / "ui_prmd").is_dir()):
        return []
    task = progress.add_task("read recorded people", total=None, note="")
    recordings = people(data_folder(args.data), noise, signals)
    progress.update(task, total=1, completed=1, note=f"{len(recordings)} sessions")
    return recordings


def _refined(
    args: argparse.Namespace,
    progress: Progress,
    coach: Coach,
    learned: Sequence[tuple[int, Session]],
    constants: FeatureConstants,
) -> dict[str, dict[str, Response]]:
    task = progress.add_task("refine the angles", total=1, note="")
    recipe = dataclasses.replace(RefineRecipe(), seed=args.seed)
    responses = refine(coach, learned, constants, recipe, lambda share: progress.update(task, completed=share))
    progress.update(task, completed=1)
    return responses


def _code() -> str:
    """Hash of what a training follows from beside its material: one that was interrupted goes on only with the same code."""
    names = (
        "model", "geometry", "onlooker", "blind", "temporal", "train", "train_onlooker", "train_blind", "dataset", "augment",
        "landmark_noise", "recorded", "seeds",
    )  # fmt: skip
    return fingerprint(Path(__file__).parent / f"{name}.py" for name in names)


def _emulated(args: argparse.Namespace, progress: Progress, made: Made, seeds: range, noise: LandmarkNoise) -> list[Session]:
    task: TaskID = progress.add_task(f"make {made.name} sessions", total=len(seeds), note="")
    done: list[Session] = []
    for chunk in emulated_sessions(seeds, noise if made.watched else None, SignalsConfig(), processes=args.processes):
        done += chunk
        progress.update(task, completed=len(done))
    return done


def _write(
    folder: Path,
    coach: Coach,
    sampler: Sampler,
    constants: FeatureConstants,
    responses: dict[str, dict[str, Response]],
    data: dict[str, object],
    scores: dict[str, float],
    seed: int,
) -> None:
    calibration = sampler.batch(64)
    forms = convert(coach, calibration.skeleton, calibration.inertial)
    reference = folder.parent / parity.REFERENCE
    for path, content in (
        (folder / bundle.STEP, forms.step_int8),
        (reference / parity.FLOAT_STEP, forms.step_float),
        (reference / parity.FLOAT_WINDOW, forms.window_float),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    bundle.write_manifest(
        folder,
        version=f"{bundle.sha256(folder / bundle.STEP)[:8]}",
        constants=constants,
        past=pasts(coach),
        responses=responses,
        data=data,
        scores=scores,
        seed=seed,
    )


def _flat(scores: dict[str, Scores]) -> dict[str, float]:
    return {f"{name}{kind}": round(value, 4) for kind, s in scores.items() for name, value in dataclasses.asdict(s).items()}


def _figures(folder: Path, scores: dict[str, Scores], held_out: Sequence[Session], constants: FeatureConstants) -> list[rows.Row]:
    loaded = bundle.load_bundle(folder)
    batches = [whole(session, constants) for session in held_out]
    skeleton = np.concatenate([b.skeleton[0] for b in batches])
    inertial = np.concatenate([b.inertial[0] for b in batches])
    figures = []
    for kind, s in scores.items():
        figures += [
            rows.row(f"exercise_tick_accuracy{kind}", s.exercise, at_least=0.95 if not kind else None),
            rows.row(f"none_tick_accuracy{kind}", s.none),
            rows.row(f"stage_tick_accuracy{kind}", s.stage),
            rows.row(f"phase_error{kind}", s.phase),
            rows.row(f"angle_score{kind}", 1 - s.angle, at_least=max(0.9, 1 - s.angle_raw) if not kind else None),
            rows.row(f"angle_score_raw{kind}", 1 - s.angle_raw),
            rows.row(f"angle_within_2_sigma{kind}", s.sigma),
            rows.row(f"deviation_gain{kind}", s.deviation_gain),
        ]
    return [
        *figures,
        *parity.parity_rows(loaded, skeleton, inertial),
        rows.row("bundle_kb", loaded.size_bytes / 1000, "kB", at_most=300),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
