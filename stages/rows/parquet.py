"""Reads and writes parquet files of texts by row group, so that memory does not grow with their size."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS = 32_768
ROW_GROUP_BYTES = 64 * 2**20
READ_ROWS = 16_384
READ_BYTES = 64 * 2**20
SCORES = "scores"
"""A teacher's scores of a row: one for the positive, then one for each column of negatives; null if there is none."""

ANSWER = "answer"
"""A text in a row's positive that answers its anchor, if the data set names one: training takes the window of a long positive with it."""


def text_columns(names: Sequence[str]) -> list[str]:
    """The columns of a schema that hold texts to train on: anchor, positive, then every negative."""
    return ["anchor", "positive", *(name for name in names if name == "negative" or name.startswith("negative_"))]


def row_schema(negatives: int, scores: bool, answer: bool = False) -> pa.Schema:
    """The columns of formatted rows: anchor, positive, negative, negative_2 …, maybe scores and answer, source, language."""
    texts = ["anchor", "positive", *("negative" if number == 1 else f"negative_{number}" for number in range(1, max(negatives, 1) + 1))]
    fields = [(name, pa.string()) for name in [*texts, "source", "language"]]
    more = [*([(SCORES, pa.list_(pa.float64()))] if scores else []), *([(ANSWER, pa.string())] if answer else [])]
    return pa.schema([*fields[:-2], *more, *fields[-2:]])


def read_batches(file: pq.ParquetFile, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of an open file, at most `READ_ROWS` and about `READ_BYTES` at a time.

    Open it with ``pre_buffer=False``: the buffer would keep everything it has read.
    """
    groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
    widest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1)
    for batch in file.iter_batches(batch_size=max(1, min(READ_ROWS, int(READ_BYTES / max(widest, 1)))), columns=columns):
        yield pa.Table.from_batches([batch])


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A table's column as one array, without a copy if it is one already."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def text(column: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    """A column of any string type as one string array; values of other types become their text."""
    return (one_array(column) if isinstance(column, pa.ChunkedArray) else column).cast(pa.string())


def read_tables(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of a file that we wrote, as `read_batches` does."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        yield from read_batches(file, columns)


def texts(path: Path, columns: Sequence[str] | None = None) -> Iterator[str]:
    """Every text of ``columns``, by default anchor, positive and negatives, of the rows of a file that we wrote, in order."""
    for rows in read_tables(path):
        for column in columns or text_columns(rows.column_names):
            yield from (text for text in rows[column].to_pylist() if text)


def text_bytes(path: Path) -> int:
    """Size of a file's rows in memory, in bytes, approximately."""
    metadata = pq.read_metadata(path)
    return sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))


def gathered(tables: Iterable[pa.Table], rows: float, size: float) -> Iterator[pa.Table]:
    """Yield the rows of ``tables`` in larger tables, each as soon as it has ``rows`` rows or ``size`` bytes."""
    parts: list[pa.Table] = []
    for part in tables:
        parts.append(part)
        if sum(map(len, parts)) >= rows or sum(each.nbytes for each in parts) >= size:
            table, parts = pa.concat_tables(parts), []  # free the parts before the next are read
            yield table
    if parts:
        yield pa.concat_tables(parts)


class RowGroupWriter:
    """Writes tables of one schema as row groups of a bounded size, encoding one while the next is prepared.

    With ``gather``, the bytes depend on the rows alone; without it, each table becomes one row group.
    """

    def __init__(self, path: Path, schema: pa.Schema, gather: bool = True) -> None:
        # Texts rarely repeat: a dictionary of them costs time and saves nothing. Source and language have few values.
        words = [name for name in ("source", "language") if name in schema.names]
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=words, write_statistics=False)
        self._schema = schema
        self._gather = gather
        self._tables: list[pa.Table] = []
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._written: Future[None] | None = None

    def write(self, table: pa.Table) -> None:
        """Add rows; they are written when a row group is full."""
        self._tables.append(table.select(self._schema.names))
        rows = sum(map(len, self._tables))
        if not self._gather or rows >= ROW_GROUP_ROWS or sum(each.nbytes for each in self._tables) >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._written is not None:
            self._written.result()
        group, self._tables = pa.concat_tables([self._schema.empty_table(), *self._tables]), []
        if len(group):
            self._written = self._thread.submit(self._writer.write_table, group, row_group_size=len(group))

    def __enter__(self) -> "RowGroupWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._flush()
                if self._written is not None:
                    self._written.result()
        finally:
            self._thread.shutdown()
            self._writer.close()
