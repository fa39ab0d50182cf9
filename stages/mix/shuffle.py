"""Rows thrown into buckets at random, so that a shuffle needs no more memory than one bucket.

Read bucket by bucket, each shuffled for itself, every order of all rows is equally likely.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import count, pairwise
from math import inf
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.rows.parquet import gathered

BUCKET_BYTES = 24 * 2**20
SCATTER_BYTES = 48 * 2**20
"""Rows gathered before they are scattered, so that each bucket's share of them is worth a write."""


def scatter(rows: Iterable[pa.Table], size: int, scratch: Path, generator: np.random.Generator) -> Iterator[pa.Table]:
    """Read all ``rows`` now; return an iterator over the buckets, none of which is empty.

    Args:
        size: about how many bytes the rows take.
        scratch: file to write, as large as the rows; not needed where they fit one bucket.
    """
    buckets = -(-size // BUCKET_BYTES)
    if buckets <= 1:
        return gathered([part for part in rows if len(part)], inf, inf)
    return _read(scratch, _write(rows, buckets, scratch, generator))


def _write(rows: Iterable[pa.Table], buckets: int, scratch: Path, generator: np.random.Generator) -> list[list[int]]:
    """Write the rows, grouped by bucket; return, for each bucket, the numbers of the record batches that are its."""
    places: list[list[int]] = [[] for _ in range(buckets)]
    written = count()
    with ExitStack() as stack:
        writer: pa.RecordBatchFileWriter | None = None
        for table in gathered(rows, inf, SCATTER_BYTES):
            writer = writer or stack.enter_context(pa.ipc.new_file(str(scratch), table.schema))
            bucket = generator.integers(buckets, size=len(table), dtype=np.int32)
            grouped = table.combine_chunks().take(pa.array(np.argsort(bucket, kind="stable")))
            ends = np.cumsum(np.bincount(bucket, minlength=buckets)).tolist()
            for number, (start, end) in enumerate(pairwise([0, *ends])):
                for batch in grouped.slice(start, end - start).to_batches():
                    writer.write_batch(batch)
                    places[number].append(next(written))
    return [batches for batches in places if batches]


def _read(scratch: Path, places: list[list[int]]) -> Iterator[pa.Table]:
    if places:
        with pa.OSFile(str(scratch)) as source, pa.ipc.open_file(source) as reader:
            for batches in places:
                yield pa.Table.from_batches([reader.get_batch(number) for number in batches])
