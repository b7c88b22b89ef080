"""What is given up when it is too slow, in which order, and when it comes back."""

import itertools
import logging

import pytest

from device.config import BudgetConfig, CameraConfig
from device.errors import EyeError
from device.messages import NS_PER_S, Degraded, Pose, StageTiming
from device.runtime.ladder import HOLD_NS, LONGEST_HOLD_NS, RUNGS, SKIPS, TOO_MANY, WINDOW, Ladder
from device.runtime.laddered_eye import LadderedEye

MS = 1_000_000
FRAME_NS = NS_PER_S // 15


class Pipeline:
    """A ladder that is fed a frame and a tick every 15th of a second."""

    def __init__(self, *, without_camera: bool = True, start_ns: int = 1000 * NS_PER_S) -> None:
        self.ladder = Ladder(BudgetConfig(), without_camera=without_camera)
        self.now_ns = start_ns
        self.changes: list[Degraded] = []

    def run(self, seconds: float, *, pose_ms: float = 20.0, age_ms: float = 100.0) -> list[int]:
        """Levels that it came to."""
        levels = []
        for _ in range(round(seconds * 15)):
            self.now_ns += FRAME_NS
            self.ladder.timing(StageTiming(self.now_ns, "pose", round(pose_ms * MS), self.now_ns))
            self.ladder.timing(StageTiming(self.now_ns - round(age_ms * MS), "coach", MS, self.now_ns - MS))
            change = self.ladder.step(self.now_ns)
            if change is not None:
                self.changes.append(change)
                levels.append(change.level)
        return levels


def test_in_time_nothing_is_given_up() -> None:
    assert Pipeline().run(60) == []


def test_late_ticks_lead_down_rung_by_rung_to_the_bands_alone() -> None:
    pipeline = Pipeline()
    assert pipeline.run(60, age_ms=400) == [1, 2, 3, 4, 5]
    assert [change.rung for change in pipeline.changes] == [rung.name for rung in RUNGS[1:]]
    assert pipeline.changes[0].reason == "the coach was done with ticks 400 ms after they happened, the budget is 250 ms"


def test_without_bands_the_camera_is_kept() -> None:
    assert Pipeline(without_camera=False).run(60, age_ms=400) == [1, 2, 3, 4]


def test_a_slow_section_skips_frames_but_does_not_cost_the_camera_while_the_whole_is_in_time() -> None:
    pipeline = Pipeline()
    assert pipeline.run(300, pose_ms=90) == [1, 2]
    assert pipeline.ladder.level == SKIPS
    assert pipeline.changes[0].reason == "pose took 90 ms, the budget is 60 ms"


def test_a_few_late_ticks_change_nothing() -> None:
    pipeline = Pipeline()
    for _ in range(20):
        pipeline.run((TOO_MANY - 1) / 15, age_ms=400)
        pipeline.run((WINDOW - TOO_MANY + 1) / 15)
    assert pipeline.changes == []


def test_it_comes_back_up_when_there_was_room_for_long_enough() -> None:
    pipeline = Pipeline()
    assert pipeline.run(3, age_ms=400) == [1]
    assert pipeline.run(9) == []
    assert pipeline.run(6) == [0]
    assert pipeline.changes[-1].reason == f"there was room for {HOLD_NS // NS_PER_S} s"


def test_just_within_the_budget_is_no_room_to_go_up() -> None:
    pipeline = Pipeline()
    pipeline.run(3, age_ms=400)
    assert pipeline.run(60, age_ms=240) == []
    assert pipeline.ladder.level == 1


def test_each_climb_that_fails_doubles_the_wait_up_to_a_bound() -> None:
    pipeline = Pipeline()
    times = []
    for _ in range(2 * 15 * 2000):
        if pipeline.run(1 / 15, age_ms=100 if pipeline.ladder.level else 400) == [0]:
            times.append(pipeline.now_ns)
    waits = [round((b - a) / NS_PER_S) for a, b in itertools.pairwise(times)]
    assert len(waits) > 6
    assert all(b >= 1.5 * a for a, b in itertools.pairwise(waits[:5]))
    assert max(waits) <= LONGEST_HOLD_NS / NS_PER_S + 10


def test_a_climb_that_lasts_makes_the_next_wait_short_again() -> None:
    pipeline = Pipeline()
    pipeline.run(3, age_ms=400)
    pipeline.run(14)
    pipeline.run(3, age_ms=400)
    assert pipeline.run(16) == []
    assert pipeline.run(10) == [0]
    pipeline.run(30)
    pipeline.run(3, age_ms=400)
    assert pipeline.run(14) == [0]


def test_what_is_timed_right_after_a_change_says_nothing() -> None:
    pipeline = Pipeline()
    pipeline.run(1, age_ms=400)
    assert pipeline.ladder.level == 1
    assert pipeline.run(1.9, age_ms=400) == []


def test_waiting_for_the_camera_and_unknown_sections_are_no_load() -> None:
    ladder = Ladder(BudgetConfig(), without_camera=True)
    for i in range(100):
        for section in ("camera", "voice", "coffee"):
            ladder.timing(StageTiming(i, section, 10 * NS_PER_S, i))
        assert ladder.step(i * FRAME_NS) is None


def test_the_summary_says_where_it_stands_and_how_it_came_there() -> None:
    pipeline = Pipeline(start_ns=0)
    pipeline.run(1, pose_ms=90)
    kept = pipeline.ladder.as_json(0)
    assert (kept["level"], kept["rung"]) == (1, "every second frame")
    assert kept["changes"] == [
        {"t_s": 0.533, "from": "full", "to": "every second frame", "reason": "pose took 90 ms, the budget is 60 ms"}
    ]


# --- on the eye ---------------------------------------------------------------------------------------------------------------


class Eye:
    """Notes what it is told, and has a pose at each look while it runs."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.fails = False

    def start(self) -> None:
        self.told.append("start")

    def dismiss(self) -> None:
        self.told.append("dismiss")

    def stop(self) -> None:
        self.told.append("stop")

    @property
    def ready(self) -> bool:
        return False

    @property
    def dismissed(self) -> bool:
        return True

    def poses(self) -> list[Pose]:
        if self.fails:
            raise EyeError("hangs")
        return [None]  # type: ignore[list-item]

    def look_at(self, every: int) -> None:
        self.told.append(every)

    def use(self, camera: CameraConfig) -> None:
        self.told.append((round(camera.rate_hz, 3), camera.width, camera.height))


class Watched:
    """Notes what it is told about the eye."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def expect(self, name: str, rate_hz: float, _now_ns: int) -> None:
        self.told.append((name, rate_hz))

    def renewed(self, name: str, _now_ns: int) -> None:
        self.told.append(name)


def on_the_eye(
    pipeline: Pipeline, eye: Eye, changes: list[Degraded] | None = None, watched: Watched | None = None
) -> LadderedEye:
    tell = changes.append if changes is not None else lambda _: None
    watched = watched or Watched()
    return LadderedEye(eye, pipeline.ladder, CameraConfig(), watched, clock=lambda: pipeline.now_ns, on_change=tell)


def feed(pipeline: Pipeline, watched: LadderedEye, seconds: float, age_ms: float) -> list[Pose]:
    """What the eye saw, while each look moves the ladder."""
    seen = []
    for _ in range(round(seconds * 15)):
        pipeline.now_ns += FRAME_NS
        pipeline.ladder.timing(StageTiming(pipeline.now_ns - round(age_ms * MS), "coach", MS, pipeline.now_ns - MS))
        seen += watched.poses()
    return seen


def test_the_eye_skips_then_runs_slower_then_smaller_then_stops(caplog: pytest.LogCaptureFixture) -> None:
    pipeline, eye, changes = Pipeline(), Eye(), list[Degraded]()
    watched = on_the_eye(pipeline, eye, changes)
    with caplog.at_level(logging.WARNING):
        feed(pipeline, watched, 60, 400)
    # A restart for each other camera, none for skipping.
    assert eye.told == [2, 3, 1, (5.0, 640, 480), "start", 1, (5.0, 320, 240), "start", "dismiss"]
    assert [change.level for change in changes] == [1, 2, 3, 4, 5]
    assert len(caplog.messages) == 5
    assert caplog.messages[0].startswith("Slowed down to every second frame: ")


def test_an_eye_that_rests_shows_nothing_does_not_fail_and_is_not_started() -> None:
    pipeline, eye = Pipeline(), Eye()
    watched = on_the_eye(pipeline, eye)
    feed(pipeline, watched, 60, 400)
    eye.fails = True
    assert watched.resting
    assert feed(pipeline, watched, 1, 400) == []
    eye.told.clear()
    watched.start()
    assert eye.told == []


def test_when_there_is_room_the_eye_is_started_as_it_was() -> None:
    pipeline, eye = Pipeline(), Eye()
    watched = on_the_eye(pipeline, eye)
    feed(pipeline, watched, 60, 400)
    eye.told.clear()
    assert feed(pipeline, watched, 120, 100)
    assert eye.told == [1, (5.0, 320, 240), "start", 1, (5.0, 640, 480), "start", 3, (15.0, 640, 480), "start", 2, 1]
    assert pipeline.ladder.level == 0


def test_an_eye_that_fails_is_still_an_error() -> None:
    pipeline, eye = Pipeline(), Eye()
    eye.fails = True
    with pytest.raises(EyeError):
        on_the_eye(pipeline, eye).poses()


def test_the_supervisor_is_told_what_the_eye_was_asked_for() -> None:
    pipeline, told = Pipeline(), Watched()
    feed(pipeline, on_the_eye(pipeline, Eye(), watched=told), 60, 400)
    assert told.told == [("eye", 7.5), ("eye", 5.0), ("eye", 5.0), "eye", ("eye", 5.0), "eye", ("eye", 0.0)]


def test_an_eye_that_rests_counts_as_ready() -> None:
    pipeline = Pipeline()
    watched = on_the_eye(pipeline, Eye())
    assert not watched.ready
    feed(pipeline, watched, 60, 400)
    assert watched.ready
