"""Reads the columns of one file as strings or lists, a bounded number of rows at a time.

Formats: parquet, Arrow (from `datasets.save_to_disk`), JSON lines and JSON arrays; JSON may be gzipped. A faulty file raises a
`UserError` that names it.
"""

import gzip
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.format.sources.json_rows import MissingColumnError, json_rows, json_tables
from stages.rows.parquet import READ_ROWS, one_array, read_batches, text
from stages.runtime.errors import UserError

JSON = (".json", ".jsonl", ".ndjson")
SUFFIXES = (".parquet", ".arrow", *JSON, *(f"{suffix}.gz" for suffix in JSON))
"""Of file names, in lower case."""
PEEK = 100


def read_columns(
    path: Path, required: Sequence[str], optional: Sequence[str] = (), lists: Collection[str] = (), as_is: Collection[str] = ()
) -> Iterator[pa.Table]:
    """Yield the named columns of a file, at most `READ_ROWS` rows at a time, in the order of the arguments.

    Columns of any string type become strings, numbers become their text, NaN becomes null. A missing optional column is all null.

    Args:
        lists: columns whose values may be lists, of any of Arrow's list types; they become ``list``.
        as_is: columns that keep their type (in JSON: text); a missing one has the type null.

    Raises:
        UserError: the file is empty, truncated or broken, a column is missing or does not hold texts, or a text is not valid UTF-8.
    """
    if path.stat().st_size == 0:
        raise UserError(f"{path}: is empty; fetch or write it again")
    read = _json if is_json(path) else _arrow if path.suffix.lower() == ".arrow" else _parquet
    for table in read(path, required, optional, as_is):
        columns = {}
        for name in (*required, *optional):
            if name not in table.column_names:
                columns[name] = pa.nulls(len(table), pa.null() if name in as_is else pa.string())
            else:
                columns[name] = table[name] if name in as_is else normal(path, name, table[name], name in lists)
        yield pa.table(columns)


def column_names(path: Path) -> list[str]:
    """The columns of a file; for JSON the keys of all rows. Empty for a broken parquet or Arrow file."""
    if is_json(path):
        with opened(path) as file:
            return list(dict.fromkeys(name for _, row in json_rows(file, str(path)) for name in row))
    try:
        if path.suffix.lower() == ".arrow":
            with pa.memory_map(str(path)) as source:
                return list(_batches(source)[0].names)
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return []


def first_names(path: Path) -> list[str]:
    """The columns of a file; for JSON the keys of its first rows.

    Raises:
        UserError: the file is not complete.
    """
    if is_json(path):
        with opened(path) as file:
            return list(dict.fromkeys(name for _, row in islice(json_rows(file, str(path)), PEEK) for name in row))
    if not (names := column_names(path)):
        raise UserError(f"{path}: is not a complete file with columns; fetch or write it again")
    return names


def is_json(path: Path) -> bool:
    """Whether a file is JSON or JSON lines, gzipped or not, by its name."""
    return path.name.lower().removesuffix(".gz").endswith(JSON)


def _json(path: Path, required: Sequence[str], optional: Sequence[str], as_is: Collection[str]) -> Iterator[pa.Table]:
    with opened(path) as file:
        yield from json_tables(file, str(path), required, optional, as_is)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading; one whose name ends in .gz is unpacked."""
    try:
        with cast(IO[bytes], gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: is not a complete gzip file; fetch or write it again") from error


def _parquet(path: Path, required: Sequence[str], optional: Sequence[str], as_is: Collection[str]) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for table in read_batches(file, _present(path, file.schema_arrow.names, required, optional)):
                yield _valid(path, table)
    except (pa.ArrowException, OSError) as error:
        message = f"{path}: is not a complete parquet file, or one that Arrow cannot read ({_one_line(error)}); write it again"
        raise UserError(message) from error


def _arrow(path: Path, required: Sequence[str], optional: Sequence[str], as_is: Collection[str]) -> Iterator[pa.Table]:
    try:
        with pa.memory_map(str(path)) as source:
            schema, batches = _batches(source)
            columns = _present(path, schema.names, required, optional)
            for batch in batches:
                table = _valid(path, pa.Table.from_batches([batch]).select(columns))
                yield from (table.slice(start, READ_ROWS) for start in range(0, max(1, len(table)), READ_ROWS))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: is not a complete Arrow file ({_one_line(error)}); fetch or write it again") from error


def _batches(source: pa.NativeFile) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Schema and record batches of a stream, which `datasets` writes, or of a file in Arrow's file format."""
    begins = source.read(6)
    source.seek(0)
    if begins != b"ARROW1":
        stream = pa.ipc.open_stream(source)
        return stream.schema, stream
    file = pa.ipc.open_file(source)
    return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))


def _present(path: Path, names: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> list[str]:
    """Those of the columns that the file has."""
    for name in required:
        if name not in names:
            raise MissingColumnError(path, name, names)
    chosen = [name for name in [*required, *optional] if name in names]
    if twice := [name for name in chosen if names.count(name) > 1]:
        raise UserError(f'{path}: has {names.count(twice[0])} columns "{twice[0]}"; rename all but one')
    return chosen


def _valid(path: Path, table: pa.Table) -> pa.Table:
    try:
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: holds invalid UTF-8; write it again as UTF-8") from error
    return table


def normal(path: Path, name: str, column: pa.ChunkedArray, may_be_list: bool) -> pa.Array:
    """A column of a file as strings, or, if it ``may_be_list``, as lists of strings or numbers."""
    kind = column.type
    try:
        if may_be_list and hasattr(kind, "value_field") and not pa.types.is_nested(kind.value_type):
            lists = one_array(column) if pa.types.is_list(kind) else _as_list(one_array(column))
            return lists if pa.types.is_primitive(kind.value_type) else lists.cast(pa.list_(pa.string()))
        if pa.types.is_nested(kind):
            raise UserError(f'{path}: column "{name}" must hold texts, got {kind}; write texts, or choose another kind for the set')
        return text(pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column) if pa.types.is_floating(kind) else column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(f'{path}: column "{name}" must hold texts in UTF-8, got {kind} that is not; write it as texts') from error


def _as_list(column: pa.Array) -> pa.ListArray:
    """An array of any of Arrow's list types as ``list``; Arrow 25's own cast of a list view is wrong if it holds a null."""
    ends = np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    return pa.ListArray.from_arrays(offsets, pc.list_flatten(column), mask=pc.is_null(column))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
