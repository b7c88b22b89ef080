"""The network of the bands: what it says of people whom nobody sees, step by step and in training."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from device.config import SignalsConfig  # noqa: E402
from device.errors import TrainingError  # noqa: E402
from device.messages import EXERCISES  # noqa: E402
from device.runtime.features import FeatureConstants  # noqa: E402
from export.augment import augmented_blind  # noqa: E402
from export.blind import Blind, BlindShape, Said  # noqa: E402
from export.checkpoint import STATE, Checkpoint  # noqa: E402
from export.dataset import Sampler, Session, emulated  # noqa: E402
from export.model import Coach, Heads, Shape, heard  # noqa: E402
from export.seeds import LIVELY, LIVELY_OTHERS  # noqa: E402
from export.train import Recipe, badness, blind_loss  # noqa: E402
from export.train_blind import Felt, train_blind  # noqa: E402

SMALL = BlindShape(channels=8, action=12)


@pytest.fixture(scope="module")
def sessions() -> list[Session]:
    return [emulated(seed, None, SignalsConfig()) for seed in (LIVELY[0], LIVELY_OTHERS[0])]


def bands(ticks: int) -> torch.Tensor:
    torch.manual_seed(2)
    inertial = torch.randn(1, ticks, 4, 8)
    inertial[..., -1] = 1
    return inertial


@torch.no_grad()
def test_what_is_said_depends_on_the_last_207_ticks_and_no_more() -> None:
    blind = Blind(SMALL).eval()
    assert SMALL.receptive_field == 207
    inertial = bands(208)
    now = blind(inertial, slice(-1, None)).exercise
    for tick, matters in ((0, False), (1, True)):
        other = inertial.clone()
        other[:, tick] += 5
        assert torch.equal(blind(other, slice(-1, None)).exercise, now) is not matters


@torch.no_grad()
def test_some_ticks_are_the_same_ticks_of_all() -> None:
    blind = Blind(SMALL).eval()
    inertial = bands(60)
    for part, whole in zip(blind(inertial, slice(10, None, 4)), blind(inertial), strict=True):
        torch.testing.assert_close(part, whole[:, 10::4])


def heads(ticks: int) -> Heads:
    return Heads(*(torch.randn(1, ticks, n) for n in (6, 4, 2, 12, 12, 33)))


def test_it_is_heard_where_bands_are_there_and_a_pose_is_not_and_of_angles_it_says_nothing() -> None:
    seen, felt = heads(4), Said(*(torch.randn(1, 4, n) for n in (6, 4, 2)))
    skeleton, inertial = torch.zeros(1, 4, 33, 11), torch.zeros(1, 4, 4, 8)
    skeleton[:, [0, 1], :, -1] = 1
    inertial[:, [0, 2], 3, -1] = 1
    both = heard(seen, felt, skeleton, inertial)
    for name, of_bands in felt._asdict().items():
        of_graph = getattr(seen, name)
        torch.testing.assert_close(getattr(both, name)[:, [0, 1, 3]], of_graph[:, [0, 1, 3]])
        torch.testing.assert_close(getattr(both, name)[:, 2], of_bands[:, 2])
    assert both.angles is seen.angles
    assert both.log_sigma is seen.log_sigma


@torch.no_grad()
def test_a_coach_without_it_says_what_the_graph_says() -> None:
    coach = Coach(Shape(channels=8, heads=2, action=8, posture=8)).eval()
    skeleton, inertial = torch.zeros(1, 20, 33, 11), bands(20)
    alone = coach(skeleton, inertial)
    coach.blind = Blind(SMALL).eval()
    both = coach(skeleton, inertial)
    assert not torch.equal(both.exercise, alone.exercise)
    torch.testing.assert_close(both.exercise, coach.blind(inertial).exercise)
    torch.testing.assert_close(both.angles, alone.angles)


def test_lively_sessions_are_seen_by_nobody_and_those_of_others_have_nothing_of_ours(sessions: list[Session]) -> None:
    for session in sessions:
        assert not session.signals.pose_present.any()
        assert session.signals.imu_present.any(axis=0).all()
    ours, others = (set(session.labels.exercise.tolist()) for session in sessions)
    assert ours == set(range(len(EXERCISES)))
    assert others == {EXERCISES.index("none")}


def recipe(**changes: int) -> Recipe:
    return Recipe(**{"steps": 30, "batch": 4, "ticks": 100, "judge_every": 10, "threads": 1, **changes})


def learning(sessions: list[Session]) -> Felt:
    return Felt(sessions, sessions, sessions[1:], [], [], sessions[:1])


def test_it_learns_and_the_same_seed_gives_the_same_network(sessions: list[Session]) -> None:
    first, again = (train_blind(learning(sessions), FeatureConstants(), recipe()) for _ in range(2))
    for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    torch.manual_seed(1)
    untrained = Blind().eval()
    bad, better = (badness(one, sessions, FeatureConstants(), loss=blind_loss) for one in (untrained, first))
    assert better < 0.9 * bad


def test_an_interrupted_training_goes_on_as_if_nothing_had_been(sessions: list[Session], tmp_path: Path) -> None:
    whole = train_blind(learning(sessions), FeatureConstants(), recipe(steps=20))

    class Stopped(Exception):
        pass

    def stop(progress: object) -> None:
        if getattr(progress, "steps", 0) > 10:
            raise Stopped

    checkpoint = Checkpoint(tmp_path, "one")
    with pytest.raises(Stopped):
        train_blind(learning(sessions), FeatureConstants(), recipe(steps=20), stop, checkpoint=checkpoint)
    resumed = train_blind(learning(sessions), FeatureConstants(), recipe(steps=20), checkpoint=Checkpoint(tmp_path, "one"))
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)
    (tmp_path / STATE).write_bytes(b"torn")
    with pytest.raises(TrainingError, match="no saved training"):
        train_blind(learning(sessions), FeatureConstants(), recipe(), checkpoint=Checkpoint(tmp_path, "one"))


def test_every_set_of_bands_is_met(sessions: list[Session]) -> None:
    sampler = Sampler([(1.0, sessions)], FeatureConstants(), ticks=60, seed=0, befall=augmented_blind)
    batch = sampler.batch(500)
    assert not batch.skeleton[..., -1].any()
    worn = batch.inertial[:, -1, :, -1] > 0
    assert {tuple(row) for row in worn.tolist()} == {tuple(bool(n >> i & 1) for i in range(4)) for n in range(16)}
    one_of_each = (worn[:, :2].sum(axis=1) == 1) & (worn[:, 2:].sum(axis=1) == 1)
    assert 0.4 < one_of_each.mean() < 0.75
    assert np.isfinite(batch.inertial).all()
