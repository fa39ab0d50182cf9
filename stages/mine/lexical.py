"""BM25, stemmed, as a teacher: it knows which words are rare, which a dense teacher blurs.

On questions about a text it ranks better than a small dense model, and both together better than each. It sees whole documents: windows
would only take words from it. Its scores are not cached, as they take seconds.
"""

from collections.abc import Sequence

import numpy as np

from stages.mine.teacher import AT_ONCE, Pair
from stages.mine.vectors import BM25
from stages.retrieval.bm25 import K1, B


class Lexical:
    """Scores pairs of a query and a document by BM25 in the language of the query's row (`stages.retrieval.bm25`).

    Words are weighted by how rare they are among the distinct documents of one call that have the same language.
    """

    def __init__(self, k1: float = K1, b: float = B) -> None:
        self._k1, self._b = k1, b

    def __call__(self, pairs: Sequence[Pair], languages: Sequence[str | None]) -> np.ndarray:
        """The scores, float64, shape (pairs,), at least 0.

        Args:
            languages: of each pair; one without a stemmer, or None: words as they are.
        """
        scores = np.zeros(len(pairs))
        for language in dict.fromkeys(languages):
            places = [place for place, spoken in enumerate(languages) if spoken == language]
            scores[places] = self._in_language([pairs[place] for place in places], language)
        return scores

    def _in_language(self, pairs: Sequence[Pair], language: str | None) -> np.ndarray:
        queries, documents = ({text: place for place, text in enumerate(dict.fromkeys(texts))} for texts in zip(*pairs, strict=True))
        bm25 = BM25(language, self._k1, self._b)
        columns = bm25.documents(list(documents), 0)
        rows = bm25.queries(list(queries), 0)
        numbers = np.array([[queries[query], documents[document]] for query, document in pairs])
        some = (numbers[start : start + AT_ONCE].T for start in range(0, len(numbers), AT_ONCE))
        return np.concatenate([np.asarray(rows[asked].multiply(columns[found]).sum(axis=1)).ravel() for asked, found in some])
