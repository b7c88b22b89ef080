import json
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")

import recorded_sets as made

from device.config import load_config
from device.errors import DatasetError
from device.messages import EXERCISES, NS_PER_S, Repetition
from device.rows import report
from device.runtime.bundle import load_bundle
from export.datasets.catalogue import read_set
from export.datasets.clip import Truth, only
from export.datasets.splits import split_people
from export.evaluate_people import main, parts_of, thinned
from export.people.figures import (
    BANDS,
    BOTH,
    CAMERA,
    area_under_curve,
    confusion,
    error_area,
    ghosts_per_min,
    held_back,
    macro_accuracy,
    relative_error,
    rows_of,
    within_one,
    worst,
)
from export.people.intervals import intervals
from export.people.report import markdown, write_report
from export.people.watch import Seen, moving, watch


def repetition(start_s: float, exercise: str = "squat") -> Repetition:
    start_ns = round(start_s * NS_PER_S)
    return Repetition(start_ns + NS_PER_S, 0, start_ns, start_ns + NS_PER_S, exercise, "both", 1, ())


def seen(
    exercise: str | None = "squat", taken: str = "squat", *, true: int | None = 5, counted: tuple[Repetition, ...] = (),
    source: str = "repcount_pose", part: str = CAMERA, spans: tuple[tuple[float, float], ...] = (),
    worst_rad: tuple[float, ...] = (), correct: bool | None = None, subject: str = "p", name: str = "clip",
) -> Seen:  # fmt: skip
    n = 60 * 30
    times = np.arange(n, dtype=np.int64) * NS_PER_S // 30
    spans_ns = np.round(np.array(spans).reshape(-1, 2) * NS_PER_S).astype(np.int64)
    return Seen(
        source, name, subject, part, 60.0, 0, Truth(exercise, str(exercise), correct, true, spans_ns), times,
        np.full(n, EXERCISES.index(taken)), np.zeros(n), np.ones(n, bool), counted, np.array(worst_rad),
    )  # fmt: skip


def test_counts_err_by_what_is_missing_and_by_what_is_taken_for_something_else() -> None:
    squats = tuple(repetition(i) for i in range(4))
    assert seen(counted=squats).count_error == -1
    assert seen(counted=(*squats, repetition(4), repetition(5))).count_error == 1
    assert seen(counted=(*squats, repetition(4, "lunge"))).count_error == 2
    found = [seen(counted=squats), seen(counted=squats[:1])]
    assert within_one(found) == 0.5
    assert relative_error(found) == pytest.approx((1 / 5 + 4 / 5) / 2)


def test_accuracy_weighs_classes_alike_and_leaves_open_ones_out() -> None:
    found = [seen(), seen(), seen(taken="none"), seen("none", "none", true=None), seen(None, "squat", true=None)]
    assert macro_accuracy(found) == pytest.approx((2 / 3 + 1) / 2)
    labels, counts = confusion(found)
    assert labels == ["None (open)", "none (none)", "squat (squat)"]
    assert counts[2, EXERCISES.index("squat")] == 2
    assert counts.sum() == len(found)


def test_ghosts_are_repetitions_of_no_exercise_and_outside_of_true_ones() -> None:
    idle = seen("none", "none", true=None, counted=(repetition(3), repetition(8)))
    assert ghosts_per_min([idle]) == 2.0
    getting_ready = seen(counted=(repetition(2), repetition(21)), spans=((20.0, 22.0), (22.0, 24.0)))
    assert ghosts_per_min([getting_ready]) == pytest.approx(1 / ((60 - 6) / 60))
    assert ghosts_per_min([seen(None, counted=(repetition(1),))]) is None
    # The same trial with a part of its signals would count twice.
    assert ghosts_per_min([seen("none", true=None, source="utd_mhad", part=BANDS)]) is None


def test_of_a_set_that_may_be_trained_on_only_the_held_back_people_make_ghosts() -> None:
    people = [f"s{i}" for i in range(1, 8)]
    kept = split_people(people).held_back
    clips = [seen("none", source="ui_prmd", subject=who, counted=(repetition(1),)) for who in people]
    assert {one.subject for one in held_back(clips)} == kept
    (row,) = [row for row in rows_of(clips) if row.name == "people_ghost_reps_per_min"]
    assert row.value == ghosts_per_min([one for one in clips if one.subject in kept])


def test_the_area_under_the_curve_is_the_chance_to_tell_wrong_from_right() -> None:
    assert area_under_curve(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert area_under_curve(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 0.5
    assert area_under_curve(np.array([math.nan]), np.array([1.0])) is None
    found = [seen(correct=False, worst_rad=(0.5, 0.2)), seen(correct=True, worst_rad=(0.3, math.nan))]
    assert error_area(found) == 0.5


def test_rows_are_named_after_sets_and_carry_their_limits() -> None:
    found = [seen(counted=tuple(repetition(i) for i in range(5))), seen("none", "none", true=None)]
    rows = {row.name: row for row in rows_of(found)}
    assert (rows["repcount_pose_obo"].value, rows["repcount_pose_obo"].limit) == (1.0, ">= 0.75")
    assert rows["people_ghost_reps_per_min"].ok
    assert all(name.startswith(("repcount_pose_", "people_")) for name in rows)
    subjects = [seen(source="ui_prmd", subject=f"s{i}", correct=bool(i % 2), worst_rad=(0.1 * i,)) for i in range(4)]
    assert "ui_prmd_auc" in {row.name for row in rows_of(subjects)}


def test_the_worst_clips_come_first_and_right_ones_not_at_all() -> None:
    right = seen(counted=tuple(repetition(i) for i in range(5)), name="right", taken="squat")
    half = seen(counted=(repetition(1), repetition(2)), name="half")
    lost = seen(taken="none", name="lost")
    assert [one.name for one in worst([right, half, lost], 5)] == ["lost", "half"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    made.write_videos(folder / "video_pose")
    made.write_utd(folder / "utd_mhad")
    return folder


def test_a_clip_streams_through_the_shipped_coach(data: Path) -> None:
    config = load_config(None)
    clip = next(read_set("utd_mhad", data))
    one = watch(clip, config, load_bundle(None), BOTH)
    # The newest ticks still wait for samples when the clip ends.
    assert abs(len(one.times_ns) - clip.seconds * config.signals.tick_hz) <= 10
    assert one.exercise in EXERCISES
    assert 0 <= one.share <= 1
    again = watch(clip, config, load_bundle(None), BOTH)
    np.testing.assert_array_equal(one.phase, again.phase)


def test_moving_time_is_within_repetitions_or_where_limbs_turn(data: Path) -> None:
    clip = next(read_set("utd_mhad", data))
    times = np.arange(0, clip.end_ns, NS_PER_S // 30)
    still = only(clip, camera=False)
    assert still.imu is not None
    still.imu[:75, :, 3:] = 0
    still.imu[75:, 1, 3:] = 2
    found = moving(still, times)
    assert not found[: len(found) // 3].any()
    assert found[2 * len(found) // 3 :].all()


def test_sets_are_played_with_the_modalities_that_they_are_measured_with(data: Path) -> None:
    assert [part for _, part in parts_of("utd_mhad", data)][:3] == [BOTH, CAMERA, BANDS]
    assert {part for _, part in parts_of("video_pose", data)} == {CAMERA}


def test_thinning_leaves_our_exercises_whole(data: Path) -> None:
    jobs = [(clip, part) for clip, part in parts_of("video_pose", data)]
    assert len(list(thinned(iter(jobs), 3))) == len(jobs)


def test_an_evaluation_writes_figures_tables_and_pictures(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "reports"
    assert main(["--data", str(data), "--only", "video_pose", "--out", str(out), "--processes", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    kept = json.loads((out / "people.json").read_text())
    assert [row["name"] for row in kept["rows"]] == ["video_pose_exercise", "video_pose_reps_within_one"]
    assert kept["rows"] == printed["rows"]
    assert len(kept["clips"]) == 5
    pictures = {path.name for path in (out / "people").iterdir()}
    assert {"confusion-video_pose.png", "persons-video_pose.png", "repetitions.png"} < pictures
    assert any(name.startswith("worst-video_pose-camera-") for name in pictures)
    assert "video_pose_exercise" in (out / "people.md").read_text()


def test_an_absent_folder_is_said_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out"), "--processes", "1"]) == 1
    assert "--data" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_report_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file, not a folder")
    found = [seen()]
    with pytest.raises(DatasetError, match="can't be written"):
        write_report(tmp_path / "out", report(rows_of(found)), found, [])


def test_an_interval_is_as_wide_as_the_number_of_people_and_not_of_clips_has_it() -> None:
    def half_right(people: int, each: int) -> list[Seen]:
        done = tuple(repetition(i) for i in range(5))
        return [seen(subject=f"p{i}", counted=done if i % 2 else ()) for i in range(people) for _ in range(each)]

    found = {key: intervals(half_right(*key), draws=200)["repcount_pose_obo"] for key in ((40, 1), (40, 4), (160, 1))}
    # 1.64 standard errors to both sides of a half, in steps of a person.
    for people, each in found:
        assert found[people, each] == pytest.approx((0.5 - 0.82 / people**0.5, 0.5 + 0.82 / people**0.5), abs=0.04)
    assert found[40, 1] == intervals(half_right(40, 1), draws=200)["repcount_pose_obo"]


def test_hardly_any_people_say_nothing_of_others() -> None:
    found = [seen(subject=f"p{i}") for i in range(4)]
    idle = [seen("none", "none", true=None, subject=one.subject) for one in found]
    # Ghosts are everybody's, but some draws leave out the only one who ever did nothing.
    assert set(intervals([*found, idle[0]])) == set()
    assert set(intervals([*found, *idle])) == {"people_ghost_reps_per_min"}
    assert "repcount_pose_obo" in intervals([*found, seen(subject="p5")])


def test_the_tables_name_every_activity() -> None:
    found = [seen(), seen("none", "none", true=None)]
    text = markdown(report(rows_of(found)), found, ["worst-a.png"], {"repcount_pose_obo": (0.25, 0.75)})
    assert "| 0.25 to 0.75 |" in text
    assert "| squat (squat) |" in text
    assert "worst-a.png" in text
