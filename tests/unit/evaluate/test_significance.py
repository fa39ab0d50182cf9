"""Intervals and p-values agree with scipy's, and are what they must be for one query, for ties and over several sets."""

import numpy as np
import pytest
from scipy import stats

from stages.evaluate.significance import compare, holm, interval, mark, p_value, uncertainty


def scores(seed: int, number: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([0.0, 0.3, 0.5, 0.63, 1.0], number)


@pytest.mark.parametrize("number", [4, 12, 60])
def test_p_and_interval_agree_with_scipy(number: int) -> None:
    first, second = scores(1, number), scores(2, number)
    test = stats.permutation_test(
        (second, first), lambda a, b, axis: (a - b).mean(axis), permutation_type="samples", vectorized=True, rng=3
    )
    bounds = stats.bootstrap((second - first,), np.mean, n_resamples=10_000, method="percentile", rng=4, batch=500).confidence_interval
    found = compare([first], [second])
    assert found.p == pytest.approx(test.pvalue, abs=1e-12 if number < 13 else 0.02)
    assert (found.low, found.high) == pytest.approx(tuple(bounds), abs=0.01)
    assert found.difference == pytest.approx(second.mean() - first.mean())
    assert found.wins + found.ties + found.losses == found.queries == number


def test_a_tie_everywhere_has_p_1_and_an_empty_interval() -> None:
    same = scores(1, 50)
    found = compare([same], [same])
    assert (found.p, found.low, found.high, found.wins, found.ties, found.losses) == (1.0, 0.0, 0.0, 0, 50, 0)


def test_one_query_proves_nothing() -> None:
    found = compare([np.array([0.0])], [np.array([1.0])])
    assert (found.p, found.low, found.high) == (1.0, 1.0, 1.0)


def test_sets_weigh_the_same_whatever_their_size() -> None:
    small, large = np.ones(10), np.zeros(1000)
    found = compare([np.zeros(10), np.zeros(1000)], [small, large])
    assert found.difference == 0.5 and (found.low, found.high) == (0.5, 0.5)
    assert found.p == 2 / 2**10  # only the ten differ


def test_queries_are_resampled_within_their_set() -> None:
    low, high = interval([np.zeros(50), np.ones(50)])
    assert (low, high) == (0.5, 0.5)


def test_a_clear_difference_is_significant_and_the_draw_is_seeded() -> None:
    first = scores(1, 300)
    second = np.clip(first + np.random.default_rng(5).normal(0.1, 0.3, 300), 0, 1)
    found = compare([first], [second])
    assert found == compare([first], [second]) and 0 < found.p < 0.001 and found.low > 0
    assert compare([second], [first]).p == found.p


def test_a_test_of_chance_rejects_as_often_as_it_says() -> None:
    draw = np.random.default_rng(6)
    found = [p_value([draw.normal(size=12)]) for _ in range(200)]
    assert 0.01 < np.mean(np.array(found) < 0.05) < 0.1


def test_holms_correction_never_changes_the_order() -> None:
    assert holm([]) == []
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]


def test_the_model_is_tested_against_the_better_bm25_of_each_set() -> None:
    model, plain, stemmed = scores(1, 60), np.zeros(60), scores(1, 60)
    found = uncertainty({"a": {"model": model, "bm25": plain, "bm25_stemmed": stemmed}, "b": {"model": model, "bm25": plain}})
    assert found["a"]["p_value"] == 1.0 and found["b"]["p_value"] == pytest.approx(2 / 10_001)  # two sets, so twice the least p
    assert found["mean"]["p_value"] == pytest.approx(1 / 10_001)  # both have only the plain one
    for row in found.values():
        assert row["ndcg@10_low"] < model.mean() < row["ndcg@10_high"]


def test_a_set_without_the_models_run_has_no_numbers_and_neither_has_the_mean() -> None:
    one = {"model": scores(1, 9), "bm25": scores(2, 9)}
    assert set(uncertainty({"a": one, "b": {}})) == {"a"}
    assert set(uncertainty({"a": {"model": one["model"]}})["mean"]) == {"ndcg@10_low", "ndcg@10_high"}
    assert uncertainty({}) == {}


def test_the_mark_has_one_width() -> None:
    assert [mark(0.1, 0.01), mark(-0.1, 0.01), mark(0.1, 0.05), mark(0.1, None)] == [" ▲", " ▼", "  ", ""]
