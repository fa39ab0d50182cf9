"""The scale of a teacher's scores: counted from the mean of their row, divided by one standard deviation for a teacher and a set.

Teachers differ in scale: cosines of e5 lie within 0.1, logits of a cross-encoder within 20. Scaling each row by itself, to 0…1 (Geng et al.
2024, arXiv 2411.04403), would lose whether its texts differ much or hardly at all, and of a row with one negative everything.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.rows.parquet import SCORES, RowGroupWriter, one_array, read_tables
from stages.runtime.files import atomic_write

ROUNDING = 1e-6


def centred(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``scores`` minus the mean of those that have the same number in ``rows``; whatever is not finite becomes NaN."""
    finite = np.isfinite(scores)
    sums = np.bincount(rows, np.where(finite, scores, 0.0))
    means = sums / np.maximum(np.bincount(rows, finite), 1)
    return np.where(finite, scores, np.nan) - means[rows]


def deviation(blocks: Iterable[np.ndarray]) -> float:
    """The standard deviation of `centred` scores; infinite for a teacher that gives all texts of a row the same score, but for rounding."""
    squares, number = 0.0, 0
    for block in blocks:
        known = np.square(block[np.isfinite(block)])
        squares, number = squares + float(known.sum()), number + len(known)
    found = float(np.sqrt(squares / max(number, 1)))
    return found if found > ROUNDING else np.inf


def scale_file(path: Path) -> None:
    """Rewrite the column of scores of a file of rows on this scale; a file without scores stays as it is."""
    schema = pq.read_schema(path)
    if SCORES not in schema.names:
        return
    scale = deviation(_centred(rows)[1] for rows in read_tables(path, [SCORES]))
    with atomic_write(path) as temporary, RowGroupWriter(temporary, schema) as writer:
        for rows in read_tables(path):
            offsets, values = _centred(rows)
            scores = pa.ListArray.from_arrays(offsets, pa.array(values / scale, pa.float64()))
            writer.write(rows.set_column(rows.column_names.index(SCORES), SCORES, scores))


def _centred(rows: pa.Table) -> tuple[pa.Array, np.ndarray]:
    """The offsets of the lists of scores, null for a row without, and the scores of all rows, `centred`."""
    lists = one_array(rows[SCORES])
    starts = np.append(0, np.cumsum(pc.fill_null(pc.list_value_length(lists), 0).to_numpy()))
    unknown = np.append(pc.is_null(lists).to_numpy(zero_copy_only=False), False)
    scores = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    return pa.array(starts, pa.int32(), mask=unknown), centred(scores, pc.list_parent_indices(lists).to_numpy())
