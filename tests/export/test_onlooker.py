"""The onlooker: what it reads of a body, what it says step by step, and what it learns from."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from device.config import SignalsConfig  # noqa: E402
from device.messages import EXERCISES  # noqa: E402
from device.runtime.features import FeatureConstants  # noqa: E402
from export import dataset  # noqa: E402
from export.blind import Said  # noqa: E402
from export.dataset import Sampler, Session, emulated  # noqa: E402
from export.landmark_noise import LandmarkNoise, Residuals, _Mean  # noqa: E402
from export.model import Coach, Heads, Shape, seconded  # noqa: E402
from export.onlooker import LOOKED_AT, SHARE, Onlooker, OnlookerShape  # noqa: E402
from export.seeds import EVERYDAY, FREE  # noqa: E402
from export.train import Recipe, badness, onlooker_loss  # noqa: E402
from export.train_onlooker import Watched, train_onlooker  # noqa: E402

SMALL = OnlookerShape(looked=16, channels=8)


def estimator() -> LandmarkNoise:
    """One that has its own idea of what it sees, and no noise."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    own = _Mean(rng.normal(size=(50, 33, 6)), np.ones((50, 33, 4)))
    seconds = np.arange(60) / 15
    still = Residuals(seconds, np.zeros((60, 33, 4)), np.ones(60, bool), np.zeros(60, np.int64))
    return LandmarkNoise(own.eval(), [still])


@pytest.fixture(scope="module")
def sessions() -> list[Session]:
    return [emulated(seed, estimator(), SignalsConfig()) for seed in (FREE[0], EVERYDAY[0])]


def skeleton(ticks: int) -> torch.Tensor:
    torch.manual_seed(2)
    seen = torch.randn(1, ticks, 33, 11)
    seen[..., -1] = 1
    return seen


@torch.no_grad()
def test_what_is_said_depends_on_the_last_127_ticks_and_no_more() -> None:
    onlooker = Onlooker(SMALL).eval()
    assert SMALL.receptive_field == 127
    seen = skeleton(128)
    now = onlooker(seen, slice(-1, None)).exercise
    for tick, matters in ((0, False), (1, True)):
        other = seen.clone()
        other[:, tick] += 5
        assert torch.equal(onlooker(other, slice(-1, None)).exercise, now) is not matters


@torch.no_grad()
def test_some_ticks_are_the_same_ticks_of_all() -> None:
    onlooker = Onlooker(SMALL).eval()
    seen = skeleton(60)
    for part, whole in zip(onlooker(seen, slice(10, None, 4)), onlooker(seen), strict=True):
        torch.testing.assert_close(part, whole[:, 10::4])


@torch.no_grad()
def test_what_is_read_of_a_body_stays_when_it_turns_about_the_vertical_and_not_when_it_leans() -> None:
    onlooker = Onlooker(SMALL).eval()
    seen = skeleton(4)[0]

    def read(turned: torch.Tensor) -> torch.Tensor:
        shown, _ = onlooker.geometry(turned)
        return onlooker.look(turned, shown)

    def turned(about: int, degrees: float) -> torch.Tensor:
        c, s = float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))
        others = [i for i in range(3) if i != about]
        matrix = torch.eye(3)
        matrix[others[0], others] = torch.tensor([c, -s])
        matrix[others[1], others] = torch.tensor([s, c])
        other = seen.clone()
        other[..., :3] = seen[..., :3] @ matrix.T
        return other

    before = read(seen)
    assert before.shape == (4, LOOKED_AT)
    torch.testing.assert_close(read(turned(1, 70.0)), before, atol=2e-4, rtol=1e-3)
    assert not torch.allclose(read(turned(0, 30.0)), before, atol=0.1)


@torch.no_grad()
def test_of_nobody_nothing_is_read() -> None:
    onlooker = Onlooker(SMALL).eval()
    nobody = torch.zeros(3, 33, 11)
    shown, _ = onlooker.geometry(nobody)
    assert not onlooker.look(nobody, shown).any()


def test_it_is_weighed_in_the_less_the_more_bands_are_worn_and_only_the_exercise_is() -> None:
    heads = Heads(*(torch.randn(1, 3, n) for n in (6, 4, 2, 12, 12, 33)))
    seen = Said(*(torch.randn(1, 3, n) for n in (6, 4, 2)))
    felt = torch.zeros(1, 3, 4, 8)
    felt[:, 1, 2, -1] = felt[:, 2, :, -1] = 1
    both = seconded(heads, seen, felt)
    share = SHARE * torch.tensor([1.0, 1 - 1 / 64, 0.0])[:, None]
    torch.testing.assert_close(both.exercise, (1 - share) * heads.exercise + share * seen.exercise)
    assert both.stage is heads.stage
    assert both.phase is heads.phase
    assert both.angles is heads.angles
    assert both.log_sigma is heads.log_sigma


@torch.no_grad()
def test_a_coach_without_it_says_what_the_graph_says() -> None:
    coach = Coach(Shape(channels=8, heads=2, action=8, posture=8)).eval()
    seen, felt = skeleton(20), torch.zeros(1, 20, 4, 8)
    alone = coach(seen, felt)
    coach.onlooker = Onlooker(SMALL).eval()
    both = coach(seen, felt)
    torch.testing.assert_close(both.exercise, seconded(alone, coach.onlooker(seen), felt).exercise)
    torch.testing.assert_close(both.angles, alone.angles)


def test_free_sessions_are_watched_and_those_of_everyday_life_have_nothing_of_ours(sessions: list[Session]) -> None:
    assert all(session.signals.pose_present.mean() > 0.99 for session in sessions)
    ours, others = (set(session.labels.exercise.tolist()) for session in sessions)
    assert ours == set(range(len(EXERCISES)))
    assert others == {EXERCISES.index("none")}


def recipe(**changes: int) -> Recipe:
    return Recipe(**{"steps": 30, "batch": 4, "ticks": 100, "judge_every": 10, "threads": 1, **changes})


def test_it_learns_and_the_same_seed_gives_the_same_network(sessions: list[Session]) -> None:
    watched = Watched(sessions, sessions, sessions[1:], [], [], sessions[:1])
    first, again = (train_onlooker(watched, FeatureConstants(), recipe()) for _ in range(2))
    for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    torch.manual_seed(1)
    untrained = Onlooker().eval()
    untrained.scale.copy_(first.scale)
    bad, better = (badness(one, sessions, FeatureConstants(), loss=onlooker_loss) for one in (untrained, first))
    assert better < 0.9 * bad


def test_legs_are_cut_off_where_they_do_not_matter_only(sessions: list[Session]) -> None:
    sampler = Sampler([(1.0, sessions)], FeatureConstants(), ticks=60, seed=0, cut_off_share=1.0)
    batch = sampler.batch(120)
    here = batch.skeleton[:, 0, 0, -1] > 0
    knees = batch.skeleton[here][..., [25, 26], 9].max(axis=(1, 2))
    names = [{EXERCISES[i] for i in np.unique(row)} for row in batch.labels.exercise[here]]
    free = np.array([of <= {"bicep_curl", "none"} for of in names])
    assert 10 < free.sum() < len(free) - 10
    assert knees[free].max() < 0.45
    assert np.median(knees[~free]) > 0.6


def test_who_loses_no_legs_is_drawn_as_if_nobody_did(sessions: list[Session], monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> np.ndarray:
        return Sampler([(1.0, sessions)], FeatureConstants(), ticks=60, seed=0).batch(20).skeleton

    before = drawn()
    monkeypatch.setattr(dataset, "WITHOUT_LEGS", set())
    np.testing.assert_array_equal(drawn(), before)


def test_how_much_of_the_estimators_own_is_shown_is_drawn_for_free_people() -> None:
    seconds = np.arange(60) / 15
    truth = np.random.default_rng(1).normal(size=(60, 33, 3))
    shown, one = {}, estimator()
    for share in (0.0, 0.5, 1.0):
        rng = np.random.default_rng(3)
        shown[share], _, _ = one.emulate(rng, seconds, truth, np.zeros_like(truth), np.zeros(60, np.int64), share)
    np.testing.assert_allclose(shown[0.0], truth, atol=1e-6)
    np.testing.assert_allclose(shown[0.5], (shown[0.0] + shown[1.0]) / 2, atol=1e-5)
    assert np.abs(shown[1.0] - truth).max() > 0.5
