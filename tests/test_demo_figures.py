"""The table of several sessions."""

import pytest

from device.demo.figures import _mean, markdown
from device.rows import report, row, within


def test_the_mean_is_judged_by_the_limit_that_the_sessions_share() -> None:
    good, bad = row("hits", 1.0, at_least=0.9), row("hits", 0.75, at_least=0.9)
    assert _mean([good, good, good, bad]).ok
    assert not _mean([good, bad]).ok


def test_a_session_in_which_a_figure_means_nothing_is_left_out() -> None:
    nothing, half = row("hits", None), row("hits", 0.5, at_least=0.9)
    mean = _mean([nothing, half])
    assert (mean.value, mean.limit, mean.ok) == (0.5, ">= 0.9", False)
    assert _mean([nothing, nothing]).value is None


@pytest.mark.parametrize(
    ("limit", "inside", "outside"), [(">= 0.9", 0.9, 0.89), ("<= 2", 2, 2.1), (">= 1 and <= 3", 2, 4), (None, 7, None)]
)
def test_a_limit_in_words_is_a_limit(limit: str | None, inside: float, outside: float | None) -> None:
    assert within(inside, limit)
    assert outside is None or not within(outside, limit)


def test_every_figure_and_session_is_in_the_table() -> None:
    rows = [row("hits", 0.95, at_least=0.9), row("ghosts", 0.0, at_most=0.2)]
    text = markdown([7, 8], [report(rows, seed=7, bundle="b1"), report(rows, seed=8, bundle="b1")], rows)
    assert "| figure | 7 | 8 | mean | limit | ok |" in text
    assert "| hits | 0.95 | 0.95 | 0.95 | >= 0.9 | yes |" in text
    assert 'make figures SEEDS="7 8"' in text
