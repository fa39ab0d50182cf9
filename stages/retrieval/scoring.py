"""A model's results on one retrieval set, retrieved by sentence-transformers' own evaluators.

They encode queries by ``encode_query`` and documents by ``encode_document``, so that an inference-free model takes the
right route for each, and read the corpus in chunks. We score their run ourselves, so that BM25, sparse and dense models
share one scorer, also for graded relevance.
"""

from dataclasses import dataclass
from typing import Any

from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.evaluation import SparseInformationRetrievalEvaluator

from stages.retrieval.scores import CORPUS_DIMS, FLOPS, QUERY_DIMS, RECALL_CUT, Run, leave_out, score
from stages.retrieval.sets import RetrievalSet

MAX_SCORES = 10_000_000  # of one query × document matrix in memory: 40 MB dense, 200 MB as a sparse product


@dataclass(frozen=True)
class Result:
    """``metrics`` by name (see `evaluate`) and the ``run`` they were computed from: the 100 best documents of each query."""

    metrics: dict[str, float]
    run: Run


class _RunKeeper(SparseInformationRetrievalEvaluator):
    """Keeps the run that the evaluator scores, and leaves the model's card unchanged."""

    run: Run

    def compute_metrics(self, queries_result_list: list[Any]) -> dict[str, Any]:
        self.run = {
            query: {hit["corpus_id"]: hit["score"] for hit in hits}
            for query, hits in zip(self.queries_ids, queries_result_list, strict=True)
        }
        return super().compute_metrics(queries_result_list)

    def store_metrics_in_model_card_data(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: evaluating a model must not change what it would save."""


def evaluate(model: SparseEncoder, retrieval_set: RetrievalSet, batch_size: int = 32) -> Result:
    """Retrieve with a sparse model and score.

    The metrics are those of `scores.score`, ``query_active_dims`` and ``corpus_active_dims`` (mean number of non-zero
    dimensions) and ``flops`` (expected number of dimensions that a query and a document share: the dot product of the
    two mean activation vectors, Paria et al. 2020). A query's results are the 100 best documents; one that shares no
    dimension with the query has score 0 and is ranked too, by id, as in sentence-transformers' evaluator. A query in
    ``retrieval_set.own`` is not among its own results.
    """
    evaluator = _RunKeeper(
        queries=dict(retrieval_set.queries),
        corpus=dict(retrieval_set.corpus),
        relevant_docs={query: set(documents) for query, documents in retrieval_set.qrels.items()},
        corpus_chunk_size=min(50_000, max(1_000, MAX_SCORES // len(retrieval_set.queries))),
        accuracy_at_k=[10],
        precision_recall_at_k=[RECALL_CUT + bool(retrieval_set.own)],  # documents to retrieve: one more if one may be left out
        map_at_k=[RECALL_CUT],
        batch_size=batch_size,
        write_csv=False,
    )
    reported = evaluator(model)
    run = leave_out(evaluator.run, retrieval_set.own)
    metrics = score(run, retrieval_set.qrels)
    metrics[QUERY_DIMS] = float(reported["query_active_dims"])
    metrics[CORPUS_DIMS] = float(reported["corpus_active_dims"])
    metrics[FLOPS] = float(reported["avg_flops"])
    return Result(metrics=metrics, run=run)
