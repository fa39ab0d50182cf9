"""The encoded documents alone, searched exactly: all posting-list entries of a query's terms are added up.

Needs no package and nothing on disk; a list holds a term's weight in each document that has it, in memory, 8 bytes an entry. For small
sets, for checks of other engines, and as the form in which the vectors go to an engine that is not here.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from scipy.sparse import csc_array, csr_array

from stages.engines.engine import Place
from stages.retrieval.vectors import stacked


class Exact:
    """All vectors in one matrix, by column."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def write(self, sent: Callable[[int], None]) -> None:
        """Nothing: the encoded documents are the index."""

    def publish(self) -> None:
        """Nothing."""

    def remove(self) -> None:
        """Nothing."""

    def search(self, query: csr_array, n: int) -> tuple[np.ndarray, np.ndarray]:
        scores = self._lists[:, query.indices] @ query.data
        best = np.flatnonzero(scores > 0)
        if len(best) > n:
            best = best[scores[best] >= np.partition(scores[best], -n)[-n]]
        best = best[np.lexsort((best, -scores[best]))][:n]
        return best, scores[best]

    @cached_property
    def _lists(self) -> csc_array:
        return stacked(part.vectors for part in self._place.parts()).tocsc()
