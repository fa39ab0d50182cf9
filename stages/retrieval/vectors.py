"""Texts as sparse vectors in one CSR matrix, and the best documents of each query by dot product.

Every number of an evaluation comes from these vectors, so that no text is encoded twice. A matrix lies in unnamed temporary files
(``TMPDIR``), which the system pages in and out: memory holds one chunk of texts, of scores and the best documents so far, whatever the
size of the corpus.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any, Literal

import numpy as np
from scipy.sparse import coo_array, csc_array, csr_array
from sentence_transformers import SparseEncoder

from stages.retrieval.pruning import Ranked
from stages.retrieval.scores import NOT_A_NUMBER, Run
from stages.runtime.errors import UserError

Route = Literal["query", "document"]
CHUNK = 16_384  # texts encoded at a time
ENTRIES, POSTINGS = 32_768, 4_000_000  # searched at a time: 128 kB of scores, which stay in the processor's cache; 64 MB of postings
MAX_INT32 = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Encoded:
    """The vectors of a retrieval set, in the order of its queries and of its corpus.

    Attributes:
        queries: shape (queries, dimensions), float32.
        documents: shape (entries, dimensions), float32. An entry is a document, or a window of one.
        starts: first entry of each document, then the number of entries, shape (documents + 1,).
    """

    queries: csr_array
    documents: csr_array
    starts: np.ndarray

    @classmethod
    def whole(cls, queries: csr_array, documents: csr_array) -> "Encoded":
        """Vectors whose entries are documents."""
        return cls(queries, documents, np.arange(documents.shape[0] + 1))

    def pruned(self, document_dims: int | None, query_dims: int | None) -> "Encoded":
        """The vectors with their largest weights only: this many of an entry and of a query; None: all."""
        return Encoded(_pruned(self.queries, query_dims), _pruned(self.documents, document_dims), self.starts)


def encode(model: SparseEncoder, texts: Sequence[str], route: Route, batch_size: int = 32) -> csr_array:
    """The vectors of ``texts`` by the model's ``route``, shape (texts, dimensions), float32."""
    return stacked(encode_chunk(model, texts[start : start + CHUNK], route, batch_size) for start in range(0, len(texts), CHUNK))


def encode_chunk(model: SparseEncoder, texts: Sequence[str], route: Route, batch_size: int = 32) -> csr_array:
    """`encode`'s vectors in memory, from one call of the model."""
    method = model.encode_query if route == "query" else model.encode_document
    options: Any = {"batch_size": batch_size, "save_to_cpu": True, "show_progress_bar": False}
    return to_csr(method(list(texts), **options))


def to_csr(embeddings: Any) -> csr_array:
    """A sparse torch matrix as CSR, without explicit zeros."""
    coo = embeddings.cpu().float().coalesce()
    matrix = coo_array((coo.values().numpy(), coo.indices().int().numpy()), shape=tuple(coo.shape)).tocsr()
    matrix.eliminate_zeros()
    return matrix


def stacked(chunks: Iterable[csr_array]) -> csr_array:
    """Matrices with the same number of columns below one another, in temporary files; there must be one."""
    with tempfile.TemporaryFile() as values, tempfile.TemporaryFile() as columns:
        ends, width = [np.zeros(1, np.int64)], 0
        for chunk in chunks:
            values.write(chunk.data.astype(np.float32, copy=False).tobytes())
            columns.write(chunk.indices.astype(np.int32, copy=False).tobytes())
            ends.append(chunk.indptr[1:] + ends[-1][-1])
            width = chunk.shape[1]
        starts = np.concatenate(ends)
        data, indices = _mapped(values, np.float32, starts[-1]), _mapped(columns, np.int32, starts[-1])
        if starts[-1] > MAX_INT32:
            indices = _widened(indices)
        # scipy holds places and columns in one type, and copies those of another into memory
        return csr_array((data, indices, starts.astype(indices.dtype)), shape=(len(starts) - 1, width), copy=False)


def search(encoded: Encoded, ids: Sequence[str], depth: int) -> Iterator[dict[str, float]]:
    """For each query the ``depth`` documents with the highest scores, best first, ties in the order of ``ids``.

    A document's score is the highest of its entries' dot products with the query. One that shares no dimension has score 0 and is ranked
    too, as in sentence-transformers' evaluator. Each query goes through the posting lists of its own dimensions, a chunk of documents at
    a time: no matrix of queries × documents, sparse or dense, is in memory.

    Args:
        ids: of the documents, in the order of ``encoded.documents``.

    Raises:
        UserError: a weight is not a number; training diverged.
    """
    queries, order = encoded.queries, np.argsort(np.array(ids, dtype=object), kind="stable")
    if np.isnan(queries.data).any():
        raise UserError(NOT_A_NUMBER)
    place_of = np.empty(len(ids), dtype=np.int64)
    place_of[order] = np.arange(len(ids))  # place of each document in the order of ids
    best: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0, np.float32), np.empty(0, np.int64))] * queries.shape[0]
    for first, last in _document_chunks(encoded.starts, _entries(encoded.documents)):
        low, high = encoded.starts[first], encoded.starts[last]
        postings, places = encoded.documents[low:high].tocsc(), place_of[first:last]
        if np.isnan(postings.data).any():
            raise UserError(NOT_A_NUMBER)
        windows = encoded.starts[first:last] - low if high - low > last - first else None
        for query, scores in enumerate(_dot_products(queries, postings)):
            if windows is not None:
                scores = np.maximum.reduceat(scores, windows)
            values, ranked = best[query]
            chosen = np.flatnonzero(scores >= values[-1]) if len(values) == depth else slice(None)
            best[query] = _best(np.concatenate([values, scores[chosen]]), np.concatenate([ranked, places[chosen]]), depth)
    for values, places in best:
        yield {ids[order[place]]: float(value) for value, place in zip(values, places, strict=True)}


def run_of(encoded: Encoded, queries: Iterable[str], ids: Sequence[str], depth: int) -> Run:
    """`search`'s results by query id."""
    return dict(zip(queries, search(encoded, ids, depth), strict=True))


def dimension_counts(matrix: csr_array) -> np.ndarray:
    """The number of rows with each dimension, shape (dimensions,): the lengths of the posting lists."""
    counts = np.zeros(matrix.shape[1], np.int64)
    for start in range(0, matrix.nnz, POSTINGS):
        counts += np.bincount(matrix.indices[start : start + POSTINGS], minlength=matrix.shape[1])
    return counts


def _dot_products(queries: csr_array, postings: csc_array) -> Iterator[np.ndarray]:
    """Each query's dot products with the entries, shape (entries,), summed in the order of dimensions."""
    ends = postings.indptr.tolist()
    for start, stop in pairwise(queries.indptr.tolist()):
        scores = np.zeros(postings.shape[0], np.float32)
        for dimension, weight in zip(queries.indices[start:stop].tolist(), queries.data[start:stop], strict=True):
            low, high = ends[dimension], ends[dimension + 1]
            scores[postings.indices[low:high]] += postings.data[low:high] * weight
        yield scores


def _best(values: np.ndarray, places: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``depth`` highest values with their places, best first, ties in the order of places."""
    for step in (16, 1):  # of the sample whose best value bounds the rest: most are left out before the slower, exact selection
        if len(values) > step * depth:
            chosen = np.flatnonzero(values >= np.partition(values[::step], -depth)[-depth])
            values, places = values[chosen], places[chosen]
    order = np.lexsort((places, -values))[:depth]
    return values[order], places[order]


def _entries(documents: csr_array) -> int:
    """How many entries to search at a time."""
    return min(ENTRIES, max(1, POSTINGS * documents.shape[0] // max(1, documents.nnz)))


def _document_chunks(starts: np.ndarray, entries: int) -> Iterator[tuple[int, int]]:
    """(first, last) document of chunks with at most ``entries`` entries, or of one document with more."""
    first = 0
    while first < len(starts) - 1:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + entries, side="right")) - 1)
        yield first, last
        first = last


def _widened(indices: np.ndarray) -> np.ndarray:
    """``indices`` as int64, in a temporary file."""
    with tempfile.TemporaryFile() as wide:
        for start in range(0, len(indices), POSTINGS):
            wide.write(indices[start : start + POSTINGS].astype(np.int64).tobytes())
        return _mapped(wide, np.int64, len(indices))


def _mapped(file: IO[bytes], dtype: Any, length: int) -> np.ndarray:
    file.flush()
    return np.memmap(file, dtype=dtype, mode="r", shape=(int(length),)) if length else np.empty(0, dtype)


def _pruned(matrix: csr_array, dims: int | None) -> csr_array:
    if dims is None or not matrix.shape[0]:
        return matrix
    return stacked(Ranked(matrix[start : start + CHUNK]).top(dims) for start in range(0, matrix.shape[0], CHUNK))
