"""What a coach in the loop sees of the trainee, and how the trainee gets what it says.

Seen by the emulated estimator (landmarks with the errors that the real one makes, drawn in a moment) or in real pictures.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from device.demo.loop import Ears
from device.drivers.camera_virtual import VirtualCamera
from device.errors import EndOfStream
from device.messages import NS_PER_S, Array, Cue, Pose
from device.runtime.pose import PoseEstimator
from device.sim.scene import session_scene
from device.sim.trainee import VirtualTrainee
from device.skeleton import N_NODES
from device.voice import Prompts
from export.landmark_noise import LandmarkNoise, true_pose

POSE_HZ = 15.0
_FIRST_S = 0.02


class EmulatedEye:
    """A `device.demo.loop.Watcher` without pictures: the trainee's true pose with the errors that the estimator would make.
    Whenever a correction is heard, what comes is seen anew, with the same errors on top."""

    def __init__(self, trainee: VirtualTrainee, seed: int, noise: LandmarkNoise) -> None:
        self._trainee, self._seed, self._noise = trainee, seed, noise
        self._camera = session_scene(seed).camera
        self._seconds = np.arange(_FIRST_S, trainee.duration_ns / NS_PER_S, 1 / POSE_HZ)
        self._times = np.round(self._seconds * NS_PER_S).astype(np.int64)
        self._next = 0
        self._look()

    def next(self) -> Pose:
        """The pose of the next picture; raises EndOfStream after the last."""
        i = self._next
        if i >= len(self._times):
            raise EndOfStream("The virtual trainee's session is over.")
        self._next += 1
        return Pose(
            int(self._times[i]), 0, i, self._image[i], self._world[i], self._camera.width, self._camera.height,
            bool(self._present[i]),
        )  # fmt: skip

    def hear(self, cue: Cue) -> None:
        """Let the trainee who is seen react."""
        self._trainee.hear(cue)
        if cue.kind == "correction":
            self._look()

    def close(self) -> None:
        """Nothing is held open."""

    def _look(self) -> None:
        truth = self._trainee.track(self._times)
        pose, velocity = true_pose(truth.landmarks, self._camera.rotation, self._seconds)
        rng = np.random.default_rng((self._seed, 8))
        world, visibility, self._present = self._noise.emulate(rng, self._seconds, pose, velocity, truth.exercise)
        self._world: Array = world.astype(np.float32)
        self._image: Array = np.zeros((len(self._times), N_NODES, 4), np.float32)
        pixels = self._camera.project(truth.landmarks)[0]
        self._image[..., :2] = pixels / (self._camera.width, self._camera.height)
        self._image[..., 3] = visibility


class RenderedEye:
    """A `device.demo.loop.Watcher` that draws each picture and looks for the landmarks in it, in this process."""

    def __init__(self, camera: VirtualCamera, estimator: PoseEstimator) -> None:
        self._camera = camera
        self._estimator = estimator.__enter__()

    def next(self) -> Pose:
        """The pose of the next picture; raises EndOfStream after the last."""
        return self._estimator.estimate(self._camera.read())

    def hear(self, cue: Cue) -> None:
        """Let the trainee in the pictures react."""
        self._camera.hear(cue)

    def close(self) -> None:
        """Close camera and estimator."""
        self._estimator.__exit__(None, None, None)
        self._camera.close()


class WordsHeard(Ears):
    """Ears to which a correction by voice alone means something once its words are over; a vibration is felt as it begins.

    `delivered`: corrections as the trainee got them."""

    def __init__(self, prompts: Prompts, *, by_words: bool) -> None:
        super().__init__()
        self.delivered: list[Cue] = []
        self._prompts, self._by_words = prompts, by_words
        self._waiting: list[tuple[int, Cue]] = []

    def take(self, now_ns: int) -> list[Cue]:
        """The cues that the trainee has by `now_ns`, timed then."""
        for cue in super().take(now_ns):
            said_ns = self._prompts.duration_ns(cue.prompts) if self._by_words else 0
            self._waiting.append((now_ns + said_ns, cue))
        due = [replace(cue, t_ns=now_ns) for at_ns, cue in self._waiting if at_ns <= now_ns]
        self._waiting = [(at_ns, cue) for at_ns, cue in self._waiting if at_ns > now_ns]
        self.delivered += [cue for cue in due if cue.kind == "correction"]
        return due
