"""The virtual trainee: motion, truth, habits and ears."""

from dataclasses import replace

import numpy as np
import pytest

from device.exercises import load_exercises
from device.messages import EXERCISES, NS_PER_S, Cue, Stage
from device.sim.script import PlannedHabit, RestBlock, SessionPlan, SetBlock, plan_session
from device.sim.trainee import VirtualTrainee
from device.skeleton import BAND_NODES, JOINT, JOINTS

ALL = load_exercises()
THRESHOLD = np.radians(9)
HABITS = [
    (exercise.name, variant, habit.error, side)
    for exercise in ALL.values()
    for habit in exercise.habits
    for variant in exercise.variants
    for side in habit.sides
]


def plan_of(name, *, variant=None, reps=3, habits=(), tempo="normal", heading=0.0):
    block = SetBlock(name, variant or ALL[name].variants[0], reps, tempo, tuple(habits), heading)
    return SessionPlan(0.0, (block, RestBlock(0.5, ())))


def trainee_of(name, *, seed=0, **plan):
    return VirtualTrainee(seed, plan_of(name, **plan), exercises=ALL)


def grid(trainee, rate_hz=50):
    return np.arange(0, trainee.duration_ns, NS_PER_S // rate_hz, dtype=np.int64)


def cue_for(trainee, joint, sign, t_ns, kind="correction"):
    return Cue(t_ns, 0, kind, trainee.sets[0].exercise, joint, sign, "", (), 0.3, (), 0.5)


def deviation(trainee, habit_joint, sign, repetition):
    """Largest deviation in the middle of a repetition against the same person without habits."""
    block = trainee.plan.blocks[0]
    clean = VirtualTrainee(0, SessionPlan(0.0, (replace(block, habits=()), *trainee.plan.blocks[1:])), exercises=ALL)
    done = trainee.sets[0].repetitions[repetition]
    middle = np.array([(done.start_ns + done.end_ns) // 2])
    return sign * (trainee.track(middle).angles - clean.track(middle).angles)[0, JOINT[habit_joint]]


def test_the_session_is_a_function_of_its_seed():
    times = np.linspace(0, 100 * NS_PER_S, 300).astype(np.int64)
    assert np.array_equal(VirtualTrainee(3).pose(times), VirtualTrainee(3).pose(times))
    assert not np.allclose(VirtualTrainee(3).pose(times), VirtualTrainee(4).pose(times))


def test_a_moment_looks_the_same_alone_and_among_others():
    trainee = VirtualTrainee(1)
    times = np.linspace(0, trainee.duration_ns, 200).astype(np.int64)
    together = trainee.pose(times)
    assert np.allclose(together[77], trainee.pose(times[77:78])[0], atol=1e-9)
    assert np.allclose(together[77], trainee.truth(int(times[77])).landmarks, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_whole_session_stays_smooth_and_above_the_floor(seed):
    trainee = VirtualTrainee(seed)
    times = grid(trainee, 250)
    landmarks = trainee.pose(times)
    assert np.isfinite(landmarks).all()
    assert landmarks[..., 2].min() > -0.01
    acceleration = np.diff(landmarks, 2, axis=0) * 250**2
    assert np.linalg.norm(acceleration[:, BAND_NODES, :], axis=-1).max() < 16 * 9.81
    jumps = np.abs(np.diff(acceleration, axis=0))[:, BAND_NODES]
    assert jumps.max() < 60


def test_planted_feet_do_not_slide_in_a_squat_nor_hands_in_a_push_up():
    for name, nodes in (("squat", [27, 28, 31, 32]), ("push_up", [15, 16, 31, 32])):
        trainee = trainee_of(name, habits=[PlannedHabit(ALL[name].habits[0].error, "both", 0.35, 0)])
        done = trainee.sets[0]
        landmarks = trainee.pose(np.linspace(done.start_ns, done.end_ns, 300).astype(np.int64))
        assert np.ptp(landmarks[:, nodes], axis=0).max() < 0.003


def test_sets_lie_in_order_within_the_session():
    trainee = VirtualTrainee(9)
    ends = [0]
    for done in trainee.sets:
        assert done.start_ns >= ends[-1] + 2 * NS_PER_S
        assert done.start_ns == done.repetitions[0].start_ns
        assert done.end_ns == done.repetitions[-1].end_ns
        for before, after in zip(done.repetitions, done.repetitions[1:], strict=False):
            assert before.start_ns < before.end_ns < after.start_ns
        ends.append(done.end_ns)
    assert ends[-1] < trainee.duration_ns


def test_phase_and_stage_run_through_each_repetition():
    trainee = trainee_of("squat")
    done = trainee.sets[0]
    times = grid(trainee, 100)
    track = trainee.track(times)
    assert set(track.exercise[track.in_set]) == {EXERCISES.index("squat")}
    assert set(track.exercise[~track.in_set]) == {EXERCISES.index("none")}
    assert set(track.stage[~track.in_set]) == {Stage.REST}
    for repetition in done.repetitions:
        now = (times >= repetition.start_ns) & (times < repetition.end_ns)
        assert (np.diff(track.phase[now]) > 0).all()
        assert track.phase[now][0] < 0.02
        assert track.phase[now][-1] > 0.98
        assert list(dict.fromkeys(track.stage[now])) == [Stage.BEGINNING, Stage.EXECUTION, Stage.END]
        knee = track.angles[now, JOINT["left_knee"]]
        assert abs(track.phase[now][knee.argmin()] - 0.5) < 0.06
    pause = (done.repetitions[0].end_ns + done.repetitions[1].start_ns) // 2
    truth = trainee.truth(pause)
    assert (truth.exercise, truth.stage, truth.phase) == ("squat", Stage.REST, 0.0)


def test_lunges_alternate_and_the_lead_leg_steps_forward():
    trainee = trainee_of("lunge", variant="right", reps=4)
    assert [r.variant for r in trainee.sets[0].repetitions] == ["right", "left", "right", "left"]
    for repetition in trainee.sets[0].repetitions:
        truth = trainee.truth((repetition.start_ns + repetition.end_ns) // 2)
        assert truth.variant == repetition.variant
        lead, trail = (27, 28) if repetition.variant == "left" else (28, 27)
        assert truth.landmarks[lead, 0] - truth.landmarks[trail, 0] > 0.5


def test_tempo_sets_the_pace():
    length = {}
    for tempo in ("slow", "normal", "fast"):
        done = trainee_of("squat", tempo=tempo).sets[0]
        length[tempo] = np.mean([(r.end_ns - r.start_ns) / NS_PER_S for r in done.repetitions])
    assert length["slow"] == pytest.approx(3.6, rel=0.13)
    assert length["slow"] > length["normal"] > length["fast"]


@pytest.mark.parametrize("name", sorted(ALL))
def test_without_habits_a_set_follows_the_standard(name):
    for seed in range(3):
        trainee = trainee_of(name, seed=seed, heading=1.0)
        for repetition in trainee.sets[0].repetitions:
            times = np.linspace(repetition.start_ns, repetition.end_ns - 1, 60).astype(np.int64)
            track = trainee.track(times)
            standard = ALL[name].standard(repetition.variant)
            for i in range(len(JOINTS)):
                if not np.isnan(standard[0, i]):
                    expected = np.interp(track.phase, np.linspace(0, 1, 41), standard[:, i])
                    assert np.degrees(np.abs(track.angles[:, i] - expected)).max() < 8, JOINTS[i].name


def rules_broken(exercise, trainee, repetition):
    """Corrections whose joint deviates by more than the threshold within their phases."""
    times = np.linspace(repetition.start_ns, repetition.end_ns - 1, 80).astype(np.int64)
    track = trainee.track(times)
    standard = exercise.standard(repetition.variant)
    broken = set()
    for cue in exercise.cues:
        judged = (track.phase >= cue.phases[0]) & (track.phase <= cue.phases[1])
        for side in ("left", "right"):
            role = "lead" if repetition.variant in ("both", side) else "trail"
            if cue.role not in ("any", role):
                continue
            i = JOINT[f"{side}_{cue.joint}"]
            expected = np.interp(track.phase, np.linspace(0, 1, 41), standard[:, i])
            if (cue.sign * (track.angles[:, i] - expected))[judged].max() > THRESHOLD:
                broken.add(cue.error)
    return broken


@pytest.mark.parametrize(("name", "variant", "error", "side"), HABITS)
def test_a_habit_breaks_its_own_rule_and_no_other(name, variant, error, side):
    habit = next(habit for habit in ALL[name].habits if habit.error == error)
    for seed, size in ((0, habit.sizes[0] * 1.1), (1, habit.sizes[1])):
        trainee = trainee_of(name, seed=seed, variant=variant, reps=4, habits=[PlannedHabit(error, side, size, 0)])
        repetitions = trainee.sets[0].repetitions[1:]
        assert [rules_broken(ALL[name], trainee, repetition) for repetition in repetitions] == [{error}] * 3


@pytest.mark.parametrize(("name", "variant", "error", "side"), HABITS)
def test_a_habit_deviates_by_the_size_it_has_in_truth(name, variant, error, side):
    habit = next(habit for habit in ALL[name].habits if habit.error == error)
    size = sum(habit.sizes) / 2
    trainee = trainee_of(name, variant=variant, habits=[PlannedHabit(error, side, size, 0)])
    repetition = trainee.sets[0].repetitions[2]
    active = trainee.truth((repetition.start_ns + repetition.end_ns) // 2).errors
    sides = {"both": {"left", "right"}, "lead": {"left", "right"} if repetition.variant == "both" else {repetition.variant}}
    assert {a.joint for a in active} == {f"{s}_{habit.joint}" for s in sides.get(side, {side})}
    for a in active:
        assert (a.error, a.sign) == (error, habit.sign)
        assert a.size_rad == pytest.approx(size, rel=0.01)
        assert deviation(trainee, a.joint, a.sign, 2) == pytest.approx(size, rel=0.12)


def test_a_habit_appears_with_its_first_repetition():
    trainee = trainee_of("push_up", reps=5, habits=[PlannedHabit("sagging_hips", "both", 0.4, 2)])
    sizes = [abs(deviation(trainee, "left_hip", 1, i)) for i in range(5)]
    assert max(sizes[:2]) < 0.01
    assert 0.1 < sizes[2] < 0.3
    assert min(sizes[3:]) > 0.35
    assert trainee.sets[0].habits[0][0].error == "sagging_hips"


def test_a_passing_habit_is_there_at_once_and_gone_afterwards():
    trainee = trainee_of("push_up", reps=5, habits=[PlannedHabit("sagging_hips", "both", 0.4, 1, 3)])
    sizes = [abs(deviation(trainee, "left_hip", 1, i)) for i in range(5)]
    assert min(sizes[1:3]) > 0.35
    assert max(sizes[0], sizes[3], sizes[4]) < 0.05


def corrected(kind="correction", joint="left_knee", sign=1, deaf=False):
    plan = plan_of("squat", reps=6, habits=[PlannedHabit("shallow", "both", 0.4, 0)])
    trainee = VirtualTrainee(0, plan, deaf=deaf, exercises=ALL)
    t_ns = trainee.sets[0].repetitions[2].start_ns
    before = trainee.pose(grid(trainee))
    trainee.hear(cue_for(trainee, joint, sign, t_ns, kind))
    return trainee, t_ns, before, trainee.pose(grid(trainee))


def test_a_heard_correction_shrinks_the_error_after_a_reaction_time_and_keeps_the_timing():
    trainee, t_ns, before, after = corrected()
    times = grid(trainee)
    changed = np.abs(after - before).max((1, 2)) > 1e-4
    assert times[changed].min() >= t_ns + 0.35 * NS_PER_S
    sizes = [deviation(trainee, "left_knee", 1, i) for i in range(6)]
    assert sizes[1] == pytest.approx(0.4, rel=0.1)
    assert all(0.03 < size < 0.12 for size in sizes[3:])
    untouched = VirtualTrainee(0, trainee.plan, exercises=ALL)
    assert [s.repetitions for s in trainee.sets] == [s.repetitions for s in untouched.sets]


def test_both_sides_are_put_right_by_one_cue():
    trainee, _, _, _ = corrected(joint="right_knee")
    assert deviation(trainee, "left_knee", 1, 4) < 0.12


@pytest.mark.parametrize(
    "cue", [{"joint": "left_hip"}, {"sign": -1}, {"kind": "praise"}, {"deaf": True}], ids=["joint", "sign", "praise", "deaf"]
)
def test_what_does_not_match_changes_nothing(cue):
    _, _, before, after = corrected(**cue)
    assert np.array_equal(before, after)


def test_a_correction_in_the_rest_changes_nothing():
    trainee = trainee_of("squat", habits=[PlannedHabit("shallow", "both", 0.4, 0)])
    before = trainee.pose(grid(trainee))
    trainee.hear(cue_for(trainee, "left_knee", 1, trainee.sets[0].start_ns - NS_PER_S))
    assert np.array_equal(before, trainee.pose(grid(trainee)))


def test_bands_move_with_the_landmarks_that_carry_them():
    trainee = trainee_of("jumping_jack")
    times = grid(trainee)
    positions, axes = trainee.segments(times)
    gap = np.linalg.norm(positions - trainee.pose(times)[:, BAND_NODES], axis=-1)
    assert gap.max() < 0.1
    assert np.linalg.det(axes) == pytest.approx(1.0)
    turns = np.linalg.norm(np.diff(axes, axis=0), axis=(-1, -2))
    assert turns.max() < 0.8


def test_a_session_without_sets_has_only_rest():
    trainee = VirtualTrainee(0, SessionPlan(0.3, (RestBlock(2.0, ("wave",)),)), exercises=ALL)
    track = trainee.track(grid(trainee))
    assert trainee.sets == ()
    assert not track.in_set.any()
    assert set(track.stage) == {Stage.REST}
    assert trainee.truth(NS_PER_S).exercise == "none"


def test_plan_and_trainee_agree():
    plan = plan_session(12, exercises=ALL)
    trainee = VirtualTrainee(12, plan, exercises=ALL)
    blocks = [block for block in plan.blocks if isinstance(block, SetBlock)]
    assert [(b.exercise, b.repetitions) for b in blocks] == [(s.exercise, len(s.repetitions)) for s in trainee.sets]
