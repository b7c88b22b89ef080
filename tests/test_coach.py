"""What is said and felt, and when it is not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scripted import PROMPTS, SQUAT

from device.config import CoachConfig
from device.exercises import load_exercises
from device.messages import NS_PER_S, Cue, Repetition, SetEnded, Speech, Vibration
from device.runtime.coach import Coach, Said, threshold_rad
from device.runtime.evidence import Window
from device.voice import folder, read_texts

CAVING, LEANING, SHALLOW = SQUAT.cues


def window(rule=CAVING, side="left", degrees=20.0, sigma=2.4, seconds=0.8, half=True, ended=True) -> Window:
    return Window(rule, f"{side}_{rule.joint}", float(np.radians(degrees)), float(np.radians(sigma)), seconds, half, ended)


class Session:
    """A coach and a clock in seconds."""

    def __init__(self, **config: object) -> None:
        self.coach = Coach(CoachConfig(**config), PROMPTS)
        self.t = 0.0
        self.reps = 0
        self.coach.set_started()

    @property
    def ns(self) -> int:
        return round(self.t * NS_PER_S)

    def rep(self, *windows: Window, seconds: float = 2.4, live: bool = True) -> list[Said]:
        """One repetition whose windows are all there at three quarters of it."""
        self.coach.repetition_began()
        start_ns, self.reps = self.ns, self.reps + 1
        self.t += 0.75 * seconds
        said = self.coach.during(self.ns, SQUAT, list(windows)) if live else []
        self.t += 0.25 * seconds
        done = Repetition(self.ns, 0, start_ns, self.ns, "squat", "both", self.reps, ())
        return said + self.coach.repetition_done(self.ns, SQUAT, done, list(windows))

    def end(self) -> list[Said]:
        self.t += 4.0
        return self.coach.set_ended(self.ns, SQUAT, SetEnded(self.ns, 0, 0, self.ns, "squat", self.reps))


def cues(said: list[Said]) -> list[Cue]:
    return [message for message in said if isinstance(message, Cue)]


def test_strictness_moves_the_threshold_from_eleven_to_seven_degrees():
    degrees = [np.degrees(threshold_rad(CoachConfig(strictness=s))) for s in (0.0, 0.5, 1.0)]
    assert degrees == pytest.approx([11, 9, 7])


def test_a_clear_error_is_said_and_felt_once():
    said = Session().rep(window(degrees=20))
    cue, speech, vibration = said
    assert isinstance(cue, Cue)
    assert (cue.kind, cue.joint, cue.sign, cue.text) == ("correction", "left_hip_spread", -1, "knees out")
    assert np.degrees(cue.deviation_rad) == pytest.approx(-20)
    assert isinstance(speech, Speech)
    assert speech.prompts == ("knees_out",)
    assert isinstance(vibration, Vibration)
    assert vibration.band == 2
    assert vibration.t_ns == speech.t_ns == cue.t_ns


def test_vibration_grows_with_the_error_and_is_bounded():
    felt = []
    for degrees in (14, 20, 28, 60):
        vibration = Session().rep(window(degrees=degrees))[-1]
        assert isinstance(vibration, Vibration)
        felt.append((vibration.intensity, vibration.duration_ns))
    assert felt == sorted(felt)
    assert felt[0][0] >= 0.4
    assert felt[-1] == (1.0, 400_000_000)


@pytest.mark.parametrize(("strictness", "said"), [(0.0, 0), (0.5, 1), (1.0, 1)])
def test_strictness_decides_what_is_said(strictness, said):
    assert len(cues(Session(strictness=strictness).rep(window(degrees=14.5)))) == said


def test_a_weak_error_is_said_when_it_comes_again():
    s = Session()
    assert s.rep(window(degrees=13)) == []
    assert len(cues(s.rep(window(degrees=13)))) == 1


def test_a_weak_error_that_does_not_come_again_is_not_said():
    s = Session()
    assert [s.rep(window(degrees=d)) for d in (12.8, 6, 12.8, 6, 11, 11)] == [[]] * 6


def test_a_change_since_a_good_repetition_is_surer_than_an_error_that_was_always_there():
    always, since = Session(), Session()
    assert [always.rep(window(degrees=13, sigma=5)) for _ in range(4)] == [[]] * 4
    assert [since.rep(window(degrees=d, sigma=5)) for d in (-3, 2)] == [[], []]
    assert cues(since.rep(window(degrees=13, sigma=5)))[0].joint == "left_hip_spread"


def test_a_change_that_is_hardly_larger_than_its_uncertainty_is_none():
    s = Session()
    assert [s.rep(window(degrees=d, sigma=7)) for d in (-3, 2, 8)] == [[]] * 3


def test_a_change_within_what_is_right_is_none():
    s = Session()
    assert [s.rep(window(degrees=d)) for d in (-9, -9, 4)] == [[]] * 3


def test_a_change_counts_within_its_set_only():
    s = Session()
    s.rep(window(degrees=-3, sigma=7))
    s.end()
    s.coach.set_started()
    assert s.rep(window(degrees=8, sigma=7)) == []


def test_silence_where_the_uncertainty_is_as_large_as_the_error():
    s = Session()
    assert [s.rep(window(degrees=15, sigma=15.5)) for _ in range(3)] == [[]] * 3


def test_a_larger_tolerance_raises_the_threshold():
    loose = dataclasses.replace(SQUAT, tolerance={"hip_spread": float(np.radians(18))})
    coach = Coach(CoachConfig(), PROMPTS)
    assert coach.during(0, loose, [window(degrees=22)]) == []
    assert len(cues(coach.during(0, loose, [window(degrees=24)]))) == 1


def test_an_error_is_said_from_the_middle_of_its_window_on():
    assert Session().rep(window(degrees=13, ended=False)) == []
    assert Session().rep(window(degrees=24, ended=False, half=False)) == []
    assert Session().rep(window(degrees=24, ended=False, seconds=0.1)) == []
    assert len(cues(Session().rep(window(degrees=14, ended=False)))) == 1


def test_both_sides_vibrate_and_the_worse_one_is_named():
    said = Session().rep(window(degrees=15), window(side="right", degrees=22))
    assert [cue.joint for cue in cues(said)] == ["right_hip_spread"]
    assert [v.band for v in said if isinstance(v, Vibration)] == [2, 3]


def test_priority_comes_before_size():
    said = Session().rep(window(SHALLOW, degrees=40), window(LEANING, degrees=25), window(degrees=15))
    assert [cue.prompts for cue in cues(said)] == [("knees_out",)]


def test_prompts_keep_their_distance_and_the_same_one_waits_longer():
    s = Session(min_between_s=3.5, repeat_after_s=8.0)
    times = []
    for _ in range(20):
        before = s.t
        for cue in cues(s.rep(window(degrees=25), window(LEANING, degrees=20))):
            times.append((cue.t_ns / NS_PER_S, cue.prompts[0]))
            assert before <= cue.t_ns / NS_PER_S <= s.t
    starts = [t for t, _ in times]
    assert min(np.diff(starts)) >= 3.5
    for prompt in ("knees_out", "chest_up"):
        assert min(np.diff([t for t, p in times if p == prompt])) >= 8.0


def test_a_lesser_correction_waits_while_the_greater_one_was_said_once_and_is_not_put_right():
    s = Session()
    first = cues(s.rep(window(degrees=25), window(LEANING, degrees=20)))
    assert [c.prompts for c in first] == [("knees_out",)]
    s.t += 2.0
    assert s.rep(window(degrees=25), window(LEANING, degrees=20)) == []
    (second,) = cues(s.rep(window(degrees=3), window(LEANING, degrees=20)))
    assert second.prompts == ("chest_up",)


def test_an_error_that_is_told_twice_in_vain_is_left_to_the_summary_until_it_was_put_right():
    session = Session()
    said = [cues(session.rep(window(), seconds=9.0)) for _ in range(5)]
    assert [len(cue) for cue in said] == [1, 1, 0, 0, 0]
    assert CAVING.text in cues(session.end())[0].text
    session.coach.set_started()
    session.t += 20
    again = [cues(session.rep(window(degrees=d), seconds=9.0)) for d in (20, 20, 20, 2, 20, 20, 20)]
    assert [[cue.kind for cue in each] for each in again] == [["correction"]] * 2 + [[], []] + [["correction"]] * 2 + [[]]


def test_a_fixed_error_is_praised_once():
    s = Session()
    s.rep(window(degrees=20))
    said = [s.rep(window(degrees=2)) for _ in range(5)]
    assert [[c.kind for c in cues(each)] for each in said] == [[], ["praise"], [], [], []]
    praise = cues(said[1])[0]
    assert (praise.joint, praise.sign, praise.prompts, praise.bands) == ("left_hip_spread", -1, ("better",), ())


def test_an_error_half_fixed_is_not_praised():
    s = Session()
    s.rep(window(degrees=20))
    assert [s.rep(window(degrees=6)) for _ in range(4)] == [[]] * 4


def test_praise_can_be_switched_off():
    s = Session(praise=False)
    s.rep(window(degrees=20))
    assert [s.rep(window(degrees=2)) for _ in range(4)] == [[]] * 4


def test_the_summary_counts_and_names_what_is_left():
    s = Session()
    for _ in range(8):
        s.rep(window(LEANING, degrees=20))
    (cue,) = cues(s.end())
    assert (cue.kind, cue.joint, cue.sign) == ("summary", "", 0)
    assert cue.prompts == ("set_done", "count_8", "squats", "remember", "chest_up")


def test_the_summary_of_a_clean_or_corrected_set_is_good_form():
    clean, corrected = Session(), Session()
    clean.rep(window(degrees=2))
    corrected.rep(window(degrees=20))
    for _ in range(4):
        clean.rep(window(degrees=2))
        corrected.rep(window(degrees=2))
    for s in (clean, corrected):
        assert cues(s.end())[0].prompts == ("set_done", "count_5", "squats", "good_form")


def test_large_counts_and_exercises_without_a_prompt_are_still_said():
    coach = Coach(CoachConfig(), PROMPTS)
    new = dataclasses.replace(SQUAT, name="wall_sit")
    (cue,) = cues(coach.set_ended(0, new, SetEnded(0, 0, 0, 0, "wall_sit", 31)))
    assert cue.prompts == ("set_done", "many", "repetitions", "good_form")


def test_a_summary_waits_for_the_prompt_before_and_is_dropped_when_a_new_set_begins():
    for starts in (False, True):
        s = Session()
        s.rep(window(degrees=20))
        assert s.coach.set_ended(s.ns, SQUAT, SetEnded(s.ns, 0, 0, s.ns, "squat", 1)) == []
        if starts:
            s.coach.set_started()
        s.t += 3.4
        assert len(cues(s.coach.idle(s.ns))) == (0 if starts else 1)
        assert s.coach.idle(s.ns) == []


def test_a_summary_can_be_switched_off():
    s = Session(summary=False)
    s.rep(window(degrees=2))
    assert s.end() == []


def test_voice_and_haptics_can_be_switched_off():
    (felt, vibration) = Session(voice=False).rep(window())
    assert isinstance(felt, Cue)
    assert (felt.prompts, felt.bands) == ((), (2,))
    assert isinstance(vibration, Vibration)
    assert [type(m) for m in Session(haptics=False).rep(window())] == [Cue, Speech]
    assert Session(voice=False, haptics=False).rep(window()) == []


def test_every_shipped_exercise_has_its_prompts():
    texts = read_texts(folder())
    exercises = load_exercises()
    assert exercises
    for name, exercise in exercises.items():
        assert f"{name}s" in texts
        for rule in exercise.cues:
            assert {rule.prompt, rule.praise} <= set(texts)
    assert {"set_done", "good_form", "remember", "repetitions", "many", *(f"count_{n}" for n in range(31))} <= set(texts)
