import logging
from pathlib import Path

import numpy as np
import pytest
from scripted import CATALOGUE, PROMPTS, ScriptedModel, reps, rest

from device.commands.bench import sensed
from device.config import ImuConfig, config_from
from device.drivers.base import ImuSource
from device.drivers.imu_none import NoImu
from device.drivers.imu_virtual import VirtualImu
from device.errors import BundleError, DriverError, EndOfStream, ExerciseError, EyeError, SpotterError
from device.messages import NS_PER_S, Coached, Estimate, ImuBatch, Pose, Sensed
from device.runtime.core import Core
from device.runtime.live import LOOK_NS, RESTART_AFTER_S, LiveRunner, build_core, play, repeat
from device.runtime.recording import Recorder, read_recording
from device.runtime.session import RecordingSink, Session
from device.runtime.summary import SetCollector, as_json
from device.sim.trainee import VirtualTrainee

HZ = 30.0


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_ns = 1000 * NS_PER_S

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS_PER_S)


class Ledger:
    """A core that notes what it is given."""

    def __init__(self) -> None:
        self.sensed: list[Sensed] = []
        self.times: list[int] = []

    def push(self, message: Sensed) -> None:
        self.sensed.append(message)

    def advance(self, now_ns: int) -> list[Coached]:
        self.times.append(now_ns)
        return []

    def finish(self, now_ns: int) -> list[Coached]:
        self.times.append(now_ns)
        return []


class ScriptedEye:
    """Gives one item of the script at each look: a pose or what it raises; then nothing."""

    def __init__(self, script: list[Pose | SpotterError]) -> None:
        self.script, self.started, self.stopped = list(script), 0, 0

    def start(self) -> None:
        self.started += 1

    def stop(self) -> None:
        self.stopped += 1

    def poses(self) -> list[Pose]:
        if not self.script:
            return []
        item = self.script.pop(0)
        if isinstance(item, SpotterError):
            raise item
        return [item]


class ScriptedBands(ImuSource):
    def __init__(self, script: list[ImuBatch | SpotterError]) -> None:
        self.script, self.closed = list(script), False

    def open(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def read(self, until_ns: int) -> list[ImuBatch]:
        assert until_ns > 0
        if not self.script:
            return []
        item = self.script.pop(0)
        if isinstance(item, SpotterError):
            raise item
        return [item]


CONFIG = config_from({"imu": {"type": "virtual"}})


def pose(t_ns: int) -> Pose:
    return Pose(t_ns, 0, 0, np.zeros((33, 4), np.float32), np.zeros((33, 3), np.float32), 640, 480, True)


def batch(t_ns: int) -> ImuBatch:
    return ImuBatch(t_ns, 0, 0, 0, 0, np.array([t_ns], np.int64), np.zeros((1, 6), np.float32))


def live(eye: ScriptedEye, bands: ImuSource, seconds: float) -> tuple[Ledger, list[int]]:
    clock, core = Clock(), Ledger()
    runner = LiveRunner(Session(core, []), eye, bands, HZ, clock=clock, sleep=clock.sleep)
    # A little less, because the period of 30 Hz is no whole number of ns.
    return core, list(runner.run(clock() + round(seconds * NS_PER_S) - 1000))


def test_an_appliance_looks_more_often_than_once_a_tick() -> None:
    clock, core = Clock(), Ledger()
    bands = ScriptedBands([batch(i) for i in range(9999)])
    runner = LiveRunner(Session(core, []), ScriptedEye([]), bands, HZ, clock=clock, sleep=clock.sleep, look_ns=LOOK_NS)
    steps = list(runner.run(clock() + NS_PER_S - 1000))
    assert len(steps) == len(core.times) == len(core.sensed) == NS_PER_S // LOOK_NS


def test_played_messages_move_time_to_the_newest_of_them() -> None:
    core = Ledger()
    messages = [pose(50), batch(70), pose(60), batch(90)]
    assert list(play(Session(core, []), messages)) == [50, 70, 70, 90]
    assert core.sensed == messages
    assert core.times == [50, 70, 70, 90]


def test_a_recorded_session_is_replayed_tick_for_tick(tmp_path: Path) -> None:
    def core() -> tuple[Core, list[tuple[int, bytes, bytes]]]:
        fed: list[tuple[int, bytes, bytes]] = []

        class Watched(ScriptedModel):
            def step(self, skeleton: object, inertial: object, t_ns: int, seq: int) -> Estimate:
                fed.append((t_ns, np.asarray(skeleton).tobytes(), np.asarray(inertial).tobytes()))
                return super().step(skeleton, inertial, t_ns, seq)

        script = [*rest(1), *reps("squat", 4, 2.0, errors={"left_hip_spread": -25}), *rest(5)]
        return Core(CONFIG, Watched(script), CATALOGUE, 0, prompts=PROMPTS), fed

    trainee_sees = [m for m in sensed(CONFIG, 3, 12) if isinstance(m, Pose)]
    first, fed = core()
    then, now = SetCollector(), SetCollector()
    recorder = Recorder(tmp_path / "recording")
    # Lost and late packets leave gaps, so that what a tick holds depends on when the core worked.
    with VirtualImu(CONFIG.imu, VirtualTrainee(3), seed=3) as bands, Session(first, [then, RecordingSink(recorder)]) as session:
        for message in trainee_sees:
            now_ns = message.t_ns + 60_000_000
            for arrived in bands.read(now_ns):
                session.push(arrived)
            session.push(message)
            session.advance(now_ns)

    second, again = core()
    with Session(second, [now]) as session:
        for _ in repeat(session, read_recording(tmp_path / "recording").events()):
            pass
    assert len(fed) > 300
    assert again == fed
    assert as_json(now.sets, 0) == as_json(then.sets, 0)
    assert now.sets[0].cues


def test_poses_and_batches_reach_the_core_at_the_rate_of_the_ticks() -> None:
    first, second = pose(1), batch(2)
    core, times = live(ScriptedEye([first]), ScriptedBands([second]), 2.0)
    assert core.sensed == [second, first]
    assert core.times == times
    assert len(times) == 60


def test_the_end_of_a_video_ends_the_run() -> None:
    _, times = live(ScriptedEye([pose(1), pose(2), EndOfStream("done")]), NoImu(ImuConfig()), 10.0)
    assert len(times) == 2


def test_bands_that_fail_are_left_out_and_the_eye_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    bands = ScriptedBands([batch(1), DriverError("radio gone"), batch(2)])
    with caplog.at_level(logging.WARNING):
        core, times = live(ScriptedEye([pose(i) for i in range(10)]), bands, 1.0)
    assert bands.closed
    assert len([m for m in core.sensed if isinstance(m, ImuBatch)]) == 1
    assert len([m for m in core.sensed if isinstance(m, Pose)]) == 10
    assert len(times) == 30
    assert [r.getMessage() for r in caplog.records] == ["The session goes on without the bands: radio gone"]


def test_an_eye_that_fails_is_started_again() -> None:
    eye = ScriptedEye([pose(1), EyeError("hangs"), pose(2)])
    core, _ = live(eye, NoImu(ImuConfig()), 1.0)
    assert (eye.stopped, eye.started) == (1, 1)
    assert [m.t_ns for m in core.sensed] == [1, 2]


def test_an_eye_that_keeps_failing_rests_longer_and_is_then_left_out(caplog: pytest.LogCaptureFixture) -> None:
    eye = ScriptedEye([EyeError("hangs")] * 20)
    with caplog.at_level(logging.WARNING):
        core, times = live(eye, ScriptedBands([batch(i) for i in range(9999)]), 30.0)
    assert eye.started == len(RESTART_AFTER_S)
    assert len(core.sensed) == len(times) == 900
    assert "bands alone" in caplog.records[-1].getMessage()


def test_without_bands_an_eye_that_keeps_failing_ends_the_run_with_its_error() -> None:
    with pytest.raises(EyeError, match="hangs"):
        live(ScriptedEye([EyeError("hangs")] * 20), NoImu(ImuConfig()), 60.0)


def test_an_eye_that_recovers_has_its_patience_back() -> None:
    failures = [EyeError("hangs"), pose(1)] * (len(RESTART_AFTER_S) + 3)
    core, _ = live(ScriptedEye(failures), NoImu(ImuConfig()), 30.0)
    assert len(core.sensed) == len(RESTART_AFTER_S) + 3


def test_a_step_that_takes_too_long_is_not_made_up_for() -> None:
    clock, core = Clock(), Ledger()
    runner = LiveRunner(Session(core, []), ScriptedEye([]), NoImu(ImuConfig()), HZ, clock=clock, sleep=clock.sleep)
    steps = runner.run(clock() + 10 * NS_PER_S - 1000)
    next(steps)
    clock.now_ns += 5 * NS_PER_S
    assert len(list(steps)) <= 150


def test_a_core_needs_a_whole_bundle_and_right_exercises(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json"):
        build_core(config_from({"model": {"bundle": str(tmp_path)}}), 0)


def test_unknown_exercises_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.runtime.live.StepModel", lambda *_: None)
    monkeypatch.setattr("device.runtime.live.config_bundle", lambda _: None)
    with pytest.raises(ExerciseError, match="sqat"):
        build_core(config_from({"exercises": {"enabled": ["sqat"]}}), 0)
