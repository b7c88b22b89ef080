import numpy as np
import pytest

from device.exercises import load_exercises
from device.messages import NS_PER_S
from device.sim.manner import ARMS, AS_USUAL, Manner, draw_manner, in_manner
from device.sim.motion import motion_of
from device.sim.script import ANYBODY, RestBlock, SessionPlan, SetBlock, plan_session
from device.sim.strange import Strange
from device.sim.trainee import VirtualTrainee
from device.sim.transitions import OTHER_EXERCISES
from device.skeleton import JOINT, NODE
from export.clips import clip_plan
from export.seeds import ANY_MANNER, RENDERED

ALL = load_exercises()


def trainee(exercise: str, manner: Manner, variant: str = "both", reps: int = 3) -> VirtualTrainee:
    return VirtualTrainee(5, SessionPlan(0.0, (SetBlock(exercise, variant, reps, "normal", (), 0.0, manner),)), deaf=True)


def angle(one: VirtualTrainee, joint: str, phase: float, repetition: int = 1) -> float:
    """Degrees of a joint at a phase of a repetition."""
    done = one.sets[0].repetitions[repetition]
    at = np.array([done.start_ns + round(phase * (done.end_ns - done.start_ns))])
    return float(np.degrees(one.track(at).angles[0, JOINT[joint]]))


def test_the_usual_manner_changes_nothing() -> None:
    motion = motion_of(ALL["squat"])
    same = in_manner(motion, AS_USUAL)
    assert (same.stance, same.phases, same.keys) == (motion.stance, motion.phases, motion.keys)
    assert (same.rep_s, same.pause_s, same.turn) == (motion.rep_s, motion.pause_s, motion.turn)


@pytest.mark.parametrize("name", sorted(ARMS))
def test_arms_stay_anywhere_while_the_legs_squat_as_usual(name: str) -> None:
    usual, free = trainee("squat", AS_USUAL), trainee("squat", Manner(arms=(ARMS[name], ARMS[name])))
    for phase in (0.0, 0.5):
        assert angle(free, "left_knee", phase) == pytest.approx(angle(usual, "left_knee", phase), abs=2)
        assert angle(free, "left_elbow", phase) == pytest.approx(ARMS[name]["elbow"], abs=6)


def test_knees_stay_bent_at_the_start_and_reach_the_usual_depth() -> None:
    bent = trainee("squat", Manner(knee=152.0))
    assert angle(bent, "left_knee", 0.0) == pytest.approx(152, abs=4)
    assert angle(bent, "left_knee", 0.5) == pytest.approx(angle(trainee("squat", AS_USUAL), "left_knee", 0.5), abs=3)


def test_without_rest_one_repetition_follows_the_other_at_once() -> None:
    first, second = trainee("squat", Manner(rest=0.0)).sets[0].repetitions[:2]
    assert second.start_ns - first.end_ns < NS_PER_S // 100


def test_pace_changes_how_long_a_repetition_takes() -> None:
    usual, quick = (trainee("squat", manner).sets[0].repetitions[0] for manner in (AS_USUAL, Manner(pace=0.6)))
    assert (quick.end_ns - quick.start_ns) / (usual.end_ns - usual.start_ns) == pytest.approx(0.6, abs=0.01)


def test_the_middle_is_held_and_the_ways_there_and_back_take_what_they_take() -> None:
    usual = trainee("squat", AS_USUAL).sets[0].repetitions[0]
    slow_down = trainee("squat", Manner(there=0.7, hold_s=1.0))
    done = slow_down.sets[0].repetitions[0]
    assert (done.end_ns - done.start_ns) - (usual.end_ns - usual.start_ns) == pytest.approx(NS_PER_S, abs=1000)
    times = np.arange(done.start_ns, done.end_ns, NS_PER_S // 200)
    seen = slow_down.track(times)
    assert (np.diff(seen.phase) > 0).all()
    there, back = (seen.phase < 0.46).sum(), (seen.phase > 0.54).sum()
    assert there / (there + back) == pytest.approx(0.7, abs=0.03)
    assert ((seen.phase > 0.46) & (seen.phase < 0.54)).sum() / 200 == pytest.approx(1.0 + 0.08 * 2.6, abs=0.2)
    knee = np.degrees(seen.angles[:, JOINT["left_knee"]])
    assert (knee < knee.min() + 4).sum() / 200 > 1.0
    # Nothing jumps where one part of the repetition goes over into the next.
    assert np.abs(np.diff(knee, 2)).max() < 0.15


def test_upper_arms_come_forward_in_a_swung_curl() -> None:
    usual, swung = trainee("bicep_curl", AS_USUAL), trainee("bicep_curl", Manner(swing=50.0, inward=0.4))
    for phase, more in ((0.0, 0), (0.23, 55), (0.5, 50)):
        assert angle(swung, "left_shoulder", phase) - angle(usual, "left_shoulder", phase) == pytest.approx(more, abs=14)
        assert angle(swung, "left_elbow", phase) == pytest.approx(angle(usual, "left_elbow", phase), abs=8)


def test_shins_lean_the_further_forward_the_less_the_hips_go_back_in_a_squat() -> None:
    def shin_deg(one: VirtualTrainee) -> float:
        done = one.sets[0].repetitions[1]
        seen = one.track(np.array([(done.start_ns + done.end_ns) // 2])).landmarks[0]
        shin = seen[NODE["left_knee"]] - seen[NODE["left_ankle"]]
        return float(np.degrees(np.arctan2(shin[0], shin[2])))

    usual, forward = trainee("squat", AS_USUAL), trainee("squat", Manner(middle={"hips_x": -0.1, "trunk": 20.0}))
    assert shin_deg(forward) > shin_deg(usual) + 8
    assert angle(forward, "left_knee", 0.5) == pytest.approx(angle(usual, "left_knee", 0.5), abs=4)


def test_arms_that_come_early_are_where_they_will_be_long_before_the_middle() -> None:
    usual, quick = trainee("squat", AS_USUAL), trainee("squat", Manner(early=0.35))
    for phase in (0.0, 0.5):
        assert angle(quick, "left_shoulder", phase) == pytest.approx(angle(usual, "left_shoulder", phase), abs=12)
        assert angle(quick, "left_knee", phase) == pytest.approx(angle(usual, "left_knee", phase), abs=3)
    for phase in (0.18, 0.82):
        assert angle(quick, "left_shoulder", phase) > angle(usual, "left_shoulder", phase) + 15


def test_who_jumps_lower_in_jumping_jacks_does_so_and_arms_that_stay_away_do() -> None:
    usual, fast = trainee("jumping_jack", AS_USUAL), trainee("jumping_jack", Manner(pace=0.5, start={"abduct": 50.0}, jump=0.25))
    assert angle(fast, "left_shoulder", 0.0) - angle(usual, "left_shoulder", 0.0) == pytest.approx(40, abs=5)
    assert angle(fast, "left_shoulder", 0.5) == pytest.approx(angle(usual, "left_shoulder", 0.5), abs=5)
    heights = []
    for one in (usual, fast):
        done = one.sets[0].repetitions[1]
        toes = one.pose(np.linspace(done.start_ns, done.end_ns, 80).astype(np.int64))[:, NODE["left_foot_index"], 2]
        heights.append(np.ptp(toes))
    assert heights[1] < 0.5 * heights[0]


def test_a_split_lunge_leaves_the_feet_where_they_are() -> None:
    split = trainee("lunge", Manner(split=True), "left")
    done = split.sets[0]
    assert {repetition.variant for repetition in done.repetitions} == {"left"}
    feet = split.pose(np.arange(done.start_ns, done.end_ns, NS_PER_S // 20))[
        :, [NODE["left_foot_index"], NODE["right_foot_index"]]
    ]
    assert np.ptp(feet, axis=0).max() < 0.03
    assert np.linalg.norm(feet[0, 0] - feet[0, 1]) > 0.4
    assert angle(split, "left_knee", 0.0) > 140
    assert angle(split, "left_knee", 0.5) == pytest.approx(100, abs=6)


def test_only_what_an_exercise_leaves_free_is_drawn() -> None:
    drawn = {
        name: [draw_manner(np.random.default_rng(i), exercise, motion_of(exercise)) for i in range(60)]
        for name, exercise in ALL.items()
    }
    assert {name for name, manners in drawn.items() if any(manner.arms for manner in manners)} == {"squat", "lunge"}
    assert {name for name, manners in drawn.items() if any(manner.split for manner in manners)} == {"lunge"}
    assert {name for name, manners in drawn.items() if any(manner.knee for manner in manners)} == {"squat", "bicep_curl"}


def test_only_sessions_that_ask_for_them_have_manners_and_other_exercises() -> None:
    for there in (False, True):
        blocks = [
            block for seed in range(20) for block in plan_session(seed, variety=1.0, people=ANYBODY if there else None).blocks
        ]
        assert any(block.manner != AS_USUAL for block in blocks if isinstance(block, SetBlock)) is there
        done = [activity for block in blocks if isinstance(block, RestBlock) for activity in block.activities]
        assert any(activity in OTHER_EXERCISES for activity in done if isinstance(activity, str)) is there
        assert any(isinstance(activity, Strange) for activity in done) is there


@pytest.mark.parametrize("name", sorted(OTHER_EXERCISES))
def test_other_exercises_are_none_move_far_and_tear_nothing(name: str) -> None:
    one = VirtualTrainee(5, SessionPlan(0.0, (RestBlock(1.0, (name,)),)), deaf=True)
    track = one.track(np.arange(0, one.duration_ns, NS_PER_S // 50))
    assert not track.in_set.any()
    assert np.isfinite(track.landmarks).all()
    moved = np.linalg.norm(np.diff(track.landmarks, axis=0), axis=-1) * 50
    assert moved.max() < 10
    assert np.ptp(track.landmarks[200:], axis=0).max() > 0.05


def test_clips_in_any_manner_have_seeds_of_their_own() -> None:
    drawn = [clip_plan(seed) for seed in (*ANY_MANNER[:20], *range(RENDERED, RENDERED + 20))]
    usual = [all(block.manner == AS_USUAL for block in plan.blocks if isinstance(block, SetBlock)) for plan in drawn]
    assert all(usual[20:])
    assert not all(usual[:20])
