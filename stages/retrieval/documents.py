"""The vectors of documents, of which long ones are cut, joined from their windows, or represented by each window.

Nguyen et al., "Adapting Learned Sparse Retrieval for Long Documents" (SIGIR 2023, arXiv 2305.18494): the element-wise maximum over windows
is a document's vector for any engine (``max_vector``); the best window's score ranks better (``max_score``) and makes the index longer.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array
from sentence_transformers import SparseEncoder

from stages.retrieval.scores import DOCUMENTS_CUT, TOKENS_LOST
from stages.retrieval.treatment import Treatment
from stages.retrieval.vectors import CHUNK, encode, encode_chunk, stacked
from stages.retrieval.windows import Windows, portions

SPLIT = 1_024  # texts split at a time


def encode_documents(
    model: SparseEncoder, texts: Sequence[str], treatment: Treatment, batch_size: int = 32
) -> tuple[csr_array, np.ndarray]:
    """The vectors of ``texts``, shape (entries, dimensions), and the first entry of each text, then their number, shape (texts + 1,).

    With max_score, a text has one entry for each of its windows. Otherwise it has one: the vector of its beginning (cut), or the
    element-wise maximum of its windows' vectors (max_vector).
    """
    windows = Windows.of(model, treatment) if treatment.long_documents != "cut" else None
    if windows is None:
        return encode(model, texts, "document", batch_size), np.arange(len(texts) + 1)
    lengths: list[int] = []

    def chunks() -> Iterator[csr_array]:
        split = (part for start in range(0, len(texts), SPLIT) for part in windows.split(texts[start : start + SPLIT]))
        for parts in portions(split, CHUNK):
            matrix = encode_chunk(model, [window for part in parts for window in part], "document", batch_size)
            counts = [len(part) for part in parts]
            joined = treatment.long_documents == "max_vector"
            lengths.extend([1] * len(parts) if joined else counts)
            yield maxima(matrix, counts) if joined else matrix

    entries = stacked(chunks())
    return entries, np.concatenate([[0], np.cumsum(lengths)])


def maxima(matrix: csr_array, counts: Sequence[int]) -> csr_array:
    """The element-wise maxima of consecutive rows without negative values: of the first ``counts[0]`` rows, of the next ``counts[1]`` …"""
    if len(counts) == matrix.shape[0]:
        return matrix
    rows = np.repeat(np.repeat(np.arange(len(counts)), counts), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, rows))
    rows, columns, values = rows[order], matrix.indices[order], matrix.data[order]
    first = np.flatnonzero(np.diff(rows, prepend=-1) | np.diff(columns, prepend=-1))
    ends = np.searchsorted(rows[first], np.arange(len(counts) + 1))
    data = np.maximum.reduceat(values, first) if len(first) else values
    return csr_array((data, columns[first], ends), shape=(len(counts), matrix.shape[1]))


def best_window(model: SparseEncoder, query: str, text: str, treatment: Treatment) -> str:
    """What of a document is scored for ``query``: its best window with max_score, else all of it."""
    windows = Windows.of(model, treatment) if treatment.long_documents == "max_score" else None
    [parts] = windows.split([text]) if windows else [[text]]
    if len(parts) == 1:
        return parts[0]
    scores = encode_chunk(model, parts, "document") @ encode_chunk(model, [query], "query").T
    return parts[int(np.argmax(scores.toarray().ravel()))]


def truncation(model: SparseEncoder, texts: Sequence[str], treatment: Treatment) -> dict[str, float]:
    """``documents_cut``: the share of the documents that are cut, and ``tokens_lost``: the share of all tokens that is not encoded."""
    windows = Windows.of(model, treatment)
    if treatment.long_documents != "cut" or windows is None or not (cut := windows.long(texts)):
        return {DOCUMENTS_CUT: 0.0, TOKENS_LOST: 0.0}
    tokens = windows.count(texts)
    return {DOCUMENTS_CUT: len(cut) / len(texts), TOKENS_LOST: float((tokens[cut] - windows.room).sum() / tokens.sum())}
