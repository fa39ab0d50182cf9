"""Scores that need grades: recall of the best-graded documents, and nDCG@10 of the condensed ranking.

A condensed ranking keeps only judged documents (Sakai 2007, "Alternatives to Bpref", as trec_eval -J). Next to the full one it shows how
much of a score depends on documents that nobody judged: the full ranking counts them as irrelevant.
"""

from collections.abc import Mapping
from statistics import fmean

from stages.retrieval.scores import CUT, NDCG, RECALL_CUT, Run, metric_of, rank, score
from stages.retrieval.sets import RetrievalSet

CONDENSED = "_condensed"


def graded_scores(runs: Mapping[str, Run], retrieval_set: RetrievalSet) -> dict[str, float]:
    """The graded scores of every system, by `metric_of`; empty for a set without grades of 0 and without ``recalls``."""
    return {metric_of(system, name): value for system, run in runs.items() for name, value in _scores(run, retrieval_set).items()}


def recall_name(group: str, cut: int) -> str:
    """The name of the recall of one of a set's ``recalls``."""
    return f"recall_{group}@{cut}"


def _scores(run: Run, retrieval_set: RetrievalSet) -> dict[str, float]:
    """``ndcg@10_condensed``, and for each of ``recalls`` its recall at 10, full and condensed, and at 100.

    The ideal is over all judged documents, found or not. A recall is the mean over queries that have a document of its group.
    """
    metrics = {}
    condensed = condense(run, retrieval_set.judged)
    if retrieval_set.judged:
        metrics[f"{NDCG}{CONDENSED}"] = score(condensed, retrieval_set.qrels)[NDCG]
    for group, lowest in retrieval_set.recalls.items():
        groups = {query: {d for d, grade in grades.items() if grade >= lowest} for query, grades in retrieval_set.qrels.items()}
        relevant = {query: documents for query, documents in groups.items() if documents}
        metrics[recall_name(group, CUT)] = _recall(run, relevant, CUT)
        if retrieval_set.judged:
            metrics[f"{recall_name(group, CUT)}{CONDENSED}"] = _recall(condensed, relevant, CUT)
        metrics[recall_name(group, RECALL_CUT)] = _recall(run, relevant, RECALL_CUT)
    return metrics


def condense(run: Run, judged: Mapping[str, list[str]]) -> Run:
    """``run`` without the documents that were not judged for their query."""
    return {query: {d: scores[d] for d in judged.get(query, ()) if d in scores} for query, scores in run.items()}


def _recall(run: Run, relevant: Mapping[str, set[str]], cut: int) -> float:
    """The mean share of the ``relevant`` documents that are among the first ``cut``."""
    return fmean(len(documents.intersection(rank(run.get(query, {}))[:cut])) / len(documents) for query, documents in relevant.items())
