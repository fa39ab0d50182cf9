"""BM25 as a teacher: the scores of the stemmed baseline, in the language of each row."""

import numpy as np
import pytest

from stages.mine import lexical as module
from stages.mine.judge import Judge
from stages.mine.lexical import Lexical
from stages.mine.teacher import Pair
from stages.retrieval.bm25 import retrieve_stemmed
from stages.retrieval.sets import RetrievalSet

QUERIES = ["hvor ligger fjellene", "fjell fjell og bil", "øyene i nord", "finnes ikke", ""]
DOCUMENTS = ["Fjellet ligger i nord", "bilene og bilen", "øya er en øy, nord for fjellet", "ingenting", ""]
PAIRS = [(query, document) for query in QUERIES for document in DOCUMENTS]
BERGEN, TRONDHEIM = "bilen i bergen", "bilen i trondheim"


def test_the_scores_are_those_of_the_stemmed_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 3)
    queries, corpus = ({str(place): text for place, text in enumerate(texts)} for texts in (QUERIES, DOCUMENTS))
    run = retrieve_stemmed(RetrievalSet("x", "nb", queries, corpus, {}, 0, "x"), k1=0.9, b=0.4)
    found = Lexical(0.9, 0.4)(PAIRS, ["nb"] * len(PAIRS))
    assert found.dtype == np.float64
    expected = [run[query].get(document, 0.0) for query in queries for document in corpus]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.count_nonzero(found) > 5 and found[0] > 0  # fjellene, Fjellet


def test_each_row_is_read_in_its_own_language() -> None:
    """Danish does not take the Swedish article off; an unknown language compares words as they are."""
    pairs = [("bilarna", "bilar"), ("bilarna", "röda hus"), ("bilerne", "bilarna")]
    assert [score > 0 for score in Lexical()(pairs, ["sv"] * 3)] == [True, False, False]
    assert [score > 0 for score in Lexical()(pairs, ["da"] * 3)] == [False, False, False]
    mixed = Lexical()(pairs[:2] + pairs, ["sv"] * 2 + ["xx"] * 2 + [None])
    np.testing.assert_allclose(mixed, [*Lexical()(pairs[:2], ["sv"] * 2), 0, 0, 0])


def test_a_document_counts_once_however_many_rows_have_it() -> None:
    pairs: list[Pair] = [("bergen", BERGEN), ("bergen", TRONDHEIM), ("trondheim", TRONDHEIM)]
    alone, often = Lexical()(pairs, ["nb"] * 3), Lexical()([*pairs, *[("hei", BERGEN)] * 9], ["nb"] * 12)
    np.testing.assert_allclose(often[:3], alone)


@pytest.mark.parametrize("pairs", [[("", "")], [("og", "og")], [("-", "-"), ("a b", "c d")]])
def test_texts_without_words_score_zero(pairs: list[Pair]) -> None:
    assert Lexical()(pairs, ["nb"] * len(pairs)).tolist() == [0.0] * len(pairs)


def test_it_judges_beside_a_model() -> None:
    """The model prefers another text by a little, BM25 the positive by much."""
    texts = [[BERGEN, TRONDHEIM, "noe helt annet"]]

    def model(pairs: list[Pair]) -> np.ndarray:
        return np.array([0.8, 0.81, 0.7])

    [both] = Judge([(model, 1.0), (Lexical(), 1.0)])(["bergen"], texts, ["nb"])
    [alone] = Judge([(Lexical(), 1.0)])(["bergen"], texts)
    assert both.argmax() == alone.argmax() == 0 and alone[1] == pytest.approx(alone[2]) and both[1] > both[2]
