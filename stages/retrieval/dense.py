"""The documents most similar to each query by exact search over chunks of the corpus, so that memory holds one chunk of dense vectors."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from stages.retrieval.scores import RECALL_CUT, Run, leave_out
from stages.retrieval.sets import RetrievalSet

CHUNK = 4096  # documents whose vectors are in memory at a time
Similarity = Callable[[Any, Any], Tensor]


def dot(queries: Tensor, documents: Tensor) -> Tensor:
    return queries @ documents.T


def nearest(retrieval_set: RetrievalSet, queries: Tensor, documents: Iterable[Any], similarity: Similarity = dot) -> Run:
    """The 100 most similar documents of each query.

    Args:
        documents: chunks in the corpus' order: document vectors, or whatever ``similarity`` takes.
        similarity: of queries and a chunk, shape (queries, documents).
    """
    values, indices = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.long)
    start, depth = 0, RECALL_CUT + bool(retrieval_set.own)  # one more if one may be left out
    for chunk in documents:
        scores = similarity(queries, chunk).float().cpu()
        values = torch.cat([values, scores], dim=1)
        indices = torch.cat([indices, torch.arange(start, start + scores.shape[1]).expand(len(queries), -1)], dim=1)
        values, best = values.topk(min(depth, values.shape[1]), dim=1)
        indices = indices.gather(1, best)
        start += scores.shape[1]
    ids = list(retrieval_set.corpus)
    run = {
        query: {ids[index]: value for index, value in zip(row.tolist(), scores.tolist(), strict=True)}
        for query, row, scores in zip(retrieval_set.queries, indices, values, strict=True)
    }
    return leave_out(run, retrieval_set.own)
