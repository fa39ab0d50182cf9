"""Raw folders of data sets in small."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.format.sources import reader
from stages.format.sources.chunk import Options, Split
from stages.format.sources.folder import RawFolder

Rows = list[dict[str, Any]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Rows], Path]:
    """Writes rows as a parquet file below the raw folder ``tmp_path``."""

    def write_rows(name: str, rows: Rows) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path

    return write_rows


def read_all(kind: str, raw: Path, split: Split = "train", **options: Any) -> tuple[Rows, dict[str, int]]:
    """All rows of a split, and the sum of what was dropped."""
    rows: Rows = []
    dropped: dict[str, int] = {}
    for chunk in reader(kind)(RawFolder(raw), split, Options(**options)):
        rows += chunk.rows.to_pylist()
        for (reason, _), count in chunk.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    return rows, dropped
