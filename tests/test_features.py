"""Node features: streaming equals batch, gaps do not spike, absolute posture stays."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from device.errors import BundleError
from device.messages import Tick
from device.runtime.features import FeatureConstants, FeatureExtractor, node_features
from device.skeleton import NODE

Signals = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
CONSTANTS = FeatureConstants()


def body() -> NDArray[np.float64]:
    """A standing body in camera axes (y down), hips at the origin, torso 0.5 m."""
    points = np.random.default_rng(7).normal(scale=0.3, size=(33, 3))
    for side, x in (("left", 0.1), ("right", -0.1)):
        points[NODE[f"{side}_hip"]] = (x, 0.0, 0.0)
        points[NODE[f"{side}_shoulder"]] = (1.8 * x, -0.5, 0.0)
    return points


def signals(ticks: int = 200, seed: int = 3) -> Signals:
    """A body that sways, with gaps in both modalities."""
    rng = np.random.default_rng(seed)
    sway = 0.1 * np.sin(np.arange(ticks) / 9)[:, None, None] * rng.normal(size=(1, 33, 3))
    world = body() + sway + rng.normal(scale=0.01, size=(ticks, 33, 3))
    pose_present = rng.random(ticks) > 0.1
    imu = rng.normal(scale=4.0, size=(ticks, 4, 6))
    imu_present = rng.random((ticks, 4)) > 0.2
    return world, rng.random((ticks, 33)), pose_present, imu, imu_present


def still(ticks: int) -> Signals:
    return (
        np.repeat(body()[None], ticks, axis=0),
        np.ones((ticks, 33)),
        np.ones(ticks, dtype=np.bool_),
        np.zeros((ticks, 4, 6)),
        np.ones((ticks, 4), dtype=np.bool_),
    )


def tick(k: int, s: Signals) -> Tick:
    world, visibility, pose_present, imu, imu_present = s
    return Tick(k, k, world[k], visibility[k], bool(pose_present[k]), imu[k], imu_present[k])


def test_streaming_equals_batch() -> None:
    s = signals()
    skeleton, inertial = node_features(CONSTANTS, *s)
    extractor = FeatureExtractor(CONSTANTS)
    for _ in range(2):
        steps = [extractor.step(tick(k, s)) for k in range(len(skeleton))]
        np.testing.assert_allclose(np.stack([a for a, _ in steps]), skeleton, atol=1e-6)
        np.testing.assert_allclose(np.stack([b for _, b in steps]), inertial, atol=1e-6)
        extractor.reset()
    assert skeleton.shape == (200, 33, 11)
    assert inertial.shape == (200, 4, 8)
    assert skeleton.dtype == inertial.dtype == np.float32


def test_a_later_tick_changes_nothing_before_it() -> None:
    s = signals()
    before, _ = node_features(CONSTANTS, *s)
    s[0][100:] *= 1.7
    after, _ = node_features(CONSTANTS, *s)
    np.testing.assert_array_equal(before[:100], after[:100])
    assert np.abs(before[100:] - after[100:]).max() > 0.1


def test_positions_are_in_torso_lengths_from_the_hips_and_keep_the_camera_axes() -> None:
    skeleton, _ = node_features(CONSTANTS, *still(5))
    np.testing.assert_allclose(skeleton[0, NODE["left_shoulder"], :3], (0.36, -1.0, 0.0), atol=1e-6)
    lying = still(5)
    lying[0][..., [0, 1]] = lying[0][..., [1, 0]]
    turned, _ = node_features(CONSTANTS, *lying)
    np.testing.assert_allclose(turned[0, NODE["left_shoulder"], :3], (-1.0, 0.36, 0.0), atol=1e-6)


def test_features_do_not_depend_on_where_or_how_tall_the_body_is() -> None:
    s = signals()
    skeleton, _ = node_features(CONSTANTS, *s)
    moved, _ = node_features(CONSTANTS, s[0] * 1.3 + (0.4, 0.1, 2.0), *s[1:])
    np.testing.assert_allclose(moved, skeleton, atol=1e-5)


def test_torso_noise_does_not_scale_the_whole_body() -> None:
    s = still(120)
    s[0][:, [NODE["left_shoulder"], NODE["right_shoulder"]], 1] += np.random.default_rng(1).normal(scale=0.03, size=(120, 1))
    skeleton, _ = node_features(CONSTANTS, *s)
    knee = skeleton[60:, NODE["left_knee"], 0]
    assert knee.std() / abs(knee.mean()) < 0.25 * 0.03 / 0.5


def test_differences_are_velocity_and_acceleration() -> None:
    s = still(30)
    t = np.arange(30) / CONSTANTS.tick_hz
    s[0][:, NODE["left_wrist"], 0] += 0.5 * (1.0 * t + 0.5 * 6.0 * t**2)
    skeleton, _ = node_features(CONSTANTS, *s)
    wrist = skeleton[20, NODE["left_wrist"]]
    assert wrist[3] * CONSTANTS.velocity_scale == pytest.approx(1.0 + 6.0 * (t[20] - 0.5 / CONSTANTS.tick_hz), rel=1e-3)
    assert wrist[6] * CONSTANTS.velocity_scale / CONSTANTS.alpha == pytest.approx(6.0, rel=1e-3)
    assert np.abs(skeleton[20, NODE["left_knee"], 3:9]).max() < 1e-6


def test_an_absent_pose_is_all_zero_and_its_return_does_not_spike() -> None:
    s = still(20)
    s[2][5:10] = False
    s[0][10:, NODE["left_knee"] :] += np.random.default_rng(2).normal(scale=0.2, size=(8, 3))
    skeleton, inertial = node_features(CONSTANTS, *s)
    assert not skeleton[5:10].any()
    assert not skeleton[..., 3:9].any()
    assert skeleton[10:, :, 10].all()
    assert inertial[5:10, :, 7].all()


def test_an_absent_or_broken_band_is_all_zero() -> None:
    s = still(4)
    s[3][:] = 3.0
    s[4][1, 2] = False
    s[3][2, 0, 1] = np.nan
    s[0][3, 7] = np.nan
    skeleton, inertial = node_features(CONSTANTS, *s)
    assert not inertial[1, 2].any()
    assert not inertial[2, 0].any()
    assert not skeleton[3].any()
    assert inertial[0].all()


def test_the_fused_magnitude_weighs_force_against_rate() -> None:
    s = still(1)
    s[3][0, 0, 2] = CONSTANTS.force_typical
    s[3][0, 1, 4] = -CONSTANTS.rate_typical
    for gamma in (0.0, 0.3, 1.0):
        _, inertial = node_features(dataclasses.replace(CONSTANTS, gamma=gamma), *s)
        np.testing.assert_allclose(inertial[0, :, 6], (gamma, 1 - gamma, 0, 0), atol=1e-6)


def test_every_feature_is_bounded() -> None:
    s = signals()
    s[0][:, NODE["left_wrist"]] *= 1e4
    s[3][:] *= 1e4
    for feature in node_features(CONSTANTS, *s):
        assert np.abs(feature).max() == CONSTANTS.limit


def test_constants_survive_the_manifest() -> None:
    constants = dataclasses.replace(CONSTANTS, gamma=0.7)
    assert FeatureConstants.from_dict(constants.to_dict()) == constants


@pytest.mark.parametrize("change", [{"gama": 0.5}, {"gamma": "half"}, {"gamma": 1.5}, {"tick_hz": 0}, {"limit": float("nan")}])
def test_wrong_constants_are_named(change: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=next(iter(change))):
        FeatureConstants.from_dict({**CONSTANTS.to_dict(), **change})


def test_a_missing_constant_is_named() -> None:
    with pytest.raises(BundleError, match="alpha"):
        FeatureConstants.from_dict({k: v for k, v in CONSTANTS.to_dict().items() if k != "alpha"})
