import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from device.skeleton import BAND_NODES, joint_angles  # noqa: E402
from export.blind import Blind, BlindShape  # noqa: E402
from export.model import Coach, CoachStep, CoachWindow, Shape  # noqa: E402
from export.onlooker import Onlooker, OnlookerShape  # noqa: E402

SMALL, BLIND = Shape(channels=8, heads=2, action=8, posture=8), BlindShape(channels=8, action=12, memory=(20, 30))
ONLOOKER = OnlookerShape(looked=16, channels=8)


@pytest.fixture
def coach() -> Coach:
    torch.manual_seed(0)
    return Coach(SMALL).eval()


def signals(ticks: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    skeleton, inertial = torch.randn(1, ticks, 33, 11), torch.randn(1, ticks, 4, 8)
    skeleton[..., -1] = inertial[..., -1] = 1
    return skeleton, inertial


@torch.no_grad()
def test_the_step_says_what_the_window_says_from_the_first_tick_on(coach: Coach) -> None:
    skeleton, inertial = signals(80)
    skeleton[:, 30:60, :, -1] = 0
    coach.onlooker, coach.blind = Onlooker(ONLOOKER).eval(), Blind(BLIND).eval()
    whole = coach(skeleton, inertial)
    step = CoachStep(coach, coach.onlooker, coach.blind)
    pasts = [(SMALL.dilations, (33, 8)), (ONLOOKER.dilations, (8,)), (BLIND.dilations, (4, 8)), (BLIND.memory, (12,))]
    read = [torch.zeros(80, len(dilations), *shape) for dilations, shape in pasts]
    for t in range(80):
        taps = [
            torch.stack([of[t - ago, i] if t >= ago else torch.zeros(shape) for i, d in enumerate(ds) for ago in (2 * d, d)])
            for of, (ds, shape) in zip(read, pasts, strict=True)
        ]
        *heads, nodes, sight, bands, memory = step(skeleton[:, t], inertial[:, t], *taps)
        for of, now in zip(read, (nodes, sight, bands, memory), strict=True):
            of[t] = now.reshape(of[t].shape)
        for head, expected in zip(heads, whole, strict=True):
            torch.testing.assert_close(head, expected[:, t], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_an_output_depends_on_63_ticks_and_no_more(coach: Coach) -> None:
    assert SMALL.receptive_field == 63
    window = CoachWindow(coach)
    skeleton, inertial = signals(64)
    now = window(skeleton, inertial)[0]
    outside, inside = skeleton.clone(), skeleton.clone()
    outside[:, 0] += 5
    inside[:, 1] += 5
    torch.testing.assert_close(window(outside, inertial)[0], now, atol=0, rtol=0)
    assert not torch.equal(window(inside, inertial)[0], now)


def test_the_angles_shown_are_the_skeletons_own() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 33, 3))
    skeleton = torch.zeros(200, 33, 11)
    skeleton[..., :3] = torch.from_numpy(points)
    skeleton[:100, :, -1] = 1
    shown, _ = Coach(SMALL).geometry(skeleton)
    expected = joint_angles(points)
    expected = np.where(expected > 1.5 * np.pi, expected - 2 * np.pi, expected)
    np.testing.assert_allclose(shown[:100].numpy(), expected[:100], atol=2e-3)
    assert not shown[100:].any()


@torch.no_grad()
def test_without_bands_the_fusion_is_the_skeleton_alone(coach: Coach) -> None:
    skeleton, inertial = signals(3)
    _shown, at_nodes = coach.geometry(skeleton)
    absent = torch.zeros_like(inertial)
    fused = coach.fusion(skeleton, absent, at_nodes)
    alone = coach.fusion.position(torch.cat((skeleton, at_nodes), -1)) + coach.fusion.node
    torch.testing.assert_close(fused, alone)
    changed = (coach.fusion(skeleton, inertial, at_nodes) - fused).abs().sum((0, 1, 3)) > 0
    assert changed.nonzero().flatten().tolist() == list(BAND_NODES)


@torch.no_grad()
def test_importance_is_a_distribution_over_the_nodes(coach: Coach) -> None:
    importance = coach(*signals(5)).importance
    assert importance.shape == (1, 5, 33)
    assert (importance >= 0).all()
    torch.testing.assert_close(importance.sum(-1), torch.ones(1, 5))


@torch.no_grad()
def test_attention_reaches_only_neighbours(coach: Coach) -> None:
    x = torch.randn(1, 33, SMALL.channels)
    _, alpha = coach.reasoner.first(x)
    assert alpha[0, 0, 28] == 0
    assert alpha[0, 13, 15] > 0


@torch.no_grad()
def test_an_untrained_network_gives_back_the_angles_shown(coach: Coach) -> None:
    skeleton, inertial = signals(4)
    shown, _ = coach.geometry(skeleton)
    torch.testing.assert_close(coach(skeleton, inertial).angles, shown)
