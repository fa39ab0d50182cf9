"""The queries in the picture: the same every time, spread evenly over sets and queries, each with the document it should find."""

from collections import Counter
from dataclasses import replace

import pytest

from stages.evaluate.examples import EXAMPLES, Example, candidates, choose
from stages.retrieval.sets import RetrievalSet


def made_up(name: str, queries: int) -> RetrievalSet:
    texts = {f"q{number}": f"{name} {number}" for number in range(queries)}
    corpus = {f"d{number}": f"answer {number}" for number in range(queries)}
    return RetrievalSet(name, None, texts, corpus, {f"q{number}": {f"d{number}": 1.0} for number in range(queries)})


@pytest.mark.parametrize(("sets", "each"), [(1, {4}), (2, {2}), (4, {1}), (3, {1, 2}), (13, {1})])
def test_every_set_has_its_share(sets: int, each: set[int]) -> None:
    chosen = choose([candidates(made_up(f"set {number}", 100)) for number in range(sets)])
    counts = Counter(example.set_name for example in chosen)
    assert len(chosen) == len(set(chosen)) == EXAMPLES
    assert len(counts) == min(sets, EXAMPLES)
    assert set(counts.values()) == each


def test_queries_lie_at_even_distances() -> None:
    assert [example.query for example in candidates(made_up("s", 80))] == [f"s {number}" for number in range(10, 80, 20)]


def test_a_small_set_shows_each_query_once_and_none_of_no_set() -> None:
    assert [example.query for example in choose([candidates(made_up("s", 3)), []])] == ["s 0", "s 1", "s 2"]
    assert choose([]) == choose([[]]) == []


def test_the_document_is_the_best_one_that_has_a_text_at_the_models_rank() -> None:
    graded = replace(made_up("s", 3), qrels={"q0": {"gone": 3.0, "d1": 1.0, "d2": 2.0}, "q1": {"gone": 1.0}, "q2": {"d0": 1.0}})
    chosen = choose([candidates(graded, {"q0": {"d0": 0.2, "d1": 0.9, "d2": 0.2}, "q2": {"d1": 1.0}})])
    assert chosen == [Example("s", "s 0", "answer 2", 3, 3), Example("s", "s 2", "answer 0", None, 1)]
    assert candidates(graded)[0] == Example("s", "s 0", "answer 2", None, 0)
