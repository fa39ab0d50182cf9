"""The BM25 baseline, the same for every evaluation set.

bm25s (https://github.com/xhluca/bm25s) with its defaults: Lucene's BM25, k1 = 1.5, b = 0.75. Every language is tokenised
alike: NFC, lower case, bm25s' default pattern (runs of two or more word characters), no stop words, no stemming.
"""

import unicodedata
from collections.abc import Iterable

import bm25s
import numpy as np

from stages.retrieval.scores import Run
from stages.retrieval.sets import RetrievalSet


def tokenize(texts: Iterable[str]) -> list[list[str]]:
    """The words of each text: NFC, lower-cased, two or more word characters, in order, repeats kept."""
    normalised = [unicodedata.normalize("NFC", text) for text in texts]
    return bm25s.tokenize(normalised, lower=True, stopwords=[], stemmer=None, return_ids=False, show_progress=False)


def retrieve(retrieval_set: RetrievalSet, top_k: int = 100) -> Run:
    """The ``top_k`` documents with a score above 0 for every query, best first, ties in the order of document ids.

    A query in ``retrieval_set.own`` is not among its own results.
    """
    corpus = tokenize(retrieval_set.corpus.values())
    queries = tokenize(retrieval_set.queries.values())
    if not any(corpus):
        return {query: {} for query in retrieval_set.queries}
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)
    documents = list(retrieval_set.corpus)
    by_id = sorted(range(len(documents)), key=documents.__getitem__)
    places = {documents[index]: place for place, index in enumerate(by_id) if documents[index] in retrieval_set.own}
    run: Run = {}
    for query, words in zip(retrieval_set.queries, queries, strict=True):
        known = [word for word in words if word in index.vocab_dict]
        scores = index.get_scores(known)[by_id] if known else np.zeros(len(documents), dtype=np.float32)
        if query in places:
            scores[places[query]] = 0
        run[query] = {documents[by_id[place]]: float(scores[place]) for place in _best(scores, top_k)}
    return run


def _best(scores: np.ndarray, top_k: int) -> np.ndarray:
    """Indices of the ``top_k`` highest scores above 0, best first, ties in the order of the indices."""
    cut = np.partition(scores, -top_k)[-top_k] if len(scores) > top_k else 0
    candidates = np.flatnonzero((scores > 0) & (scores >= cut))
    return candidates[np.argsort(-scores[candidates], kind="stable")][:top_k]
