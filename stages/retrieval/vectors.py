"""Texts as sparse vectors in one CSR matrix, and the best documents of each query by dot product.

Every number of an evaluation comes from these vectors, so that no text is encoded twice. A matrix lies in unnamed temporary files
(``TMPDIR``), which the system pages in and out: memory holds one chunk of texts, of scores and the best documents so far, whatever the
size of the corpus.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
from scipy.sparse import coo_array, csr_array
from sentence_transformers import SparseEncoder

from stages.retrieval.scores import Run

Route = Literal["query", "document"]
CHUNK = 16_384  # texts encoded at a time
MAX_SCORES = 10_000_000  # of one query × entry matrix in memory: 40 MB


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


def encode(model: SparseEncoder, texts: Sequence[str], route: Route, batch_size: int = 32) -> csr_array:
    """The vectors of ``texts`` by the model's ``route``, shape (texts, dimensions), float32."""
    method = model.encode_query if route == "query" else model.encode_document
    chunks = (texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK))
    options: Any = {"batch_size": batch_size, "save_to_cpu": True, "show_progress_bar": False}
    return stacked(to_csr(method(list(chunk), **options)) for chunk in chunks)


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
        return csr_array((data, indices, starts), shape=(len(starts) - 1, width), copy=False)


def search(encoded: Encoded, ids: Sequence[str], depth: int) -> Iterator[dict[str, float]]:
    """For each query the ``depth`` documents with the highest scores, best first, ties in the order of ``ids``.

    A document's score is the highest of its entries' dot products with the query. One that shares no dimension has score 0 and is ranked
    too, as in sentence-transformers' evaluator.

    Args:
        ids: of the documents, in the order of ``encoded.documents``.
    """
    queries, order = encoded.queries, np.argsort(np.array(ids, dtype=object), kind="stable")
    place_of = np.empty(len(ids), dtype=np.int64)
    place_of[order] = np.arange(len(ids))  # place of each document in the order of ids
    best: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0, np.float32), np.empty(0, np.int64))] * queries.shape[0]
    for first, last in _document_chunks(encoded.starts, max(1_000, MAX_SCORES // max(1, queries.shape[0]))):
        low, high = encoded.starts[first], encoded.starts[last]
        scores = (queries @ encoded.documents[low:high].T).toarray()
        if high - low > last - first:
            scores = np.maximum.reduceat(scores, encoded.starts[first:last] - low, axis=1)
        places = place_of[first:last]
        for query, row in enumerate(scores):
            best[query] = _best(np.concatenate([best[query][0], row]), np.concatenate([best[query][1], places]), depth)
    for values, places in best:
        yield {ids[order[place]]: float(value) for value, place in zip(values, places, strict=True)}


def run_of(encoded: Encoded, queries: Iterable[str], ids: Sequence[str], depth: int) -> Run:
    """`search`'s results by query id."""
    return dict(zip(queries, search(encoded, ids, depth), strict=True))


def _best(values: np.ndarray, places: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``depth`` highest values with their places, best first, ties in the order of places."""
    if len(values) > depth:
        chosen = np.flatnonzero(values >= np.partition(values, -depth)[-depth])
        values, places = values[chosen], places[chosen]
    order = np.lexsort((places, -values))[:depth]
    return values[order], places[order]


def _document_chunks(starts: np.ndarray, entries: int) -> Iterator[tuple[int, int]]:
    """(first, last) document of chunks with at most ``entries`` entries, or of one document with more."""
    first = 0
    while first < len(starts) - 1:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + entries, side="right")) - 1)
        yield first, last
        first = last


def _mapped(file: IO[bytes], dtype: Any, length: int) -> np.ndarray:
    file.flush()
    return np.memmap(file, dtype=dtype, mode="r", shape=(int(length),)) if length else np.empty(0, dtype)
