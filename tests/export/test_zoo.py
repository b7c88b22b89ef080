from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export extra is not installed")

from zoo_material import made_session  # noqa: E402

from device.config import SignalsConfig  # noqa: E402
from device.errors import DatasetError, StoreError  # noqa: E402
from device.messages import EXERCISES  # noqa: E402
from device.runtime.features import FeatureConstants  # noqa: E402
from device.sim.bands import GRAVITY, perfect_sensors, true_imu  # noqa: E402
from device.sim.script import plan_session  # noqa: E402
from device.sim.trainee import VirtualTrainee  # noqa: E402
from export.dataset import Sampler, Session, whole  # noqa: E402
from export.kept import Kept  # noqa: E402
from export.model import Coach, Shape  # noqa: E402
from export.simulation.upper_bands import UpperWearer, with_upper_bands  # noqa: E402
from export.train import Progress, Recipe, losses  # noqa: E402
from export.zoo.catalogue import MODELS, untrained  # noqa: E402
from export.zoo.dense_imu import UPPER_NODES  # noqa: E402
from export.zoo.segmented_clips import CLIP, SegmentedClips  # noqa: E402
from export.zoo.stepping import TorchStep  # noqa: E402
from export.zoo.tcn_gat import DILATIONS  # noqa: E402
from export.zoo.training import BLIND, Job, Paired, Worn, recipe_of, restored, trained, worn  # noqa: E402

FEW = Recipe(steps=3, batch=2, ticks=40, every=8, threads=1)
SHORT = plan_session(51, sets=["squat"], reps=3, brief=True)


@pytest.fixture(scope="module")
def session() -> Session:
    return made_session(51, SHORT)


@pytest.fixture(scope="module")
def upper(session: Session) -> Session:
    return with_upper_bands(51, VirtualTrainee(51, SHORT, deaf=True), session, SignalsConfig())


def sampler(session: Session, seed: int = 0) -> Sampler:
    return Sampler([(1.0, [session])], FeatureConstants(), ticks=FEW.ticks, seed=seed)


def features(units: int, ticks: int = 70) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    skeleton, inertial = torch.randn(2, ticks, 33, 11) * 0.3, torch.randn(2, ticks, units, 8) * 0.3
    skeleton[..., -1] = inertial[..., -1] = 1
    return skeleton, inertial


@pytest.mark.parametrize("model", MODELS)
def test_every_network_has_the_call_signature_and_the_heads_of_the_coach(model: str) -> None:
    skeleton, inertial = features(8 if model == "dense_imu" else 4)
    heads = untrained(model).eval()(skeleton, inertial, slice(3, None, 5))
    shapes = {name: tuple(head.shape) for name, head in heads._asdict().items()}
    expected = {"exercise": 6, "stage": 4, "phase": 2, "angles": 12, "log_sigma": 12, "importance": 33}
    assert shapes == {name: (2, 14, width) for name, width in expected.items()}
    assert all(torch.isfinite(head).all() for head in heads)
    assert torch.allclose(heads.importance.sum(-1), torch.ones(2, 14), atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_every_network_learns(model: str, session: Session, upper: Session) -> None:
    batches = Paired(sampler(session), sampler(upper)) if model == "dense_imu" else sampler(session)
    batch = batches.batch(2)
    torch.manual_seed(0)
    network = untrained(model)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    totals = []
    for _ in range(6):
        heads = network(torch.from_numpy(batch.skeleton), torch.from_numpy(batch.inertial), slice(20, None, 8))
        labels, seen = batch.labels.at((slice(None), slice(20, None, 8))), torch.from_numpy(batch.skeleton[:, 20::8, 0, -1])
        total = torch.stack(list(losses(heads, labels, seen).values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(total.item())
    assert totals[-1] < 0.95 * totals[0]


@pytest.mark.parametrize("window", DILATIONS)
def test_an_answer_depends_on_as_many_ticks_as_the_window_says(window: int) -> None:
    assert Shape(dilations=DILATIONS[window]).receptive_field == window - 1


def test_windows_of_all_lengths_have_the_same_number_of_weights() -> None:
    assert len({sum(p.numel() for p in untrained("tcn_gat", window).parameters()) for window in DILATIONS}) == 1


@pytest.mark.parametrize("model", ["tcn_only", "tcn_lstm", "tcn_gat", "shown_angles"])
def test_stepped_tick_by_tick_a_network_says_what_it_says_of_the_whole(model: str, session: Session) -> None:
    batch = whole(session, FeatureConstants())
    torch.manual_seed(3)
    network = untrained(model).eval()
    assert isinstance(network, Coach)
    with torch.no_grad():
        heads = network(torch.from_numpy(batch.skeleton[:, :70]), torch.from_numpy(batch.inertial[:, :70]))
    stepper = TorchStep(network, FeatureConstants())
    for _ in range(2):
        stepper.reset()
        for t in range(70):
            estimate = stepper.step(batch.skeleton[0, t], batch.inertial[0, t], t, t)
    np.testing.assert_allclose(estimate.angles, heads.angles[0, -1].numpy(), atol=1e-4)
    np.testing.assert_allclose(estimate.exercise, torch.softmax(heads.exercise[0, -1], -1).numpy(), atol=1e-4)


def test_without_angle_refinement_the_angles_are_those_of_the_landmarks() -> None:
    skeleton, inertial = features(4)
    network = untrained("shown_angles").eval()
    shown, _ = network.geometry(skeleton)
    assert torch.equal(network(skeleton, inertial).angles, shown)


@pytest.mark.parametrize(
    ("model", "blind_to"), [("imu_cnn_lstm", 0), ("keypoints_2d", 1), ("segmented_clips", 1), ("pose_embedding", 1)]
)
def test_a_method_of_one_modality_is_blind_to_the_other(model: str, blind_to: int) -> None:
    seen = features(4)
    other = list(seen)
    other[blind_to] = other[blind_to] * 2
    network = untrained(model).eval()
    assert all(torch.equal(a, b) for a, b in zip(network(*seen), network(*other), strict=True))


def test_keypoints_in_the_picture_know_no_depth() -> None:
    skeleton, inertial = features(4)
    deeper = skeleton.clone()
    deeper[..., [2, 5, 8]] += 1
    network = untrained("keypoints_2d").eval()
    assert torch.equal(network(skeleton, inertial).exercise, network(deeper, inertial).exercise)


def test_a_segmented_clip_has_one_class_and_looks_at_its_own_future() -> None:
    skeleton, inertial = features(4, CLIP + 10)
    network = SegmentedClips().eval()
    exercise = network(skeleton, inertial).exercise
    assert torch.allclose(exercise[:, :CLIP], exercise[:, :1].expand(-1, CLIP, -1), atol=1e-6)
    later = skeleton.clone()
    later[:, CLIP - 1, :, 0] += 2
    assert not torch.allclose(network(later, inertial).exercise[:, 0], exercise[:, 0])


def test_what_is_not_worn_is_absent_in_training(session: Session) -> None:
    batch = Worn(sampler(session), "wrists").batch(6)
    assert not batch.inertial[:, :, 2:].any()
    assert batch.inertial[:, :, :2].any()
    assert not worn(sampler(session).batch(4), BLIND).skeleton.any()
    assert not worn(sampler(session).batch(4), "none").inertial.any()


def test_a_unit_on_an_upper_arm_at_rest_feels_gravity_along_it() -> None:
    trainee = VirtualTrainee(5, deaf=True)
    times = np.arange(200_000_000, 400_000_000, 10_000_000)
    felt = true_imu(UpperWearer(trainee), times, 1, perfect_sensors())
    # Standing: upper arms and thighs hang down, so what holds them up points against their x.
    assert felt[..., 0].mean(axis=0) == pytest.approx([-GRAVITY] * 4, abs=1.5)
    _, axes = UpperWearer(trainee).segments(times)
    np.testing.assert_allclose(np.linalg.det(axes), 1, atol=1e-6)
    np.testing.assert_allclose(axes @ np.swapaxes(axes, -1, -2), np.broadcast_to(np.eye(3), axes.shape), atol=1e-6)


def test_more_units_are_not_given_to_somebody_else(session: Session) -> None:
    with pytest.raises(DatasetError, match="another trainee"):
        with_upper_bands(52, VirtualTrainee(52, deaf=True), session, SignalsConfig())


def test_eight_units_reach_the_nodes_that_carry_them() -> None:
    network = untrained("dense_imu")
    assert network.fusion.scatter.shape == (33, 8)
    assert tuple(network.fusion.scatter[:, 4:].argmax(0).tolist()) == UPPER_NODES


def test_a_training_is_done_once_and_found_again(session: Session, tmp_path: Path) -> None:
    job, kept = Job("tcn_only", seed=2), Kept(tmp_path)
    steps: list[Progress] = []
    first = trained(job, kept, lambda: sampler(session), recipe_of(job, FEW), steps.append)
    assert steps[-1].steps == FEW.steps
    again = trained(job, kept, lambda: pytest.fail("trained again"), recipe_of(job, FEW))
    batch = whole(session, FeatureConstants())
    seen = torch.from_numpy(batch.skeleton[:, :20]), torch.from_numpy(batch.inertial[:, :20])
    assert torch.equal(first(*seen).exercise, again(*seen).exercise)
    assert [file.name for file in tmp_path.iterdir()] == [f"{job.key}.pt"]


@pytest.mark.parametrize("sensors", ["none", BLIND])
def test_a_network_that_never_has_one_modality_learns_from_the_other(sensors: str, session: Session, tmp_path: Path) -> None:
    job = Job("tcn_gat", sensors=sensors)
    network = trained(job, Kept(tmp_path), lambda: sampler(session), recipe_of(job, FEW))
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", b"PK\x03\x04 half of one"])
def test_a_damaged_checkpoint_is_an_error_that_names_it(damage: bytes, tmp_path: Path) -> None:
    job = Job("tcn_only")
    (tmp_path / f"{job.key}.pt").write_bytes(damage)
    with pytest.raises(StoreError, match=r"tcn_only-both-w64-s1\.pt.*Delete it"):
        restored(job, Kept(tmp_path))


def test_jobs_that_differ_have_files_that_differ() -> None:
    jobs = [Job("tcn_gat"), Job("tcn_gat", 2), Job("tcn_gat", sensors="none"), Job("tcn_gat", window=32), Job("tcn_only")]
    assert len({job.key for job in jobs}) == len({job.title for job in jobs}) == len(jobs)


def test_the_classes_are_in_the_order_of_the_model() -> None:
    network = untrained("tcn_only")
    assert isinstance(network, Coach)
    assert TorchStep(network, FeatureConstants()).classes == EXERCISES
