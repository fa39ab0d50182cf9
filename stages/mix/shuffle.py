"""Scatters rows into random buckets, so that a shuffle needs no more memory than one bucket.

If the buckets are read in turn and each is shuffled, every order of all rows is equally likely.
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
"""Size of the rows gathered before they are scattered, so that each bucket's share is worth a write."""


def scatter(rows: Iterable[pa.Table], size: int, scratch: Path, generator: np.random.Generator) -> Iterator[pa.Table]:
    """Read all ``rows`` now; return an iterator over the buckets, none of which is empty.

    Args:
        size: of the rows in bytes, approximately.
        scratch: file to write, as large as the rows; not written if they fit one bucket.
    """
    buckets = -(-size // BUCKET_BYTES)
    if buckets <= 1:
        return gathered([part for part in rows if len(part)], inf, inf)
    return _read(scratch, _write(rows, buckets, scratch, generator))


def _write(rows: Iterable[pa.Table], buckets: int, scratch: Path, generator: np.random.Generator) -> list[list[int]]:
    """Write the rows, grouped by bucket; return the numbers of each bucket's record batches."""
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
