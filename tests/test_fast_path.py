"""What the bands show by themselves, and what of it is felt."""

import dataclasses

import numpy as np
import pytest
from scripted import CATALOGUE, PROMPTS, SQUAT, START_NS, ScriptedModel, poses, reps, rest

from device.config import CoachConfig, Config, with_settings
from device.exercises import BandCue, load_exercises
from device.messages import NS_PER_S, Coached, Cue, ImuBatch, Speech, Vibration
from device.runtime.coach import Coach
from device.runtime.core import Core
from device.runtime.fast_path import STALE_NS, FastPath, Shown
from device.sim.bands import true_imu
from device.sim.script import SetBlock, plan_session
from device.sim.trainee import VirtualTrainee
from device.skeleton import N_BANDS

MS = 1_000_000
FAST = BandCue("too_fast", "rate", "wrist", 4.0, "Slower")
CAVING = BandCue("knees_caving_in", "twist", "ankle", 1.0, "Knees out")
UNEVEN = BandCue("one_sided", "asymmetry", "wrist", 2.0, "Both arms alike", 1.0)
JUDGED = dataclasses.replace(SQUAT, band_cues=(FAST, CAVING, UNEVEN))


class Bands:
    """Packets of four samples at 100 Hz of two wrists or ankles; `judge` is called with each."""

    def __init__(self) -> None:
        self.path = FastPath()
        self.t_ns = START_NS
        self.seq = 0

    def turn(self, *rates: float, band: int = 0, along: bool = False, session: int = 1) -> list[Shown]:
        """One packet a four rates (rad/s) of one band, judged where it arrives."""
        shown = []
        for first in range(0, len(rates), 4):
            shown += self.packet(rates[first : first + 4], band, along, session)
        return shown

    def packet(self, rates, band=0, along=False, session=1, late_ns=0) -> list[Shown]:
        times = self.t_ns + np.arange(len(rates), dtype=np.int64) * 10 * MS
        values = np.zeros((len(rates), 6), np.float32)
        values[:, 3 if along else 4] = rates
        self.path.push(ImuBatch(int(times[-1]), 0, self.seq, band, session, times, values))
        self.t_ns, self.seq = int(times[-1]) + 10 * MS, self.seq + len(rates)
        return self.path.judge(int(times[-1]) + late_ns, JUDGED)


def names(shown: list[Shown]) -> list[tuple[str, int]]:
    return [(one.cue.error, one.band) for one in shown]


def test_a_limb_that_turns_too_fast_is_shown_by_the_sample_that_passes_the_limit():
    bands = Bands()
    shown = bands.turn(2.0, 3.0, 3.9, 4.4, 5.0, 5.0, 4.5, 3.0)
    assert names(shown) == [("too_fast", 0)]
    assert shown[0].t_ns == START_NS + 30 * MS
    assert shown[0].excess == pytest.approx(1.1)


def test_it_is_shown_once_each_time_it_is_passed():
    shown = Bands().turn(3.5, 4.5, 4.6, 4.5, 2.0, 3.5, 4.5, 3.0)
    assert names(shown) == [("too_fast", 0)] * 2


def test_a_knock_of_one_sample_is_no_movement():
    assert Bands().turn(0.5, 9.0, 0.5, 0.5, 0.5, 9.0, 0.5, 0.5) == []


def test_after_lost_samples_the_next_one_decides():
    bands = Bands()
    bands.turn(3.0, 3.5, 3.8, 3.9)
    bands.seq += 4
    shown = bands.turn(5.0, 5.0, 5.0, 5.0)
    assert [one.t_ns for one in shown] == [START_NS + 50 * MS]


def test_a_band_that_rebooted_begins_anew():
    bands = Bands()
    bands.turn(3.0, 3.5, 3.8, 3.9)
    assert len(bands.turn(5.0, 5.0, 1.0, 1.0, session=2)) == 1
    assert bands.turn(5.0, 1.0, 1.0, 1.0, session=3) == []


def test_a_rule_is_about_its_own_limbs():
    assert Bands().turn(3.0, 3.9, 5.0, 5.0, band=2) == []


def test_turning_about_the_limb_is_told_from_swinging_it():
    assert Bands().turn(0.8, 0.9, 1.2, 1.3, band=3) == []
    assert names(Bands().turn(-0.8, -0.9, -1.2, -1.3, band=3, along=True)) == [("knees_caving_in", 3)]


def test_what_comes_too_late_is_left_alone():
    bands = Bands()
    assert bands.packet((3.5, 4.5, 4.5, 4.5), late_ns=STALE_NS) == []
    assert bands.path.judge(bands.t_ns, JUDGED) == []


def test_samples_that_are_no_numbers_show_nothing():
    assert Bands().turn(3.9, np.nan, 9.0, np.inf) == []


def test_without_an_exercise_nothing_is_shown_but_the_bands_are_followed():
    bands = Bands()
    bands.path.push(ImuBatch(START_NS, 0, 0, 0, 1, np.array([START_NS]), np.array([[0, 0, 0, 0, 3.9, 0]], np.float32)))
    assert bands.path.judge(START_NS, None) == []
    assert not bands.path.waiting
    bands.t_ns, bands.seq = START_NS + 10 * MS, 1
    assert names(bands.turn(4.5, 4.5, 4.5, 4.5)) == [("too_fast", 0)]


def both(left: float, right: float, seconds: float) -> list[Shown]:
    """Both wrists turning at a steady rate."""
    path, shown = FastPath(), []
    for i in range(round(seconds * 25)):
        times = START_NS + (4 * i + np.arange(4, dtype=np.int64)) * 10 * MS
        for band, rate in ((0, left), (1, right)):
            values = np.zeros((4, 6), np.float32)
            values[:, 5] = rate
            path.push(ImuBatch(int(times[-1]), 0, 4 * i, band, 1, times, values))
        shown += path.judge(int(times[-1]), JUDGED)
    return shown


def test_the_slower_of_two_limbs_that_differ_is_shown_once_it_lasted():
    shown = both(3.0, 1.0, 4.0)
    assert names(shown) == [("one_sided", 1)]
    assert shown[0].t_ns - START_NS >= 300 * MS
    assert shown[0].excess == pytest.approx(1.5, rel=0.05)
    assert names(both(1.0, 3.0, 4.0)) == [("one_sided", 0)]


@pytest.mark.parametrize(("left", "right"), [(3.0, 1.6), (0.9, 0.1)])
def test_limbs_that_are_alike_or_hardly_move_are_not_compared(left, right):
    assert both(left, right, 4.0) == []


def test_one_band_alone_is_not_one_sided():
    assert Bands().turn(*[3.0] * 400) == []


# --- what the coach makes of it --------------------------------------------------------------------------------------------


def show(t_s: float, rule: BandCue = FAST, excess: float = 1.2, band: int = 1) -> Shown:
    return Shown(rule, band, round(t_s * NS_PER_S), excess)


def test_it_is_felt_at_once_with_its_cause_and_not_said():
    cue, vibration = Coach(CoachConfig(), PROMPTS).felt(JUDGED, show(7.0))
    assert isinstance(cue, Cue)
    assert (cue.kind, cue.text, cue.prompts, cue.bands, cue.cause_ns) == ("correction", "Slower", (), (1,), 7 * NS_PER_S)
    assert (cue.joint, cue.sign) == ("", 0)
    assert isinstance(vibration, Vibration)
    assert (vibration.band, vibration.path, vibration.cause_ns) == (1, "bands", 7 * NS_PER_S)
    assert 0.4 <= vibration.intensity <= 1


def test_an_error_that_the_skeleton_knows_too_has_its_joint():
    cue, _ = Coach(CoachConfig(), PROMPTS).felt(JUDGED, show(7.0, CAVING, band=3))
    assert isinstance(cue, Cue)
    assert (cue.joint, cue.sign) == ("right_hip_spread", -1)


def test_vibrations_keep_their_distance_and_the_same_one_more_so():
    coach = Coach(CoachConfig(), PROMPTS)
    assert coach.felt(JUDGED, show(10.0))
    assert not coach.felt(JUDGED, show(13.0, CAVING, band=3))
    assert coach.felt(JUDGED, show(13.6, CAVING, band=3))
    assert not coach.felt(JUDGED, show(17.5))
    assert coach.felt(JUDGED, show(18.1))


def test_nothing_is_felt_while_something_is_said_and_no_prompt_waits_for_a_vibration():
    coach = Coach(CoachConfig(), PROMPTS)
    coach.felt(JUDGED, show(9.9))
    assert any(isinstance(said, Speech) for said in coach.notice(10 * NS_PER_S, ("well_done",)))
    assert not coach.felt(JUDGED, show(13.4, CAVING, band=3))
    assert coach.felt(JUDGED, show(13.6, CAVING, band=3))


def test_without_vibration_there_is_nothing_to_feel():
    assert Coach(CoachConfig(haptics=False), PROMPTS).felt(JUDGED, show(1.0)) == []


# --- in the core -----------------------------------------------------------------------------------------------------------

SETS = [*rest(1), *reps("squat", 4, 2.4)]
SECONDS = len(SETS) / 30 + 1


def batches(hurried_s: tuple[float, ...], seconds: float) -> list[ImuBatch]:
    """A left wrist at 100 Hz, on the host's clock, that turns quickly for 0.1 s at those times."""
    made = []
    for i in range(round(seconds * 25)):
        times = START_NS + (4 * i + np.arange(4, dtype=np.int64)) * 10 * MS
        t_s = (times - START_NS) / NS_PER_S
        values = np.zeros((4, 6), np.float32)
        values[:, 2] = 9.8
        values[:, 4] = 1.0
        for at_s in hurried_s:
            values[:, 4] += 6 * np.clip(1 - np.abs(t_s - at_s) / 0.1, 0, None)
        made.append(ImuBatch(int(times[-1]) + 20 * MS, 0, 4 * i, 0, 1, times, values))
    return made


def coach_session(hurried_s: tuple[float, ...], *, config: Config | None = None) -> list[tuple[int, Coached]]:
    """(when it came out, what): a scripted set before a camera, and a band beside it."""
    config = Config() if config is None else config
    core = Core(config, ScriptedModel(SETS), CATALOGUE | {"squat": JUDGED}, START_NS, prompts=PROMPTS)
    arrivals = [(pose.t_ns + 60 * MS, pose) for pose in poses(SECONDS)]
    arrivals += [(batch.t_ns, batch) for batch in batches(hurried_s, SECONDS)]
    said = []
    for now_ns, message in sorted(arrivals, key=lambda pair: pair[0]):
        core.push(message)
        said += [(now_ns, coached) for coached in core.advance(now_ns)]
    return said


def felt(said: list[tuple[int, Coached]]) -> list[tuple[int, Vibration]]:
    return [(now_ns, v) for now_ns, v in said if isinstance(v, Vibration) and v.path == "bands"]


def test_within_a_set_a_hurried_movement_is_felt_before_the_tick_of_its_time():
    said = coach_session((7.0,))
    ((now_ns, vibration),) = felt(said)
    assert abs(vibration.cause_ns - START_NS - 7 * NS_PER_S) < 100 * MS
    # Four samples and the way: no frame, no tick.
    assert now_ns - vibration.cause_ns <= 30 * MS + 20 * MS
    ticks = [coached.t_ns for now, coached in said if now <= now_ns and hasattr(coached, "phase")]
    assert max(ticks) < vibration.cause_ns
    assert [cue.text for _, cue in said if isinstance(cue, Cue) and cue.cause_ns == vibration.cause_ns] == ["Slower"]


def test_before_a_set_nothing_is_felt():
    assert felt(coach_session((1.5, 2.5))) == []


def test_the_switch_turns_it_off():
    assert felt(coach_session((7.0,), config=with_settings(Config(), coach={"fast_path": False}))) == []


def test_the_same_messages_give_the_same_vibrations():
    assert felt(coach_session((7.0, 9.0))) == felt(coach_session((7.0, 9.0)))


# --- on correct movement ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(load_exercises()))
@pytest.mark.parametrize("tempo", ["slow", "fast"])
def test_a_correct_repetition_passes_no_limit_at_any_tempo(name, tempo):
    plan = plan_session(31, sets=[name], reps=3, brief=True)
    blocks = [dataclasses.replace(b, tempo=tempo, habits=()) if isinstance(b, SetBlock) else b for b in plan.blocks]
    trainee = VirtualTrainee(31, dataclasses.replace(plan, blocks=tuple(blocks)), deaf=True)
    done = trainee.sets[0]
    times = np.arange(done.start_ns, done.end_ns, 10 * MS, dtype=np.int64)
    values = true_imu(trainee, times, 31)
    path, exercise = FastPath(), load_exercises()[name]
    shown = []
    for i in range(0, len(times) - 3, 4):
        for band in range(N_BANDS):
            path.push(ImuBatch(int(times[i + 3]), 0, i, band, 1, times[i : i + 4], values[i : i + 4, band]))
        shown += path.judge(int(times[i + 3]), exercise)
    assert exercise.band_cues
    assert names(shown) == []
