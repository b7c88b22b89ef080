"""The bench of being on time: what it takes for an onset, a passing and a frame, and a small run of each part."""

import json

import numpy as np
import pytest

from device.bench import camera_path
from device.bench.camera_path import CameraPath
from device.bench.latency import (
    HURRIED,
    HURRY,
    BandsPath,
    Decisions,
    bands_path,
    hurried_session,
    judged,
    onset,
    percentile,
    session_count,
)
from device.cli import main
from device.config import Config
from device.exercises import load_exercises
from device.messages import NS_PER_S, Pose, StageTiming
from device.runtime.bundle import load_bundle
from device.sim.script import PlannedHabit, SessionPlan, SetBlock
from device.sim.trainee import VirtualTrainee
from device.sim_clock.hurry import Hurried

MS = 1_000_000
SQUAT = load_exercises()["squat"]
SHALLOW = next(rule for rule in SQUAT.cues if rule.error == "shallow")


def trainee(*habits: PlannedHabit) -> VirtualTrainee:
    return VirtualTrainee(5, SessionPlan(0.0, (SetBlock("squat", "both", 4, "normal", habits, 0.0),)), deaf=True)


# --- who hurries -------------------------------------------------------------------------------------------------------------


def test_a_hurried_repetition_takes_so_much_less_time_and_the_rest_stays_as_it_is():
    own = trainee()
    rep = own.sets[0].repetitions[1]
    hurried = Hurried(own, [rep], 2.0)
    saved_ns = (rep.end_ns - rep.start_ns) // 2
    assert own.duration_ns - hurried.duration_ns == pytest.approx(saved_ns, abs=2)
    assert hurried.host_ns(rep.start_ns) == rep.start_ns
    assert hurried.host_ns(rep.end_ns) == pytest.approx(rep.end_ns - saved_ns, abs=2)
    times = np.array([rep.start_ns - 1000 * MS, rep.end_ns + 500 * MS], np.int64)
    moved = times - np.array([0, saved_ns])
    assert np.allclose(hurried.pose(moved), own.pose(times), atol=1e-4)
    assert np.allclose(hurried.segments(moved)[0], own.segments(times)[0], atol=1e-4)


def test_hurried_repetitions_are_the_only_ones_past_the_limit():
    session, hurried, reps = hurried_session(0, "bicep_curl")
    assert len(reps) == len(HURRIED)
    assert HURRY > 2
    limit = next(rule.limit for rule in load_exercises()["bicep_curl"].band_cues if rule.bands == "wrist")
    spans = [(hurried.host_ns(rep.start_ns), hurried.host_ns(rep.end_ns)) for rep in reps]
    quick = [False] * len(reps)
    for _, message, truth_ns in session.heard:
        if not len(truth_ns) or message.band > 1:
            continue
        fast = np.linalg.norm(message.values[:, 3:], axis=1) > limit
        for t_ns in truth_ns[fast]:
            within = [start - 20 * MS <= t_ns <= end + 20 * MS for start, end in spans]
            assert any(within)
            quick = [before or now for before, now in zip(quick, within, strict=True)]
    assert all(quick)


# --- what an onset is --------------------------------------------------------------------------------------------------------


def test_the_onset_is_when_the_true_angles_settle_the_window_and_comes_after_the_threshold_is_passed():
    own = trainee(PlannedHabit("shallow", "both", np.radians(20.0), 0))
    rep = own.sets[0].repetitions[2]
    limit = np.radians(9.0)
    found = onset(own, SQUAT, rep, SHALLOW, "left_knee", float(limit))
    assert found is not None
    assert rep.start_ns < found.past_ns < found.t_ns < rep.end_ns
    phases = own.track(np.array([found.past_ns, found.t_ns])).phase
    assert all(SHALLOW.phases[0] <= phase <= SHALLOW.phases[1] for phase in phases)
    # An error twice as large as the threshold is settled by about half of its phases.
    assert phases[1] == pytest.approx(0.5, abs=0.05)


def test_a_correct_repetition_has_no_onset():
    own = trainee()
    assert onset(own, SQUAT, own.sets[0].repetitions[2], SHALLOW, "left_knee", float(np.radians(9.0))) is None


# --- rows --------------------------------------------------------------------------------------------------------------------


def test_figures_are_judged_by_their_limits():
    felt = BandsPath([40.0] * 19 + [90.0], passed=25, answered=20)
    said = Decisions([0.2, 0.4, 0.9], [0.5, 0.6, 1.2], [0, 1, 0])
    rows = {r.name: r for r in judged(felt, said)}
    assert rows["bands_path_p95_ms"].value == pytest.approx(42.5)
    assert rows["bands_path_p95_ms"].limit == "<= 80"
    assert rows["bands_path_answered_share"].value == 0.8
    assert (rows["decision_delay_median_s"].value, rows["decision_delay_median_s"].limit) == (0.4, "<= 0.5")
    assert rows["decisions"].value == 3


def test_what_was_not_measured_is_not_ok():
    rows = {r.name: r for r in [*judged(BandsPath(), Decisions()), *camera_path.judged(CameraPath())]}
    for name in ("bands_path_p95_ms", "decision_delay_median_s", "camera_path_p95_ms"):
        assert rows[name].value is None
        assert not rows[name].ok
    assert percentile([], 95) is None


def test_a_cue_is_measured_from_the_frame_that_completed_its_tick():
    found = CameraPath()
    watch = camera_path._Spoken(found)
    for i in range(4):
        watch.receive(Pose(i * 66 * MS, 0, i, np.zeros((33, 4)), np.zeros((33, 3)), 640, 480, True))
    watch.timing(StageTiming(100 * MS, "voice", 120 * MS, 100 * MS))
    watch.timing(StageTiming(132 * MS, "pose", 20 * MS, 150 * MS))
    watch.timing(StageTiming(400 * MS, "voice", 50 * MS, 400 * MS))
    watch.close()
    assert found.frame_ms == [220 - 132, 450 - 198]
    assert found.tick_ms == [120, 50]
    assert found.pose_ms == [170 - 132]


# --- small runs --------------------------------------------------------------------------------------------------------------


def test_hurried_jumping_jacks_are_felt():
    found = BandsPath()
    bands_path(Config(), load_bundle(None), 0, "jumping_jack", found)
    assert found.passed == len(HURRIED)
    assert found.answered >= 1
    assert all(0 < latency < 200 for latency in found.latencies_ms)


def test_the_command_prints_every_part_against_its_limit(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("device.bench.camera_path.film", lambda *_: None)
    monkeypatch.setattr("device.bench.camera_path.play", lambda *a: a[-1].frame_ms.append(100.0))
    monkeypatch.setattr("device.bench.latency.bands_path", lambda *a: asked.append(a[3]) or a[4].latencies_ms.append(50.0))
    monkeypatch.setattr("device.bench.latency.decisions", lambda *a: a[4].delays_s.append(0.3))
    assert main(["bench", "latency", "--sessions", "2", "--plays", "1", "--json", "--strict"]) == 0
    printed = json.loads(capsys.readouterr().out)
    limits = {row["name"]: row["limit"] for row in printed["rows"] if row["limit"]}
    assert limits == {"camera_path_p95_ms": "<= 250", "bands_path_p95_ms": "<= 80", "decision_delay_median_s": "<= 0.5"}
    assert len(asked) * 2 == session_count(2)


def test_nothing_to_play_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "latency", "--plays", "0"])
    assert "must be 1 or more" in capsys.readouterr().err


def test_the_film_holds_a_set_that_is_much_too_shallow():
    own = VirtualTrainee(0, camera_path.film_plan(), deaf=True)
    assert [habit[0].error for habit in own.sets[0].habits] == ["shallow"]
    assert camera_path.film_seconds(0) == pytest.approx(own.duration_ns / NS_PER_S, abs=1.5)
