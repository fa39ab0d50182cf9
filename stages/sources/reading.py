"""Raw files of a data set: which belong to a split, and their columns a bounded number of rows at a time.

Parquet, JSON lines and one JSON array a file are read. What is wrong with a file is a `UserError` that names it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.errors import UserError
from stages.rows.parquet import READ_ROWS, read_batches
from stages.sources.chunk import LANGUAGES, Split, text

SUFFIXES = {".parquet", ".jsonl", ".json"}
SPLITS: dict[Split, set[str]] = {"train": {"train", "training"}, "dev": {"dev", "validation", "valid", "val"}}
TEST = {"test", "testing"}
MANIFESTS = {"manifest.json", "dataset_infos.json"}


def read_split(
    raw: Path, split: Split, required: Sequence[str], optional: Sequence[str] = (), lists: Sequence[str] = ()
) -> Iterator[tuple[Path, pa.Table]]:
    """Yield (file, some rows) of every file of a split, with the named columns as `read_columns` gives them.

    A file belongs to the split that is a word of its name (``train-00000-of-00002.parquet``) or of the nearest folder
    above it. Where no file names a split, each row's field ``split`` says it, and rows without one are training rows.

    Raises:
        UserError: no file to train on, and as `read_columns`.
    """
    files = _files(raw)
    split_of = {path: _split_of(path, raw) for path in files}
    if any(split_of.values()):
        files = [path for path in files if split_of[path] == split]
    if split == "train" and not files:
        raise UserError(f"{raw}: holds no training file; put train.parquet or train.jsonl there")
    for path in files:
        if split_of[path]:
            yield from ((path, table) for table in read_columns(path, required, optional, lists))
            continue
        for table in read_columns(path, required, [*optional, "split"], lists):
            field = pc.fill_null(pc.utf8_lower(text(table["split"])), "train")
            yield path, table.filter(pc.is_in(field, pa.array(sorted(SPLITS[split])))).drop_columns("split")


def column_names(raw: Path) -> list[str]:
    """The columns that some file of some split has, in alphabetical order; of JSON its first row tells. A broken parquet file has none."""
    names: set[str] = set()
    for path in _files(raw):
        if path.suffix == ".parquet":
            with suppress(pa.ArrowException, OSError):
                names.update(pq.read_schema(path).names)
        else:
            with path.open("rb") as file:
                names.update(next(json_rows(file, str(path)), (0, dict[str, Any]()))[1])
    return sorted(names)


def language_of(path: Path, raw: Path) -> str | None:
    """The language that a folder between ``raw`` and the file names, such as ``nn`` in nn/train.parquet; else None."""
    folders = path.relative_to(raw).parts[:-1]
    return next((LANGUAGES[folder.lower()] for folder in folders if folder.lower() in LANGUAGES), None)


def read_columns(path: Path, required: Sequence[str], optional: Sequence[str] = (), lists: Sequence[str] = ()) -> Iterator[pa.Table]:
    """Yield the named columns of a file, at most `READ_ROWS` rows at a time; an optional column that is missing is all null.

    Args:
        lists: columns whose values may be lists of texts.

    Raises:
        UserError: an empty, truncated or broken file, a missing column, one that holds no texts, invalid UTF-8.
    """
    if path.stat().st_size == 0:
        raise UserError(f"{path}: is empty; fetch or write it again")
    batches = _parquet(path, required, optional) if path.suffix == ".parquet" else _json(path, required, optional)
    for table in batches:
        for name in optional:
            if name not in table.column_names:
                table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
        for field in table.schema:
            if pa.types.is_nested(field.type) and field.name not in lists:
                raise UserError(f'{path}: its column "{field.name}" holds {field.type}, not texts; choose another kind for the set')
        yield table


def _parquet(path: Path, required: Sequence[str], optional: Sequence[str]) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            names = file.schema_arrow.names
            _check_columns(path, required, names)
            columns = [name for name in [*required, *optional] if name in names]
            for table in read_batches(file, columns):
                try:
                    table.validate(full=True)
                except pa.ArrowInvalid as error:
                    raise UserError(f"{path}: holds invalid UTF-8; write it again as UTF-8") from error
                yield table
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: is no complete parquet file; fetch or write it again") from error


def _json(path: Path, required: Sequence[str], optional: Sequence[str]) -> Iterator[pa.Table]:
    with path.open("rb") as file:
        yield from json_tables(json_rows(file, str(path)), str(path), required, optional)


def json_rows(file: IO[bytes], where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line or row number from 1, object) of a file of JSON lines, or of one JSON array, which is read whole.

    Raises:
        UserError: broken JSON or invalid UTF-8, with the line.
    """
    array = file.peek(64).lstrip()[:1] == b"[" if isinstance(file, BufferedReader) else False
    for number, line in enumerate([file.read()] if array else file, start=1):
        try:
            value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8")) if line.strip() else None
        except UnicodeDecodeError as error:
            raise UserError(f"{where}: line {number} is not valid UTF-8; save the file as UTF-8") from error
        except (ValueError, RecursionError) as error:
            what = "is not valid JSON" if array else f"line {number} is not valid JSON"
            raise UserError(f"{where}: {what}; mend or fetch it again") from error
        if value is None:
            continue
        for place, row in enumerate(value if array else [value], start=1 if array else number):
            if not isinstance(row, dict):
                raise UserError(f"{where}: line {place} is not a JSON object; write {{...}} with the fields by name")
            yield place, row


def json_tables(
    rows: Iterator[tuple[int, dict[str, Any]]], where: str, required: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[pa.Table]:
    """Tables of at most `READ_ROWS` rows from (number, object) pairs.

    Raises:
        UserError: there is no row, the first lacks a required key, or a value is no text.
    """
    some = list(islice(rows, READ_ROWS))
    if not some:
        raise UserError(f"{where}: is empty; put at least one row in it")
    _check_columns(where, required, list(some[0][1]))
    while some:
        yield pa.table({name: _column(name, some, where) for name in [*required, *optional]})
        some = list(islice(rows, READ_ROWS))


def _column(name: str, rows: list[tuple[int, dict[str, Any]]], where: str) -> pa.Array:
    """One field as strings, or as lists of strings where some row has a list; a number is taken as its text."""
    values = [row.get(name) for _, row in rows]
    lists = any(isinstance(value, list) for value in values)
    try:
        if lists:
            values = [value if isinstance(value, list) or value is None else [value] for value in values]
            values = [
                None if value is None else [str(each) if isinstance(each, int | float) else each for each in value] for value in values
            ]
            return pa.array(values, pa.list_(pa.string()))
        return pa.array([str(value) if isinstance(value, int) else value for value in values], pa.string())
    except (pa.ArrowException, UnicodeEncodeError, TypeError):
        number = next(number for number, row in rows if not _is_text(row.get(name)))
        raise UserError(f'{where}: line {number} has a field "{name}" that is no valid text; mend it') from None


def _is_text(value: Any) -> bool:
    try:
        pa.array(value if isinstance(value, list) else [str(value) if isinstance(value, int) else value], pa.string())
    except (pa.ArrowException, UnicodeEncodeError, TypeError):
        return False
    return True


def _check_columns(where: Path | str, required: Sequence[str], names: Sequence[str]) -> None:
    for name in required:
        if name not in names:
            raise UserError(f'{where}: has no column "{name}" (it has {", ".join(names)}); rename or add it')


def _files(raw: Path) -> list[Path]:
    """Every file of rows below ``raw``, in order."""
    files = sorted(path for path in raw.rglob("*") if path.suffix in SUFFIXES and not _hidden(path, raw))
    return [path for path in files if path.is_file() and path.name not in MANIFESTS]


def _hidden(path: Path, raw: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(raw).parts)


def _split_of(path: Path, raw: Path) -> str | None:
    """The split (train, dev or test) that the file's name tells, or else the nearest folder that tells one."""
    relative = path.relative_to(raw)
    for part in [relative.stem, *reversed(relative.parts[:-1])]:
        words = set(re.split(r"[^a-z]+", part.lower()))
        for split, names in [*SPLITS.items(), ("test", TEST)]:
            if words & names:
                return split
    return None
