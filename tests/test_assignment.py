import numpy as np
import pytest
from scripted import PROMPTS, ScriptedModel, rest

from device.bench.assignment import IDENTITY, Trial, judged, plan_trials, run_trial
from device.config import CoachConfig, Config, SignalsConfig
from device.exercises import load_exercises
from device.messages import NS_PER_S, Cue, ImuBatch, Pose, Speech, Tick
from device.runtime.align import ImuTrack, PoseTrack, resample
from device.runtime.attitude import Attitudes
from device.runtime.coach import Coach
from device.runtime.core import Core
from device.runtime.worn import BandWatch, Worn, exchange_prompts
from device.sim.bands import GRAVITY, Sensor, perfect_sensors, sample_sensors, true_imu
from device.sim.scene import sample_scene
from device.sim.script import RestBlock, SessionPlan, SetBlock
from device.sim.trainee import VirtualTrainee
from device.skeleton import BANDS, mid_hip
from device.voice import folder, read_texts

HZ = SignalsConfig().tick_hz
LIFTED_HANDS = RestBlock(0.5, ("wave", "drink"))
LUNGES = SetBlock("lunge", "left", 3, "fast", (), 0.2)
SQUATS = SetBlock("squat", "both", 4, "fast", (), 0.2)


def sensed(*blocks, seed=3, sensors=None):
    """A faultless eye's poses and the four bands' tracks, and how long they are (s)."""
    trainee = VirtualTrainee(seed, SessionPlan(0.2, blocks), deaf=True)
    camera = sample_scene(np.random.default_rng(seed)).camera
    seen = np.arange(0, trainee.duration_ns, NS_PER_S // 15, dtype=np.int64)
    landmarks = trainee.pose(seen)
    world = camera.to_camera(landmarks - mid_hip(landmarks)[:, None])
    pose = PoseTrack(seen, world, np.ones(world.shape[:2]), np.ones(len(seen), dtype=bool))
    felt = np.arange(0, trainee.duration_ns, NS_PER_S // 100, dtype=np.int64)
    imu = true_imu(trainee, felt, seed, sensors)
    return pose, [ImuTrack(felt, imu[:, band]) for band in range(4)], trainee.duration_ns / NS_PER_S


def session(*blocks, seed=3, sensors=None):
    """Ticks of bands that are worn as they should be."""
    pose, tracks, seconds = sensed(*blocks, seed=seed, sensors=sensors)
    count = int(seconds * HZ)
    signals = resample(SignalsConfig(), 0, count, pose, tracks)
    return [Tick(k, k, *(part[k] for part in signals)) for k in range(count)]


def worn(tick, limbs):
    """The tick of bands that are worn on `limbs`."""
    return Tick(
        tick.t_ns, tick.seq, tick.world, tick.visibility, bool(tick.pose_present), tick.imu[list(limbs)], tick.imu_present
    )


def watched(ticks, limbs=IDENTITY):
    """A watch after `ticks` with the bands on `limbs`, and what it said."""
    watch, said = BandWatch(HZ), []
    for tick in ticks:
        said += watch.step(worn(tick, limbs))
    return watch, said


def tick_of(tracks, t_ns):
    """What the four bands read at `t_ns`, (4, 6)."""
    return np.array([track.values[np.searchsorted(track.times_ns, t_ns).clip(max=len(track.values) - 1)] for track in tracks])


def turned(degrees, limb, upside_down=False):
    """Sensors of which one is turned about its limb."""
    sensors = list(sample_sensors(3))
    c, s, f = np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), -1.0 if upside_down else 1.0
    strap = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.diag([f, f, 1.0])
    old = sensors[limb]
    sensors[limb] = Sensor(strap, old.force_bias, old.rate_bias, old.force_noise, old.rate_noise)
    return tuple(sensors)


@pytest.fixture(scope="module")
def telling():
    return session(LIFTED_HANDS, LUNGES)


def test_bands_that_are_worn_right_become_certain_and_nothing_is_said(telling):
    watch, said = watched(telling)
    assert watch.worn == Worn(certain=(True,) * 4)
    assert said == []
    assert watch.corrected(telling[-1]) is telling[-1]


@pytest.mark.parametrize(
    ("limbs", "prompts"),
    [
        ((1, 0, 2, 3), ["wrist_bands_swapped"]),
        ((0, 1, 3, 2), ["ankle_bands_swapped"]),
        ((2, 1, 0, 3), ["wrist_band_on_ankle"]),
        ((1, 2, 3, 0), ["wrist_band_on_ankle"]),
    ],
)
def test_bands_on_other_limbs_are_found_said_once_and_put_right(telling, limbs, prompts):
    watch, said = watched(telling, limbs)
    assert watch.worn.limbs == limbs
    assert sorted(said) == sorted(prompts)
    np.testing.assert_allclose(watch.corrected(worn(telling[-1], limbs)).imu, telling[-1].imu, rtol=1e-5)


def test_bands_that_are_exchanged_in_mid_session_are_found_and_those_put_back_are_too(telling):
    watch, said = watched(telling)
    swapped = (1, 0, 3, 2)
    for tick in telling:
        said += watch.step(worn(tick, swapped))
    assert watch.worn.limbs == swapped
    for tick in telling:
        said += watch.step(worn(tick, IDENTITY))
    assert watch.worn.limbs == IDENTITY
    assert sorted(said) == ["ankle_bands_swapped", "wrist_bands_swapped"]


def test_silent_bands_leave_their_places_to_those_that_are_there(telling):
    watch, said = BandWatch(HZ), []
    for tick in telling:
        tick = worn(tick, (1, 0, 2, 3))
        present = np.array([True, False, True, False])
        said += watch.step(Tick(tick.t_ns, tick.seq, tick.world, tick.visibility, True, tick.imu, present))
    assert watch.worn.limbs == (1, 0, 2, 3)
    assert watch.worn.certain == (True, False, True, False)


def test_in_symmetric_motion_left_and_right_stay_open():
    outcome = run_trial(Trial(11, "symmetric", (1, 0, 3, 2)))
    assert outcome.unsure
    assert not outcome.wrong


def test_what_is_certain_in_symmetric_motion_is_right():
    limbs = (2, 1, 0, 3)
    watch, _ = watched(session(SQUATS), limbs)
    assert all(watch.worn.limbs[band] == limbs[band] for band in range(4) if watch.worn.certain[band])


def test_a_band_that_is_upside_down_is_put_right_and_said(telling):
    flipped = session(LIFTED_HANDS, LUNGES, sensors=turned(0, 3, upside_down=True))
    watch, said = watched(flipped)
    assert watch.worn.upside_down == (False, False, False, True)
    assert said == ["right_ankle_upside_down"]
    corrected = watch.corrected(flipped[-1])
    assert np.dot(corrected.imu[3, :3], telling[-1].imu[3, :3]) > 0.95 * GRAVITY**2


@pytest.mark.parametrize("degrees", [-100.0, 180.0])
def test_a_strap_that_is_turned_too_far_is_put_right(degrees):
    watch, _ = watched(session(LIFTED_HANDS, LUNGES, sensors=turned(degrees, 2)))
    error = np.degrees(np.angle(np.exp(1j * (watch.worn.turn_rad[2] - np.radians(degrees)))))
    assert abs(error) < 20
    assert watch.worn.limbs == IDENTITY
    assert [watch.worn.turn_rad[band] for band in (0, 1, 3)] == [0, 0, 0]


def test_a_strap_that_is_turned_a_little_is_left_alone():
    watch, said = watched(session(LIFTED_HANDS, LUNGES, sensors=turned(25, 2)))
    assert watch.worn.as_expected
    assert said == []


def test_a_band_that_slips_is_said_once_and_put_right():
    watch, said = watched(session(LIFTED_HANDS, LUNGES, sensors=turned(0, 2)))
    assert said == []
    for tick in session(LUNGES, LUNGES, sensors=turned(80, 2)):
        said += watch.step(tick)
    assert said == ["left_ankle_slipped"]
    assert np.degrees(watch.worn.turn_rad[2]) == pytest.approx(80, abs=20)


def test_absent_bands_and_landmarks_are_no_evidence(telling):
    watch, said = BandWatch(HZ), []
    for tick in telling:
        blind = Tick(tick.t_ns, tick.seq, tick.world, tick.visibility, False, tick.imu, tick.imu_present)
        deaf = Tick(tick.t_ns, tick.seq, tick.world, tick.visibility, True, tick.imu, np.zeros(4, dtype=bool))
        said += watch.step(worn(blind, (1, 0, 3, 2))) + watch.step(worn(deaf, (1, 0, 3, 2)))
    assert watch.worn == Worn()
    assert said == []


def test_stuck_and_saturated_bands_are_not_moved_to_other_limbs(telling):
    watch, said = BandWatch(HZ), []
    for tick in telling:
        imu = tick.imu.copy()
        imu[0] = [0, 0, 0, 0, 0, 0]
        imu[2] = [157, 157, 157, 35, 35, 35]
        said += watch.step(Tick(tick.t_ns, tick.seq, tick.world, tick.visibility, True, imu, tick.imu_present))
    assert watch.worn.limbs == IDENTITY
    assert said == []


def test_the_core_says_it_shows_it_and_goes_on_with_what_is_right():
    pose, tracks, _ = sensed(LIFTED_HANDS)
    image = np.ones((len(pose.times_ns), 33, 4), np.float32)
    messages = [
        Pose(int(t), 0, i, image[i], pose.world[i].astype(np.float32), 640, 480, True) for i, t in enumerate(pose.times_ns)
    ]
    for band, limb in enumerate((1, 0, 2, 3)):
        times, values = tracks[limb]
        for i in range(0, len(times), 10):
            part = slice(i, i + 10)
            messages.append(ImuBatch(int(times[part][-1]), 0, i, band, 1, times[part], values[part]))
    core = Core(Config(), ScriptedModel([*rest(1)]), load_exercises(), 0)
    coached = []
    for message in sorted(messages, key=lambda message: message.t_ns):
        core.push(message)
        coached += core.advance(message.t_ns)
    coached += core.finish(int(pose.times_ns[-1]))
    cues = [message for message in coached if isinstance(message, Cue)]
    assert [(cue.kind, cue.exercise, cue.text) for cue in cues] == [
        ("notice", "none", "The left and right wrist bands are swapped")
    ]
    assert [m.prompts for m in coached if isinstance(m, Speech)] == [("wrist_bands_swapped",)]
    assert core.progress.worn.limbs == (1, 0, 2, 3)
    assert core.progress.last_cue == cues[0]
    np.testing.assert_allclose(core.last_tick.imu, tick_of(tracks, core.last_tick.t_ns), atol=1.0)


def test_a_notice_waits_until_the_prompt_before_is_over_and_keeps_its_order():
    coach = Coach(CoachConfig(min_between_s=1.0), PROMPTS)
    first, second = coach.notice(0, ("better",)), coach.notice(10, ("well_done",))
    assert [type(message) for message in first] == [Cue, Speech]
    assert second == []
    assert coach.idle(900_000_000) == []
    said = coach.idle(1_100_000_000)
    assert [message.t_ns for message in said] == [1_100_000_000] * 2
    assert said[0].text == "well done"
    coach.notice(1_200_000_000, ("remember",))
    assert [message.prompts for message in coach.close(1_300_000_000)] == [("remember",)] * 2


def test_without_a_voice_a_notice_is_only_shown():
    (cue,) = Coach(CoachConfig(voice=False), PROMPTS).notice(0, ("better",))
    assert (cue.text, cue.prompts, cue.bands) == ("better", (), ())
    assert Coach(CoachConfig(), PROMPTS).notice(0, ("no_such_prompt",)) == []


def test_every_notice_has_its_prompt():
    texts = read_texts(folder("en"))
    names = {f"{limb}_{what}" for limb in BANDS for what in ("slipped", "upside_down")}
    names |= {prompt for limbs in ((1, 0, 3, 2), (2, 1, 0, 3)) for prompt in exchange_prompts(limbs)}
    assert names <= set(texts)
    assert texts["wrist_bands_swapped"] == "The left and right wrist bands are swapped"
    assert exchange_prompts(IDENTITY) == []


def test_an_attitude_follows_a_turn_and_stays_level():
    trainee = VirtualTrainee(3, SessionPlan(0.2, (LIFTED_HANDS,)), deaf=True)
    times = np.arange(0, trainee.duration_ns, NS_PER_S // 100, dtype=np.int64)
    imu = true_imu(trainee, times, 3, perfect_sensors())
    _, rotations = trainee.segments(times)
    attitudes = Attitudes(100.0)
    errors = []
    for k in range(len(times)):
        attitudes.step(imu[k], np.ones(4, dtype=bool))
        if attitudes.level.all():
            errors.append(np.arccos(np.clip((attitudes.rotations[:, 2] * rotations[k, :, 2]).sum(-1), -1, 1)))
    assert np.degrees(np.quantile(errors, 0.95)) < 4
    spare = attitudes.rotations @ attitudes.rotations.swapaxes(1, 2) - np.eye(3)
    assert np.abs(spare).max() < 1e-3


def test_trials_are_judged_by_what_was_found_in_time():
    trials = plan_trials(4, seed=5)
    assert [trial.kind for trial in trials] == ["telling"] * 5 + ["symmetric"]
    trials = trials[:1]
    rows = {row.name: row for row in judged([run_trial(trial) for trial in trials])}
    assert rows["assign_found_share"].value == 1
    assert rows["assign_wrong_corrections"].value == 0
    assert rows["assign_found_median_s"].value < 10
