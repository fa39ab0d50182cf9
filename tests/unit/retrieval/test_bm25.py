import math
from dataclasses import replace

import pytest

from stages.retrieval import bm25
from stages.retrieval.sets import RetrievalSet


def made(corpus: dict[str, str], queries: dict[str, str], language: str | None = None) -> RetrievalSet:
    return RetrievalSet("made-up", language, queries, corpus, {query: {next(iter(corpus)): 1.0} for query in queries})


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


@pytest.mark.parametrize(
    ("language", "text", "stems"),
    [
        ("nb", "Fjellene og bilene i byen", ["fjell", "bil", "byen"]),
        ("nn", "Eg såg fjella og bilane", ["såg", "fjell", "bil"]),
        ("da", "Bilerne og fjeldene ved SØEN", ["bil", "fjeld", "søen"]),
        ("sv", "Bilarna och fja\u0308llen", ["bil", "fjäll"]),
        ("en", "The cars and the mountains", ["car", "mountain"]),
    ],
)
def test_stop_words_are_dropped_and_the_rest_is_stemmed_in_the_language(language: str, text: str, stems: list[str]) -> None:
    assert bm25.tokenize([text], language) == [stems]


def test_another_form_of_a_word_is_found_by_its_stem() -> None:
    corpus, queries = {"d1": "mange fjell og fjorder", "d2": "noen biler"}, {"q": "fjellene"}
    assert bm25.retrieve(made(corpus, queries, "nb")) == {"q": {}}
    assert list(bm25.retrieve_stemmed(made(corpus, queries, "nb"))["q"]) == ["d1"]


@pytest.mark.parametrize("language", [None, "fi"])
def test_a_set_without_a_known_language_is_not_stemmed(language: str | None) -> None:
    some = made({"d1": "fjellene og bilene", "d2": "fjell"}, {"q": "og fjellene"}, language)
    assert bm25.retrieve_stemmed(some) == bm25.retrieve(some)


def test_k1_and_b_are_lucenes_and_change_the_stemmed_form_alone() -> None:
    some = made({"d1": "fjell fjell fjell", "d2": "fjell fjord vann hav skog"}, {"q": "fjellene"}, "nb")
    idf = math.log(1 + 0.5 / 2.5)
    flat = bm25.retrieve_stemmed(some, k1=0.5, b=0.0)["q"]
    assert flat == pytest.approx({"d1": idf * 3 / 3.5, "d2": idf * 1 / 1.5}, rel=1e-5)
    assert bm25.retrieve_stemmed(some, k1=0.0)["q"] == pytest.approx({"d1": idf, "d2": idf}, rel=1e-5)


def test_a_query_of_stop_words_retrieves_nothing() -> None:
    assert bm25.retrieve_stemmed(made({"d": "og det var fjell"}, {"q": "og det var"}, "nb")) == {"q": {}}
    assert bm25.retrieve_stemmed(made({"d": "og det var"}, {"q": "og det var"}, "nb")) == {"q": {}}


def test_a_query_that_is_a_document_is_left_out_of_its_own_results() -> None:
    own = replace(made({"d": "fjell", "q": "fjellene"}, {"q": "fjellene"}, "nb"), own=frozenset({"q"}))
    assert list(bm25.retrieve_stemmed(own)["q"]) == ["d"]
