"""The closed loop with an eye and a model that know the truth: what is left to fail is the loop itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from device.config import Config, with_settings
from device.demo.loop import POSE_LATENCY_NS, Ears, Moment, ObservedModel, lockstep
from device.demo.scores import SessionTruth, coaching_rows, injected_errors
from device.demo.stage import Staging, set_stage
from device.drivers.imu_none import NoImu
from device.drivers.imu_virtual import VirtualImu
from device.errors import EndOfStream, ExerciseError
from device.messages import EXERCISES, NS_PER_S, Array, Cue, Estimate, ImuBatch, Pose, Sensed
from device.report.log import LogBook, SessionLog
from device.runtime.core import Core
from device.runtime.evidence import Response
from device.runtime.features import FeatureConstants
from device.runtime.live import play
from device.runtime.recording import Recorder, read_recording
from device.runtime.session import Heard, RecordingSink, Session
from device.sim.script import PlannedHabit, RestBlock, SessionPlan, SetBlock
from device.sim.trainee import VirtualTrainee
from device.skeleton import N_NODES, mid_hip

RATE_HZ = 15
SEED = 5


class TrueEye:
    """Poses as they are, in a camera's axes."""

    def __init__(self, trainee: VirtualTrainee) -> None:
        self._trainee, self._seq = trainee, 0
        self.hear = trainee.hear

    def next(self) -> Pose:
        t_ns = round(self._seq * NS_PER_S / RATE_HZ)
        if t_ns >= self._trainee.duration_ns:
            raise EndOfStream("the session is over")
        landmarks = self._trainee.pose(np.array([t_ns]))[0]
        world = (landmarks - mid_hip(landmarks)) @ np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])
        self._seq += 1
        image = np.ones((N_NODES, 4), np.float32)
        return Pose(t_ns, 0, self._seq - 1, image, world.astype(np.float32), 640, 480, True)


class TrueModel:
    """Says what the trainee really does."""

    classes = EXERCISES
    constants = FeatureConstants()
    responses: ClassVar[dict[str, dict[str, Response]]] = {}

    def __init__(self, trainee: VirtualTrainee) -> None:
        self._trainee = trainee

    def reset(self) -> None:
        pass

    def step(self, _skeleton: Array, _inertial: Array, t_ns: int, seq: int) -> Estimate:
        track = self._trainee.track(np.array([t_ns]))
        exercise, stage = np.full(6, 0.01, np.float32), np.full(4, 0.01, np.float32)
        exercise[track.exercise[0]], stage[track.stage[0]] = 0.95, 0.97
        sigma = np.full(12, 0.02, np.float32)
        importance = np.full(N_NODES, 1 / N_NODES, np.float32)
        phase = float(track.phase[0])
        return Estimate(t_ns, seq, exercise, stage, phase, track.angles[0].astype(np.float32), sigma, importance)


def staging(habits: tuple[PlannedHabit, ...] = (PlannedHabit("shallow", "both", 0.45, 1),)) -> Staging:
    plan = SessionPlan(0.0, (RestBlock(0.5, ()), SetBlock("squat", "both", 5, "fast", habits, 0.3), RestBlock(0.5, ())))
    stage = set_stage(SEED, with_settings(Config(), camera={"type": "virtual"}), ["squat"], 1)
    return Staging(SEED, stage.config, stage.exercises, plan)


class Run:
    """One session with everything that was gathered from it."""

    def __init__(self, stage: Staging, *sinks: object) -> None:
        self.trainee, eye_trainee = stage.trainee(), stage.trainee()
        self.model = ObservedModel(TrueModel(self.trainee))
        self.book = LogBook(EXERCISES, raw=self.model.raw)
        self.moments: list[Moment] = []
        ears = Ears()
        core = Core(stage.config, self.model, stage.exercises, 0)
        bands = VirtualImu(stage.config.imu, self.trainee, seed=SEED)
        with bands, Session(core, [self.book, ears, *sinks]) as session:  # type: ignore[list-item]
            eye = TrueEye(eye_trainee)
            self.moments += lockstep(session, eye, bands, ears, [self.trainee.hear])
        self.log: SessionLog = self.book.log()


class Arrivals:
    """A sink that notes what was sensed, in order."""

    def __init__(self) -> None:
        self.messages: list[Sensed] = []

    def receive(self, message: Heard) -> None:
        if isinstance(message, Pose | ImuBatch):
            self.messages.append(message)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recording")


@pytest.fixture(scope="module")
def arrivals() -> Arrivals:
    return Arrivals()


@pytest.fixture(scope="module")
def run(folder: Path, arrivals: Arrivals) -> Run:
    return Run(staging(), arrivals, RecordingSink(Recorder(folder)))


def test_a_trainee_who_is_corrected_puts_the_error_right(run: Run) -> None:
    corrections = [cue for cue in run.log.cues if cue.kind == "correction"]
    assert [(c.joint.split("_")[1], c.exercise) for c in corrections] == [("knee", "squat")] * len(corrections)
    (error,) = injected_errors(run.trainee.sets, run.trainee.truth)
    assert max(error.sizes_rad[:3]) > 0.3 > 0.2 > error.sizes_rad[-1]


def test_a_session_seen_as_it_is_passes_all_rows(run: Run) -> None:
    trainee = run.trainee
    errors = injected_errors(trainee.sets, trainee.truth)
    truth = SessionTruth(trainee.duration_ns, trainee.sets, ("squat",), errors, trainee.track(run.log.times_ns).angles)
    rows = coaching_rows(run.log, truth, Config().coach)
    # The raw landmarks are the true ones here, so nothing can be better than they are.
    assert [row.name for row in rows if not row.ok and row.name != "angle_score"] == []


def test_the_same_session_twice_is_the_same(run: Run) -> None:
    again = Run(staging())
    assert again.log.cues == run.log.cues
    assert again.log.repetitions == run.log.repetitions
    assert again.log.sets == run.log.sets
    assert np.array_equal(again.log.refined, run.log.refined)
    assert np.array_equal(again.log.raw, run.log.raw)


def test_cues_are_heard_when_they_are_put_out_and_by_both_trainees(run: Run) -> None:
    heard = [cue for moment in run.moments for cue in moment.heard if cue.kind == "correction"]
    corrections = [cue for cue in run.log.cues if cue.kind == "correction"]
    assert len(heard) >= 1
    for cue, said in zip(heard, corrections, strict=True):
        assert 0 <= cue.t_ns - said.t_ns < NS_PER_S // 4
    times = np.arange(0, run.trainee.duration_ns, NS_PER_S // 5)
    other = staging().trainee()
    for cue in heard:
        other.hear(cue)
    assert np.array_equal(other.pose(times), run.trainee.pose(times))


def test_a_pose_comes_late_among_what_the_bands_felt_since(run: Run, arrivals: Arrivals) -> None:
    newest_band_ns = 0
    poses = [m for m in arrivals.messages if isinstance(m, Pose)]
    assert [pose.seq for pose in poses] == list(range(len(run.moments)))
    for message in arrivals.messages:
        if isinstance(message, ImuBatch):
            newest_band_ns = max(newest_band_ns, int(message.times_ns[-1]))
        elif message.t_ns > NS_PER_S:
            assert message.t_ns - NS_PER_S // 5 < newest_band_ns <= message.t_ns + POSE_LATENCY_NS


def test_the_recording_of_a_session_gives_the_same_cues(run: Run, folder: Path) -> None:
    stage, book = staging(), LogBook(EXERCISES)
    core = Core(stage.config, TrueModel(run.trainee), stage.exercises, 0)
    with Session(core, [book]) as session:
        for _ in play(session, read_recording(folder)):
            pass
    replayed = book.log()
    assert replayed.cues == run.log.cues
    assert replayed.repetitions == run.log.repetitions
    assert np.array_equal(replayed.times_ns, run.log.times_ns)


def test_raw_angles_are_those_of_the_landmarks(run: Run) -> None:
    ticks = run.log.within(2 * NS_PER_S, run.trainee.duration_ns - NS_PER_S)
    truth = run.trainee.track(run.log.times_ns[ticks]).angles
    # Two ticks lie between two poses at most, so the line between poses is close.
    assert np.median(np.abs(run.log.raw[ticks] - truth)) < 0.005


def test_real_time_takes_its_time(run: Run) -> None:
    class ShortEye(TrueEye):
        def next(self) -> Pose:
            if self._seq == 9:
                raise EndOfStream("nine pictures are enough")
            return super().next()

    stage, ears = staging(), Ears()
    core = Core(stage.config, TrueModel(run.trainee), stage.exercises, 0)
    began = time.monotonic()
    with NoImu(stage.config.imu) as bands, Session(core, [ears]) as session:
        moments = list(lockstep(session, ShortEye(stage.trainee()), bands, ears, [], realtime=True))
    assert len(moments) == 9
    assert time.monotonic() - began >= 8 / RATE_HZ


def test_an_unknown_exercise_is_named_with_the_known_ones() -> None:
    with pytest.raises(ExerciseError, match=r"'sqat'.*squat"):
        set_stage(1, Config(), ["sqat"])


def test_cues_at_the_ears_are_stamped_once() -> None:
    ears = Ears()
    ears.receive(Cue(5, 0, "correction", "squat", "left_knee", 1, "Deeper", ("deeper",), 0.2, (), 0.0))
    assert [cue.t_ns for cue in ears.take(70)] == [70]
    assert ears.take(80) == []
