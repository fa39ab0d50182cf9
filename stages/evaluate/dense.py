"""A dense model's results on a retrieval set: exact search over chunks of the corpus, so that memory holds one chunk of its vectors."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from stages.retrieval.scores import RECALL_CUT, Run, leave_out
from stages.retrieval.sets import RetrievalSet
from stages.runtime.errors import UserError

CHUNK = 4096  # documents whose vectors are in memory at a time
Similarity = Callable[[Any, Any], Tensor]


def retrieve(model: SentenceTransformer, retrieval_set: RetrievalSet, batch_size: int = 32) -> Run:
    """The 100 documents most similar to each query, by the model's own similarity and its prompts for queries and documents.

    A query in ``retrieval_set.own`` is not among its own results.

    Raises:
        UserError: a similarity is not a number.
    """
    options: Any = {"batch_size": batch_size, "convert_to_tensor": True, "show_progress_bar": False}
    documents = list(retrieval_set.corpus.values())
    queries = model.encode_query(list(retrieval_set.queries.values()), **options)
    chunks = (model.encode_document(documents[start : start + CHUNK], **options) for start in range(0, len(documents), CHUNK))
    run = nearest(retrieval_set, queries, chunks, model.similarity)
    if any(value != value for scores in run.values() for value in scores.values()):
        raise UserError("evaluation.dense: the model's similarities must be numbers, got NaN; name another model")
    return run


def dot(queries: Tensor, documents: Tensor) -> Tensor:
    return queries @ documents.T


def nearest(retrieval_set: RetrievalSet, queries: Tensor, documents: Iterable[Tensor], similarity: Similarity = dot) -> Run:
    """The 100 most similar documents of each query, from chunks of document vectors in the corpus' order."""
    values, indices = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.long)
    start, depth = 0, RECALL_CUT + bool(retrieval_set.own)  # one more if one may be left out
    for chunk in documents:
        values = torch.cat([values, similarity(queries, chunk).float().cpu()], dim=1)
        indices = torch.cat([indices, torch.arange(start, start + len(chunk)).expand(len(queries), -1)], dim=1)
        values, best = values.topk(min(depth, values.shape[1]), dim=1)
        indices = indices.gather(1, best)
        start += len(chunk)
    ids = list(retrieval_set.corpus)
    run = {
        query: {ids[index]: value for index, value in zip(row.tolist(), scores.tolist(), strict=True)}
        for query, row, scores in zip(retrieval_set.queries, indices, values, strict=True)
    }
    return leave_out(run, retrieval_set.own)
