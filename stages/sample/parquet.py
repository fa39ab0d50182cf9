"""Parquet with fixed options: the same rows give the same bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write ``rows``, dictionaries of the same keys, as one uncompressed parquet file; make its folder if need be."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows))
    pq.write_table(table, path, compression="none", use_dictionary=False, version="2.6", row_group_size=10_000)
