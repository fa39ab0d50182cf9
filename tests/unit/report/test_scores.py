"""The verdict of a run names the better BM25, and only a tested difference gets a mark."""

import pytest

from stages.report.scores import row, rows, significance, verdict
from tests.made_run import scores


def test_the_difference_is_to_the_better_bm25() -> None:
    assert verdict(row("mean", scores(0.7, 0.6, 0.65, 0.01))) == "nDCG@10 0.700, 0.050 above stemmed BM25"
    assert verdict(row("mean", scores(0.5, 0.6, 0.55, 0.01))) == "nDCG@10 0.500, 0.100 below BM25"
    assert verdict(row("mean", scores(0.5, 0.5, 0.5, 0.01))) == "nDCG@10 0.500, equal to BM25"


@pytest.mark.parametrize(
    ("model", "p_value", "mark"),
    [(0.7, 0.049, "▲"), (0.4, 0.049, "▼"), (0.7, 0.05, "○"), (0.7, None, ""), (0.7, float("nan"), "")],
)
def test_the_mark_is_that_of_the_test(model: float, p_value: float | None, mark: str) -> None:
    assert row("set", scores(model, 0.6, 0.5, p_value)).mark[0] == mark


def test_significance_counts_the_sets_that_were_tested() -> None:
    table = [row(str(p), scores(model, 0.6, 0.5, p)) for model, p in ((0.7, 0.01), (0.5, 0.01), (0.7, 0.5))]
    assert significance(table) == "significantly better on 1 of 3 sets, worse on 1 of 3 sets"
    assert significance(table[2:]) == "not significant"
    assert significance(table[:1]) == "significantly better on the set"
    assert significance([row("set", scores(0.7, 0.6, 0.5, None))]) == "not tested"


def test_one_set_has_no_mean_and_other_means_are_no_sets() -> None:
    one = {"only": scores(0.7, 0.6, 0.5, None), "mean": scores(0.7, 0.6, 0.5, None), "NanoBEIR_mean_dot_ndcg@10": 0.7}
    assert [each.name for each in rows(one)] == ["only"]
    assert [each.name for each in rows({"first": one["only"], **one})] == ["first", "only", "mean"]
