"""A column ``label`` beside a pair of texts: 1 says that they belong together, 0 that they do not."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.rows.parquet import one_array
from stages.runtime.errors import UserError

LABEL = "label"
_WORDS = {"": np.nan, "nan": np.nan, "none": np.nan, "true": 1.0, "false": 0.0}


def label_values(column: pa.ChunkedArray, where: Path | str) -> np.ndarray:
    """Labels, as texts, as numbers from 0 to 1, shape (rows,); NaN for a row that has none.

    Raises:
        UserError: a label is not a number from 0 to 1: what it says of the pair is not known.
    """
    encoded = one_array(column).dictionary_encode()
    values = np.array([_value(label, where) for label in encoded.dictionary.to_pylist()] + [np.nan])
    places: np.ndarray = values[encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)]
    return places


def label_reasons(column: pa.ChunkedArray, where: Path | str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Why rows are no positives, a mask for each reason; and which rows have no label, in a column where some row has one."""
    labels = label_values(column, where)
    reasons = {"label 0": labels == 0, "label between 0 and 1": (labels > 0) & (labels < 1)}
    return reasons, np.isnan(labels) & (column.null_count < len(column))


def _value(label: str, where: Path | str) -> float:
    word = label.strip().lower()
    try:
        value = _WORDS[word] if word in _WORDS else float(word)
    except ValueError:
        value = -1.0
    if value < 0 or value > 1:
        raise UserError(f'{where}: its column "{LABEL}" holds {label!r}; write 1 for a positive and 0 for none, or rename the column')
    return value
