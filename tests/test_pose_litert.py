"""What the estimator `litert` does by itself, and how well it agrees with MediaPipe."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from device.bench.pose import ENGINES, Comparison, Disagreement, Usage, compare, judged, use, write_video
from device.cli import main
from device.config import CameraConfig, PoseConfig, config_from
from device.drivers.camera_virtual import VirtualCamera
from device.errors import ConfigError, DriverUnavailable
from device.messages import Frame
from device.rows import Row, row
from device.runtime.eye import Eye, EyeSpec, VirtualSubject
from device.runtime.model import RUNTIMES, available_runtimes
from device.runtime.pose import MediaPipePose, PoseEstimator
from device.runtime.pose_engine import make_estimator
from device.runtime.pose_litert import network
from device.runtime.pose_litert.detector import anchors, best_person
from device.runtime.pose_litert.estimator import LitertPose
from device.runtime.pose_litert.landmarks import refine
from device.runtime.pose_litert.region import Region, region_of_body, whole_frame
from device.runtime.pose_litert.smoothing import FRAME_S, OneEuro
from device.sim.scene import session_scene
from device.sim.trainee import VirtualTrainee

if not available_runtimes():
    pytest.skip("no TFLite runtime: pip install ai-edge-litert", allow_module_level=True)

LITERT = PoseConfig(estimator="litert")
needs_mediapipe = pytest.mark.skipif(importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed")


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    trainee = VirtualTrainee(4)
    with VirtualCamera(CameraConfig(type="virtual"), trainee, session_scene(4)) as camera:
        camera.skip_to(trainee.sets[0].start_ns)
        return [camera.read() for _ in range(12)]


@needs_mediapipe
def test_landmarks_agree_with_mediapipe(frames: list[Frame]) -> None:
    comparison = compare(iter(frames))
    assert all(comparison.alike)
    pixels = np.array([apart.pixels for apart in comparison.apart])
    assert np.median(pixels) < 0.3
    assert np.quantile(pixels, 0.95) < 1.0
    assert np.median([apart.world_mm for apart in comparison.apart]) < 5.0
    assert np.quantile([apart.visibility for apart in comparison.apart], 0.95) < 0.02


@needs_mediapipe
def test_smoothed_landmarks_agree_with_mediapipes_filter(frames: list[Frame]) -> None:
    with (
        make_estimator(LITERT, smooth=True) as ours,
        make_estimator(PoseConfig(), smooth=True) as theirs,
        make_estimator(LITERT) as raw,
    ):
        for frame in frames:
            one, other, unfiltered = ours.estimate(frame), theirs.estimate(frame), raw.estimate(frame)
    apart = np.linalg.norm((one.image - other.image)[:, :2] * (640, 480), axis=1)
    assert np.median(apart) < 0.3
    assert np.median(np.abs(one.world - other.world)) < 0.005
    assert np.median(np.abs(one.image[:, 3] - other.image[:, 3])) < 0.005
    assert np.median(np.linalg.norm((one.image - unfiltered.image)[:, :2] * (640, 480), axis=1)) > np.median(apart)


@needs_mediapipe
@pytest.mark.parametrize("size", [(64, 64), (37, 91), (641, 359), (1, 1)])
def test_pictures_of_odd_sizes_are_seen_as_mediapipe_sees_them(frames: list[Frame], size: tuple[int, int]) -> None:
    import cv2

    small = cv2.resize(frames[0].pixels, size)
    with make_estimator(LITERT) as ours, make_estimator(PoseConfig()) as theirs:
        one, other = (estimator.estimate(Frame(0, 0, 0, small)) for estimator in (ours, theirs))
    assert one.present == other.present
    assert (one.width, one.height) == size
    if one.present:
        assert np.median(np.linalg.norm((one.image - other.image)[:, :2] * size, axis=1)) < 0.3


def test_a_size_that_changes_starts_a_new_search(frames: list[Frame]) -> None:
    cut = np.ascontiguousarray(frames[1].pixels[:, 40:600])
    with make_estimator(LITERT) as followed, make_estimator(LITERT) as fresh:
        followed.estimate(frames[0])
        one, other = (estimator.estimate(Frame(0, 0, 1, cut)) for estimator in (followed, fresh))
    assert np.array_equal(one.image, other.image, equal_nan=True)


def test_one_thread_and_two_give_the_same_landmarks(frames: list[Frame]) -> None:
    with LitertPose(PoseConfig(threads=1)) as one, LitertPose(PoseConfig(threads=2)) as two:
        for frame in frames[:3]:
            assert np.allclose(one.estimate(frame).image, two.estimate(frame).image, atol=1e-5)


@pytest.mark.skipif(len(available_runtimes()) < 2, reason="only one TFLite runtime: pip install ai-edge-litert tflite-runtime")
def test_every_runtime_gives_the_same_landmarks(frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for name in available_runtimes():
        monkeypatch.setattr(network, "RUNTIMES", {name: RUNTIMES[name]})
        with LitertPose(PoseConfig(threads=1)) as estimator:
            found.append(estimator.estimate(frames[0]))
    for other in found[1:]:
        assert np.abs(found[0].image - other.image)[:, :2].max() < 0.5 / 480


def test_the_person_is_searched_once_and_then_followed(frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    with LitertPose(LITERT) as estimator:
        assert estimator._detector is not None
        find = estimator._detector.find
        monkeypatch.setattr(estimator._detector, "find", lambda pixels: searched.append(1) or find(pixels))
        for frame in frames[:5]:
            assert estimator.estimate(frame).present
        assert len(searched) == 1
        for frame in (Frame(0, 0, 5, np.zeros_like(frames[0].pixels)), Frame(0, 0, 6, np.zeros_like(frames[0].pixels))):
            assert not estimator.estimate(frame).present
        assert len(searched) == 2, "a person who is lost is searched in the next frame, not in the same one"


@needs_mediapipe
@pytest.mark.parametrize(("engine", "kind"), [("mediapipe", MediaPipePose), ("litert", LitertPose)])
def test_the_config_names_the_estimator(engine: str, kind: type[PoseEstimator]) -> None:
    assert type(make_estimator(PoseConfig(estimator=engine))) is kind


def test_the_eye_runs_the_estimator_of_its_settings() -> None:
    camera, trainee = CameraConfig(type="virtual", rate_hz=5.0), VirtualTrainee(4)
    spec = EyeSpec(camera, LITERT, VirtualSubject(4), lockstep=True)
    with Eye(spec) as eye, VirtualCamera(camera, trainee, session_scene(4)) as own, make_estimator(LITERT) as estimator:
        for _ in range(3):
            seen, expected = eye.next(), estimator.estimate(own.read())
            assert seen.present
            assert np.array_equal(seen.image, expected.image)
            assert np.array_equal(seen.world, expected.world)


def test_an_unknown_estimator_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="litert, mediapipe"):
        config_from({"pose": {"estimator": "literati"}})


def test_litert_runs_without_mediapipe_and_what_it_brings(frames: list[Frame], tmp_path: Path) -> None:
    np.save(tmp_path / "frame.npy", frames[0].pixels)
    program = f"""
import sys
absent = ("mediapipe", "jax", "jaxlib", "matplotlib", "scipy", "google.protobuf")
for name in absent:
    sys.modules[name] = None
import numpy as np
from device.config import PoseConfig
from device.messages import Frame
from device.runtime import eye_process
from device.runtime.pose_engine import make_estimator
with make_estimator(PoseConfig(estimator="litert")) as estimator:
    print(estimator.estimate(Frame(0, 0, 0, np.load({str(tmp_path / "frame.npy")!r}))).present)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_without_a_runtime_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in RUNTIMES.values():
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DriverUnavailable, match="pip install ai-edge-litert"):
        LitertPose(LITERT).open()


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_a_model_file_that_is_absent_or_damaged_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    monkeypatch.setattr(network, "FOLDER", tmp_path)
    if content is not None:
        (tmp_path / network.DETECTOR).write_bytes(content)
    with pytest.raises(DriverUnavailable, match=network.DETECTOR):
        LitertPose(LITERT).open()


@pytest.mark.skipif(
    importlib.util.find_spec("flatbuffers") is None, reason="flatbuffers is not installed: pip install flatbuffers"
)
@needs_mediapipe
@pytest.mark.parametrize("name", [network.DETECTOR, network.LANDMARKS])
def test_the_shipped_networks_give_what_mediapipes_give(name: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from export.pose_models import SOURCES, mediapipe_modules
    from export.pose_models import network as made

    assert (network.FOLDER / name).read_bytes() == made(name)
    ours = network.Network(name, 1, darkest=0.0)
    source, outputs = SOURCES[name]
    theirs = Interpreter(model_path=str(mediapipe_modules() / source), num_threads=1)
    theirs.allocate_tensors()
    picture = np.random.default_rng(0).integers(0, 256, (ours.size, ours.size, 3), np.uint8)
    theirs.set_tensor(theirs.get_input_details()[0]["index"], (picture * np.float64(1 / 255)).astype(np.float32)[None])
    theirs.invoke()
    raw = ours.run(picture)
    assert set(raw) == set(outputs.values())
    for details in theirs.get_output_details():
        if details["name"] in outputs:
            assert np.allclose(raw[outputs[details["name"]]], theirs.get_tensor(details["index"]), rtol=1e-3, atol=1e-3)


def test_there_is_an_anchor_for_every_box_in_the_middle_of_its_cell() -> None:
    centres = anchors()
    assert centres.shape == (28 * 28 * 2 + 14 * 14 * 2 + 7 * 7 * 6, 2)
    assert np.allclose(centres[:4], [[0.5 / 28, 0.5 / 28]] * 2 + [[1.5 / 28, 0.5 / 28]] * 2)
    assert np.allclose(centres[-1], 6.5 / 7)


def test_the_boxes_of_the_surest_person_count_by_their_score() -> None:
    centres = np.full((4, 2), 0.5, np.float32)
    boxes = np.zeros((4, 12), np.float32)
    boxes[:, 2:4] = 50.0
    boxes[2, :2] = 100.0  # Somebody else: no overlap with the others.
    boxes[0, 4:8], boxes[1, 4:8] = (10, 0, 10, -100), (20, 0, 20, -100)
    scores = np.array([2.0, 1.0, 1.5, -2.0], np.float32)
    points = best_person(boxes, scores, centres, 224, 0.5)
    weights = 1 / (1 + np.exp(-scores[:2]))
    assert points is not None
    assert np.allclose(points[0], [0.5 + (10 * weights[0] + 20 * weights[1]) / weights.sum() / 224, 0.5])
    assert best_person(boxes, np.full(4, -1.0, np.float32), centres, 224, 0.5) is None


def test_a_region_stands_upright_for_the_body_in_it() -> None:
    upright = region_of_body(np.float32([100, 200]), np.float32([100, 100]))
    lying = region_of_body(np.float32([100, 200]), np.float32([200, 200]))
    assert upright == Region(100.0, 200.0, 250.0, 0.0)
    assert lying is not None
    assert lying.rotation == pytest.approx(np.pi / 2)
    above_hips = np.float32([[0.5, 0.1, 0.0]])
    assert np.allclose(upright.project(above_hips), [[100, 100, 0]])
    assert np.allclose(lying.project(above_hips), [[200, 200, 0]], atol=1e-4)


@pytest.mark.parametrize("end", [(100.0, 200.0), (np.nan, 100.0), (np.inf, 100.0)])
def test_points_that_make_no_region_give_none(end: tuple[float, float]) -> None:
    assert region_of_body(np.float32([100, 200]), np.float32(end)) is None


def test_a_crop_shows_the_region_with_black_or_the_edge_around_the_frame() -> None:
    pixels = np.full((50, 100, 3), 200, np.uint8)
    pixels[:, 50:] = 100
    crop = whole_frame(100, 50).crop(pixels, 100, black_outside=True)
    assert (crop[10, 50] == 0).all()
    assert (crop[50, 20] == 200).all()
    assert (crop[50, 80] == 100).all()
    crop = whole_frame(100, 50).crop(pixels, 100, black_outside=False)
    assert (crop[10, 20] == 200).all()
    turned = Region(50.0, 25.0, 40.0, np.pi / 2).crop(pixels, 40, black_outside=True)
    assert (turned[5, 20] == 100).all(), "the region's upper edge lies to the right in the frame"


def test_a_landmark_moves_to_the_heat_around_it() -> None:
    heatmap = np.full((64, 64, 3), -50.0, np.float32)
    heatmap[10, 21:23] = 50.0  # All three landmarks' heat.
    places = np.float32([[20.5 / 64, 10.5 / 64, 0.3], [40 / 64, 10 / 64, 0.3], [-0.1, 10 / 64, 0.3]])
    before = places.copy()
    refine(places, heatmap)
    assert np.allclose(places[0], [21.5 / 64, 10 / 64, 0.3])
    assert np.array_equal(places[1:], before[1:]), "cold, and outside the map"


def test_the_one_euro_filter_holds_what_rests_and_follows_what_moves() -> None:
    rng = np.random.default_rng(1)
    resting, moving = OneEuro(0.05, 80.0), OneEuro(0.05, 80.0)
    noise = rng.normal(0.0, 0.5, 300)
    at_rest = np.array([resting(np.float32([n]), 1 / 500)[0] for n in noise])
    assert at_rest[100:].std() < 0.35 * noise[100:].std()
    path = 600 * FRAME_S * np.arange(60)
    followed = np.array([moving(np.float32([p]), 1 / 500)[0] for p in path])
    assert np.abs(followed - path)[30:].max() < 600 * FRAME_S


def test_figures_are_judged_by_ratio_and_agreement() -> None:
    times = dict(zip(ENGINES, ([20.0, 22.0, 90.0], [8.0, 11.0, 12.0], [15.0, 16.5, 14.0]), strict=True))
    near = Disagreement(np.full(33, 0.5), np.full(33, 2.0), np.zeros(33))
    far = Disagreement(np.full(33, 9.0), np.full(33, 90.0), np.ones(33))
    usage = {"litert": Usage(0.5, 150.0, 1.0), "mediapipe": Usage(1.0, 300.0, 2.0)}
    rows = {r.name: r for r in judged(Comparison(times, times, [near] * 9 + [far], [True, False]), usage)}
    assert rows["pose_litert_2_threads_ratio"].value == pytest.approx(0.5)
    assert rows["pose_litert_2_threads_ratio"].ok
    assert rows["pose_litert_1_thread_ratio"].value == pytest.approx(15 / 22)
    assert not rows["pose_litert_1_thread_ratio"].ok
    assert rows["pose_agreement_px_median"].ok
    assert not rows["pose_agreement_px_p95"].ok
    assert rows["pose_found_alike"].value == 0.5


def test_a_process_with_the_estimator_says_what_it_takes(frames: list[Frame], tmp_path: Path) -> None:
    write_video(tmp_path / "video.mp4", iter(frames), 5)
    used = use("litert", tmp_path / "video.mp4")
    assert 50 < used.resident_mb < 250
    assert 0.1 < used.first_pose_s < 30
    assert 0.01 < used.cpu_s < 30


def test_the_command_measures_the_asked_part_of_a_session(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def figures(seed: int, seconds: float, on_step: Callable[[str], None]) -> list[Row]:
        on_step("memory")
        return [row("seed", seed), row("seconds", seconds, "s", at_most=1.0)]

    monkeypatch.setattr("device.bench.pose.pose_rows", figures)
    assert main(["bench", "pose", "--seed", "7", "--seconds", "1.5", "--json", "--strict"]) == 1
    assert [r["value"] for r in json.loads(capsys.readouterr().out)["rows"]] == [7, 1.5]
