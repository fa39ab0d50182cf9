"""Reads the column ``label`` of pairs of texts: 1 for a positive, 0 for a pair that is not one."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.rows.parquet import one_array
from stages.runtime.errors import UserError

LABEL = "label"
_WORDS = {"": "nan", "none": "nan", "true": "1", "false": "0"}


def label_values(column: pa.ChunkedArray, where: Path | str) -> np.ndarray:
    """Labels, given as texts, as numbers from 0 to 1, shape (rows,); NaN for a row without one.

    Raises:
        UserError: a label is not a number from 0 to 1.
    """
    encoded = one_array(column).dictionary_encode()
    values = np.array([_value(label, where) for label in encoded.dictionary.to_pylist()] + [np.nan])
    return np.asarray(values[encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)])


def judged(column: pa.ChunkedArray, where: Path | str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """``reasons`` and ``notes`` for `chunk`: rows that are not positives, and rows without a label if other rows have one."""
    labels = label_values(column, where)
    reasons = {"label 0": labels == 0, "label between 0 and 1": (labels > 0) & (labels < 1)}
    return reasons, {"no label, taken as positive": np.isnan(labels) & (column.null_count < len(column))}


def _value(label: str, where: Path | str) -> float:
    word = label.strip().lower()
    try:
        value = float(_WORDS.get(word, word))
    except ValueError:
        value = -1.0
    if value < 0 or value > 1:
        raise UserError(f'{where}: column "{LABEL}" must be 1 for a positive, 0 for others, got {label!r}; correct it or rename the column')
    return value
