"""The set of the demo: the trainee, the room and the camera that a seed stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from device.config import Config
from device.drivers.camera_virtual import VirtualCamera
from device.errors import ExerciseError
from device.exercises import Exercise, load_exercises
from device.runtime.eye import EyeSpec, VirtualSubject
from device.sim.scene import session_scene
from device.sim.script import SessionPlan, plan_session
from device.sim.trainee import VirtualTrainee


@dataclass(frozen=True, slots=True, eq=False)
class Staging:
    """What the session, the eye's and the film's process need, each to have the same trainee for itself."""

    seed: int
    config: Config
    exercises: Mapping[str, Exercise]
    plan: SessionPlan

    def trainee(self) -> VirtualTrainee:
        """The trainee, who has heard nothing yet."""
        return VirtualTrainee(self.seed, self.plan, exercises=self.exercises)

    def eye(self) -> EyeSpec:
        """An eye on the trainee that gives every frame when it is asked for."""
        subject = VirtualSubject(self.seed, self.plan, exercises=self.exercises)
        return EyeSpec(self.config.camera, self.config.pose, subject, lockstep=True)

    def open(self) -> VirtualCamera:
        """A camera on a trainee of its own, opened: the pictures that the eye sees too."""
        camera = VirtualCamera(self.config.camera, self.trainee(), session_scene(self.seed))
        camera.open()
        return camera


def set_stage(seed: int, config: Config, sets: Sequence[str] | None = None, reps: int | None = None) -> Staging:
    """The staging of `seed`. `sets`: exercises in order, None is all in random order; `reps`: of every set, None is random.

    Raises ExerciseError where a set names no exercise.
    """
    exercises = load_exercises(config.exercises.folder or None, config.exercises.enabled)
    for name in sets or ():
        if name not in exercises:
            raise ExerciseError(f"There is no exercise {name!r} to do a set of; there are {', '.join(sorted(exercises))}.")
    return Staging(seed, config, exercises, plan_session(seed, sets=sets, reps=reps, exercises=exercises))
