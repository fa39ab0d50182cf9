"""Lets mine_hard_negatives use BM25 and sparse encoders in place of the dense model that it expects.

Vectors hold no negative values, and a document's score is its dot product with the query; ``documents`` is called before ``queries``.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import bm25s
import numpy as np
import torch
from scipy.sparse import csc_matrix, csr_array, csr_matrix
from sentence_transformers import SparseEncoder
from sklearn.feature_extraction.text import CountVectorizer

from stages.retrieval.bm25 import K1, B, tokenize
from stages.retrieval.documents import encode_documents
from stages.retrieval.treatment import UNTREATED, Treatment
from stages.retrieval.vectors import encode


class BM25:
    """The project's BM25 (`stages.retrieval.bm25`): document vectors hold each term's part of the score, query vectors term counts.

    Args:
        language: whose stems are compared; None: words as they are.
    """

    def __init__(self, language: str | None = None, k1: float = K1, b: float = B) -> None:
        self._language, self._k1, self._b = language, k1, b

    def documents(self, texts: Sequence[str], batch_size: int) -> csr_matrix:
        words = tokenize(texts, self._language)
        if not any(words):
            words = [["-"] for _ in texts]  # bm25s cannot index texts without any word; no query has this one
        index = bm25s.BM25(k1=self._k1, b=self._b)
        index.index(words, show_progress=False)
        weights = index.scores
        width = len(weights["indptr"]) - 1
        terms = {word: number for word, number in index.vocab_dict.items() if number < width}  # without the one for unknown words
        self._counter = CountVectorizer(analyzer=list, vocabulary=terms, dtype=np.float32)
        return csc_matrix((weights["data"], weights["indices"], weights["indptr"]), shape=(len(texts), width)).tocsr()

    def queries(self, texts: Sequence[str], batch_size: int) -> csr_matrix:
        return self._counter.transform(tokenize(texts, self._language))


class Encoder:
    """The vectors of a sparse encoder, which has a route for queries and one for documents.

    A long document is treated as the model's own `retrieval.json` says. With max_score its windows' vectors are joined too, because a row
    number stands for one vector.
    """

    def __init__(self, model: SparseEncoder, treatment: Treatment = UNTREATED) -> None:
        self._model = model
        self._treatment = treatment if treatment.long_documents == "cut" else replace(treatment, long_documents="max_vector")

    def documents(self, texts: Sequence[str], batch_size: int) -> csr_array:
        return encode_documents(self._model, texts, self._treatment, batch_size)[0]

    def queries(self, texts: Sequence[str], batch_size: int) -> csr_array:
        return encode(self._model, texts, "query", batch_size)


class RowNumbers:
    """Stands in for a SentenceTransformer in mine_hard_negatives: its embeddings are row numbers, so that the vectors stay sparse.

    That function slices and indexes embeddings, which neither torch's nor scipy's sparse tensors fully support, and asks the model for
    similarities, which come from the vectors. A document that shares no term with a query is not a candidate for it, unless a
    cross-encoder decides: it scores whatever ranks among the best.
    """

    device = torch.device("cpu")

    def __init__(self, vectors: BM25 | Encoder) -> None:
        self._vectors = vectors

    def encode_document(self, texts: Sequence[str], batch_size: int, **ignored: Any) -> np.ndarray:
        """Row numbers, shape (texts,)."""
        self._documents = self._vectors.documents(texts, batch_size)
        return np.arange(len(texts))

    def encode_query(self, texts: Sequence[str], batch_size: int, **ignored: Any) -> np.ndarray:
        """Row numbers, shape (texts,)."""
        self._queries = self._vectors.queries(texts, batch_size)
        return np.arange(len(texts))

    def similarity(self, queries: Any, documents: Any) -> torch.Tensor:
        """Scores, float32, shape (queries, documents); −inf if no term is shared."""
        scores = (self._queries[np.asarray(queries)] @ self._documents[np.asarray(documents)].T).toarray()
        return torch.from_numpy(np.where(scores > 0, scores, -np.inf).astype(np.float32))

    def similarity_pairwise(self, queries: Any, documents: Any) -> torch.Tensor:
        """Score of each query with the document of the same place, float32, shape (pairs,)."""
        products = self._queries[np.asarray(queries)].multiply(self._documents[np.asarray(documents)])
        return torch.from_numpy(np.asarray(products.sum(axis=1), dtype=np.float32).ravel())
