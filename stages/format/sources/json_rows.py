"""Reads JSON lines, one array, or one object over several lines as tables of strings and lists of strings."""

import json
import math
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from stages.rows.parquet import READ_ROWS
from stages.runtime.errors import UserError

NO_TEXT = (pa.ArrowException, UnicodeEncodeError, TypeError, RecursionError)
"""Raised by Arrow and Python for a value that is neither a text nor a list of texts."""


class MissingColumnError(UserError):
    """A file lacks a column that its kind requires."""

    def __init__(self, where: Path | str, name: str, names: Sequence[str]) -> None:
        super().__init__(f'{where}: has no column "{name}" (it has {", ".join(names) or "none"}); rename or add it')


def json_rows(file: IO[bytes], where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line or row number from 1, object) of JSON lines, or of one JSON array or object, which is read into memory.

    Raises:
        UserError: broken JSON or invalid UTF-8, with the line.
    """
    whole = None
    for number, line in enumerate(file, start=1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        whole = whole is None and (line.lstrip()[:1] == b"[" or line.strip() == b"{")
        try:
            value = json.loads((line + file.read() if whole else line).decode("utf-8"))
        except UnicodeDecodeError as error:
            place = number + error.object[: error.start].count(b"\n")
            raise UserError(f"{where}: line {place} is not valid UTF-8; save the file as UTF-8") from error
        except (ValueError, RecursionError) as error:
            what = "is not valid JSON" if whole else f"line {number} is not valid JSON"
            raise UserError(f"{where}: {what}; correct it: one object a line, or one array of objects") from error
        for place, row in enumerate(value, start=1) if whole and isinstance(value, list) else [(number, value)]:
            if not isinstance(row, dict):
                raise UserError(f"{where}: line {place} is not a JSON object; write {{...}} with the fields by name")
            yield place, row


def json_tables(
    file: IO[bytes], where: str, required: Sequence[str], optional: Sequence[str] = (), as_is: Collection[str] = ()
) -> Iterator[pa.Table]:
    """Yield tables of at most `READ_ROWS` rows; an optional column that none of their rows has is left out.

    Values become their text, NaN becomes null. If one value of a column is a list, all become lists; in the columns ``as_is``, lists and
    objects become JSON instead.

    Raises:
        UserError: as `json_rows`; or there is no row, the first `READ_ROWS` rows lack a required key, or a value is not a text.
    """
    rows = json_rows(file, where)
    some = list(islice(rows, READ_ROWS))
    if not some:
        raise UserError(f"{where}: is empty; put at least one row in it")
    names = list(dict.fromkeys(name for _, row in some for name in row))
    for name in required:
        if name not in names:
            raise MissingColumnError(where, name, names)
    while some:
        present = [*required, *(name for name in optional if any(name in row for _, row in some))]
        yield pa.table({name: _column(name, some, where, name in as_is) for name in present})
        some = list(islice(rows, READ_ROWS))


def _column(name: str, rows: list[tuple[int, dict[str, Any]]], where: str, as_is: bool) -> pa.Array:
    values = [row.get(name) for _, row in rows]
    if as_is:
        values = [json.dumps(value) if isinstance(value, list | dict) else value for value in values]
    lists = any(isinstance(value, list) for value in values)
    if lists:
        values = [value if isinstance(value, list) or value is None else [value] for value in values]
    kind = pa.list_(pa.string()) if lists else pa.string()
    try:
        return pa.array(map(_text, values), kind)
    except NO_TEXT:
        number = next(number for (number, _), value in zip(rows, values, strict=True) if not _is_text(value, kind))
        raise UserError(f'{where}: line {number}: field "{name}" must hold a valid text; correct it') from None


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(each) for each in value]
    if isinstance(value, float) and math.isnan(value):  # pandas' missing value
        return None
    return str(value) if isinstance(value, int | float) else value


def _is_text(value: Any, kind: pa.DataType) -> bool:
    try:
        pa.array([_text(value)], kind)
    except NO_TEXT:
        return False
    return True
