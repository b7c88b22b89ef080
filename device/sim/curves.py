"""Standard curves of an exercise, derived from its motion without errors over many bodies: `python -m device.sim.curves FILE`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.exercises import CURVE_POINTS, Exercise
from device.exercises.loader import load_exercise
from device.sim.body import sample_body
from device.sim.kinematics import posture
from device.sim.motion import motion_of, repetition
from device.skeleton import JOINT, joint_angles

BODIES = 64
MARK = "# Standard angles in degrees at phase 0, 1/40, ..., 1, written by `python -m device.sim.curves`.\n"


def derive_curves(exercise: Exercise, bodies: int = BODIES) -> dict[tuple[str, str], NDArray[np.float64]]:
    """{(joint kind, role): (41,) rad}: mean over sampled bodies, for the joint kinds that have a tolerance.

    `trail` only where one side can lead. Raises ExerciseError where the motion is wrong.
    """
    variant = "left" if "left" in exercise.variants else exercise.variants[0]
    motion = motion_of(exercise)
    parameters = repetition(motion, variant)(np.linspace(0, 1, CURVE_POINTS))
    rng = np.random.default_rng(0)
    angles = np.mean([joint_angles(posture(sample_body(rng), parameters).landmarks) for _ in range(bodies)], axis=0)
    lead, trail = ("right", "left") if variant == "right" else ("left", "right")
    curves = {}
    for kind in exercise.tolerance:
        curves[kind, "lead"] = angles[:, JOINT[f"{lead}_{kind}"]]
        if variant != "both":
            curves[kind, "trail"] = angles[:, JOINT[f"{trail}_{kind}"]]
    return curves


def curves_toml(curves: dict[tuple[str, str], NDArray[np.float64]]) -> str:
    """The `[curves]` tables of an exercise file, degrees."""
    lines = [MARK]
    for kind in dict.fromkeys(kind for kind, _ in curves):
        lines.append(f"[curves.{kind}]\n")
        for role in ("lead", "trail"):
            if (kind, role) in curves:
                degrees = [f"{value:.1f}" for value in np.degrees(curves[kind, role])]
                rows = [", ".join(degrees[i : i + 14]) for i in range(0, len(degrees), 14)]
                lines.append(f"{role} = [\n" + "".join(f"    {row},\n" for row in rows) + "]\n")
        lines.append("\n")
    return "".join(lines).rstrip("\n") + "\n"


def update_file(path: Path) -> None:
    """Derive the curves of an exercise file anew and write them at its end. Raises ExerciseError."""
    exercise = load_exercise(path)
    text = path.read_text(encoding="utf-8")
    head = text.split(MARK)[0].split("\n[curves.")[0].rstrip("\n")
    path.write_text(f"{head}\n\n{curves_toml(derive_curves(exercise))}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Derive an exercise's standard curves from its motion and write them into its file."
    )
    parser.add_argument("file", type=Path, nargs="+", help="exercise files, for example device/exercises/squat.toml")
    for path in parser.parse_args().file:
        update_file(path)


if __name__ == "__main__":
    main()
