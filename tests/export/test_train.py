import csv
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from device.config import SignalsConfig  # noqa: E402
from device.errors import TrainingError  # noqa: E402
from device.messages import EXERCISES, NS_PER_S  # noqa: E402
from device.runtime.align import Aligned  # noqa: E402
from device.runtime.features import FeatureConstants  # noqa: E402
from device.sim.script import plan_session  # noqa: E402
from device.sim.trainee import VirtualTrainee  # noqa: E402
from device.skeleton import JOINT  # noqa: E402
from export import augment  # noqa: E402
from export.checkpoint import CURVES, STATE, Checkpoint  # noqa: E402
from export.dataset import Sampler, Session, _labels, _Pool, emulated, whole  # noqa: E402
from export.landmark_noise import LandmarkNoise, Observed, fit_landmark_noise  # noqa: E402
from export.model import Coach, Heads, Shape  # noqa: E402
from export.train import Recipe, badness, evaluate, losses, standardise, train  # noqa: E402

SMALL = Shape(channels=8, heads=2, action=16, posture=16)


def clip(seed: int) -> Observed:
    """A body that moves, and an estimator that shows it 20 % too small with 1 cm of noise and loses every tenth frame."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(120) / 15
    truth = rng.normal(0, 0.4, (1, 33, 3)) + 0.1 * np.sin(seconds[:, None, None] + rng.uniform(0, 6, (1, 33, 3)))
    world = 0.8 * truth + rng.normal(0, 0.01, truth.shape)
    present = np.arange(120) % 10 != 0
    world[~present] = np.nan
    visibility = np.full((120, 33), 0.9)
    return Observed(seconds, truth, np.gradient(truth, seconds, axis=0), world, visibility, present, np.arange(120) // 60)


@pytest.fixture(scope="module")
def noise() -> LandmarkNoise:
    return fit_landmark_noise([clip(seed) for seed in range(4)], seed=0, epochs=60)


@pytest.fixture(scope="module")
def sessions(noise: LandmarkNoise) -> list[Session]:
    return [emulated(seed, noise, SignalsConfig()) for seed in (41, 42)]


@pytest.fixture(scope="module")
def sampler(sessions: list[Session]) -> Sampler:
    return Sampler([(0.4, sessions), (0.6, sessions), (0.2, [])], FeatureConstants(), ticks=80, seed=0)


def test_the_emulated_estimator_errs_like_the_one_it_was_fitted_on(noise: LandmarkNoise) -> None:
    seen = clip(0)
    world, visibility, present = noise.emulate(np.random.default_rng(0), seen.seconds, seen.truth, seen.velocity, seen.activity)
    assert np.isfinite(world).all()
    assert np.abs(world - 0.8 * seen.truth).mean() < 0.06 < np.abs(seen.truth - 0.8 * seen.truth).mean()
    assert visibility.mean() == pytest.approx(0.9, abs=0.05)
    assert 0.7 < present.mean() < 1


def test_the_same_seed_gives_the_same_emulated_session(noise: LandmarkNoise, sessions: list[Session]) -> None:
    again = emulated(41, noise, SignalsConfig())
    np.testing.assert_array_equal(again.signals.world, sessions[0].signals.world)
    np.testing.assert_array_equal(again.signals.imu, sessions[0].signals.imu)


def test_every_exercise_is_met_equally_often(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "HALF_SHARE", 0.0)
    last = np.concatenate([sampler.batch(60).labels.exercise[:, -1] for _ in range(10)])
    shares = np.bincount(last, minlength=len(EXERCISES)) / len(last)
    assert np.abs(shares - 1 / len(EXERCISES)).max() < 0.06


def test_sets_are_met_equally_often_however_long_they_take(sessions: list[Session]) -> None:
    def session(spans: list[tuple[str, int]]) -> Session:
        exercise = np.concatenate([np.full(ticks, EXERCISES.index(name)) for name, ticks in spans])
        some = slice(0, len(exercise))
        return Session(
            Aligned(*(signal[some] for signal in sessions[0].signals)), sessions[0].labels.at(some)._replace(exercise=exercise)
        )

    quick, slow = session([("none", 90), ("squat", 320), ("none", 90)]), session([("none", 90), ("squat", 900)])
    brief = session([("none", 90), ("squat", 150), ("none", 90)])
    pool = _Pool([quick, slow, brief], 80, 300)
    rng = np.random.default_rng(0)
    drawn = [pool.draw(rng) for _ in range(3000)]
    squats = [found for found, end in drawn if found.labels.exercise[end - 1] == EXERCISES.index("squat")]
    shares = [np.mean([found is one for found in squats]) for one in (quick, slow, brief)]
    assert len(squats) / len(drawn) == pytest.approx(0.5, abs=0.04)
    np.testing.assert_allclose(shares, [0.4, 0.4, 0.2], atol=0.04)
    assert min(end for _, end in drawn) > 80
    assert all(end <= len(found) for found, end in drawn)


def test_losses_fall_and_the_attention_gets_no_gradient_from_the_angles(sampler: Sampler) -> None:
    torch.manual_seed(0)
    coach = Coach(SMALL)
    standardise(coach, sampler, 2)
    optimiser = torch.optim.Adam(coach.parameters(), lr=5e-3)
    totals = []
    for _ in range(25):
        batch = sampler.batch(4)
        heads = coach(torch.from_numpy(batch.skeleton), torch.from_numpy(batch.inertial), slice(40, None, 8))
        seen = torch.from_numpy(batch.skeleton[:, 40::8, 0, -1])
        parts = losses(heads, batch.labels.at((slice(None), slice(40, None, 8))), seen)
        total = torch.stack(list(parts.values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(total.item())
    assert np.mean(totals[-5:]) < 0.9 * np.mean(totals[:5])
    importance = heads.importance.detach().requires_grad_()
    leaf = heads._replace(angles=heads.angles.detach().requires_grad_(), importance=importance)
    losses(leaf, batch.labels.at((slice(None), slice(40, None, 8))), seen)["angle"].backward()
    assert importance.grad is None
    assert leaf.angles.grad is not None


def test_what_nobody_could_name_is_not_asked_for(sampler: Sampler) -> None:
    torch.manual_seed(0)
    batch = sampler.batch(2)
    coach = Coach().eval()
    skeleton, inertial = torch.from_numpy(batch.skeleton), torch.from_numpy(batch.inertial)
    clear = np.ones_like(batch.labels.clear)
    clear[:, 50:] = False
    with torch.no_grad():
        heads = coach(skeleton, inertial)
        some = losses(heads, batch.labels._replace(clear=clear), skeleton[:, :, 0, -1])
        first = losses(
            Heads(*(head[:, :50] for head in heads)), batch.labels.at((slice(None), slice(50))), skeleton[:, :50, 0, -1]
        )
        none = losses(heads, batch.labels._replace(clear=np.zeros_like(clear)), skeleton[:, :, 0, -1])
    for part in ("exercise", "stage"):
        assert some[part].item() == pytest.approx(first[part].item(), rel=1e-4)
        assert none[part].item() == 0


def test_scores_of_a_network_that_does_nothing_are_those_of_the_landmarks(sessions: list[Session]) -> None:
    scores = evaluate(Coach(SMALL), sessions[:1], FeatureConstants())
    assert scores.angle == pytest.approx(scores.angle_raw, abs=1e-6)
    assert 0 <= scores.exercise <= 1
    assert 0 <= scores.phase <= 0.5
    assert scores.deviation_gain == pytest.approx(1, abs=0.35)
    assert whole(sessions[0], FeatureConstants()).skeleton.shape == (1, len(sessions[0]), 33, 11)


def test_deviations_are_the_habits_and_only_within_repetitions() -> None:
    trainee = VirtualTrainee(7, plan_session(7, sets=["squat"]), deaf=True)
    done = trainee.sets[0]
    clean = {f"{side}_knee" for side in ("left", "right") if not any(habit.joint == "knee" for habit, *_ in done.habits)}
    times_ns = np.arange(done.start_ns - 3 * NS_PER_S, done.end_ns + 3 * NS_PER_S, NS_PER_S // 30)
    labels = _labels(trainee, times_ns)
    outside = (times_ns < done.start_ns) | (times_ns > done.end_ns)
    assert not labels.deviation[outside].any()
    for habit, side, size_rad, _ in done.habits:
        for name in ("left", "right") if side == "both" else (side,):
            assert (habit.sign * labels.deviation[:, JOINT[f"{name}_{habit.joint}"]]).max() > 0.8 * size_rad
    for name in clean:
        assert np.abs(labels.deviation[:, JOINT[name]]).max() < np.radians(10)


SHORT = Recipe(steps=6, batch=2, ticks=80, every=8, first=40, judge_every=2, threads=1)


class Interrupted(Exception):
    pass


def trained(sessions: list[Session], folder: Path | None, *, stop_at: int | None = None) -> Coach:
    torch.manual_seed(3)
    coach = Coach(SMALL)
    sampler = Sampler([(1.0, sessions)], FeatureConstants(), ticks=80, seed=0)
    steps = 0

    def judge(network: torch.nn.Module) -> float:
        nonlocal steps
        steps += SHORT.judge_every
        if stop_at is not None and steps > stop_at:
            raise Interrupted
        return badness(network, sessions[:1], FeatureConstants(), every=60)

    train(coach, sampler, SHORT, judge=judge, checkpoint=Checkpoint(folder, "same") if folder else None)
    return coach


def test_an_interrupted_training_goes_on_as_if_nothing_had_been_between(sessions: list[Session], tmp_path: Path) -> None:
    whole_run = trained(sessions, None)
    with pytest.raises(Interrupted):
        trained(sessions, tmp_path, stop_at=4)
    assert (tmp_path / STATE).is_file()
    resumed = trained(sessions, tmp_path)
    for a, b in zip(whole_run.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    over = trained(sessions, tmp_path, stop_at=0)
    for a, b in zip(resumed.parameters(), over.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    with (tmp_path / CURVES).open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["2", "4", "6"]


def test_what_was_saved_under_another_recipe_is_not_taken_up(tmp_path: Path) -> None:
    Checkpoint(tmp_path, "one").save({"step": 4})
    assert Checkpoint(tmp_path, "one").load() == {"step": 4}
    assert Checkpoint(tmp_path, "another").load() is None


def test_a_damaged_state_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(b"half")
    with pytest.raises(TrainingError, match="Delete it to begin anew"):
        Checkpoint(tmp_path, "one").load()


def test_a_disk_that_is_full_costs_nothing_that_was_saved(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path, "one")
    kept.save({"step": 2})
    (tmp_path / f".{STATE}.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match="Make room or name another folder with --log"):
        kept.save({"step": 4})
    assert kept.load() == {"step": 2}


def test_training_stops_early_and_keeps_the_best(sessions: list[Session]) -> None:
    coach = Coach(SMALL)
    seen: list[dict[str, torch.Tensor]] = []
    steps: list[int] = []

    def judge(network: torch.nn.Module) -> float:
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return float(len(seen))

    recipe = Recipe(steps=200, batch=2, ticks=80, every=8, first=40, judge_every=2, patience=3, threads=1)
    sampler = Sampler([(1.0, sessions)], FeatureConstants(), ticks=80, seed=0)
    train(coach, sampler, recipe, lambda progress: steps.append(progress.steps), judge=judge)
    assert len(seen) == 4
    assert max(steps, default=0) < 200
    for name, value in coach.state_dict().items():
        torch.testing.assert_close(value, seen[0][name])
