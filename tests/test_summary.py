import json

import pytest

from device.messages import NS_PER_S, Cue, Deviation, Repetition, SetEnded, SetStarted
from device.runtime.summary import SetCollector, as_json, mean_deviations


def repetition(index: int, *worst: Deviation) -> Repetition:
    return Repetition(0, 0, (10 + index) * NS_PER_S, (11 + index) * NS_PER_S, "squat", "both", index, worst)


def cue(t_s: float, kind: str = "correction") -> Cue:
    return Cue(round(t_s * NS_PER_S), 0, kind, "squat", "left_knee", -1, "Knees out", ("knees_out",), -0.2, (2,), 0.5)


def test_the_sets_of_a_session_as_json() -> None:
    collector = SetCollector()
    knee = Deviation("left_knee", -0.2, 0.1)
    messages = [
        cue(1),
        SetStarted(10 * NS_PER_S, 0, "squat"),
        repetition(0, knee, Deviation("left_hip", 0.1, 0.1)),
        cue(10.5),
        repetition(1, knee),
        SetEnded(16 * NS_PER_S, 0, 10 * NS_PER_S, 12 * NS_PER_S, "squat", 2),
        cue(16, "summary"),
    ]
    for message in messages:
        collector.receive(message)
    (done,) = as_json(collector.sets, 2 * NS_PER_S)["sets"]
    assert done == {
        "exercise": "squat",
        "reps": 2,
        "start_s": 8.0,
        "end_s": 10.0,
        "rep_times_s": [9.0, 10.0],
        "deviations": {"left_hip": 2.865, "left_knee": -11.459},
        "cues": [
            {"t_s": 8.5, "kind": "correction", "joint": "left_knee", "sign": -1, "text": "Knees out"},
            {"t_s": 14.0, "kind": "summary", "joint": "left_knee", "sign": -1, "text": "Knees out"},
        ],
    }
    json.dumps(done)


def test_a_repetition_without_a_set_begins_one_and_an_empty_set_is_left_out() -> None:
    collector = SetCollector()
    collector.receive(repetition(0))
    collector.receive(SetEnded(0, 0, 10 * NS_PER_S, 11 * NS_PER_S, "squat", 1))
    collector.receive(SetStarted(30 * NS_PER_S, 0, "lunge"))
    assert [done["exercise"] for done in as_json(collector.sets, 0)["sets"]] == ["squat"]


def test_deviations_of_opposite_sign_cancel_and_absent_ones_count_zero() -> None:
    reps = [repetition(0, Deviation("left_knee", 0.3, 0.1)), repetition(1, Deviation("left_knee", -0.1, 0.1)), repetition(2)]
    assert mean_deviations(reps) == {"left_knee": pytest.approx(0.2 / 3)}
    assert mean_deviations([]) == {}
