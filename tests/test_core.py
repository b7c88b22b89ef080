"""The core as a whole: pushes in, coaching out, driven by a scripted model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray
from scripted import CATALOGUE, HZ, PROMPTS, START_NS, TICK_NS, Said, ScriptedModel, bending, poses, reps, rest, standing

from device.config import Config, with_settings
from device.messages import NS_PER_S, Coached, Cue, Estimate, Repetition, SetEnded, SetStarted, Speech, StageTiming, Vibration
from device.runtime.core import Core
from device.runtime.evidence import Response
from device.skeleton import NODE


def run(
    script: Iterable[Said],
    config: Config | None = None,
    *,
    every_ns: int = 100_000_000,
    world: NDArray[np.float32] | None = None,
    visibility: float = 0.95,
    with_pose: bool = True,
    at_once: bool = False,
    **model: object,
) -> list[Coached]:
    said = list(script)
    core = Core(config or Config(), ScriptedModel(said, **model), CATALOGUE, START_NS, prompts=PROMPTS)
    waiting = deque(poses(len(said) / HZ, bending(said) if world is None else world, visibility) if with_pose else ())
    coached: list[Coached] = []
    end_ns = START_NS + len(said) * TICK_NS
    for now_ns in [*range(START_NS, end_ns, every_ns), end_ns]:
        while waiting and (at_once or waiting[0].t_ns <= now_ns):
            core.push(waiting.popleft())
        coached += core.advance(now_ns)
    return coached + core.finish(end_ns)


def of(coached: list[Coached], kind: type) -> list:
    return [message for message in coached if isinstance(message, kind)]


def cues(coached: list[Coached], kind: str) -> list[Cue]:
    return [cue for cue in of(coached, Cue) if cue.kind == kind]


def plain(messages: list[Coached]) -> list[tuple]:
    """Messages as comparable values."""
    rows = []
    for message in messages:
        values = [getattr(message, name) for name in type(message).__slots__]
        rows.append((type(message).__name__, *(v.tobytes() if isinstance(v, np.ndarray) else v for v in values)))
    return rows


@pytest.mark.parametrize("seconds", [0.8, 1.2, 2.6, 4.5])
@pytest.mark.parametrize("pause_s", [0.0, 0.5])
def test_repetitions_are_counted_exactly_at_every_tempo_with_a_noisy_phase(seconds, pause_s):
    script = [*rest(2), *reps("squat", 7, seconds, pause_s=pause_s), *rest(6)]
    coached = run(script, phase_noise=0.04, angle_noise=0.05)
    assert [r.index for r in of(coached, Repetition)] == [1, 2, 3, 4, 5, 6, 7]
    assert [(e.exercise, e.repetitions) for e in of(coached, SetEnded)] == [("squat", 7)]
    first = of(coached, Repetition)[0]
    assert of(coached, SetStarted)[0].t_ns == first.start_ns
    assert first.start_ns == pytest.approx(START_NS + 2 * NS_PER_S, abs=(0.1 + 0.15 * seconds) * NS_PER_S)
    assert all(abs((r.end_ns - r.start_ns) / NS_PER_S - seconds) < 0.1 + 0.15 * seconds for r in of(coached, Repetition))


def test_the_last_repetition_counts_when_the_session_ends_with_it():
    assert len(of(run([*rest(2), *reps("squat", 4, 2.0, pause_s=0)]), Repetition)) == 4


def test_a_sure_single_repetition_is_a_set():
    coached = run([*rest(2), *reps("squat", 1, 2.0), *rest(6)])
    assert [e.repetitions for e in of(coached, SetEnded)] == [1]


def test_an_unsure_repetition_waits_for_the_next_one():
    unsure = list(reps("squat", 1, 2.0, sureness=0.7))
    assert of(run([*rest(2), *unsure, *rest(6)]), Repetition) == []
    coached = run([*rest(2), *unsure, *reps("squat", 1, 2.0), *rest(6)])
    assert [r.index for r in of(coached, Repetition)] == [1, 2]


def test_moving_about_counts_nothing():
    wandering = [Said("none", "", (k / 40) % 1, CATALOGUE["squat"].stage((k / 40) % 1)) for k in range(900)]
    coached = run(wandering, phase_noise=0.1)
    assert {type(message) for message in coached} <= {Estimate} | {m for m in map(type, coached) if m.__name__ == "StageBoundary"}


def test_getting_into_position_counts_nothing():
    lying = standing()[:, [1, 0, 2]]
    assert of(run([*rest(2), *reps("squat", 3, 2.0), *rest(6)], world=lying), Repetition) == []


def test_a_body_that_is_not_seen_counts_nothing_but_bands_alone_do():
    script = [*rest(2), *reps("squat", 3, 2.0), *rest(6)]
    assert of(run(script, visibility=0.2), Repetition) == []
    assert len(of(run(script, with_pose=False), Repetition)) == 3


@pytest.mark.parametrize("glitch", ["lunge", "none"])
def test_a_glitch_of_the_class_does_not_split_a_set(glitch):
    script = [*rest(2), *reps("squat", 6, 2.0), *rest(6)]
    for k in range(2 * HZ + 140, 2 * HZ + 155):
        script[k] = Said(glitch, "left", script[k].phase, script[k].stage)
    coached = run(script)
    assert [(e.exercise, e.repetitions) for e in of(coached, SetEnded)] == [("squat", 6)]


def test_another_exercise_without_a_pause_begins_another_set():
    sides = ("left", "right")
    script = [*rest(2), *reps("squat", 3, 2.0), *rest(1.5), *reps("lunge", 4, 2.0, variants=sides), *rest(6)]
    coached = run(script)
    assert [(e.exercise, e.repetitions) for e in of(coached, SetEnded)] == [("squat", 3), ("lunge", 4)]
    assert [s.exercise for s in of(coached, SetStarted)] == ["squat", "lunge"]


def test_alternating_lunges_have_their_side():
    script = [*rest(2), *reps("lunge", 6, 2.4, variants=("right", "left")), *rest(6)]
    coached = run(script, phase_noise=0.02, angle_noise=0.05)
    assert [r.variant for r in of(coached, Repetition)] == ["right", "left"] * 3


def test_who_stands_on_a_straight_leg_does_no_lunge():
    script = [*rest(2), *reps("lunge", 6, 2.4, variants=("right", "left")), *rest(6)]
    assert len(of(run(script), Repetition)) == 6
    world, shank = bending(script), [NODE[f"left_{part}"] for part in ("ankle", "heel", "foot_index")]
    world[:, shank] = world[0, shank]
    assert of(run(script, world=world), Repetition) == []


def test_repetitions_carry_their_worst_deviations_with_sign():
    script = [*rest(2), *reps("squat", 3, 2.4, errors={"left_hip_spread": -20, "right_knee": 12}), *rest(6)]
    for repetition in of(run(script), Repetition):
        worst = [(d.joint, d.deviation_rad) for d in repetition.worst]
        assert [joint for joint, _ in worst] == ["left_hip_spread", "right_knee"]
        assert np.degrees([size for _, size in worst]) == pytest.approx([-20, 12], abs=2.5)


def test_an_error_is_corrected_during_a_repetition_and_praised_when_it_is_gone():
    def errors(k: float) -> dict[str, float]:
        return {"left_hip_spread": -20, "right_hip_spread": -17} if k < 3 else {}

    coached = run([*rest(2), *reps("squat", 8, 2.4, errors=errors), *rest(8)], angle_noise=0.04, sigma_deg=3.0)
    corrections, praises = cues(coached, "correction"), cues(coached, "praise")
    assert [(c.joint, c.sign, c.prompts, c.bands) for c in corrections] == [("left_hip_spread", -1, ("knees_out",), (2, 3))]
    assert np.degrees(corrections[0].deviation_rad) == pytest.approx(-19, abs=3)
    assert corrections[0].t_ns <= of(coached, Repetition)[1].end_ns
    assert [(p.joint, p.sign, p.prompts) for p in praises] == [("left_hip_spread", -1, ("better",))]
    assert [v.band for v in of(coached, Vibration)] == [2, 3]
    assert cues(coached, "summary")[0].prompts == ("set_done", "count_8", "squats", "good_form")


def test_an_error_that_the_model_shows_too_small_is_corrected_at_its_true_size():
    script = [*rest(2), *reps("squat", 5, 2.4, errors={"left_hip_spread": -10}), *rest(8)]
    assert cues(run(script), "correction") == []
    half = {"squat": {"knees_caving_in": Response(gain=0.5)}}
    corrections = cues(run(script, responses=half, sigma_deg=3.0), "correction")
    assert {cue.joint for cue in corrections} == {"left_hip_spread"}
    assert np.degrees(corrections[0].deviation_rad) == pytest.approx(-18, abs=3)


def test_an_error_that_stays_is_the_summary():
    coached = run([*rest(2), *reps("squat", 5, 2.4, errors={"left_hip": -20, "right_hip": -20}), *rest(8)])
    summary = cues(coached, "summary")[0]
    assert summary.prompts == ("set_done", "count_5", "squats", "remember", "chest_up")
    assert summary.text == "Set done. Count 5 squats. Remember: chest up."


def test_good_form_is_not_corrected():
    coached = run([*rest(2), *reps("squat", 8, 2.0), *rest(8)], angle_noise=0.06, phase_noise=0.03)
    assert cues(coached, "correction") == []


def test_the_tempo_may_be_so_fast_that_the_window_is_short():
    coached = run([*rest(2), *reps("squat", 6, 0.9, errors={"left_knee": 20, "right_knee": 20}, pause_s=0.1), *rest(6)])
    assert {c.joint for c in cues(coached, "correction")} <= {"left_knee", "right_knee"}
    assert cues(coached, "correction")


@pytest.mark.parametrize("every_ns", [TICK_NS, 333_333_333, 60 * NS_PER_S])
def test_how_often_time_is_handed_over_changes_nothing(every_ns):
    script = [*rest(2), *reps("squat", 5, 2.0, errors={"left_hip": -20}), *rest(6)]
    reference = run(script, at_once=True, phase_noise=0.03, angle_noise=0.05)
    assert plain(run(script, at_once=True, phase_noise=0.03, angle_noise=0.05, every_ns=every_ns)) == plain(reference)


def test_numbers_are_consecutive_per_kind_of_message():
    coached = run([*rest(2), *reps("squat", 5, 2.0, errors={"left_hip": -20}), *rest(6)])
    for kind in (Estimate, Repetition, Cue, Speech, Vibration):
        assert [message.seq for message in of(coached, kind)] == list(range(len(of(coached, kind))))


def test_sections_are_timed_and_progress_is_there_to_show():
    script = [*rest(2), *reps("squat", 3, 2.0, errors={"left_hip": -25})]
    timings: list[StageTiming] = []
    core = Core(Config(), ScriptedModel(script), CATALOGUE, START_NS, on_timing=timings.append, prompts=PROMPTS)
    assert core.progress.exercise == "none"
    for pose in poses(len(script) / HZ, bending(script)):
        core.push(pose)
    core.advance(START_NS + round(5.6 * NS_PER_S))
    progress = core.progress
    assert (progress.exercise, progress.repetitions) == ("squat", 1)
    assert progress.worst is not None
    assert progress.worst.joint == "left_hip"
    assert {t.section for t in timings} == {"align", "features", "model", "coach"}
    assert all(t.duration_ns >= 0 for t in timings)


def test_with_voice_and_haptics_off_nothing_is_said_or_felt():
    config = with_settings(Config(), coach={"voice": False, "haptics": False})
    coached = run([*rest(2), *reps("squat", 5, 2.0, errors={"left_hip": -20}), *rest(6)], config)
    assert of(coached, Cue) == of(coached, Speech) == of(coached, Vibration) == []
    assert len(of(coached, Repetition)) == 5
