"""Joint angles and the order of landmarks."""

import numpy as np
import pytest

from device import skeleton


def standing() -> np.ndarray:
    """A straight body, facing +x, left side at +y, arms hanging, feet forward. (33, 3) m."""
    x = np.zeros((33, 3))
    for name, side in (("left", 1.0), ("right", -1.0)):
        for part, place in {
            "shoulder": (0, 0.2, 1.4),
            "elbow": (0, 0.2, 1.1),
            "wrist": (0, 0.2, 0.85),
            "hip": (0, 0.1, 0.9),
            "knee": (0, 0.1, 0.5),
            "ankle": (0, 0.1, 0.1),
            "foot_index": (0.2, 0.1, 0.1),
        }.items():
            x[skeleton.NODE[f"{name}_{part}"]] = (place[0], side * place[1], place[2])
    return x


def test_a_straight_body_has_straight_knees_hips_and_elbows() -> None:
    angles = dict(zip([j.name for j in skeleton.JOINTS], np.degrees(skeleton.joint_angles(standing())), strict=True))
    for name in ("left_knee", "right_knee", "left_hip", "right_hip", "left_elbow"):
        assert angles[name] == pytest.approx(180, abs=1e-6)
    assert angles["left_ankle"] == pytest.approx(90, abs=1e-6)
    assert angles["left_hip_spread"] == pytest.approx(90, abs=1e-6)


@pytest.mark.parametrize(("forward", "expected"), [(0.4, 135), (-0.1, 194.04)])
def test_a_hip_reads_less_than_pi_when_flexed_and_more_when_over_extended(forward: float, expected: float) -> None:
    x = standing()
    x[skeleton.NODE["left_knee"]] = (forward, 0.1, 0.5)
    assert np.degrees(skeleton.joint_angles(x)[skeleton.JOINT["left_hip"]]) == pytest.approx(expected, abs=0.1)


def test_angles_do_not_depend_on_the_frame() -> None:
    rng = np.random.default_rng(0)
    x = standing() + rng.normal(0, 0.05, (33, 3))
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.linalg.det(q))
    np.testing.assert_allclose(skeleton.joint_angles(x), skeleton.joint_angles(x @ q.T * 1.7 + 3), atol=1e-9)


def test_mirroring_swaps_left_and_right_joints() -> None:
    x = standing() + np.random.default_rng(1).normal(0, 0.05, (33, 3))
    mirrored = (x * [1, -1, 1])[list(skeleton.MIRRORED_NODES)]
    swapped = skeleton.joint_angles(x)[[i ^ 1 for i in range(skeleton.N_JOINTS)]]
    np.testing.assert_allclose(skeleton.joint_angles(mirrored), swapped, atol=1e-9)


def test_the_body_graph_is_connected() -> None:
    reached = np.linalg.matrix_power(skeleton.ADJACENCY.astype(int), skeleton.N_NODES) > 0
    assert reached.all()


def test_a_missing_landmark_makes_its_angles_nan_and_no_others() -> None:
    x = standing()
    x[skeleton.NODE["left_wrist"]] = np.nan
    missing = np.isnan(skeleton.joint_angles(x))
    assert missing.tolist() == [name == "left_elbow" for name in skeleton.JOINT]


def test_one_instant_has_the_same_angles_as_many() -> None:
    landmarks = np.random.default_rng(5).normal(size=(200, skeleton.N_NODES, 3))
    now = [skeleton.joint_angles_now(one) for one in landmarks]
    np.testing.assert_allclose(now, skeleton.joint_angles(landmarks), atol=1e-9)
