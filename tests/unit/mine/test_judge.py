"""Several teachers' scores as one, and what is no negative by them."""

from collections.abc import Sequence

import numpy as np
import pytest

from stages.mine.judge import Judge, negatives
from stages.mine.teacher import Pair, Score


def table(scores: dict[str, float]) -> Score:
    def score(pairs: Sequence[Pair]) -> np.ndarray:
        return np.array([scores[text] for _, text in pairs])

    return score


QUERIES, TEXTS = ["q", "r"], [["a", "b", "c"], ["d", "e"]]
FIRST = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.85, "e": 0.84}


def test_the_scale_of_a_teacher_does_not_matter() -> None:
    tenfold = {text: 10 * score + 5 for text, score in FIRST.items()}
    one, other = (np.concatenate(Judge([(table(each), 1.0)])(QUERIES, TEXTS)) for each in (FIRST, tenfold))
    np.testing.assert_allclose(one, other, atol=1e-9)
    assert np.sqrt(np.mean(one**2)) == pytest.approx(1.0)


def test_a_row_whose_texts_differ_little_keeps_small_differences() -> None:
    far, near = Judge([(table(FIRST), 1.0)])(QUERIES, TEXTS)
    assert (near[0] - near[1]) / (far[0] - far[1]) == pytest.approx(0.1)


def test_weights_are_shares_of_the_mean() -> None:
    second = {"a": 0.0, "b": 5.0, "c": 1.0, "d": 3.0, "e": -2.0}
    alone = [np.concatenate(Judge([(table(each), 1.0)])(QUERIES, TEXTS)) for each in (FIRST, second)]
    both = np.concatenate(Judge([(table(FIRST), 3.0), (table(second), 1.0)])(QUERIES, TEXTS))
    np.testing.assert_allclose(both, 0.75 * alone[0] + 0.25 * alone[1])


def test_the_first_block_gives_the_scale_of_the_others() -> None:
    judge = Judge([(table(FIRST), 1.0)])
    judge(QUERIES, TEXTS)
    [near] = judge(QUERIES[1:], TEXTS[1:])
    np.testing.assert_allclose(near, Judge([(table(FIRST), 1.0)])(QUERIES, TEXTS)[1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_leaves_the_others_as_they_are(value: float) -> None:
    row, _ = Judge([(table(FIRST | {"c": value}), 1.0)])(QUERIES, TEXTS)
    assert np.isnan(row[2]) and row[0] == pytest.approx(-row[1]) and row[0] > 0


@pytest.mark.parametrize("scores", [dict.fromkeys(FIRST, 0.1), dict.fromkeys(FIRST, np.nan)])
def test_a_teacher_that_knows_nothing_breaks_nothing(scores: dict[str, float]) -> None:
    found = np.concatenate(Judge([(table(scores), 1.0)])(QUERIES, TEXTS))
    assert np.abs(found).max() == 0 or np.isnan(found).all()


def test_no_rows_and_rows_without_texts() -> None:
    assert Judge([(table(FIRST), 1.0)])([], []) == []
    assert [len(row) for row in Judge([(table(FIRST), 1.0)])(["q", "r"], [["a", "b"], []])] == [2, 0]


@pytest.mark.parametrize(
    ("scores", "margin", "places"),
    [
        ([1.0, 0.9, 0.5, 0.0], 0.0, [1, 2, 3]),
        ([1.0, 0.96, 0.5, 0.0], 0.05, [2, 3]),
        ([-1.0, -1.04, -1.5, -2.0], 0.05, [2, 3]),  # the same, whatever the scale's zero
        ([0.5, 0.9, 0.5, 0.2], 0.0, [3]),  # neither a better one nor a tie
        ([0.0, 0.9, 0.5], 0.0, []),  # the positive is the worst
        ([1.0, np.nan, 0.5], 0.0, [2]),
        ([np.nan, 0.9, 0.5], 0.0, []),
        ([1.0], 0.0, []),
    ],
)
def test_a_negative_scores_clearly_below_the_positive(scores: list[float], margin: float, places: list[int]) -> None:
    assert negatives(np.array(scores), 1, margin) == places


def test_a_rows_own_negatives_are_not_judged() -> None:
    assert negatives(np.array([1.0, 2.0, 0.5]), 2, 0.0) == [2]
