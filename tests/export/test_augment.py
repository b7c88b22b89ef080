import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")

from device.runtime.align import Aligned
from device.sim.bands import perfect_sensors, true_imu
from device.sim.trainee import VirtualTrainee
from device.skeleton import JOINTS, MIRRORED_NODES, N_BANDS, joint_angles
from export import augment
from export.augment import (
    ARMS,
    LEG_JOINTS,
    LEGS,
    MIRRORED_BANDS,
    _misjudge_depth,
    _other_build,
    _other_limbs,
    _sway,
    _turn_straps,
    augmented,
    augmented_sight,
    cut_off,
    mirrored,
    spoiled,
)

TIMES = np.arange(5_000_000_000, 20_000_000_000, 10_000_000, dtype=np.int64)


class Mirrored:
    """A trainee in a mirror that stands along the world's x axis."""

    def __init__(self, trainee: VirtualTrainee) -> None:
        self._trainee = trainee
        self.start_ns, self.duration_ns = trainee.start_ns, trainee.duration_ns

    def segments(self, times_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        positions, rotations = self._trainee.segments(times_ns)
        mirror = np.diag([1.0, -1.0, 1.0])
        return positions[:, MIRRORED_BANDS] @ mirror, mirror @ rotations[:, MIRRORED_BANDS] @ mirror


def stretch(ticks: int = 90) -> Aligned:
    rng = np.random.default_rng(0)
    world = rng.normal(size=(ticks, 33, 3)).astype(np.float32)
    imu = rng.normal(size=(ticks, 4, 6)).astype(np.float32)
    return Aligned(world, np.ones((ticks, 33), np.float32), np.ones(ticks, bool), imu, np.ones((ticks, 4), bool))


def test_mirrored_bands_read_what_the_bands_of_a_mirrored_trainee_would() -> None:
    trainee = VirtualTrainee(7, deaf=True)
    imu = true_imu(trainee, TIMES, 0, perfect_sensors())
    n = len(TIMES)
    signals = Aligned(
        np.zeros((n, 33, 3), np.float32), np.ones((n, 33), np.float32), np.ones(n, bool), imu, np.ones((n, 4), bool)
    )
    seen, _ = mirrored(signals, np.zeros((n, 12), np.float32))
    np.testing.assert_allclose(seen.imu, true_imu(Mirrored(trainee), TIMES, 0, perfect_sensors()), atol=2e-3)


def test_a_mirrored_body_has_the_mirrored_angles() -> None:
    signals = stretch()
    seen, angles = mirrored(signals, joint_angles(signals.world).astype(np.float32))
    np.testing.assert_allclose(joint_angles(seen.world), angles, atol=1e-4)
    assert list(MIRRORED_NODES)[15] == 16


def test_other_limbs_have_other_lengths_and_the_same_bend() -> None:
    signals = stretch()
    before = signals.world.copy()
    _other_limbs(np.random.default_rng(1), signals)
    bent = [i for i, joint in enumerate(JOINTS) if joint.name.endswith(("elbow", "knee"))]
    np.testing.assert_allclose(joint_angles(signals.world)[:, bent], joint_angles(before)[:, bent], atol=1e-4)
    ratio = np.linalg.norm(signals.world[:, 13] - signals.world[:, 11], axis=-1) / np.linalg.norm(
        before[:, 13] - before[:, 11], axis=-1
    )
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    assert 0.01 < abs(ratio[0] - 1) < 0.2
    np.testing.assert_array_equal(signals.world[:, :13], before[:, :13])


def test_another_build_is_as_wide_and_as_long_all_along() -> None:
    signals = stretch()
    before = signals.world.copy()
    _other_build(np.random.default_rng(1), signals)
    shift = signals.world[:, 0] - before[:, 0]
    np.testing.assert_allclose(shift, np.tile(shift[0], (90, 1)), atol=1e-5)
    assert 0 < np.abs(shift).max() < 0.15
    assert not np.allclose(signals.world[:, 24] - before[:, 24], signals.world[0, 24] - before[0, 24], atol=1e-3)


def test_misjudged_depth_is_depth_alone() -> None:
    signals = stretch()
    before = signals.world.copy()
    _misjudge_depth(np.random.default_rng(1), signals)
    np.testing.assert_array_equal(signals.world[..., :2], before[..., :2])
    assert not np.allclose(signals.world[..., 2], before[..., 2], atol=0.1)


def test_legs_out_of_the_picture_are_guessed_and_their_angles_are_those_shown() -> None:
    signals = stretch()
    before, true = signals.world.copy(), np.zeros((90, 12), np.float32)
    angles = cut_off(np.random.default_rng(1), signals, true)
    still = [i for i in range(33) if i not in LEGS]
    np.testing.assert_array_equal(signals.world[:, still], before[:, still])
    assert not np.allclose(signals.world[:, LEGS], before[:, LEGS], atol=0.1)
    assert signals.visibility[:, [25, 26]].max() < 0.45
    shown = joint_angles(signals.world)
    np.testing.assert_allclose(np.cos(angles[:, LEG_JOINTS]), np.cos(shown[:, LEG_JOINTS]), atol=1e-3)
    assert not angles[:, [i for i in range(12) if i not in LEG_JOINTS]].any()


def test_whom_a_camera_watches_wears_nothing_and_the_truth_stays() -> None:
    rng = np.random.default_rng(0)
    truth = np.tile(np.linspace(0.1, 1.2, 12, dtype=np.float32), (90, 1))
    for _ in range(60):
        seen, angles = augmented_sight(rng, stretch(), truth)
        assert not seen.imu_present.any()
        assert seen.pose_present.any()
        assert np.isfinite(seen.world).all()
        assert set(angles[0]) == set(truth[0])


def test_every_mix_of_modalities_is_met_and_the_truth_stays() -> None:
    rng = np.random.default_rng(0)
    truth = np.tile(np.linspace(0.1, 1.2, 12, dtype=np.float32), (90, 1))
    worn, blind, untouched = set(), 0, 0
    for _ in range(200):
        seen, angles = augmented(rng, stretch(), truth)
        worn.add(int(seen.imu_present[0].sum()))
        blind += not seen.pose_present.any()
        untouched += bool(seen.pose_present.all() and seen.imu_present.all())
        assert np.isfinite(seen.world).all()
        assert set(angles[0]) == set(truth[0])
    assert worn == set(range(N_BANDS + 1))
    assert 5 < blind < 60
    assert untouched > 30


def resting_ankle(seconds: float = 8.0) -> Aligned:
    """Wrists swing to and fro, ankles rest with their x axes level."""
    signals = stretch(round(30 * seconds))
    signals.imu[:] = 0
    signals.imu[:, :, 1] = -9.81
    signals.imu[:, :2, 2] = 4 * np.sin(2 * np.pi * 0.5 * np.arange(len(signals.imu)) / 30)[:, None]
    return signals


def test_straps_lean_as_limbs_taper_and_sit_askew_and_nothing_gets_lost_by_that() -> None:
    leaning = []
    for seed in range(400):
        signals = resting_ankle()
        before = signals.imu.copy()
        _turn_straps(np.random.default_rng(seed), signals)
        for part in (slice(0, 3), slice(3, 6)):
            sizes = [np.linalg.norm(imu[..., part], axis=-1) for imu in (signals.imu, before)]
            np.testing.assert_allclose(*sizes, atol=1e-4)
        leaning.append(np.degrees(np.arcsin(signals.imu[0, 2:, 0] / 9.81)))
    left, right = np.transpose(leaning)
    lean_deg = augment.MOST_TAPER / 2 * augment.TAPER_DEG[2][2]
    assert np.mean(left) == pytest.approx(lean_deg, abs=1)
    assert np.mean(right) == pytest.approx(-lean_deg, abs=1)
    assert np.std(left) == pytest.approx(np.hypot(augment.TILT_SPREAD_DEG, 2 * lean_deg / np.sqrt(12)), rel=0.15)


def test_tapering_limbs_mirror_each_other() -> None:
    taper = np.radians(augment.TAPER_DEG)
    # A turn is an axial vector: in a mirror its x and z turn about, as those of a rate.
    np.testing.assert_allclose(taper[MIRRORED_BANDS] * augment.MIRRORED_IMU[3:], taper)


def test_limbs_that_rest_give_way_as_others_swing_and_their_bands_turn_as_their_rates_say() -> None:
    leaning, drifting = [], []
    for seed in range(40):
        signals = resting_ankle()
        _sway(np.random.default_rng(seed), signals)
        np.testing.assert_allclose(np.linalg.norm(signals.imu[:, 2, :3], axis=-1), 9.81, atol=1e-3)
        up = signals.imu[:, 2, :3].astype(np.float64) / 9.81
        leaning.append(np.ptp(np.degrees(np.arcsin(up[:, 0]))))
        # Gravity in the band's frame moves against the band: d(up)/dt = -rate x up.
        turned = -np.cross(signals.imu[:, 2, 3:], up) / 30
        drifting.append(np.abs(np.gradient(up, axis=0) - turned).max())
    assert 4 < np.median(leaning) < 20
    assert np.max(drifting) < 0.01


@pytest.mark.parametrize("arms", [True, False])
def test_a_half_that_stays_still_spoils_a_movement_and_its_angles_say_so(arms: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "HALF_SHARE", 1.0)
    signals, before = stretch(), stretch()
    angles = joint_angles(before.world).astype(np.float32)
    found = spoiled(np.random.default_rng(1), signals, angles, arms=arms)
    assert found is not None
    still, moving = (ARMS, LEGS) if arms else (LEGS, ARMS)
    assert signals.world[:, still].std(axis=0).max() < 0.01
    assert np.array_equal(signals.world[:, moving], before.world[:, moving])
    elbow, knee = (next(i for i, joint in enumerate(JOINTS) if joint.name == name) for name in ("left_elbow", "left_knee"))
    kept, changed = (knee, elbow) if arms else (elbow, knee)
    assert np.array_equal(found[:, kept], angles[:, kept])
    assert found[:, changed].std() < angles[:, changed].std()
    bands = slice(0, 2) if arms else slice(2, 4)
    assert signals.imu[:, bands].std(axis=0).max() < 1e-6


def test_a_movement_is_spoiled_now_and_then_and_never_without_a_pose() -> None:
    rng, angles = np.random.default_rng(2), np.zeros((90, 12), np.float32)
    spoilt = sum(spoiled(rng, stretch(), angles, arms=True) is not None for _ in range(600))
    assert 15 < spoilt < 65
    blind = stretch()
    blind.pose_present[:] = False
    assert all(spoiled(rng, blind, angles, arms=True) is None for _ in range(200))
