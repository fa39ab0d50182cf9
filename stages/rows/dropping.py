"""Drops rows and counts each of them once, by reason and language."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Dropped: TypeAlias = Counter[tuple[str, str]]
"""(reason, language) → rows; the language is `UNKNOWN` if it is null."""
UNKNOWN = "unknown"


def count_languages(languages: pa.Array | pa.ChunkedArray) -> list[tuple[str, int]]:
    """(language, rows) pairs; a null language is `UNKNOWN`."""
    return [(pair["values"] or UNKNOWN, pair["counts"]) for pair in pc.value_counts(languages).to_pylist()]


def as_mask(mask: Any) -> np.ndarray:
    """Booleans of numpy or Arrow as numpy's, shape (rows,); a null counts as False."""
    if isinstance(mask, pa.Array | pa.ChunkedArray):
        return np.asarray(pc.fill_null(mask, False))
    return np.asarray(mask)


def marked(languages: pa.Array | pa.ChunkedArray, reasons: Mapping[str, Any]) -> tuple[np.ndarray, Dropped]:
    """Which rows any mask in ``reasons`` marks, shape (rows,), and their counts, each row under its first reason."""
    dropped, counts = np.zeros(len(languages), dtype=bool), Dropped()
    for reason, mask in reasons.items():
        new = as_mask(mask) & ~dropped
        if new.any():
            counts.update({(reason, language): rows for language, rows in count_languages(languages.filter(pa.array(new)))})
            dropped |= new
    return dropped, counts


def drop(rows: pa.Table, reasons: Mapping[str, Any]) -> tuple[pa.Table, Dropped]:
    """``rows``, which have a column ``language``, without those that any mask in ``reasons`` marks, and the counts of these."""
    dropped, counts = marked(rows["language"], reasons)
    return (rows.filter(pa.array(~dropped)) if dropped.any() else rows), counts
