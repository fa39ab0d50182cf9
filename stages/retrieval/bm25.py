"""The BM25 baseline, in two forms: plain, the same for every language, and stemmed in the language of the evaluation set.

Both are Lucene's BM25 by bm25s (https://github.com/xhluca/bm25s) on NFC, lower-cased runs of two or more word characters (bm25s' default
pattern). Plain: bm25s' defaults, k1 = 1.5 and b = 0.75, every word as it is. Stemmed: without the language's stop words (NLTK's list, in
bm25s), the other words by their Snowball stem (https://snowballstem.org, PyStemmer); nynorsk as bokmål, since both share one list and one
stemmer. A set without a language is not stemmed. That is how mteb's ``mteb/baseline-bm25s`` tokenises, except for Danish, of which mteb
drops the words that occur in 90% of the documents.
"""

import unicodedata
from collections.abc import Iterable
from typing import Any

import bm25s
import numpy as np
import Stemmer

from stages.retrieval.scores import Run
from stages.retrieval.sets import RetrievalSet

K1, B = 1.5, 0.75
LANGUAGES = {"nb": "norwegian", "nn": "norwegian", "da": "danish", "sv": "swedish", "en": "english"}
"""The name by which bm25s and Snowball know a language."""


class Bm25:
    """Documents indexed for BM25; see `retrieve_stemmed` for the arguments."""

    def __init__(self, texts: Iterable[str], language: str | None = None, k1: float = K1, b: float = B) -> None:
        words = _tokenize(texts, language, return_ids=True)  # of words, bm25s would make a second copy as ids
        self._size, self._index = len(words.ids), bm25s.BM25(k1=k1, b=b)
        self._empty = not any(words.ids)
        if not self._empty:
            self._index.index(words, show_progress=False)

    def scores(self, words: Iterable[str]) -> np.ndarray:
        """The score of each document for a query's `tokenize`d words, shape (documents,)."""
        known = [] if self._empty else [word for word in words if word in self._index.vocab_dict]
        scores: np.ndarray = self._index.get_scores(known) if known else np.zeros(self._size, dtype=np.float32)
        return scores


def tokenize(texts: Iterable[str], language: str | None = None) -> list[list[str]]:
    """The words of each text: NFC, lower-cased, two or more word characters, in order, repeats kept; in ``language``, its stems.

    >>> tokenize(["Fjellene og bilene"]), tokenize(["Fjellene og bilene"], "nb")
    ([['fjellene', 'og', 'bilene']], [['fjell', 'bil']])
    """
    words: list[list[str]] = _tokenize(texts, language, return_ids=False)
    return words


def retrieve(retrieval_set: RetrievalSet, top_k: int = 100) -> Run:
    """Plain BM25: the ``top_k`` documents with a score above 0 for every query, best first, ties in the order of document ids.

    A query in ``retrieval_set.own`` is not among its own results.
    """
    return _retrieve(retrieval_set, top_k, None, K1, B)


def retrieve_stemmed(retrieval_set: RetrievalSet, top_k: int = 100, k1: float = K1, b: float = B) -> Run:
    """As `retrieve`, by BM25 in the language of the set: without stop words, stemmed.

    Args:
        k1: how much the repetition of a word counts; with 0 only its presence does.
        b: how much a document's length counts, from 0 (not at all) to 1.
    """
    return _retrieve(retrieval_set, top_k, retrieval_set.language, k1, b)


def _tokenize(texts: Iterable[str], language: str | None, return_ids: bool) -> Any:
    name = LANGUAGES.get(language or "")
    normalised = (unicodedata.normalize("NFC", text) for text in texts)
    stemmer = Stemmer.Stemmer(name) if name else None
    return bm25s.tokenize(normalised, lower=True, stopwords=name or [], stemmer=stemmer, return_ids=return_ids, show_progress=False)


def _retrieve(retrieval_set: RetrievalSet, top_k: int, language: str | None, k1: float, b: float) -> Run:
    corpus = Bm25(retrieval_set.corpus.values(), language, k1, b)
    documents = list(retrieval_set.corpus)
    by_id = sorted(range(len(documents)), key=documents.__getitem__)
    places = {documents[index]: place for place, index in enumerate(by_id) if documents[index] in retrieval_set.own}
    run: Run = {}
    for query, words in zip(retrieval_set.queries, tokenize(retrieval_set.queries.values(), language), strict=True):
        scores = corpus.scores(words)[by_id]
        if query in places:
            scores[places[query]] = 0
        run[query] = {documents[by_id[place]]: float(scores[place]) for place in _best(scores, top_k)}
    return run


def _best(scores: np.ndarray, top_k: int) -> np.ndarray:
    """Indices of the ``top_k`` highest scores above 0, best first, ties in the order of the indices."""
    cut = np.partition(scores, -top_k)[-top_k] if len(scores) > top_k else 0
    candidates = np.flatnonzero((scores > 0) & (scores >= cut))
    return candidates[np.argsort(-scores[candidates], kind="stable")][:top_k]
