"""What is true at each moment of a recorded set whose joints and repetitions are known: class, stage, phase and angles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device.exercises import Exercise
from device.messages import EXERCISES, Stage
from device.skeleton import JOINT, joint_angles
from export.datasets.clip import Times, Truth

Floats = NDArray[np.float64]


def with_moments(truth: Truth, times_ns: Times, landmarks: Floats, exercise: Exercise | None) -> Truth:
    """`truth` with every moment of `times_ns` (n,), at which the joints really were at `landmarks` (n, 33, 3).

    `exercise`: what is done in the repetitions, None where all of it is class none. A repetition is half over when the knees are
    bent most. From the first one's start to the last one's end it is the exercise, also between two of them.
    """
    angles = joint_angles(landmarks)
    n = len(times_ns)
    classes = np.full(n, EXERCISES.index("none"), np.int8)
    stages, phase = np.full(n, int(Stage.REST), np.int8), np.zeros(n, np.float32)
    if exercise is not None and len(truth.repetitions):
        inside = (times_ns >= truth.repetitions[0, 0]) & (times_ns <= truth.repetitions[-1, 1])
        classes[inside] = EXERCISES.index(exercise.model_class)
        bend = np.minimum(angles[:, JOINT["left_knee"]], angles[:, JOINT["right_knee"]])
        for start, end in truth.repetitions:
            during = np.flatnonzero((times_ns >= start) & (times_ns < end))
            if len(during) < 3:
                continue
            turn = times_ns[during[1:-1][np.argmin(bend[during[1:-1]])]]
            phase[during] = np.interp(times_ns[during], [start, turn, end], [0.0, 0.5, 1.0])
            stages[during] = 1 + np.searchsorted(exercise.stage_ends, phase[during], side="right")
    return Truth(
        truth.exercise, truth.activity, truth.correct, truth.count, truth.repetitions, times_ns, classes, stages, phase,
        angles.astype(np.float32),
    )  # fmt: skip
