"""What each query got: a table of a set's queries, and the systems' runs as TREC files.

A table has the scores of every system, the relevant document that the model ranks best, its first document that is not relevant, and the
dimensions that each shares with the query: enough to compare two models, or to see why one fails, without either of them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sentence_transformers import SparseEncoder

from stages.encoders.active_dims import autoencoder_of
from stages.evaluate.query_tables import AS_ZERO, DOCUMENTS, SET
from stages.evaluate.terms import term_names
from stages.retrieval.scores import MODEL, NDCG, Run, rank, score_by_query
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.vectors import Encoded

TERMS, CHARACTERS = 20, 1_000
SPACE = re.compile(r"\s")
TERM_LISTS = pa.list_(pa.struct([("term", pa.string()), ("query", pa.float32()), ("document", pa.float32())]))

Names = Callable[[Sequence[int]], list[str]]
"""Names a model's dimensions."""
Shared = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Dimensions, the query's weights and the document's."""


def dimension_names(model: SparseEncoder) -> Names:
    """Names a dimension by its vocabulary term, or "latent N" for csr."""
    if autoencoder_of(model):
        return lambda dimensions: [f"latent {dimension}" for dimension in dimensions]
    return lambda dimensions: term_names(model.tokenizer, dimensions)


def write_queries(
    folder: Path,
    retrieval_set: RetrievalSet,
    runs: Mapping[str, Run],
    encoded: Encoded | None,
    names: Names,
    as_zero: int = 0,
) -> None:
    """Write ``<set>.parquet`` (see `table`) and, for each system, ``<set>.<system>.trec`` into ``folder``; "/" in a name becomes "__"."""
    stem = retrieval_set.name.replace("/", "__")
    ranked = {system: {query: rank(run.get(query, {})) for query in retrieval_set.queries} for system, run in runs.items()}
    metadata = {SET: retrieval_set.name, DOCUMENTS: str(len(retrieval_set.corpus)), AS_ZERO: str(as_zero)}
    rows = table(retrieval_set, runs, ranked, encoded, names).replace_schema_metadata(metadata)
    pq.write_table(rows, folder / f"{stem}.parquet", compression="zstd")
    for system, run in runs.items():
        write_trec(folder / f"{stem}.{system}.trec", run, ranked[system], system)


def table(
    retrieval_set: RetrievalSet,
    runs: Mapping[str, Run],
    ranked: Mapping[str, Mapping[str, Sequence[str]]],
    encoded: Encoded | None,
    names: Names,
) -> pa.Table:
    """One row a query, in the order of the set.

    Columns: ``query_id``, ``query``, ``language``; for each system ``<system>_ndcg@10`` and ``<system>_rank``, the place of the first
    relevant document, null if it was not retrieved; ``relevant_id``, ``relevant``: the relevant document that the model ranks best, else
    the first of those with the highest grade; ``top_id``, ``top``: the model's first document that is not relevant; ``relevant_terms``,
    ``top_terms``: the dimensions that the query shares with each, at most 20, largest product first, null without vectors. Texts are cut
    at 1,000 characters.

    Args:
        ranked: system → query id → document ids, best first.
        encoded: the model's vectors; of a document in several entries, the one with the highest dot product counts.
    """
    queries, corpus, qrels = retrieval_set.queries, retrieval_set.corpus, retrieval_set.qrels
    columns: dict[str, Any] = {
        "query_id": list(queries),
        "query": list(queries.values()),
        "language": [retrieval_set.language] * len(queries),
    }
    for system, run in runs.items():
        scores, order = score_by_query(run, qrels), ranked[system]
        columns[f"{system}_{NDCG}"] = [scores[query][NDCG] for query in queries]
        columns[f"{system}_rank"] = [_place(order[query], qrels[query]) for query in queries]
    order = ranked.get(MODEL, {})
    found: dict[str, list[str | None]] = {"relevant": [_relevant(order.get(query, ()), qrels[query], corpus) for query in queries]}
    found["top"] = [next((document for document in order.get(query, ()) if document not in qrels[query]), None) for query in queries]
    for kind, documents in found.items():
        columns[f"{kind}_id"] = documents
        columns[kind] = [corpus[document][:CHARACTERS] if document in corpus else None for document in documents]
    for kind, documents in found.items():
        columns[f"{kind}_terms"] = _terms(documents, retrieval_set, encoded, names)
    return pa.table({name: pa.array(values, type=_type(name)) for name, values in columns.items()})


def write_trec(path: Path, run: Run, ranked: Mapping[str, Sequence[str]], tag: str) -> None:
    """Write a run as ``query-id Q0 document-id rank score tag``, ranks from 1.

    trec_eval sorts by the score as float32 and ties by descending id: a score that does not lie below the one before it is lowered to
    the next float32, so that it finds our order. White space in an id is percent-encoded.
    """
    words = {document: _word(document) for document in {each for documents in ranked.values() for each in documents}}
    with path.open("w", encoding="utf-8") as file:
        for query, documents in ranked.items():
            values = descending([run[query][document] for document in documents]).tolist()
            lines = (
                f" Q0 {words[document]} {place} {value:.9g} {tag}\n"
                for place, (document, value) in enumerate(zip(documents, values, strict=True), 1)
            )
            name = _word(query)
            file.writelines(name + line for line in lines)


def descending(scores: Sequence[float]) -> np.ndarray:
    """Sorted ``scores`` as float32, each below the one before it, by the smallest step where it was not.

    >>> descending([1.0, 1.0, 0.5]).tolist()
    [1.0, 0.9999999403953552, 0.5]
    """
    bits = np.array(scores, dtype=np.float32).view(np.int32).astype(np.int64)
    ordered = np.where(bits < 0, -(2**31) - bits, bits)  # whole numbers in the order of the floats, neighbours next to each other
    places = np.arange(len(ordered))
    lowered = np.minimum.accumulate(ordered + places) - places
    return np.where(lowered < 0, -(2**31) - lowered, lowered).astype(np.int32).view(np.float32)


def _word(identifier: str) -> str:
    return SPACE.sub(lambda space: quote(space[0]), identifier)


def _type(column: str) -> pa.DataType:
    if column.endswith("_terms"):
        return TERM_LISTS
    return pa.float64() if column.endswith(NDCG) else pa.int32() if column.endswith("_rank") else pa.string()


def _place(ranked: Sequence[str], relevant: Mapping[str, float]) -> int | None:
    return next((place for place, document in enumerate(ranked, start=1) if document in relevant), None)


def _relevant(ranked: Sequence[str], grades: Mapping[str, float], corpus: Mapping[str, str]) -> str:
    found = next((document for document in ranked if document in grades), None)
    return found or max(grades, key=lambda document: (grades[document], document in corpus))


def _terms(
    documents: Sequence[str | None],
    retrieval_set: RetrievalSet,
    encoded: Encoded | None,
    names: Names,
) -> list[list[dict[str, Any]] | None]:
    """For each query the terms that it shares with its one of ``documents``."""
    if encoded is None:
        return [None] * len(documents)
    places = {document: place for place, document in enumerate(retrieval_set.corpus)}
    weights = np.zeros(encoded.queries.shape[1], dtype=np.float32)  # of one query at a time
    shared = [_shared(encoded, query, places.get(document or ""), weights) for query, document in enumerate(documents)]
    dimensions = np.unique(np.concatenate([each[0] for each in shared])).tolist()
    name_of = dict(zip(dimensions, names(dimensions), strict=True))
    return [
        [
            {"term": name_of[dimension], "query": of_query, "document": of_document}
            for dimension, of_query, of_document in zip(*(part.tolist() for part in each), strict=True)
        ]
        for each in shared
    ]


def _shared(encoded: Encoded, query: int, document: int | None, weights: np.ndarray) -> Shared:
    """The largest products of a query and the best entry of a document; ``weights`` has zeros, before and after."""
    best: Shared = (np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32))
    if document is None:
        return best
    matrix, highest = encoded.documents, 0.0
    own = slice(encoded.queries.indptr[query], encoded.queries.indptr[query + 1])
    weights[encoded.queries.indices[own]] = encoded.queries.data[own]
    for entry in range(encoded.starts[document], encoded.starts[document + 1]):
        row = slice(matrix.indptr[entry], matrix.indptr[entry + 1])
        dimensions, values = matrix.indices[row], matrix.data[row]
        products = values * weights[dimensions]
        if (total := float(products.sum())) > highest:
            order = np.lexsort((dimensions, -products))[:TERMS]
            order = order[products[order] > 0]
            best, highest = (np.array(dimensions[order], np.int64), weights[dimensions[order]], np.array(values[order])), total
    weights[encoded.queries.indices[own]] = 0
    return best
