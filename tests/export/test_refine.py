"""The second look at the angles: it learns what single ticks show, and how far it is to be believed on people it doesn't know."""

import copy
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from zoo_material import made_poses  # noqa: E402

from device.config import SignalsConfig  # noqa: E402
from device.runtime.features import FeatureConstants  # noqa: E402
from device.sim.trainee import VirtualTrainee  # noqa: E402
from export.clips import clip_plan  # noqa: E402
from export.dataset import Session, _session, in_repetition, whole  # noqa: E402
from export.model import Coach, Heads, Refiner, Shape  # noqa: E402
from export.refine import RefineRecipe, refine  # noqa: E402
from export.responses import MIN_WINDOWS, fitted_responses  # noqa: E402

SMALL = Shape(channels=8, heads=2, action=8, posture=8, refiner=(64, 48), doubt=16)
QUICK = RefineRecipe(steps=500, fold_steps=300, doubt_steps=300, batch=256, stride=4, folds=2)
FLATTENED = np.array([1, 1, 0.6], np.float32)
"""What an estimator does to depth."""


def flattened(seed: int) -> tuple[int, Session]:
    """A clip whose landmarks are too flat, so that every limb that points at the camera seems to be bent otherwise than it is."""
    trainee = VirtualTrainee(seed, clip_plan(seed), deaf=True)
    poses = made_poses(seed, trainee)
    return seed, _session(seed, trainee, poses._replace(world=poses.world * FLATTENED), SignalsConfig())


@pytest.fixture(scope="module")
def coach() -> Coach:
    torch.manual_seed(0)
    coach = Coach(SMALL)
    told: list[float] = []
    refine(coach, [flattened(2_000_000 + 5 * i) for i in range(6)], FeatureConstants(), QUICK, told.append)
    assert told == sorted(told)
    assert told[-1] > 0.9
    return coach


@torch.no_grad()
def said(coach: Coach, session: Session) -> Heads:
    batch = whole(session, FeatureConstants())
    return coach(torch.from_numpy(batch.skeleton), torch.from_numpy(batch.inertial))


def test_a_stranger_is_seen_better_than_by_the_graph_alone_and_the_uncertainty_is_that_of_strangers(coach: Coach) -> None:
    _, session = flattened(3_000_000)
    counted = in_repetition(session.labels)
    truth = torch.from_numpy(session.labels.angles)
    heads = said(coach, session)
    graph = copy.deepcopy(coach)
    graph.refiner = None
    before = (said(graph, session).angles[0] - truth)[counted]
    error = (heads.angles[0] - truth)[counted]
    assert error.square().mean().sqrt() < 0.6 * before.square().mean().sqrt()
    sigma = heads.log_sigma[0, counted].exp()
    assert (error.abs() < 2 * sigma).float().mean() > 0.85
    assert np.corrcoef(sigma.mean(0), error.abs().mean(0))[0, 1] > 0.4


def test_a_response_is_the_line_through_the_windows_and_hardly_any_windows_make_none() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 0.4, 400)
    shown = 0.05 + 0.8 * true + 1.5 * 0.02 * rng.normal(size=400)
    windows = [("squat", "shallow", (t, s, 0.02)) for t, s in zip(true, shown, strict=True)]
    responses = fitted_responses([*windows, *(("lunge", "short_lunge", (0.1, 0.1, 0.02)) for _ in range(MIN_WINDOWS - 1))])
    assert responses == {"squat": {"shallow": pytest.approx((0.05, 0.8, 1.5), abs=0.1)}}


@torch.no_grad()
def test_without_a_pose_the_graph_has_the_say(coach: Coach) -> None:
    skeleton, inertial, shown = torch.zeros(3, 33, 11), torch.randn(3, 4, 8), torch.zeros(3, 12)
    heads = Heads(*(torch.randn(3, n) for n in (6, 4, 2, 12, 12, 33)))
    for given, kept in zip(heads, coach.refiner(skeleton, inertial, shown, heads), strict=True):
        torch.testing.assert_close(given, kept)


def test_the_same_seed_fits_the_same_refiner(coach: Coach) -> None:
    quick = dataclasses.replace(QUICK, steps=20, fold_steps=5, doubt_steps=5)
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        again = Coach(SMALL)
        refine(again, [flattened(2_000_000), flattened(2_000_001)], FeatureConstants(), quick)
        found.append(again.refiner.state_dict())
    assert all(torch.equal(found[0][name], weight) for name, weight in found[1].items())
    assert coach.refiner.first.weight.shape == (64, Refiner(SMALL).centre.shape[0])
