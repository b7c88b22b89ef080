"""From motion parameters to a body in space."""

import numpy as np
import pytest

from device.sim.body import sample_body
from device.sim.kinematics import COLUMN, RELAXED, posture
from device.sim.motion import with_parameters
from device.skeleton import BAND_NODES, JOINT, MIRRORED_NODES, NODE, joint_angles

BODIES = [sample_body(np.random.default_rng(seed)) for seed in range(20)]


def solve(body, *changes):
    return posture(body, np.stack([with_parameters(RELAXED, change) for change in changes]))


def angle(landmarks, joint):
    return np.degrees(joint_angles(landmarks)[:, JOINT[joint]])


def distance(x, a, b):
    return np.linalg.norm(x[:, NODE[a]] - x[:, NODE[b]], axis=-1)


@pytest.mark.parametrize("body", BODIES[:5])
def test_bones_keep_their_length_in_any_posture(body):
    rng = np.random.default_rng(0)
    ranges = {
        "knee": (70, 172), "trunk": (-10, 80), "hips_x": (-0.2, 0.1), "lean": (-15, 15), "flex": (-20, 160),
        "abduct": (0, 160), "elbow": (40, 168), "yaw": (-90, 90),
    }  # fmt: skip
    changes = [{name: rng.uniform(*pair) for name, pair in ranges.items()} for _ in range(50)]
    x = solve(body, *changes).landmarks
    for a, b, length in (
        ("left_hip", "left_knee", body.thigh),
        ("right_knee", "right_ankle", body.shank),
        ("left_shoulder", "left_elbow", body.upper_arm),
        ("right_elbow", "right_wrist", body.forearm),
        ("left_hip", "right_hip", 2 * body.hip_half),
        ("left_shoulder", "right_shoulder", 2 * body.shoulder_half),
    ):
        assert distance(x, a, b) == pytest.approx(length, rel=1e-9)


def test_knee_and_elbow_angles_are_the_same_for_every_body():
    for body in BODIES:
        x = solve(body, {"knee": 90, "hips_x": -0.2, "elbow": 50}).landmarks
        assert angle(x, "left_knee")[0] == pytest.approx(90, abs=0.1)
        assert angle(x, "right_elbow")[0] == pytest.approx(50, abs=0.1)


def test_a_lean_forwards_closes_the_hips_and_a_lean_backwards_overextends_them():
    x = solve(BODIES[0], {"trunk": 0, "hips_x": 0}, {"trunk": 30, "hips_x": 0}, {"trunk": -20, "hips_x": 0}).landmarks
    upright, forwards, backwards = angle(x, "left_hip")
    assert upright - forwards == pytest.approx(30, abs=0.5)
    assert backwards - upright == pytest.approx(20, abs=0.5)
    assert backwards > 180


def test_knees_in_narrow_the_hip_spread_and_leave_the_knees_alone():
    squat = {"knee": 85, "hips_x": -0.25, "spread": 9, "knees_out": 20}
    x = solve(BODIES[0], squat, {**squat, "left_knees_out": -5}).landmarks
    assert np.diff(angle(x, "left_hip_spread"))[0] < -10
    assert np.diff(angle(x, "right_hip_spread"))[0] == pytest.approx(0, abs=1e-6)
    assert np.diff(angle(x, "left_knee"))[0] == pytest.approx(0, abs=1e-6)


def test_left_and_right_mirror_each_other():
    x = solve(
        BODIES[3], {"left_elbow": 60, "left_flex": 40, "lean": 5}, {"right_elbow": 60, "right_flex": 40, "lean": -5}
    ).landmarks
    mirrored = x[1][list(MIRRORED_NODES)] * np.array([1.0, -1.0, 1.0])
    assert np.allclose(x[0], mirrored, atol=1e-9)


def test_facing_left_turns_everything_by_90_degrees():
    turned = {"yaw": 90, "foot_yaw": 90}
    straight, left = solve(BODIES[1], {"knee": 120}, {"knee": 120, **turned}).landmarks
    assert np.allclose(left, np.stack([-straight[:, 1], straight[:, 0], straight[:, 2]], -1), atol=1e-9)


def test_a_raised_heel_leaves_the_toes_where_they_are():
    flat, raised = solve(BODIES[2], {}, {"heel": 40}).landmarks
    assert np.allclose(flat[NODE["left_foot_index"]], raised[NODE["left_foot_index"]])
    assert raised[NODE["left_heel"], 2] > flat[NODE["left_heel"], 2] + 0.05


def test_a_prone_body_hangs_between_hands_and_toes_with_the_asked_angles():
    plank = {"prone": 1, "plant": 1, "foot_x": -0.86, "heel": 68, "knee": 174, "spread": 3, "knees_out": 0, "toe_out": 0}
    for body in BODIES:
        x = solve(body, {**plank, "elbow": 166}, {**plank, "elbow": 90}, {**plank, "elbow": 166, "hips": 20}).landmarks
        assert angle(x, "left_elbow") == pytest.approx([166, 90, 166], abs=2)
        hips = angle(x, "left_hip")
        assert hips[2] - hips[0] == pytest.approx(20, abs=1.5)
        assert np.ptp(x[:, NODE["left_wrist"]], axis=0).max() < 1e-3
        assert np.ptp(x[:, NODE["right_foot_index"]], axis=0).max() < 1e-9


def test_a_foot_out_of_reach_makes_the_pelvis_sink():
    x = solve(BODIES[0], {"knee": 172}, {"knee": 172, "left_foot_x": 0.7, "left_support": 0}).landmarks
    assert x[1, NODE["left_hip"], 2] < x[0, NODE["left_hip"], 2] - 0.1
    assert x[1, NODE["left_ankle"], 2] == pytest.approx(x[0, NODE["left_ankle"], 2], abs=2e-3)


def test_bands_sit_on_wrists_and_ankles_with_right_handed_axes():
    solved = solve(BODIES[0], {}, {"flex": 80, "elbow": 60, "knee": 90, "hips_x": -0.2})
    for i, node in enumerate(BAND_NODES):
        gap = np.linalg.norm(solved.band_positions[:, i] - solved.landmarks[:, node], axis=-1)
        assert gap.max() < 0.1
    axes = solved.band_axes
    assert np.allclose(np.swapaxes(axes, -1, -2) @ axes, np.eye(3), atol=1e-9)
    assert np.linalg.det(axes) == pytest.approx(1.0)


def test_band_x_runs_along_the_limb_and_z_out_of_hand_and_shin():
    solved = solve(BODIES[0], {"pronate": 90, "rotate": 0, "toe_out": 0, "knees_out": 0, "twist": 0, "trunk": 0})
    axes = solved.band_axes[0]
    assert (axes[:, 2, 0] < -0.8).all()
    assert axes[0, 1, 2] > 0.9
    assert axes[1, 1, 2] < -0.9
    assert axes[2, 1, 2] > 0.9
    assert axes[3, 1, 2] < -0.9


def test_every_parameter_has_its_column():
    assert len(COLUMN) == len(RELAXED)
    assert np.isfinite(posture(BODIES[0], RELAXED[None]).landmarks).all()
