"""A teacher scores a pair once, also if mining is interrupted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.mine.score_cache import cached, key
from stages.mine.teacher import Pair


class Counting:
    """A teacher that knows how often it was asked, and may break off."""

    portion = 2

    def __init__(self, calls: int = 99) -> None:
        self.asked: list[Pair] = []
        self.calls = calls

    def __call__(self, pairs: Sequence[Pair]) -> np.ndarray:
        if not self.calls:
            raise KeyboardInterrupt
        self.calls -= 1
        assert len(pairs) <= self.portion
        self.asked += pairs
        return np.array([float("nan") if document == "" else len(query) + len(document) / 10 for query, document in pairs])


PAIRS = [("hva", "blåbær"), ("hva", ""), ("hvem", "blåbær"), ("hva", "blåbær"), ("ærlig", "ø"), ("x", "y")]
EXPECTED = [3.6, np.nan, 4.6, 3.6, 5.1, 1.1]


def test_scores_come_in_the_order_of_the_pairs_and_each_pair_is_scored_once(tmp_path: Path) -> None:
    teacher: Any = Counting()
    for _ in range(2):
        np.testing.assert_allclose(cached(teacher, tmp_path / "new" / "x.sqlite", PAIRS), EXPECTED)
    assert sorted(teacher.asked) == sorted(set(PAIRS))


def test_what_was_scored_before_an_interrupt_is_kept(tmp_path: Path) -> None:
    first: Any = Counting(calls=1)
    with pytest.raises(KeyboardInterrupt):
        cached(first, tmp_path / "x.sqlite", PAIRS)
    second: Any = Counting()
    np.testing.assert_allclose(cached(second, tmp_path / "x.sqlite", PAIRS), EXPECTED)
    assert len(first.asked) == 2 and not set(first.asked) & set(second.asked)


def test_a_pair_is_known_by_both_texts() -> None:
    assert len({key(pair) for pair in [("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", ""), ("c", "ab")]}) == 5
    assert key(("\ud800", "a")) == key(("\ud800", "a"))


def test_no_pairs(tmp_path: Path) -> None:
    teacher: Any = Counting()
    assert len(cached(teacher, tmp_path / "x.sqlite", [])) == 0
