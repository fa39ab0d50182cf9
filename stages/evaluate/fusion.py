"""Hybrids: two systems' runs fused by reciprocal rank (Cormack, Clarke and Büttcher, SIGIR 2009).

sentence-transformers' ReciprocalRankFusionEvaluator scores the same fusion, but takes whole texts instead of ids, knows no grades, and
gives back no run, which the scores by query need; a test compares the two.
"""

from collections.abc import Mapping

from stages.retrieval.scores import RECALL_CUT, Run, rank

K = 60  # of the paper
HYBRIDS = {
    "hybrid_sparse_dense": ("model", "dense"),
    "hybrid_bm25_dense": ("bm25_stemmed", "dense"),
    "hybrid_sparse_bm25": ("model", "bm25_stemmed"),
}
"""The hybrids by name, and the two systems of each."""


def fuse(*runs: Run) -> Run:
    """The 100 documents of each query with the highest sums of 1 / (60 + rank), ties in the order of ids; ranks start at 1.

    A document with score 0 shares no dimension with the query: an index would not find it, and it has no rank.
    """
    return {query: _fuse(*(run.get(query, {}) for run in runs)) for query in dict.fromkeys(query for run in runs for query in run)}


def hybrids(runs: Mapping[str, Run]) -> dict[str, Run]:
    """The hybrids of systems that are all in ``runs``, by name."""
    return {name: fuse(*(runs[part] for part in parts)) for name, parts in HYBRIDS.items() if all(part in runs for part in parts)}


def _fuse(*rankings: Mapping[str, float]) -> dict[str, float]:
    fused: dict[str, float] = {}
    for scores in rankings:
        for place, document in enumerate(rank({document: score for document, score in scores.items() if score}), start=1):
            fused[document] = fused.get(document, 0.0) + 1 / (K + place)
    return {document: fused[document] for document in rank(fused)[:RECALL_CUT]}
