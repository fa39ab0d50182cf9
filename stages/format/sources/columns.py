"""The columns of one file of rows, a bounded number of rows at a time, as strings or lists.

Parquet, Arrow (of `datasets.save_to_disk`), JSON lines and one JSON array a file are read, JSON also compressed by gzip. What is wrong
with a file is a `UserError` that names it.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

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
GZIP_FAULTS = (gzip.BadGzipFile, EOFError, zlib.error)


def read_columns(
    path: Path, required: Sequence[str], optional: Sequence[str] = (), lists: Sequence[str] = (), objects: Sequence[str] = ()
) -> Iterator[pa.Table]:
    """Yield the named columns of a file, at most `READ_ROWS` rows at a time; an optional column that is missing is all null. They stand
    in the order of the arguments.

    A column of any type that has texts becomes one of strings; numbers are taken as their texts, NaN as null.

    Args:
        lists: columns whose values may be lists, of any of Arrow's types; they become ``list``.
        objects: optional columns of any type, for `python_values`; one that is missing has the type null.

    Raises:
        UserError: an empty, truncated or broken file, a missing column, one that holds no texts, invalid UTF-8.
    """
    if path.stat().st_size == 0:
        raise UserError(f"{path}: is empty; fetch or write it again")
    read = _json if is_json(path) else _arrow if path.suffix.lower() == ".arrow" else _parquet
    for table in read(path, required, optional, objects):
        columns = {
            name: _normal(path, name, table[name], name in lists) if name in table.column_names else pa.nulls(len(table), pa.string())
            for name in (*required, *optional)
        }
        given = {name: table[name] if name in table.column_names else pa.nulls(table.num_rows) for name in objects}
        yield pa.table({**columns, **given})


def column_names(path: Path) -> list[str]:
    """The columns of a file; of JSON the keys of all rows. A broken parquet or Arrow file has none."""
    if is_json(path):
        names: dict[str, None] = {}
        with _open_json(path) as file:
            for _, row in _rows(path, file):
                names.update(dict.fromkeys(row))
        return list(names)
    try:
        if path.suffix.lower() == ".arrow":
            with pa.memory_map(str(path)) as source:
                return list(_batches(source)[0].names)
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return []


def python_values(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column of ``objects`` as Python's; those of JSON as they stand in the file."""
    values = column.to_pylist()
    return [None if value is None else json.loads(value) for value in values] if isinstance(column.type, pa.JsonType) else values


def is_json(path: Path) -> bool:
    """Whether a file's name says JSON, JSON lines, or either in gzip."""
    return path.name.lower().removesuffix(".gz").endswith(JSON)


def _normal(path: Path, name: str, column: pa.ChunkedArray, may_be_list: bool) -> pa.Array:
    kind = column.type
    try:
        if may_be_list and hasattr(kind, "value_field") and not pa.types.is_nested(kind.value_type):
            lists = one_array(column) if pa.types.is_list(kind) else _as_list(one_array(column))
            return lists.cast(pa.list_(pa.string())) if _is_binary(lists.type.value_type) else lists
        if pa.types.is_nested(kind):
            raise UserError(f'{path}: its column "{name}" holds {kind}, not texts; write texts, or choose another kind for the set')
        return text(pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column) if pa.types.is_floating(kind) else column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(f'{path}: its column "{name}" holds {kind} that is no text in UTF-8; write it as texts') from error


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _as_list(column: pa.Array) -> pa.ListArray:
    """An array of any of Arrow's list types as ``list``; Arrow 25's own cast of a list view is wrong where it holds a null."""
    ends = np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    return pa.ListArray.from_arrays(offsets, pc.list_flatten(column), mask=pc.is_null(column))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _parquet(path: Path, required: Sequence[str], optional: Sequence[str], objects: Sequence[str]) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield from map(_validated(path), read_batches(file, _present(path, file.schema_arrow.names, required, optional, objects)))
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{path}: is no complete parquet file, or one that Arrow cannot read ({_one_line(error)}); write it again"
        ) from error


def _arrow(path: Path, required: Sequence[str], optional: Sequence[str], objects: Sequence[str]) -> Iterator[pa.Table]:
    try:
        with pa.memory_map(str(path)) as source:
            schema, batches = _batches(source)
            columns = _present(path, schema.names, required, optional, objects)
            for batch in batches:
                table = _validated(path)(pa.Table.from_batches([batch]).select(columns))
                yield from (table.slice(start, READ_ROWS) for start in range(0, max(1, len(table)), READ_ROWS))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: is no complete Arrow file ({_one_line(error)}); fetch or write it again") from error


def _batches(source: pa.NativeFile) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Schema and record batches of a stream, as `datasets` writes it, or of a file in Arrow's own format."""
    begins = source.read(6)
    source.seek(0)
    if begins != b"ARROW1":
        stream = pa.ipc.open_stream(source)
        return stream.schema, stream
    file = pa.ipc.open_file(source)
    return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))


def _present(path: Path, names: Sequence[str], required: Sequence[str], optional: Sequence[str], objects: Sequence[str]) -> list[str]:
    for name in required:
        if name not in names:
            raise MissingColumnError(path, name, names)
    chosen = [name for name in [*required, *optional, *objects] if name in names]
    if twice := [name for name in chosen if names.count(name) > 1]:
        raise UserError(f'{path}: has {names.count(twice[0])} columns "{twice[0]}"; rename all but one')
    return chosen


def _validated(path: Path) -> Any:
    def validated(table: pa.Table) -> pa.Table:
        try:
            table.validate(full=True)
        except pa.ArrowInvalid as error:
            raise UserError(f"{path}: holds invalid UTF-8; write it again as UTF-8") from error
        return table

    return validated


def _json(path: Path, required: Sequence[str], optional: Sequence[str], objects: Sequence[str]) -> Iterator[pa.Table]:
    with _open_json(path) as file:
        yield from json_tables(_rows(path, file), str(path), required, optional, objects)


def _open_json(path: Path) -> BufferedReader:
    return BufferedReader(cast(Any, gzip.open(path))) if path.name.lower().endswith(".gz") else path.open("rb")


def _rows(path: Path, file: BufferedReader) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        yield from json_rows(file, str(path))
    except GZIP_FAULTS as error:
        raise UserError(f"{path}: is no complete gzip file; fetch or write it again") from error
