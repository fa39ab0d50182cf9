"""The sample written once, and its tables as lists of rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages import sample

Rows = list[dict[str, Any]]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one folder for each built-in set."""
    root = tmp_path_factory.mktemp("sample")
    for name in (*sample.DATASETS, *sample.EVALUATION_SETS):
        sample.write_set(name, root / name)
    return root


@pytest.fixture(scope="session")
def rows(written: Path) -> Callable[[str], Rows]:
    """Read all rows of the parquet files that match a pattern below the written folder."""

    def read(pattern: str) -> Rows:
        files = sorted(written.glob(pattern))
        assert files, pattern
        return [row for file in files for row in pq.read_table(file).to_pylist()]

    return read
