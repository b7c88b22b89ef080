import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the export extra is not installed")

from scipy.stats import ttest_ind

from device.errors import StoreError
from device.messages import EXERCISES
from device.rows import report, row
from export.dataset import Batch, Labels
from export.kept import Kept, check_writable, fingerprint, write_whole
from export.simulation import paper
from export.simulation.coaching import false_rate, feedback_s, hit_rate
from export.simulation.judge import decided, judge, sets_of
from export.simulation.measures import (
    Spread,
    accuracy,
    angle_score,
    compare_best,
    compare_order,
    product_score,
    two_sample_p,
    weighted_score,
)
from export.simulation.occlusion import PARTS, hidden_landmarks, occluded
from export.simulation.plots import draw_section
from export.simulation.report import markdown, write_report
from export.simulation.sections import Panel, Section, Series, Table, slug

SQUAT, NONE = EXERCISES.index("squat"), EXERCISES.index("none")


def test_accuracy_is_the_share_that_is_right() -> None:
    assert accuracy(np.array([1, 2, 3, 3]), np.array([1, 2, 3, 4])) == 0.75
    assert math.isnan(accuracy(np.zeros(0, np.int64), np.zeros(0, np.int64)))


def test_the_papers_angle_score_is_six_point_nine_degrees() -> None:
    true = np.zeros((5, 12))
    assert angle_score(true + math.radians(6.9), true) == pytest.approx(0.879, abs=1e-3)


def test_the_angle_score_goes_the_short_way_round() -> None:
    assert angle_score(np.full((1, 12), 2 * math.pi - 0.1), np.zeros((1, 12))) == pytest.approx(0.9)


def test_the_scores_are_the_papers_formulas() -> None:
    assert weighted_score(0.924, 0.879, 1.8) == pytest.approx(0.4 * 0.924 + 0.4 * 0.879 - 0.36)
    assert product_score(0.924, 0.879, 1.8) == pytest.approx(0.924 * 0.879 / 1.8)


def test_mean_and_deviation_over_seeds() -> None:
    assert Spread((1.0, 2.0, 3.0)).mean == 2
    assert Spread((1.0, 2.0, 3.0)).deviation == 1
    assert math.isnan(Spread((1.0,)).deviation)


def test_the_t_test_is_welchs() -> None:
    a, b = (0.88, 0.89, 0.87, 0.885, 0.88), (0.92, 0.93, 0.91, 0.925, 0.90)
    assert two_sample_p(a, b) == pytest.approx(ttest_ind(a, b, equal_var=False).pvalue)


@pytest.mark.parametrize("pair", [((0.9,), (0.8, 0.7)), ((0.9, 0.9), (0.8, 0.8))])
def test_a_t_test_without_spread_or_values_is_not_measured(pair: tuple[Sequence[float], Sequence[float]]) -> None:
    assert two_sample_p(*pair) is None


def test_an_order_as_in_the_paper_leaves_nothing_to_say() -> None:
    order = compare_order("Accuracy", {"a": 0.8, "b": 0.9, "c": 0.95}, {"a": 0.1, "b": 0.2, "c": 0.3})
    assert (order.same, order.pairs, order.sentences) == (3, 3, ())


def test_a_pair_the_other_way_round_is_said_with_its_figures() -> None:
    order = compare_order("Accuracy", {"a": 0.95, "b": 0.9}, {"a": 0.1, "b": 0.2})
    assert order.same == 0
    assert order.sentences == (
        "Accuracy: the paper has b above a; here it is the other way round (paper 0.2 and 0.1, ours 0.9 and 0.95).",
    )


def test_equal_figures_are_no_order() -> None:
    assert "they are equal" in compare_order("x", {"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 2.0}).sentences[0]


def test_a_difference_within_the_spread_is_undecided() -> None:
    order = compare_order("x", {"a": 1.0, "b": 1.05}, {"a": 1.0, "b": 2.0}, noise={"a": 0.1, "b": 0.1})
    assert order.same == 0
    assert "undecided" in order.sentences[0]


def test_what_the_paper_only_draws_and_what_it_has_equal_is_not_compared() -> None:
    order = compare_order("x", {"a": 1.0, "b": 3.0, "c": 2.0}, {"a": 1.0, "b": None, "c": 1.0})
    assert order.pairs == 0


def test_a_curve_is_compared_between_neighbours() -> None:
    order = compare_order("x", {"1": 1.0, "2": 2.0, "3": 1.5}, {"1": 1.0, "2": 3.0, "3": 2.0}, neighbours=True)
    assert (order.same, order.pairs) == (2, 2)


def test_a_best_place_elsewhere_is_said() -> None:
    assert compare_best("Hit rate", {"7": 0.9, "11": 0.8}, {"7": 0.8, "11": 0.9}) == (
        "Hit rate: the paper's best is at 11 (0.9); ours is at 7 (0.9)."
    )
    assert compare_best("Hit rate", {"7": 0.8, "11": 0.9}, {"7": 0.8, "11": 0.9}) is None


def test_rates_are_over_all_sessions_and_nothing_of_nothing() -> None:
    outcomes = [
        {"injected": 4, "hits": 3, "corrections": 5, "false": 1, "feedback_s": [2.0, 1.0]},
        {"injected": 1, "hits": 1, "corrections": 0, "false": 0, "feedback_s": [4.0]},
    ]
    assert (hit_rate(outcomes), false_rate(outcomes), feedback_s(outcomes)) == (0.8, 0.2, 2.0)
    nothing = [{"injected": 0, "hits": 0, "corrections": 0, "false": 0, "feedback_s": []}]
    assert (hit_rate(nothing), false_rate(nothing), feedback_s(nothing)) == (None, None, None)


@pytest.mark.parametrize("share", [0.0, 0.15, 0.3, 0.45, 0.9])
def test_as_many_landmarks_are_hidden_as_asked_for(share: float) -> None:
    for seed in range(5):
        assert hidden_landmarks(np.random.default_rng(seed), share).sum() == round(share * 33)


def test_the_parts_of_the_body_are_all_of_it() -> None:
    assert sorted(node for part in PARTS for node in part) == list(range(33))


def test_a_hidden_landmark_strays_and_says_so_and_a_seen_one_stays() -> None:
    seconds = np.arange(300) / 30
    world, visibility = np.zeros((300, 33, 3)), np.ones((300, 33))
    shown, says = occluded(np.random.default_rng(1), seconds, world, visibility, 0.45)
    hidden = says < 0.5
    assert hidden.mean() == pytest.approx(0.45, abs=0.01)
    assert not shown[~hidden].any()
    assert 0.02 < np.abs(shown[hidden]).mean() < 0.3
    assert not np.array_equal(hidden[0], hidden[150])
    # A guess wanders; it doesn't jump from frame to frame.
    still = (hidden[1:] & hidden[:-1])[..., None] & np.ones(3, np.bool_)
    assert np.abs(np.diff(shown, axis=0))[still].mean() < 0.3 * np.abs(shown[hidden]).mean()


def test_nothing_is_hidden_of_an_empty_stretch_or_at_no_occlusion() -> None:
    world, visibility = np.zeros((0, 33, 3)), np.zeros((0, 33))
    assert occluded(np.random.default_rng(1), np.zeros(0), world, visibility, 0.5)[0].shape == (0, 33, 3)
    seen, says = occluded(np.random.default_rng(1), np.arange(4) / 30, np.ones((4, 33, 3)), np.ones((4, 33)), 0.0)
    assert (seen == 1).all()
    assert (says == 1).all()


def labelled(exercise: list[int]) -> Labels:
    n = len(exercise)
    return Labels(
        np.array(exercise),
        np.ones(n, np.int64),
        np.zeros(n, np.float32),
        np.zeros((n, 12), np.float32),
        np.zeros((n, 12), np.float32),
        np.ones(n, np.bool_),
    )


def test_a_set_is_a_run_of_one_exercise() -> None:
    assert sets_of(labelled([NONE, SQUAT, SQUAT, 0, NONE, NONE, SQUAT])) == [(1, 3), (3, 4), (6, 7)]


def test_a_decision_is_one_that_lasts() -> None:
    right = np.array([1, 1, 0, 0, 1, 1, 1, 0], bool)
    assert decided(right, 3) == 4
    assert decided(right, 4) == len(right)
    assert decided(right[:2], 3) == 2


def test_a_network_is_judged_by_what_it_says_within_sets_and_outside() -> None:
    labels = labelled([NONE] * 10 + [SQUAT] * 40)
    skeleton = np.zeros((1, 50, 33, 11), np.float32)
    skeleton[..., -1] = 1
    skeleton[0, 45:, :, -1] = 0
    said, angles = labels.exercise.copy(), np.full((50, 12), 0.1)
    said[:2], said[10:16] = SQUAT, NONE
    angles[45:] = 3
    batch = Batch(skeleton, np.zeros((1, 50, 4, 8), np.float32), Labels(*(label[None] for label in labels)))
    found = judge(lambda _: (said, angles), [batch], tick_hz=10)
    assert found["accuracy"] == 1
    assert found["none"] == 0.8
    assert found["angle_score"] == pytest.approx(0.9)
    assert found["delay_s"] == pytest.approx(0.6)
    assert (found["clip_accuracy"], found["sets"]) == (1, 1)


def test_a_file_is_whole_or_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(StoreError, match="can't be written"):
        write_whole(tmp_path / "taken" / "x.json", b"{}")
    with pytest.raises(StoreError, match="Make room, or give another folder"):
        check_writable(tmp_path / "taken")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / f".x.bin.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(StoreError, match="No space left"):
        write_whole(tmp_path / "x.bin", b"x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    assert kept.measured("a", lambda: {"x": 1}) == {"x": 1}
    assert kept.measured("a", lambda: pytest.fail("measured again")) == {"x": 1}
    (tmp_path / "a.json").write_text('{"x":')
    assert kept.measured("a", lambda: {"x": 2}) == {"x": 2}


def test_another_source_or_another_option_has_another_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("1")
    first = fingerprint([file], 500)
    assert fingerprint([file], 501) != first
    file.write_text("2")
    assert fingerprint([file], 500) != first


def test_the_papers_tables_and_figures_agree_on_what_they_share() -> None:
    complete = paper.TABLE_3["complete"]
    assert complete == (paper.ACCURACY["TCN+GAT"], paper.ANGLE_SCORE["TCN+GAT"], paper.LATENCY_S["TCN+GAT"])


def section() -> Section:
    panel = Panel("hits", "degrees", "share", (Series("ours", {"3": 0.5, "7": None}),), (Series("paper", {"3": 0.6, "7": 0.9}),))
    return Section(
        "figure7", "Figure 7: threshold", "What was measured.", (row("simulation_hit_rate", 0.9, "share", at_least=0.95),),
        (Table(("degrees", "hit"), (("3", "0.5"),)),), (panel, Panel("bars", "", "x", (), panel.paper, bars=True)),
        (compare_order("Hits", {"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 2.0}),),
    )  # fmt: skip


def test_the_report_holds_rows_tables_pictures_and_disagreements(tmp_path: Path) -> None:
    one = section()
    figures = report(list(one.rows), bundle="abc")
    write_report(tmp_path, figures, [one], ["a condition"])
    text = (tmp_path / "simulation.md").read_text(encoding="utf-8")
    assert "| simulation_hit_rate | 0.9 | >= 0.95 | missed |" in text
    assert "- **Figure 7: threshold**: 1 point; 0 of 1 pairs stand in the paper's order." in text
    assert "- Hits: the paper has b above a; here it is the other way round" in text
    assert (tmp_path / "simulation" / "figure7.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["simulation", "simulation.json", "simulation.md"]


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    gone = Series("ours", {"a": math.nan, "b": None})
    panels = (Panel("p", "", "y", (gone,), (), bars=True), Panel("q", "", "y", (gone,), (Series("x", {"a": 1.0}),)))
    draw_section(Section("s", "S", "w", (), panels=panels), tmp_path / "s.png")
    assert (tmp_path / "s.png").stat().st_size > 0


def test_agreement_is_said_too() -> None:
    agreed = Section("t", "T", "w", (), orders=(compare_order("x", {"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0}),))
    text = markdown(report([]), [agreed], [])
    assert "Nowhere, as far as the paper gives figures." in text
    assert "1 of 1 pairs stand in the paper's order." in text


def test_names_become_parts_of_rows() -> None:
    assert slug("TCN+GAT") == "tcn_gat"
    assert slug("without dual feedback") == "without_dual_feedback"
