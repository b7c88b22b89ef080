from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from device.errors import BundleError
from device.messages import NS_PER_S, Array, Estimate, Stage
from device.runtime import parity
from device.runtime.bundle import Bundle, load_bundle
from device.runtime.features import FeatureConstants, node_features
from device.runtime.model import StepModel, available_runtimes
from device.sim.bands import true_imu
from device.sim.scene import session_scene
from device.sim.script import plan_session
from device.sim.trainee import VirtualTrainee
from device.skeleton import N_JOINTS

TICKS = 240


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle()


@pytest.fixture(scope="module")
def features() -> tuple[Array, Array]:
    """A trainee in the middle of a set, seen without error; the bands are lost half-way."""
    trainee = VirtualTrainee(3, plan_session(3, sets=["squat"]), deaf=True)
    times_ns = trainee.sets[0].start_ns + np.arange(TICKS) * NS_PER_S // 30
    world = session_scene(3).camera.to_camera(trainee.pose(times_ns))
    there = np.ones((TICKS, 4), np.bool_)
    there[TICKS // 2 :] = False
    seen = np.ones(TICKS, np.bool_)
    return node_features(FeatureConstants(), world, np.ones((TICKS, 33)), seen, true_imu(trainee, times_ns, 3), there)


def estimates(model: StepModel, features: tuple[Array, Array]) -> list[Estimate]:
    return [model.step(nodes, bands, t, t) for t, (nodes, bands) in enumerate(zip(*features, strict=True))]


def outputs(model: StepModel, features: tuple[Array, Array]) -> Array:
    found = estimates(model, features)
    return np.stack([np.concatenate([e.exercise, e.stage, e.angles, e.angle_sigma, e.importance]) for e in found])


def test_an_estimate_is_made_of_probabilities_and_finite_angles(bundle: Bundle, features: tuple[Array, Array]) -> None:
    model = StepModel(bundle)
    for t in range(70):
        estimate = model.step(features[0][t], features[1][t], 1000 + t, t)
    assert (estimate.t_ns, estimate.seq) == (1069, 69)
    for distribution in (estimate.exercise, estimate.stage, estimate.importance):
        assert distribution.sum() == pytest.approx(1, abs=1e-3)
        assert (distribution >= 0).all()
    assert estimate.exercise.shape == (len(model.classes),)
    assert estimate.importance.shape == (33,)
    assert 0 <= estimate.phase < 1
    assert np.isfinite(estimate.angles).all()
    assert (estimate.angle_sigma > 0).all()


def test_the_past_matters_until_it_is_reset(bundle: Bundle, features: tuple[Array, Array]) -> None:
    model = parity.float_step(bundle)
    first = outputs(model, features)
    again = outputs(model, features)
    model.reset()
    fresh = outputs(model, features)
    np.testing.assert_array_equal(first, fresh)
    assert np.abs(first[0] - again[0]).max() > 1e-4


def test_absent_modalities_give_finite_estimates(bundle: Bundle) -> None:
    model = StepModel(bundle)
    nothing = np.zeros((33, 11), np.float32), np.zeros((4, 8), np.float32)
    for t in range(5):
        estimate = model.step(*nothing, t, t)
    assert np.isfinite(estimate.angles).all()
    assert np.isfinite(estimate.angle_sigma).all()


@pytest.mark.parametrize("name", ["push_up", "squat", "lunge", "jumping_jack", "bicep_curl"])
def test_a_wrist_and_an_ankle_tell_what_is_done_where_nobody_is_seen(bundle: Bundle, name: str) -> None:
    trainee = VirtualTrainee(4, plan_session(4, sets=[name]), deaf=True)
    times_ns = np.arange(0, trainee.duration_ns, NS_PER_S // 30)
    ticks = len(times_ns)
    worn = np.zeros((ticks, 4), np.bool_)
    worn[:, [1, 3]] = True
    unseen = np.zeros((ticks, 33, 3)), np.zeros((ticks, 33)), np.zeros(ticks, np.bool_)
    features = node_features(FeatureConstants(), *unseen, true_imu(trainee, times_ns, 4), worn)
    said = np.array([bundle.classes[e.exercise.argmax()] for e in estimates(StepModel(bundle), features)])
    done = trainee.sets[0]
    inside = (times_ns > done.start_ns + NS_PER_S) & (times_ns < done.end_ns)
    assert (said[inside] == name).mean() > 0.8
    assert (said[times_ns < done.start_ns - 3 * NS_PER_S] == "none").mean() > 0.7


@pytest.mark.parametrize("runtime", ["litert", "tflite_runtime"])
def test_stream_and_window_say_the_same(bundle: Bundle, features: tuple[Array, Array], runtime: str) -> None:
    if runtime not in available_runtimes():
        pytest.skip(f"{runtime} is not installed")
    if not parity.has_reference(bundle):
        pytest.skip("the float forms were not built: make model")
    difference = parity.stream_window_difference(bundle, *features, runtime=runtime)
    assert difference is not None
    assert difference <= 1e-4
    assert parity.stream_window_difference(bundle, features[0][:200], features[1][:200], runtime=runtime) is None


def test_the_window_form_really_reads_the_past(bundle: Bundle, features: tuple[Array, Array]) -> None:
    if not parity.has_reference(bundle):
        pytest.skip("the float forms were not built: make model")
    shifted = np.roll(features[0], 7, axis=0), features[1]
    step = parity.float_step(bundle)
    a = outputs(step, features)
    step.reset()
    assert np.abs(a[100] - outputs(step, shifted)[100]).max() > 1e-3


@pytest.mark.parametrize("precision", ["int8", "float"])
def test_both_runtimes_say_the_same(bundle: Bundle, features: tuple[Array, Array], precision: str) -> None:
    if len(available_runtimes()) < 2:
        pytest.skip("only one TFLite runtime is installed")
    file = None if precision == "int8" else parity.reference(bundle, parity.FLOAT_STEP)
    a, b = (outputs(StepModel(bundle, runtime, file), features) for runtime in available_runtimes())
    classes = len(bundle.classes)
    angles = slice(classes + len(Stage), classes + len(Stage) + N_JOINTS)
    # Integer kernels round their products differently; a step of the last bit travels through the network.
    assert (a[:, :classes].argmax(1) == b[:, :classes].argmax(1)).mean() > 0.98
    assert np.abs(a - b)[:, angles].max() < (np.radians(2) if precision == "int8" else 1e-4)


def test_an_unknown_runtime_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="'onnx' is unknown"):
        StepModel(bundle, runtime="onnx")


def test_a_model_of_another_shape_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="Install the bundle that belongs"):
        StepModel(bundle, file=parity.reference(bundle, parity.FLOAT_WINDOW))


def test_a_file_that_is_no_model_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / bundle.step.name).write_bytes(b"not a model")
    strange = replace(bundle, folder=tmp_path)
    with pytest.raises(BundleError, match="no TFLite model"):
        StepModel(strange)
