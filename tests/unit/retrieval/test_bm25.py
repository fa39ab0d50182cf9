import math

import pytest

from stages.retrieval import bm25
from stages.retrieval.sets import RetrievalSet


def made(corpus: dict[str, str], queries: dict[str, str]) -> RetrievalSet:
    return RetrievalSet("made-up", None, queries, corpus, {query: {next(iter(corpus)): 1.0} for query in queries})


def test_scores_are_lucenes_bm25_by_hand() -> None:
    corpus = {"d1": "fjorden ligger stille", "d2": "fjellet fjellet ligger der", "d3": "helt andre ord"}
    run = bm25.retrieve(made(corpus, {"q": "fjellet ligger"}))
    lengths, mean = {"d1": 3, "d2": 4}, 10 / 3

    def term(frequency: int, documents: int, length: int) -> float:
        idf = math.log(1 + (3 - documents + 0.5) / (documents + 0.5))
        return idf * frequency / (frequency + 1.5 * (1 - 0.75 + 0.75 * length / mean))

    expected = {"d2": term(2, 1, lengths["d2"]) + term(1, 2, lengths["d2"]), "d1": term(1, 2, lengths["d1"])}
    assert run["q"] == pytest.approx(expected, rel=1e-5)
    assert list(run["q"]) == ["d2", "d1"]  # d3 shares no word and is not retrieved


def test_case_and_unicode_form_do_not_matter_and_stop_words_stay() -> None:
    decomposed = "BLA\u030aBÆR og Smo\u0308r"
    assert bm25.tokenize([decomposed]) == [["blåbær", "og", "smör"]]


def test_words_are_not_stemmed_and_single_characters_are_dropped() -> None:
    assert bm25.tokenize(["å være i bilene"]) == [["være", "bilene"]]


def test_ties_go_by_document_id_also_at_the_cut() -> None:
    corpus = {f"d{index}": "samme ord" for index in (3, 1, 2, 0)}
    corpus["other"] = "noe helt annet"
    assert list(bm25.retrieve(made(corpus, {"q": "samme"}), top_k=3)["q"]) == ["d0", "d1", "d2"]


@pytest.mark.parametrize("query", ["", "ukjent", "?!"])
def test_query_without_a_known_word_retrieves_nothing(query: str) -> None:
    assert bm25.retrieve(made({"d": "noen kjente ord"}, {"q": query})) == {"q": {}}


def test_corpus_without_words_retrieves_nothing() -> None:
    assert bm25.retrieve(made({"d": "?"}, {"q": "ord"})) == {"q": {}}
