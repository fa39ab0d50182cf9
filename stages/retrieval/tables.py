"""Rows of a CSV or parquet file whose columns may have one of several names, for data that people bring from a shop or a spreadsheet.

CSV is UTF-8, with or without a byte order mark. Its separator is the one of semicolon (Nordic Excel), comma and tab that its header has
most of. Names of columns are compared in lower case.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.retrieval.beir import Row, parquet_rows
from stages.runtime.errors import UserError

SUFFIXES = (".csv", ".parquet")
SEPARATORS = ";,\t"


def table_file(folder: Path, name: str) -> Path:
    """``folder``/<name>.csv or .parquet; `UserError` if there is none, or both."""
    found = [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
    if len(found) != 1:
        fault = "both exist; remove one of them" if found else "no such file; add one of them"
        raise UserError(f"{folder}: {' and '.join(f'{name}{suffix}' for suffix in SUFFIXES)}: {fault}")
    return found[0]


def table_rows(path: Path, columns: Mapping[str, Sequence[str]], required: Sequence[str]) -> Iterator[Row]:
    """The rows with their place in the file, by our names for the columns.

    Args:
        columns: our name of a column → the names that it may have in the file; one that is missing is left out of the rows.
        required: those of our names that the file must have.

    Raises:
        UserError: a required column is missing, two columns could be meant, or the file cannot be read. An error names file and line.
    """
    read = _csv if path.suffix.lower() == ".csv" else _parquet
    yield from read(path, columns, required)


def _parquet(path: Path, columns: Mapping[str, Sequence[str]], required: Sequence[str]) -> Iterator[Row]:
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: is not a complete parquet file; write the file again") from error
    places = _places(path, names, columns, required)
    found = {ours: names[place] for ours, place in places.items()}
    for where, row in parquet_rows([path], list(found.values())):
        yield where, {ours: row[name] for ours, name in found.items()}


def _csv(path: Path, columns: Mapping[str, Sequence[str]], required: Sequence[str]) -> Iterator[Row]:
    lines = _lines(path)
    first = next(lines, "")
    if not first.strip():
        raise UserError(f"{path}: line 1 is empty; begin with the names of the columns")
    reader = csv.reader(chain([first], lines), delimiter=max(SEPARATORS, key=first.count), strict=True)
    rows = _fields(path, reader)
    _, names = next(rows)
    places = _places(path, names, columns, required)
    for where, fields in rows:
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(names):
            raise UserError(f"{where} has {len(fields)} fields, the header has {len(names)}; put fields with a separator in quotes")
        yield where, {ours: fields[place] for ours, place in places.items()}


def _fields(path: Path, reader: Any) -> Iterator[tuple[str, list[str]]]:
    """The fields of each row with the place of its first line: a field in quotes may have several."""
    while True:
        where = f"{path}: line {reader.line_num + 1}"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            remedy = "put fields with quotes or line breaks in quotes, and end lines with a line feed"
            raise UserError(f"{where} is not valid CSV ({error}); {remedy}") from error
        yield where, fields


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(f'{path}: line {number} is not valid UTF-8; save it as UTF-8 (in Excel as "CSV UTF-8")') from error


def _places(path: Path, names: Sequence[str], columns: Mapping[str, Sequence[str]], required: Sequence[str]) -> dict[str, int]:
    """Our name of each column that the file has → its index."""
    given = [name.strip().lower() for name in names]
    places = {}
    for ours, accepted in columns.items():
        found = [place for place, name in enumerate(given) if name in accepted]
        if len(found) > 1:
            raise UserError(f"{path}: columns {' and '.join(names[place] for place in found)} could both be the {ours}; rename one of them")
        if found:
            places[ours] = found[0]
        elif ours in required:
            raise UserError(f'{path}: has no column "{accepted[0]}" (it has {", ".join(names)}); add it')
    return places
