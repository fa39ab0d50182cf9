"""Rows thrown into buckets at random, so that a shuffle needs no more memory than one bucket.

Read bucket by bucket, each shuffled for itself, every order of all rows is equally likely.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

BUCKET_BYTES = 24 * 2**20
SCATTER_BYTES = 48 * 2**20
"""Rows gathered before they are scattered, so that each bucket's share of them is worth a write."""


def scatter(rows: Iterable[pa.Table], size: int, scratch: Path, generator: np.random.Generator) -> Iterator[pa.Table]:
    """Read all ``rows`` now; return an iterator over the buckets, none of which is empty.

    Args:
        size: about how many bytes the rows take.
        scratch: file to write, as large as the rows; not needed where they fit one bucket. The iterator removes it at
            its end.
    """
    buckets = -(-size // BUCKET_BYTES)
    if buckets <= 1:
        parts = [part for part in rows if len(part)]
        return iter([pa.concat_tables(parts)] if parts else [])
    return _read(scratch, _write(rows, buckets, scratch, generator))


def _write(rows: Iterable[pa.Table], buckets: int, scratch: Path, generator: np.random.Generator) -> list[list[int]]:
    """Write the rows, grouped by bucket; return, for each bucket, the numbers of the record batches that are its."""
    places: list[list[int]] = [[] for _ in range(buckets)]
    written = 0
    writer: pa.RecordBatchFileWriter | None = None
    with pa.OSFile(str(scratch), "wb") as sink:
        for table in _gathered(rows):
            writer = writer or pa.ipc.new_file(sink, table.schema)
            bucket = generator.integers(buckets, size=len(table), dtype=np.int32)
            grouped = table.combine_chunks().take(pa.array(np.argsort(bucket, kind="stable")))
            start = 0
            for number, count in enumerate(np.bincount(bucket, minlength=buckets).tolist()):
                for batch in grouped.slice(start, count).to_batches():
                    writer.write_batch(batch)
                    places[number].append(written)
                    written += 1
                start += count
        if writer is not None:
            writer.close()
    return [batches for batches in places if batches]


def _gathered(rows: Iterable[pa.Table]) -> Iterator[pa.Table]:
    parts: list[pa.Table] = []
    for part in rows:
        parts.append(part)
        if sum(each.nbytes for each in parts) >= SCATTER_BYTES:
            table, parts = pa.concat_tables(parts), []  # let go of the parts before the next are read
            yield table
    if sum(map(len, parts)):
        yield pa.concat_tables(parts)


def _read(scratch: Path, places: list[list[int]]) -> Iterator[pa.Table]:
    if places:
        with pa.OSFile(str(scratch)) as source, pa.ipc.open_file(source) as reader:
            for batches in places:
                yield pa.Table.from_batches([reader.get_batch(number) for number in batches])
    scratch.unlink()
