"""Makes a retrieval set from a training set's held-out rows (dev.parquet), to select a checkpoint.

Selection on the reported sets would bias the reported scores; these rows are neither trained on nor reported.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

import pyarrow.parquet as pq

from stages.retrieval.sets import RetrievalSet
from stages.rows.parquet import read_tables, text_columns

QUERIES, DOCUMENTS = 100, 2_000  # per set, at most: within a factor of two of NanoBEIR's sets; scored in seconds


def dev_set(name: str, path: Path) -> RetrievalSet | None:
    """Up to `QUERIES` anchors of ``path`` (a dev.parquet), drawn by hash, over up to `DOCUMENTS` of its texts; None if it has no row.

    An anchor's positives, of all its rows, are relevant with grade 1; its negatives and other rows' positives are the rest of the corpus.
    An anchor that is a text of the corpus is left out of its own results.
    """
    anchors = set(_drawn((row["anchor"] for row in _rows(path, ["anchor"])), QUERIES))
    relevant: dict[str, list[str]] = {}
    texts: dict[str, None] = {}  # an ordered set
    for row in _rows(path):
        if row["anchor"] in anchors:
            relevant.setdefault(row["anchor"], []).append(row["positive"])
            texts |= dict.fromkeys(text for column, text in row.items() if column != "anchor" and text)
    if not relevant:
        return None
    for text in _drawn((row["positive"] for row in _rows(path, ["positive"])), DOCUMENTS):
        if len(texts) < DOCUMENTS:
            texts.setdefault(text)
    ids = {text: f"d{number}" for number, text in enumerate(texts)}
    queries = {ids.get(anchor, f"q{number}"): anchor for number, anchor in enumerate(relevant)}
    return RetrievalSet(
        name=f"dev-{name}",
        language=None,
        queries=queries,
        corpus={identifier: text for text, identifier in ids.items()},
        qrels={query: dict.fromkeys((ids[text] for text in relevant[anchor]), 1.0) for query, anchor in queries.items()},
        entry="dev",
        own=frozenset(queries.keys() & ids.values()),
    )


def _rows(path: Path, columns: list[str] | None = None) -> Iterator[dict[str, str]]:
    for table in read_tables(path, columns or text_columns(pq.read_schema(path).names)):
        yield from table.to_pylist()


def _drawn(texts: Iterable[str], number: int) -> list[str]:
    """``number`` distinct texts, those with the lowest hashes, whatever the order of ``texts``."""
    drawn: dict[bytes, str] = {}
    for text in texts:
        drawn[blake2b(text.encode(), digest_size=16).digest()] = text
        if len(drawn) > 8 * number:
            drawn = {key: drawn[key] for key in sorted(drawn)[:number]}
    return [drawn[key] for key in sorted(drawn)[:number]]
