"""nDCG@10 against the dimensions that pruning leaves, for documents and for queries: what a smaller index or a faster query loses.

The vectors of the evaluation are pruned and searched again; nothing is encoded twice. One side is pruned, the other stays whole. A large
set is represented by some of its queries and the documents that come near their results (`sample`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from stages.retrieval.pruning import Ranked
from stages.retrieval.scores import CUT, NDCG, Run, leave_out, score
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.vectors import Encoded, run_of

CURVES = ("documents_top_k", "documents_mass", "queries_top_k", "queries_mass")
POINTS, KEEPS = "points", "keeps_99"
KEPT = 0.99
TOP = (1, 2, 3, 4, 5, 8, *(base * 2**n for n in range(20) for base in (10, 15)))
"""Settings of top-k: 1 … 8, 10, 15, 20, 30, 40, 60, 80, 120 …, the same for all sets, so that means over sets can be taken."""
LEAST, MOST = 1 / 8, 1.5  # of the mean number of dimensions: which of them are tried
MASSES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
QUERIES, DOCUMENTS = 500, 20_000


@dataclass(frozen=True)
class Point:
    """One ``setting`` (the k of top-k, or a share of the sum), the mean ``dims`` that it leaves, and the score."""

    setting: float
    dims: float
    ndcg: float


Curves = Mapping[str, Sequence[Point]]
"""The points of each of `CURVES`, by rising setting; the last one is unpruned."""


def curves(encoded: Encoded, retrieval_set: RetrievalSet, run: Run) -> dict[str, list[Point]]:
    """The four curves of a set.

    Args:
        encoded: the set's vectors, unpruned.
        run: the results of these vectors, 100 documents a query.
    """
    encoded, ids, queries = sample(encoded, retrieval_set, run)
    qrels = {query: retrieval_set.qrels[query] for query in queries}

    def ndcg(some: Encoded) -> float:
        found = run_of(some, queries, ids, CUT + bool(retrieval_set.own))
        return score(leave_out(found, retrieval_set.own), qrels)[NDCG]

    whole = ndcg(encoded)

    def of_side(matrix: csr_array, with_side: Callable[[csr_array], Encoded]) -> Iterable[list[Point]]:
        ranked, count = Ranked(matrix), max(1, matrix.shape[0])

        def points(settings: Sequence[float], prune: Callable[[Any], csr_array]) -> list[Point]:
            pruned = ((setting, prune(setting)) for setting in settings[:-1])
            found = [Point(setting, side.nnz / count, ndcg(with_side(side))) for setting, side in pruned]
            return [*found, Point(settings[-1], matrix.nnz / count, whole)]

        yield points(top_settings(np.diff(matrix.indptr)), ranked.top)
        yield points(MASSES, ranked.mass)

    of_documents = of_side(encoded.documents, lambda side: replace(encoded, documents=side))
    of_queries = of_side(encoded.queries, lambda side: replace(encoded, queries=side))
    return dict(zip(CURVES, [*of_documents, *of_queries], strict=True))


def top_settings(lengths: np.ndarray) -> list[float]:
    """Those of `TOP` from an eighth of the mean of ``lengths`` to one and a half, and the first that keeps every vector whole."""
    mean, longest = float(lengths.mean()), int(lengths.max())
    last = next(setting for setting in TOP if setting >= longest)
    return [*(setting for setting in TOP if LEAST * mean <= setting <= MOST * mean and setting < last), last]


def keeps(points: Sequence[Point], kept: float = KEPT) -> float | None:
    """The smallest setting from which on all keep at least ``kept`` of the unpruned score; None if that is 0."""
    whole = points[-1].ndcg
    enough = takewhile(lambda point: point.ndcg >= kept * whole, reversed(points))
    return [point.setting for point in enough][-1] if whole > 0 else None


def sample(encoded: Encoded, retrieval_set: RetrievalSet, run: Run) -> tuple[Encoded, list[str], list[str]]:
    """At most `QUERIES` queries, evenly spaced, and of a corpus of more than `DOCUMENTS` those among the results of any of them.

    The unpruned score of these queries is the same as in the whole corpus; that of strong pruning is slightly too high, as documents
    outside all results cannot rise.

    Returns:
        vectors, document ids and query ids.
    """
    queries, ids = list(retrieval_set.queries), list(retrieval_set.corpus)
    step = -(-len(queries) // QUERIES)
    chosen = queries[::step]
    of_queries = encoded.queries[::step] if step > 1 else encoded.queries
    if len(ids) <= DOCUMENTS:
        return Encoded(of_queries, encoded.documents, encoded.starts), ids, chosen
    wanted = {document for query in chosen for document in (*run[query], *retrieval_set.qrels[query])}
    places = np.array([place for place, document in enumerate(ids) if document in wanted])
    counts = np.diff(encoded.starts)[places]
    starts = np.concatenate([[0], np.cumsum(counts)])
    entries = np.repeat(encoded.starts[places] - starts[:-1], counts) + np.arange(starts[-1])
    return Encoded(of_queries, encoded.documents[entries], starts), [ids[place] for place in places], chosen


def as_json(found: Mapping[str, Curves]) -> dict[str, Any]:
    """The content of metrics/curves.json: set → curve → its points, and the setting that `keeps` names."""
    return {
        name: {
            curve: {POINTS: [{"setting": p.setting, "dims": p.dims, NDCG: p.ndcg} for p in points], KEEPS: keeps(points)}
            for curve, points in of_set.items()
        }
        for name, of_set in found.items()
    }
