"""Selects each row's negatives for training: the first ones present move to the first columns, their scores with them."""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.rows.parquet import SCORES, one_array, text_columns


def keep_negatives(rows: pa.Table, hashes: np.ndarray, limit: int | None, barred: np.ndarray) -> tuple[pa.Table, np.ndarray]:
    """``rows`` and ``hashes`` with at most ``limit`` negatives a row: its first ones that are neither null nor barred.

    Scores move with their texts; a row's scores become null if one of those needed is missing or not a number.

    Args:
        hashes: of the rows' texts, uint64, shape (rows, texts), 0 for null.
        limit: columns of negatives to keep; None: all.
        barred: negatives that must not be used, shape (rows, negatives).
    """
    names = text_columns(rows.column_names)[2:]
    present = (hashes[:, 2:] != 0) & ~barred
    order = np.argsort(~present, axis=1, kind="stable")[:, :limit]
    present = np.take_along_axis(present, order, axis=1)
    if SCORES in rows.column_names:
        scores = [_follow(*row) for row in zip(rows[SCORES].to_pylist(), order.tolist(), present.sum(axis=1).tolist(), strict=True)]
        rows = rows.set_column(rows.column_names.index(SCORES), SCORES, pa.array(scores, pa.list_(pa.float64())))
    columns = [one_array(rows[name]) for name in names]
    for place, name in enumerate(names[:limit]):
        texts = pc.if_else(pa.array(present[:, place]), pc.choose(pa.array(order[:, place]), *columns), pa.scalar(None, pa.string()))
        rows = rows.set_column(rows.column_names.index(name), name, texts)
    moved = np.where(present, np.take_along_axis(hashes[:, 2:], order, axis=1), 0).astype(np.uint64)
    return rows.drop_columns(names[order.shape[1] :]), np.concatenate([hashes[:, :2], moved], axis=1)


def _follow(scores: Sequence[float | None] | None, order: Sequence[int], negatives: int) -> list[float] | None:
    """The scores of the positive and of the first ``negatives`` places of ``order``, or None."""
    places = [0, *(1 + place for place in order[:negatives])]
    if scores is None or max(places) >= len(scores):
        return None
    chosen = [score for score in (scores[place] for place in places) if score is not None and math.isfinite(score)]
    return chosen if len(chosen) == len(places) else None
