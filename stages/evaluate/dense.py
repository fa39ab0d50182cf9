"""A dense model's results on a retrieval set, by exact search."""

from typing import Any

from sentence_transformers import SentenceTransformer

from stages.retrieval.dense import CHUNK, nearest
from stages.retrieval.scores import Run
from stages.retrieval.sets import RetrievalSet
from stages.runtime.errors import UserError


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
