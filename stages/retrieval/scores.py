"""nDCG@10 and recall@100 of a run, through trec_eval (pytrec_eval), and MRR@10: one scorer for BM25 and for models.

Gains are linear in the grade, the ideal DCG is over all relevant documents, retrieved or not (Järvelin and Kekäläinen
2002, as in trec_eval), and a query without results counts 0. Ties are broken before trec_eval sees them: by score
(highest first), then by document id, as in sentence-transformers; trec_eval itself takes ids in descending order.

A query that is also a document under the same id, as in ArguAna and Quora, is left out of its own results, for BM25 and for models, as in
BEIR (`leave_out`); sentence-transformers' NanoBEIR evaluator keeps it. The texts must be equal too, with or without the title, because
many sets number both queries and documents from 0. A document that the qrels call relevant for itself stays. MTEB's tasks are scored as
mteb does: by the id alone, in tasks that set ``ignore_identical_ids``.
"""

import math
from collections.abc import Container, Mapping
from statistics import fmean

import pytrec_eval

from stages.runtime.errors import UserError

Run = dict[str, dict[str, float]]
"""Query id → document id → score."""

MODEL = "model"
"""The system that is evaluated, next to its baselines."""
NDCG, MRR, RECALL = "ndcg@10", "mrr@10", "recall@100"
QUERY_DIMS, CORPUS_DIMS, FLOPS = "query_active_dims", "corpus_active_dims", "flops"
DOCUMENTS_CUT, TOKENS_LOST = "documents_cut", "tokens_lost"
DENSE_NDCG = "dense_ndcg@10"  # of evaluation.dense, or else of a csr model's dense base
BASE_NDCG, DEAD = "base_ndcg@10", "dead_latents"  # csr: of its dense base, next to evaluation.dense; share of latents that no document uses
NANO_MEAN = "NanoBEIR_mean_dot_ndcg@10"
"""sentence-transformers' name for the mean over the sets in NanoBEIR's form."""
CUT, RECALL_CUT = 10, 100
NOT_A_NUMBER = (
    "evaluation: the model's scores must be numbers, got NaN; its training diverged, lower training.learning_rate and train again"
)


def metric_of(system: str, metric: str = NDCG) -> str:
    """The key of a system's metric in metrics/evaluation.json and metrics/slices.json.

    >>> metric_of("bm25"), metric_of("model")
    ('bm25_ndcg@10', 'ndcg@10')
    """
    return metric if system == MODEL else f"{system}_{metric}"


def score(run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """`score_by_query`, averaged over its queries; raises as it does."""
    by_query = score_by_query(run, qrels).values()
    return {name: fmean(scores[name] for scores in by_query) for name in (NDCG, MRR, RECALL)}


def score_by_query(run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """``ndcg@10``, ``mrr@10`` and ``recall@100`` of each query of ``qrels`` with a grade above 0, in the order of ``qrels``.

    Queries in ``run`` that have no relevant document are left out.

    Raises:
        UserError: a score is not a number; training diverged.
        ValueError: no query has a relevant document.
    """
    relevant = {query: grades for query, docs in qrels.items() if (grades := {doc: grade for doc, grade in docs.items() if grade > 0})}
    if not relevant:
        raise ValueError("no query has a relevant document")
    ranked = {query: rank(run.get(query, {})) for query in relevant}
    evaluator = pytrec_eval.RelevanceEvaluator(_integer_grades(relevant), {f"ndcg_cut.{CUT}", f"recall.{RECALL_CUT}"})
    found = evaluator.evaluate({query: _descending(documents) for query, documents in ranked.items()})
    return {
        query: {
            NDCG: found[query][f"ndcg_cut_{CUT}"],
            MRR: next((1 / place for place, document in enumerate(ranked[query][:CUT], 1) if document in grades), 0.0),
            RECALL: found[query][f"recall_{RECALL_CUT}"],
        }
        for query, grades in relevant.items()
    }


def leave_out(run: Run, own: Container[str]) -> Run:
    """The 100 best documents of each query, without the query itself if it is in ``own``, the queries that are also documents."""
    if not own:
        return run
    best: Run = {}
    for query, scores in run.items():
        others = {document: value for document, value in scores.items() if document != query or query not in own}
        best[query] = {document: others[document] for document in rank(others)[:RECALL_CUT]}
    return best


def rank(scores: Mapping[str, float]) -> list[str]:
    """Document ids by score, highest first, ties in the order of ids; `UserError` for a score that is not a number."""
    if any(math.isnan(value) for value in scores.values()):
        raise UserError(NOT_A_NUMBER)
    return sorted(scores, key=lambda document: (-scores[document], document))


def _integer_grades(qrels: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, int]]:
    """Grades as integers, as trec_eval needs them: multiplied by one factor, which leaves nDCG unchanged; three decimals count."""
    grades = {grade for documents in qrels.values() for grade in documents.values()}
    factor = next((f for f in (1, 10, 100) if all(math.isclose(g * f, round(g * f)) for g in grades)), 1000)
    return {query: {document: max(1, round(grade * factor)) for document, grade in documents.items()} for query, documents in qrels.items()}


def _descending(documents: list[str]) -> dict[str, float]:
    return {document: float(len(documents) - place) for place, document in enumerate(documents)}
