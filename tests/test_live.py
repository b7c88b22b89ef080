import logging
from pathlib import Path

import numpy as np
import pytest
from scripted import CATALOGUE, PROMPTS, ScriptedModel, reps, rest

from device.commands.bench import sensed
from device.config import Config, ImuConfig, config_from
from device.drivers.base import ImuSource
from device.drivers.imu_none import NoImu
from device.drivers.imu_virtual import VirtualImu
from device.errors import BundleError, DriverError, EndOfStream, ExerciseError, EyeError, SpotterError
from device.messages import NS_PER_S, Coached, Estimate, ImuBatch, Pose, Sensed, ServiceChanged, ServiceState
from device.runtime.background import Inline
from device.runtime.core import Core
from device.runtime.live import build_core, play, repeat
from device.runtime.live_runner import LiveRunner, Watch
from device.runtime.recording import Recorder, read_recording
from device.runtime.services import services, watched
from device.runtime.session import RecordingSink, Session
from device.runtime.summary import SetCollector, as_json
from device.runtime.supervisor import Supervisor
from device.sim.trainee import VirtualTrainee

HZ = 30.0
NEW = "new"
Item = str | int | SpotterError | None


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
    """One item of the script at each look: NEW is a pose of now, an int one of that time, None nothing, an error is raised. After
    its end, `then` at each look."""

    ready = True

    def __init__(self, clock: Clock, script: list[Item], then: Item = None) -> None:
        self.clock, self.script, self.then = clock, list(script), then
        self.started, self.dismissals, self.dismissed = 0, 0, True

    def start(self) -> None:
        self.started += 1

    def dismiss(self) -> None:
        self.dismissals += 1

    def stop(self) -> None: ...

    def poses(self) -> list[Pose]:
        item = self.script.pop(0) if self.script else self.then
        if isinstance(item, SpotterError):
            raise item
        if item is None:
            return []
        return [pose(self.clock() if item == NEW else int(item))]


class ScriptedBands(ImuSource):
    """Likewise; NEW is a batch of every band."""

    def __init__(self, clock: Clock, script: list[Item], then: Item = None, opening: list[SpotterError] | None = None) -> None:
        self.clock, self.script, self.then, self.opening = clock, list(script), then, list(opening or [])
        self.opened, self.closed = 0, 0

    def open(self) -> None:
        if self.opening:
            raise self.opening.pop(0)
        self.opened += 1

    def close(self) -> None:
        self.closed += 1

    def read(self, until_ns: int) -> list[ImuBatch]:
        assert until_ns > 0
        item = self.script.pop(0) if self.script else self.then
        if isinstance(item, SpotterError):
            raise item
        return [batch(self.clock(), band) for band in range(4)] if item == NEW else []


CONFIG = config_from({"imu": {"type": "virtual"}})


def pose(t_ns: int) -> Pose:
    return Pose(t_ns, 0, 0, np.zeros((33, 4), np.float32), np.zeros((33, 3), np.float32), 640, 480, True)


def batch(t_ns: int, band: int = 0) -> ImuBatch:
    return ImuBatch(t_ns, 0, 0, band, 0, np.array([t_ns], np.int64), np.zeros((1, 6), np.float32))


def watch(eye: ScriptedEye, bands: ImuSource | None = None) -> Watch:
    names = watched(CONFIG if bands is not None else Config())
    return Watch(eye, bands or NoImu(ImuConfig()), Supervisor(services(CONFIG, names)), Inline())


def live(eye: ScriptedEye, bands: ImuSource | None, seconds: float) -> tuple[Ledger, list[int]]:
    clock, core = eye.clock, Ledger()
    runner = LiveRunner(Session(core, []), watch(eye, bands), HZ, clock=clock, sleep=clock.sleep)
    # A little less, because the period of 30 Hz is no whole number of ns.
    return core, list(runner.run(clock() + round(seconds * NS_PER_S) - 1000))


def of(core: Ledger, kind: type) -> list[Sensed]:
    return [message for message in core.sensed if isinstance(message, kind)]


def changes(core: Ledger, service: str) -> list[str]:
    return [m.state.value for m in core.sensed if isinstance(m, ServiceChanged) and m.service == service]


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
    clock = Clock()
    core, times = live(ScriptedEye(clock, [], NEW), ScriptedBands(clock, [], NEW), 2.0)
    assert core.times == times
    assert len(times) == 60
    # The first look starts them, the next one reads.
    assert [len(of(core, kind)) for kind in (Pose, ImuBatch)] == [59, 59 * 4]
    assert changes(core, "eye") == changes(core, "bands") == ["starting", "running"]
    assert changes(core, "left_ankle") == ["running"]


def test_the_end_of_a_video_ends_the_run() -> None:
    _, times = live(ScriptedEye(Clock(), [NEW, NEW, EndOfStream("done")]), None, 10.0)
    assert len(times) == 3


def test_bands_that_fail_are_closed_and_opened_again_and_the_eye_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    bands = ScriptedBands(clock, [NEW, DriverError("radio gone")], NEW)
    with caplog.at_level(logging.WARNING):
        core, times = live(ScriptedEye(clock, [], NEW), bands, 3.0)
    assert (bands.opened, bands.closed) == (2, 1)
    assert changes(core, "bands") == ["starting", "running", "failed", "resting", "starting", "running"]
    assert len(of(core, Pose)) == len(times) - 1
    assert len(of(core, ImuBatch)) > 4 * 80
    assert [r.getMessage() for r in caplog.records] == [
        "Failed, started again in 0 s: bands. radio gone",
        "Running again: bands.",
    ]


def test_an_eye_that_fails_is_started_again() -> None:
    eye = ScriptedEye(Clock(), [NEW, EyeError("died")], NEW)
    core, _ = live(eye, None, 1.0)
    assert (eye.dismissals, eye.started) == (1, 2)
    assert changes(core, "eye") == ["starting", "running", "failed", "resting", "starting", "running"]


def test_an_eye_that_hangs_is_started_again_after_two_seconds() -> None:
    clock = Clock()
    eye = ScriptedEye(clock, [NEW] * 30, None)
    core, times = live(eye, ScriptedBands(clock, [], NEW), 3.5)
    assert eye.started == 2
    (failed,) = [m for m in of(core, ServiceChanged) if m.service == "eye" and m.state is ServiceState.FAILED]
    assert "sent nothing for 2.0 s" in failed.reason
    # The bands were read at every step, and the core worked.
    assert len(of(core, ImuBatch)) == 4 * (len(times) - 1)


def test_stale_frames_do_not_reach_the_core_and_the_eye_is_started_again() -> None:
    clock = Clock()
    eye = ScriptedEye(clock, [NEW], clock() + 33_000_000)
    core, _ = live(eye, None, 4.0)
    assert len(of(core, Pose)) == 1
    assert eye.started == 2
    assert any("stale" in m.reason for m in of(core, ServiceChanged))


def test_an_eye_that_can_not_be_ended_is_waited_for_without_holding_up_the_core() -> None:
    clock = Clock()
    eye = ScriptedEye(clock, [NEW, EyeError("hangs")], NEW)
    eye.dismissed = False
    core = Ledger()
    runner = LiveRunner(Session(core, []), watch(eye), HZ, clock=clock, sleep=clock.sleep)
    steps = runner.run()
    for _ in range(60):
        next(steps)
    assert (eye.dismissals, eye.started) == (1, 1)
    assert changes(core, "eye")[-1] == "failed"
    eye.dismissed = True
    for _ in range(3):
        next(steps)
    assert eye.started == 2
    assert np.diff(core.times).max() < 50_000_000


def test_an_eye_that_keeps_failing_is_tried_for_ever_and_the_bands_go_on(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    eye = ScriptedEye(clock, [], EyeError("no camera"))
    with caplog.at_level(logging.WARNING):
        core, times = live(eye, ScriptedBands(clock, [], NEW), 600.0)
    assert changes(core, "eye")[-1] == "gone"
    # Some twenty soon, then one every half minute.
    assert 30 < eye.started < 45
    assert len(of(core, ImuBatch)) == 4 * (len(times) - 1)
    assert len(caplog.records) < 30
    assert "tried every 30 s: eye. no camera" in caplog.records[-1].getMessage()


def test_with_nothing_left_the_session_goes_on_and_comes_back() -> None:
    clock = Clock()
    eye = ScriptedEye(clock, [NEW] * 30 + [EyeError("no camera")] * 8, NEW)
    core, _ = live(eye, None, 30.0)
    assert changes(core, "eye")[-1] == "running"
    assert core.times[-1] - core.times[0] > 29 * NS_PER_S


def test_what_the_trainee_is_watched_with_is_waited_for_and_early_frames_are_kept() -> None:
    clock = Clock()
    eye = ScriptedEye(clock, [None] * 100, NEW)
    eye.ready = False
    looks = 0

    def check() -> None:
        nonlocal looks
        looks += 1
        eye.ready = looks > 50

    watching = watch(eye)
    watching.wait(check=check, clock=clock, sleep=clock.sleep)
    assert 50 < looks < 60
    watching.early.append(pose(clock() - 1))
    assert watching.start_ns(clock()) == clock() - 1
    core = Ledger()
    next(LiveRunner(Session(core, []), watching, HZ, clock=clock, sleep=clock.sleep).run())
    assert of(core, Pose)[0].t_ns == clock() - 1


def test_without_a_camera_the_bands_are_enough_to_begin() -> None:
    clock = Clock()
    bands = ScriptedBands(clock, [], NEW)
    watch(ScriptedEye(clock, [], EyeError("no camera")), bands).wait(clock=clock, sleep=clock.sleep)
    assert bands.opened == 1


def test_with_neither_camera_nor_bands_the_cameras_error_is_raised_and_the_other_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    bands = ScriptedBands(clock, [], opening=[DriverError("no adapter")] * 99)
    with pytest.raises(EyeError, match="no camera"), caplog.at_level(logging.WARNING):
        watch(ScriptedEye(clock, [], EyeError("no camera")), bands).wait(clock=clock, sleep=clock.sleep)
    assert "no adapter" in caplog.text


def test_an_eye_that_never_answers_is_an_error_in_the_end() -> None:
    clock = Clock()
    eye = ScriptedEye(clock, [])
    eye.ready = False
    with pytest.raises(DriverError, match="did not start within 60 s"):
        watch(eye).wait(clock=clock, sleep=clock.sleep)


def test_waiting_can_be_stopped() -> None:
    eye = ScriptedEye(Clock(), [])
    eye.ready = False

    def check() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(eye).wait(check=check, clock=eye.clock, sleep=eye.clock.sleep)


def test_bands_whose_opening_fails_are_opened_again() -> None:
    clock = Clock()
    bands = ScriptedBands(clock, [], NEW, opening=[DriverError("adapter is off")] * 3)
    core, _ = live(ScriptedEye(clock, [], NEW), bands, 10.0)
    assert bands.opened == 1
    assert changes(core, "bands")[-1] == "running"
    assert len(of(core, ImuBatch)) > 100


def test_closing_ends_the_eye_and_the_bands() -> None:
    clock = Clock()
    eye, bands = ScriptedEye(clock, [], NEW), ScriptedBands(clock, [], NEW)
    with watch(eye, bands) as watching:
        watching.begin()
    assert (eye.dismissals, bands.closed) == (1, 1)


def test_a_step_that_takes_too_long_is_not_made_up_for() -> None:
    clock, core = Clock(), Ledger()
    runner = LiveRunner(Session(core, []), watch(ScriptedEye(clock, [])), HZ, clock=clock, sleep=clock.sleep)
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
