from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")

from recorded_sets import TO_CAMERA

from device.errors import DatasetError, RecordingError
from device.messages import EXERCISES, NS_PER_S, ClockPing, ImuBatch, Pose
from device.runtime.recording import Recorder, RecordingMeta
from device.runtime.timebase import UNCONVERTED
from device.sim.script import plan_session
from device.sim.trainee import VirtualTrainee
from export.datasets.label import main
from export.datasets.labels import Label, read_labels, write_labels
from export.datasets.own import recorded_clip

START_NS = 5_000 * NS_PER_S
GOOD = '[[repetition]]\nstart_s = 1.0\nend_s = 2.5\nexercise = "squat"\ncorrect = true\n'


def record(
    folder: Path, seconds: float = 4.0, *, bands: bool = True, own_clock: bool = False, start_s: float = 2.0
) -> VirtualTrainee:
    """A trainee's squats before the camera at 15 Hz; the bands' samples are on the host's clock or on one of their own."""
    trainee = VirtualTrainee(3, plan_session(3, sets=["squat"], reps=3, brief=True), deaf=True)
    times = np.round((start_s + np.arange(0, seconds, 1 / 15)) * NS_PER_S).astype(np.int64)
    world = (trainee.track(times).landmarks @ TO_CAMERA.T).astype(np.float32)
    world -= (world[:, 23:24] + world[:, 24:25]) / 2
    with Recorder(folder, RecordingMeta(start_ns=START_NS)) as recorder:
        for i, frame in enumerate(world):
            t_ns = START_NS + i * NS_PER_S // 15
            recorder.write(Pose(t_ns, 0, i, np.full((33, 4), 0.9, np.float32), frame, 640, 480, True))
            if bands:
                samples = t_ns + np.arange(6, dtype=np.int64) * 10_000_000
                late, sigma = (777 * NS_PER_S, UNCONVERTED) if own_clock else (0, 0)
                if own_clock:
                    recorder.write(ClockPing(1, 9, t_ns, t_ns - late + 1_000_000, t_ns + 2_000_000))
                values = np.tile(np.array([-9.8, 0, 0, 0, 0, 0], np.float32), (6, 1))
                recorder.write(ImuBatch(int(samples[-1]) + 5_000_000, sigma, 6 * i, 1, 9, samples - late, values))
    return trainee


@pytest.mark.parametrize("own_clock", [False, True])
def test_a_recording_becomes_a_clip_on_one_clock(tmp_path: Path, own_clock: bool) -> None:
    record(tmp_path / "monday", own_clock=own_clock)
    clip = recorded_clip(tmp_path / "monday")
    assert (clip.name, clip.trains, clip.pose_hz) == ("monday", True, pytest.approx(15, rel=0.01))
    assert clip.imu_hz == pytest.approx(100)
    assert clip.imu_present[:, 1].mean() > 0.9
    assert not clip.imu_present[:, [0, 2, 3]].any()
    assert abs(int(clip.imu_ns[0]) - int(clip.pose_ns[0])) < 50_000_000
    assert clip.truth.exercise is None


def test_recordings_without_bands_or_without_a_person(tmp_path: Path) -> None:
    record(tmp_path / "camera", bands=False)
    assert recorded_clip(tmp_path / "camera").imu is None
    with Recorder(tmp_path / "nobody", RecordingMeta(start_ns=START_NS)) as recorder:
        recorder.write(Pose(START_NS, 0, 0, np.full((33, 4), np.nan), np.full((33, 3), np.nan), 640, 480, False))
    with pytest.raises(DatasetError, match="neither landmarks nor bands"):
        recorded_clip(tmp_path / "nobody")
    with pytest.raises(RecordingError):
        recorded_clip(tmp_path / "absent")


def test_labels_say_what_every_moment_is(tmp_path: Path) -> None:
    record(tmp_path / "monday")
    clip = recorded_clip(tmp_path / "monday", [Label(1.0, 2.0, "squat", True), Label(2.0, 3.0, "lunge", False)])
    seconds = clip.truth.times_ns / NS_PER_S
    names = [EXERCISES[k] for k in clip.truth.classes]
    assert {n for n, s in zip(names, seconds, strict=True) if s < 0.95} == {"none"}
    assert {n for n, s in zip(names, seconds, strict=True) if 1.05 < s < 1.95} == {"squat"}
    assert (clip.truth.exercise, clip.truth.correct, clip.truth.count) == (None, None, 2)
    quiet = recorded_clip(tmp_path / "monday", [])
    assert (quiet.truth.exercise, quiet.truth.count) == ("none", 0)


def test_proposed_repetitions_are_written_checked_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainee = record(tmp_path / "monday", 16.0, bands=False)
    done = [r for one in trainee.sets for r in one.repetitions]
    file = tmp_path / "labels.toml"
    assert main([str(tmp_path / "monday"), "--out", str(file)]) == 0
    labels = read_labels(file)
    inside = [r for r in done if r.end_ns < 17.5 * NS_PER_S]
    squats = [label for label in labels if label.exercise == "squat"]
    assert len(squats) == pytest.approx(len(inside), abs=1)
    # What else moves may be proposed, too: a person looks at all of it.
    assert len(labels) - len(squats) <= 1
    assert file.with_suffix(".png").stat().st_size > 10_000
    # A second proposal would overwrite what was corrected.
    assert main([str(tmp_path / "monday"), "--out", str(file)]) == 1
    assert "is there already" in capsys.readouterr().err
    file.with_suffix(".png").unlink()
    assert main([str(tmp_path / "monday"), "--check", str(file)]) == 0
    assert file.with_suffix(".png").exists()
    file.write_text(GOOD.replace("end_s = 2.5", "end_s = 99.0"))
    assert main([str(tmp_path / "monday"), "--check", str(file)]) == 1
    assert "ends at 99 s" in capsys.readouterr().err


def test_labels_come_back_as_they_were_written(tmp_path: Path) -> None:
    labels = [Label(0.5, 1.5, "push_up", True), Label(1.5, 2.25, "push_up", False)]
    write_labels(tmp_path / "a.toml", labels, "monday")
    assert read_labels(tmp_path / "a.toml", 3.0) == labels
    write_labels(tmp_path / "none.toml", [], "monday")
    assert read_labels(tmp_path / "none.toml") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("start_s = [", "not TOML"),
        ("answer = 42\n", "only .*repetition"),
        (GOOD.replace("end_s = 2.5\n", ""), "repetition 1 must have"),
        (GOOD.replace("1.0", '"now"'), "start_s = 'now'"),
        (GOOD.replace("1.0", "true"), "start_s = True"),
        (GOOD.replace("squat", "none"), "exercise 'none' is unknown"),
        (GOOD.replace("2.5", "0.5"), "must end after it begins"),
        (GOOD + GOOD.replace("1.0", "2.0").replace("2.5", "3.0"), "repetition 2 begins before"),
        (GOOD.replace("true", '"yes"'), "correct = 'yes'"),
    ],
)
def test_wrong_labels_name_the_entry(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "labels.toml").write_text(text)
    with pytest.raises(DatasetError, match=said):
        read_labels(tmp_path / "labels.toml", 10.0)
