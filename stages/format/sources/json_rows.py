"""Rows of JSON: lines, one array, or one object over several lines; as tables of strings and lists of strings."""

import json
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from stages.rows.parquet import READ_ROWS
from stages.runtime.errors import UserError

NO_TEXT = (pa.ArrowException, UnicodeEncodeError, TypeError, RecursionError)
"""What Arrow and Python raise for a value that is neither a text nor a list of texts."""


class MissingColumnError(UserError):
    """A file lacks a column that its kind requires."""

    def __init__(self, where: Path | str, name: str, names: Sequence[str]) -> None:
        super().__init__(f'{where}: has no column "{name}" (it has {", ".join(names) or "none"}); rename or add it')


def json_rows(file: IO[bytes], where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line or row number from 1, object) of a file of JSON lines, or of one JSON array or object, which is read whole.

    Raises:
        UserError: broken JSON or invalid UTF-8, with the line.
    """
    begun = False
    for number, line in enumerate(file, start=1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        whole = not begun and (line.lstrip()[:1] == b"[" or line.strip() == b"{")
        begun = True
        try:
            value = json.loads((line + file.read() if whole else line).decode("utf-8"))
        except UnicodeDecodeError as error:
            place = number + error.object[: error.start].count(b"\n")
            raise UserError(f"{where}: line {place} is not valid UTF-8; save the file as UTF-8") from error
        except (ValueError, RecursionError) as error:
            what = "is not valid JSON" if whole else f"line {number} is not valid JSON"
            raise UserError(f"{where}: {what}; correct it: one object a line, or one array of objects") from error
        array = whole and isinstance(value, list)
        for place, row in enumerate(value if array else [value], start=1 if array else number):
            if not isinstance(row, dict):
                raise UserError(f"{where}: line {place} is not a JSON object; write {{...}} with the fields by name")
            yield place, row


def json_tables(
    rows: Iterator[tuple[int, dict[str, Any]]],
    where: str,
    required: Sequence[str],
    optional: Sequence[str] = (),
    objects: Sequence[str] = (),
) -> Iterator[pa.Table]:
    """Tables of at most `READ_ROWS` rows from (number, object) pairs; a column of ``objects`` that no row has is left out.

    Raises:
        UserError: there is no row, the first `READ_ROWS` lack a required key, or a value is no text.
    """
    some = list(islice(rows, READ_ROWS))
    if not some:
        raise UserError(f"{where}: is empty; put at least one row in it")
    names = dict.fromkeys(name for _, row in some for name in row)
    for name in required:
        if name not in names:
            raise MissingColumnError(where, name, list(names))
    while some:
        columns = {name: _column(name, some, where) for name in [*required, *optional]}
        given = {name: _objects(name, some) for name in objects if any(name in row for _, row in some)}
        yield pa.table({**columns, **given})
        some = list(islice(rows, READ_ROWS))


def _objects(name: str, rows: list[tuple[int, dict[str, Any]]]) -> pa.Array:
    return pa.array([None if row.get(name) is None else json.dumps(row[name]) for _, row in rows], pa.json_())


def _column(name: str, rows: list[tuple[int, dict[str, Any]]], where: str) -> pa.Array:
    """One field as strings, or as lists of strings if some row has a list; a number is taken as its text, NaN as null."""
    values = [row.get(name) for _, row in rows]
    lists = any(isinstance(value, list) for value in values)
    if lists:
        values = [value if isinstance(value, list) or value is None else [value] for value in values]
    try:
        return pa.array(list(map(_text, values)), pa.list_(pa.string()) if lists else pa.string())
    except NO_TEXT:
        number = next(number for number, row in rows if not _is_text(row.get(name)))
        raise UserError(f'{where}: line {number} has a field "{name}" that is no valid text; correct it') from None


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(each) for each in value]
    if isinstance(value, float) and math.isnan(value):  # which Python writes where pandas has no value
        return None
    return str(value) if isinstance(value, int | float) else value


def _is_text(value: Any) -> bool:
    try:
        pa.array(_text(value) if isinstance(value, list) else [_text(value)], pa.string())
    except NO_TEXT:
        return False
    return True
