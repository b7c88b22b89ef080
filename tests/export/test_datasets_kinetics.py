from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")

from device.config import CameraConfig
from device.drivers.camera_virtual import VirtualCamera
from device.errors import DatasetError
from device.messages import Pose
from device.sim.trainee import VirtualTrainee
from export.clips import clip_scene
from export.datasets.files import load_clip
from export.datasets.kinetics import Item, clips, extract, items_of, main, prepare, unusable

HEADER = "label,youtube_id,time_start,time_end,split\n"


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of the virtual trainee as a video."""
    path = tmp_path_factory.mktemp("video") / "person.mp4"
    config = CameraConfig(type="virtual", rate_hz=10.0, width=320, height=240)
    with VirtualCamera(config, VirtualTrainee(4, deaf=True), clip_scene(4)) as camera:
        write_video(path, [cv2.cvtColor(camera.read().pixels, cv2.COLOR_RGB2BGR) for _ in range(12)])
    return path


def write_video(path: Path, frames: list[np.ndarray]) -> None:
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (320, 240))
    for frame in frames:
        video.write(frame)
    video.release()


def poses(count: int, *, present: bool = True, visibility: float = 0.9, jump_every: int = 0) -> list[Pose]:
    found = []
    for i in range(count):
        image = np.full((33, 4), 0.3, np.float32)
        image[:, 1] = np.linspace(0.1, 0.9, 33)
        image[:, 3] = visibility
        if jump_every and i // jump_every % 2:
            image[:, 0] = 0.8
        found.append(Pose(i * 33_000_000, 0, i, image, np.zeros((33, 3), np.float32), 320, 240, present))
    return found


def test_class_folders_are_read_and_names_cut_apart(tmp_path: Path) -> None:
    for name in ("push up/abc_000010_000020.mp4", "jumping_jacks/x_y.mkv", "push up/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = {item.youtube_id: item for item in items_of(tmp_path)}
    assert set(found) == {"abc", "x_y"}
    assert (found["abc"].label, found["x_y"].label) == ("push up", "jumping jacks")


def test_annotations_find_their_videos_cut_or_whole_and_list_missing_ones(tmp_path: Path) -> None:
    (tmp_path / "squat").mkdir()
    (tmp_path / "squat" / "abc_000010_000020.mp4").touch()
    (tmp_path / "whole.mp4").touch()
    table = tmp_path / "train.csv"
    table.write_text(HEADER + "squat,abc,10,20,train\nlunge,whole,3,13,train\nsquat,gone,0,10,train\n")
    cut, whole, gone = items_of(table)
    assert (cut.path, cut.start_s) == (tmp_path / "squat" / "abc_000010_000020.mp4", 0.0)
    assert (whole.path, whole.start_s, whole.end_s) == (tmp_path / "whole.mp4", 3.0, 13.0)
    assert gone.path is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("label,youtube_id,time_start\nsquat,a,0\n", "lacks the column time_end"),
        (HEADER + "squat,a,zero,10,train\n", "line 2 has no times"),
        (HEADER + "squat,a,10,0,train\n", "line 2 must name a video and end after"),
        (HEADER + "squat,,0,10,train\n", "line 2 must name a video"),
    ],
)
def test_wrong_annotations_name_the_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(text)
    with pytest.raises(DatasetError, match=said):
        items_of(tmp_path / "train.csv")


def test_folders_without_videos_say_how_to_lay_them_out(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no videos"):
        items_of(tmp_path)
    with pytest.raises(DatasetError, match="neither a folder"):
        items_of(tmp_path / "absent")


def test_a_person_on_a_video_becomes_a_clip(person: Path, tmp_path: Path) -> None:
    extract(Item("someone", "id", "squat", person), tmp_path)
    clip = load_clip(tmp_path / "someone.npz")
    assert (clip.truth.exercise, clip.subject, clip.trains) == ("squat", "id", False)
    assert clip.pose_hz == pytest.approx(10, rel=0.05)
    assert clip.landmarks is not None
    assert np.isfinite(clip.landmarks).all(axis=(1, 2)).mean() > 0.6


def test_only_the_annotated_stretch_is_looked_at(person: Path, tmp_path: Path) -> None:
    extract(Item("part", "id", "squat", person, 0.4, 1.0), tmp_path)
    clip = load_clip(tmp_path / "part.npz")
    assert clip.seconds < 0.7


def test_a_run_that_was_cut_off_goes_on_and_nothing_missing_is_fatal(
    person: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos, cache = tmp_path / "videos", tmp_path / "cache"
    (videos / "squat").mkdir(parents=True)
    (videos / "squat" / "seen_000000_000001.mp4").write_bytes(person.read_bytes())
    write_video(videos / "squat" / "dark_000000_000001.mp4", [np.zeros((240, 320, 3), np.uint8)] * 10)
    (videos / "squat" / "broken_000000_000001.mp4").write_bytes(b"no video")
    table = videos / "train.csv"
    table.write_text(HEADER + "".join(f"squat,{name},0,1,train\n" for name in ("seen", "dark", "broken", "gone")))
    # What an earlier run has found is not looked for again.
    cache.mkdir()
    extract(Item("seen_000000_000001", "seen", "squat", person), cache)
    before = (cache / "seen_000000_000001.npz").stat().st_mtime_ns
    assert main([str(table), "--cache", str(cache), "--processes", "1"]) == 0
    said = capsys.readouterr().out
    assert "missing   gone_000000_000001" in said
    assert "dark_000000_000001: a person in 0 of 10 frames only" in said
    assert "broken_000000_000001" in said
    assert "1 clips" in said
    assert (cache / "seen_000000_000001.npz").stat().st_mtime_ns == before
    prepared = prepare(table, cache, quiet=True)
    assert [clip.name for clip in clips(prepared)] == ["seen_000000_000001"]


def test_stretches_that_teach_nothing_are_left_out_with_the_reason() -> None:
    assert unusable(poses(60)) is None
    assert unusable([]) == "no frame lies in the stretch"
    assert "0 of 60 frames" in str(unusable(poses(60, present=False)))
    assert "visibility is 0.20" in str(unusable(poses(60, visibility=0.2)))
    assert "several people" in str(unusable(poses(60, jump_every=5)))
    # One cut in a clip is forgiven.
    assert unusable(poses(60, jump_every=40)) is None
