"""A model's results on one retrieval set.

Queries are encoded by ``encode_query`` and documents by ``encode_document``, so that an inference-free model takes the right route for
each. We score the run ourselves, so that BM25, sparse and dense models share one scorer, also for graded relevance.
"""

import math
from dataclasses import dataclass

from sentence_transformers import SparseEncoder

from stages.retrieval.documents import encode_documents
from stages.retrieval.scores import CORPUS_DIMS, FLOPS, NDCG, QUERY_DIMS, RECALL_CUT, Run, leave_out, score
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import UNTREATED, Treatment
from stages.retrieval.vectors import Encoded, dimension_counts, encode, run_of

UNPRUNED_NDCG = "unpruned_ndcg@10"
PRUNING = ("max_document_dims", "max_query_dims")
"""Of a treatment, and of the metrics that it changes."""


@dataclass(frozen=True)
class Result:
    """``metrics`` by name (see `evaluate_encoded`), the ``run`` they were computed from (100 documents a query), and its vectors.

    ``unpruned`` and ``unpruned_run``: the vectors as the model gives them, and their run; the same objects if nothing is pruned.
    """

    metrics: dict[str, float]
    run: Run
    encoded: Encoded
    unpruned: Encoded
    unpruned_run: Run


def evaluate(model: SparseEncoder, retrieval_set: RetrievalSet, batch_size: int = 32, treatment: Treatment = UNTREATED) -> Result:
    """Encode, prune, retrieve and score; the metrics are those of `evaluate_encoded`."""
    return evaluate_encoded(encode_set(model, retrieval_set, batch_size, treatment), retrieval_set, treatment)


def evaluate_encoded(unpruned: Encoded, retrieval_set: RetrievalSet, treatment: Treatment = UNTREATED) -> Result:
    """Prune a set's vectors, retrieve and score.

    The metrics are those of `scores.score` and of `sparsity`. A query's results are the 100 best documents; one that shares no
    dimension with the query has score 0 and is ranked too, by id, as in sentence-transformers' evaluator. A query in
    ``retrieval_set.own`` is not among its own results. If ``treatment`` prunes, they are those of the pruned vectors, and
    ``unpruned_ndcg@10``, ``max_document_dims`` and ``max_query_dims`` are added.
    """
    unpruned_run = retrieve(unpruned, retrieval_set)
    encoded, run = unpruned, unpruned_run
    pruning = {key: float(dims) for key in PRUNING if (dims := getattr(treatment, key)) is not None}
    if pruning:
        encoded = unpruned.pruned(treatment.max_document_dims, treatment.max_query_dims)
        run = retrieve(encoded, retrieval_set)
        pruning[UNPRUNED_NDCG] = score(unpruned_run, retrieval_set.qrels)[NDCG]
    return Result(score(run, retrieval_set.qrels) | sparsity(encoded) | pruning, run, encoded, unpruned, unpruned_run)


def encode_set(model: SparseEncoder, retrieval_set: RetrievalSet, batch_size: int = 32, treatment: Treatment = UNTREATED) -> Encoded:
    """The vectors of a set's queries and documents, with long documents as ``treatment`` says."""
    queries = encode(model, list(retrieval_set.queries.values()), "query", batch_size)
    return Encoded(queries, *encode_documents(model, list(retrieval_set.corpus.values()), treatment, batch_size))


def retrieve(encoded: Encoded, retrieval_set: RetrievalSet) -> Run:
    """The 100 best documents of each query."""
    depth = RECALL_CUT + bool(retrieval_set.own)  # one more if one may be left out
    return leave_out(run_of(encoded, retrieval_set.queries, list(retrieval_set.corpus), depth), retrieval_set.own)


def sparsity(encoded: Encoded) -> dict[str, float]:
    """``query_active_dims`` and ``corpus_active_dims``, and ``flops``.

    Active dimensions are the mean number of non-zero dimensions of a query and of a document; the entries of a document count together.
    FLOPS is the expected number of dimensions that a query and a document share: the dot product of the two mean activation vectors
    (Paria et al. 2020).
    """
    documents = len(encoded.starts) - 1
    of_queries = dimension_counts(encoded.queries) / encoded.queries.shape[0]
    of_documents = dimension_counts(encoded.documents) / documents
    return {
        QUERY_DIMS: float(encoded.queries.nnz / encoded.queries.shape[0]),
        CORPUS_DIMS: float(encoded.documents.nnz / documents),
        FLOPS: math.fsum(of_queries * of_documents),  # the same on every machine; a dot product of BLAS is not
    }
