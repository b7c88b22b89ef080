"""Scripted estimates: what a model would say of standard movements, with chosen errors, noise and glitches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from device.exercises import CueRule, EntryPose, Exercise
from device.messages import EXERCISES, NS_PER_S, Estimate, Pose, Stage, Tick
from device.runtime.evidence import Response
from device.runtime.features import FeatureConstants
from device.skeleton import JOINT, N_JOINTS, N_NODES, NODE
from device.voice import RATE_HZ, Prompts

HZ = 30
TICK_NS = NS_PER_S // HZ
START_NS = 5 * NS_PER_S
PHASES = np.linspace(0, 1, 41)
DIP = (1 - np.cos(2 * np.pi * PHASES)) / 2

NAMES = (
    *("set_done", "good_form", "remember", "better", "well_done", "repetitions", "squats", "lunges", "many"),
    *("knees_out", "chest_up", "deeper", "longer_step"),
    *(f"count_{n}" for n in range(31)),
)
PROMPTS = Prompts(
    {name: name.replace("_", " ") for name in NAMES}, {name: np.zeros(RATE_HZ * 8 // 10, dtype=np.int16) for name in NAMES}
)
"""Every prompt takes 0.8 s."""


def rule(error: str, joint: str, sign: int, prompt: str, **other: object) -> CueRule:
    basis = CueRule(error, joint, "any", sign, (0.3, 0.7), prompt, prompt.replace("_", " "), "ankle", "better", 10)
    return replace(basis, **other)


def exercise(name: str, kinds: dict[tuple[str, str], NDArray[np.float64]], **other: object) -> Exercise:
    basis = Exercise(
        name=name,
        title=name,
        model_class=name,
        variants=("both",),
        alternates=False,
        stage_ends=(0.36, 0.64),
        entry=EntryPose((0.0, np.radians(30)), (("knee", np.radians(145), np.radians(185)),)),
        joints=("left_knee", "right_knee"),
        curves=kinds,
        tolerance={"knee": np.radians(5), "hip": np.radians(5), "hip_spread": np.radians(5)},
        cues=(),
        habits=(),
        motion={},
    )
    return replace(basis, **other)


def bend(start_deg: float, far_deg: float) -> NDArray[np.float64]:
    return np.radians(start_deg + (far_deg - start_deg) * DIP)


SQUAT = exercise(
    "squat",
    {("knee", "lead"): bend(172, 85), ("hip", "lead"): bend(178, 80), ("hip_spread", "lead"): bend(98, 112)},
    cues=(
        rule("knees_caving_in", "hip_spread", -1, "knees_out", priority=30),
        rule("forward_lean", "hip", -1, "chest_up", bands="wrist", praise="well_done", priority=20),
        rule("shallow", "knee", 1, "deeper", phases=(0.38, 0.62)),
    ),
)
LUNGE = exercise(
    "lunge",
    {
        ("knee", "lead"): bend(172, 95), ("knee", "trail"): bend(172, 120),
        ("hip", "lead"): bend(178, 100), ("hip", "trail"): bend(178, 185),
    },
    variants=("left", "right"),
    alternates=True,
    cues=(rule("short_lunge", "knee", 1, "longer_step", role="lead"),),
)  # fmt: skip
CATALOGUE = {"squat": SQUAT, "lunge": LUNGE}


@dataclass(frozen=True)
class Said:
    """What the model says of one tick. `errors`: {joint: rad} on top of the standard."""

    exercise: str = "none"
    variant: str = ""
    phase: float = 0.0
    stage: Stage = Stage.REST
    sureness: float = 0.95
    errors: dict[str, float] = field(default_factory=dict)
    visibility: float = 0.95


Errors = dict[str, float] | Callable[[float], dict[str, float]]


def rest(seconds: float, exercise: str = "none", phase: float = 0.0) -> Iterator[Said]:
    for _ in range(round(seconds * HZ)):
        yield Said(exercise, "both" if exercise == "squat" else "left", phase)


def reps(
    exercise: str, count: int, seconds: float, *, variants: tuple[str, ...] = ("both",), errors: Errors | None = None,
    pause_s: float = 0.3, **other: object,
) -> Iterator[Said]:  # fmt: skip
    """Repetitions with a rest after each. `errors` in degrees by joint, the same for all or as a function of the repetition."""
    standard = CATALOGUE[exercise]
    n = round(seconds * HZ)
    for k in range(count):
        degrees = errors(k) if callable(errors) else errors or {}
        radians = {joint: float(np.radians(size)) for joint, size in degrees.items()}
        variant = variants[k % len(variants)]
        for i in range(n):
            phase = (i + 0.5) / n
            yield Said(exercise, variant, phase, standard.stage(phase), errors=radians, **other)
        yield from rest(pause_s, exercise)


class ScriptedModel:
    """Gives the estimates of a script, one a tick. `phase_noise`, `angle_noise`: standard deviations (rad for angles)."""

    classes = EXERCISES
    constants = FeatureConstants()

    def __init__(
        self,
        script: list[Said],
        *,
        seed: int = 0,
        phase_noise: float = 0.0,
        angle_noise: float = 0.0,
        sigma_deg: float = 4.0,
        responses: dict[str, dict[str, Response]] | None = None,
    ) -> None:
        self.script = script
        self.responses = responses or {}
        self._seed = seed
        self._phase_noise = phase_noise
        self._angle_noise = angle_noise
        self._sigma = np.full(N_JOINTS, np.radians(sigma_deg), dtype=np.float32)
        self.reset()

    def reset(self) -> None:
        self._random = np.random.default_rng(self._seed)
        self._tick = 0

    def step(self, skeleton: object, inertial: object, t_ns: int, seq: int) -> Estimate:  # noqa: ARG002
        said = self.script[min(self._tick, len(self.script) - 1)]
        self._tick += 1
        return self.estimate(said, t_ns, seq)

    def estimate(self, said: Said, t_ns: int, seq: int) -> Estimate:
        exercise = np.full(len(EXERCISES), (1 - said.sureness) / (len(EXERCISES) - 1), dtype=np.float32)
        exercise[EXERCISES.index(said.exercise)] = said.sureness
        stage = np.full(4, 0.05, dtype=np.float32)
        stage[said.stage] = 0.85
        phase = self._random.random() if said.stage is Stage.REST else said.phase + self._phase_noise * self._random.normal()
        angles = angles_of(said) + self._angle_noise * self._random.normal(size=N_JOINTS)
        importance = np.full(N_NODES, 1 / N_NODES, dtype=np.float32)
        return Estimate(t_ns, seq, exercise, stage, phase % 1.0, angles.astype(np.float32), self._sigma, importance)


def angles_of(said: Said) -> NDArray[np.float64]:
    angles = np.radians(np.where(np.arange(N_JOINTS) < 10, 172.0, 98.0))
    if said.exercise in CATALOGUE:
        curves = CATALOGUE[said.exercise].standard(said.variant)
        phase = 0.0 if said.stage is Stage.REST else said.phase
        for j in np.flatnonzero(np.isfinite(curves).all(axis=0)):
            angles[j] = np.interp(phase, PHASES, curves[:, j])
    for joint, size in said.errors.items():
        angles[JOINT[joint]] += size * (1 - np.cos(2 * np.pi * said.phase)) / 2
    return angles


def standing() -> NDArray[np.float32]:
    """(33, 3) m, camera axes: a person upright in front of the camera."""
    heights = {"shoulder": -0.5, "elbow": -0.25, "wrist": 0.0, "hip": 0.0, "knee": 0.45, "ankle": 0.85}
    world = np.zeros((N_NODES, 3), dtype=np.float32)
    world[:, 1] = -0.65
    for kind, y in heights.items():
        for side, x in (("left", 0.15), ("right", -0.15)):
            world[NODE[f"{side}_{kind}"]] = (x, y, 0.0)
    for kind in ("heel", "foot_index"):
        for side, x in (("left", 0.15), ("right", -0.15)):
            world[NODE[f"{side}_{kind}"]] = (x, 0.9, 0.05 if kind == "heel" else -0.15)
    return world


def bending(script: list[Said]) -> NDArray[np.float32]:
    """(T, 33, 3) m: the same person, whose shanks turn back as far as the script bends the knees."""
    worlds = np.repeat(standing()[None], len(script), axis=0)
    for world, said in zip(worlds, script, strict=True):
        for side in ("left", "right"):
            knee, bent = world[NODE[f"{side}_knee"]], np.pi - angles_of(said)[JOINT[f"{side}_knee"]]
            c, s = np.cos(bent), np.sin(bent)
            for part in ("ankle", "heel", "foot_index"):
                x, y, z = world[NODE[f"{side}_{part}"]] - knee
                world[NODE[f"{side}_{part}"]] = knee + np.array((x, c * y - s * z, s * y + c * z))
    return worlds


def tick(
    k: int, *, world: NDArray[np.float32] | None = None, visibility: float = 0.95, present: bool = True,
    bands: NDArray[np.bool_] | None = None,
) -> Tick:  # fmt: skip
    return Tick(
        START_NS + k * TICK_NS,
        k,
        standing() if world is None else world,
        np.full(N_NODES, visibility, dtype=np.float32),
        present,
        np.zeros((4, 6), dtype=np.float32),
        np.zeros(4, dtype=np.bool_) if bands is None else bands,
    )


def poses(seconds: float, world: NDArray[np.float32] | None = None, visibility: float = 0.95) -> list[Pose]:
    """A still person at 30 Hz: the script, not the pixels, says what is done. `world`: (33, 3), or of each tick (T, 33, 3)."""
    shapes = (standing() if world is None else world).reshape(-1, N_NODES, 3)
    image = np.zeros((N_NODES, 4), dtype=np.float32)
    image[:, 3] = visibility
    count = round(seconds * HZ) + 1
    return [
        Pose(START_NS + k * TICK_NS, 1_000_000, k, image, shapes[min(k, len(shapes) - 1)], 640, 480, True) for k in range(count)
    ]
