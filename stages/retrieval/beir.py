"""Queries, documents and relevance judgements from a retrieval set's files, in either of two forms.

- A BEIR folder (https://github.com/beir-cellar/beir): corpus.jsonl, queries.jsonl, qrels/<split>.tsv.
- NanoBEIR's form: parquet files, see `stages.retrieval.sets`.

`jsonl_rows`, `tsv_rows` and `parquet_rows` yield rows with their place in the file, for the errors. `read_texts` and `read_qrels` check
the rows, for training and for evaluation. Every fault is a `UserError` that names file and row.
"""

import json
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.runtime.errors import UserError

Row = tuple[str, dict[str, Any]]
"""The place of a row ("file: line N"), and its fields."""
Qrels = dict[str, dict[str, float]]
"""Query id → document id → grade; 0 or below means judged, not relevant."""

MAX_GRADE = 1000.0  # trec_eval allocates one counter a grade level
UNKNOWN_IDS = 0.1
"""Share of the qrels' rows that may name unknown ids, unless the set has `unknown_ids`."""
NAMED = 5  # unknown ids that a message names
QRELS = ["query-id", "corpus-id", "score"]


@dataclass
class UnknownIds:
    """The number of ``rows`` of qrels or scores, the number ``ignored`` because they name unknown ids, and these ids."""

    rows: int = 0
    ignored: int = 0
    ids: dict[str, None] = field(default_factory=dict)

    def __str__(self) -> str:
        names = [*list(self.ids)[:NAMED], *(["…"] if len(self.ids) > NAMED else [])]
        return f"{self.ignored} of {self.rows} rows of the qrels name unknown ids ({', '.join(names)})"


def jsonl_rows(path: Path) -> Iterator[Row]:
    """The objects of a JSON-lines file; blank lines are skipped."""
    for where, line in _lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where} is not valid JSON; fix or delete the line") from error
        if not isinstance(row, dict):
            raise UserError(f"{where} is not a JSON object; write {{...}} with the fields by name")
        yield where, row


def tsv_rows(path: Path) -> Iterator[Row]:
    """The rows of a tab-separated file with the header ``query-id corpus-id score``."""
    lines = ((where, [field.strip() for field in line.split("\t")]) for where, line in _lines(path))
    where, header = next(lines)
    if header != QRELS:
        raise UserError(f"{where} is not the header; begin with query-id<TAB>corpus-id<TAB>score")
    fields = None
    for where, fields in lines:
        if len(fields) != len(QRELS):
            raise UserError(f"{where} has {len(fields)} fields; write query-id<TAB>corpus-id<TAB>score")
        yield where, dict(zip(QRELS, fields, strict=True))
    if not fields:
        raise UserError(f"{path}: has a header and no rows; add query-id<TAB>corpus-id<TAB>score rows")


def parquet_rows(paths: Iterable[Path], columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of parquet files, numbered from 1 in each file: ``columns``, and the ``optional`` ones that the file has."""
    for path in paths:
        if path.stat().st_size == 0:
            raise UserError(f"{path}: is empty; download or write the file again")
        number = 0
        try:
            with pq.ParquetFile(path) as file:
                present = file.schema_arrow.names
                if missing := [column for column in columns if column not in present]:
                    raise UserError(f'{path}: has no column "{missing[0]}" (it has {", ".join(present)}); add it')
                chosen = [*columns, *(column for column in optional if column in present)]
                for batch in file.iter_batches(batch_size=1024, columns=chosen):
                    for index in range(batch.num_rows):
                        number += 1
                        yield f"{path}: row {number}", {column: batch.column(column)[index].as_py() for column in chosen}
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: row {number} is not valid UTF-8; write the file again as UTF-8") from error
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: is not a complete parquet file; download or write the file again") from error


def read_texts(rows: Iterable[Row]) -> Iterator[tuple[str, str, str]]:
    """Yield (id, title, text) of queries or documents. The title may be missing, null or empty; ids must be unique."""
    seen: set[str] = set()
    for where, row in rows:
        identifier = row_id(where, row)
        if identifier in seen:
            raise UserError(f"{where} has the id {identifier!r} a second time; give every row a unique _id")
        seen.add(identifier)
        yield identifier, read_text(where, row, "title", required=False).strip(), read_text(where, row, "text")


def read_documents(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (id, title and text with a space between, text alone) of a corpus.jsonl."""
    for identifier, title, text in read_texts(jsonl_rows(path)):
        yield identifier, f"{title} {text.strip()}".strip(), text


def read_corpus(path: Path) -> dict[str, str]:
    """Document id → title and text of a corpus.jsonl."""
    return {identifier: whole for identifier, whole, _ in read_documents(path)}


def read_queries(path: Path) -> dict[str, str]:
    """Query id → text of a queries.jsonl."""
    return {identifier: text.strip() for identifier, _, text in read_texts(jsonl_rows(path))}


def qrels_file(folder: Path, split: str) -> Path:
    """``folder``/qrels/<split>.tsv; if it is missing, a `UserError` that lists the splits."""
    path = folder / "qrels" / f"{split}.tsv"
    if not path.exists() and (others := sorted(file.stem for file in path.parent.glob("*.tsv"))):
        raise UserError(f"{path}: no such file; choose one of the splits: {', '.join(others)}")
    return path


def read_qrels(
    rows: Iterable[Row], queries: Container[str], corpus: Container[str], allowed: float | None = None
) -> tuple[Qrels, UnknownIds]:
    """Relevance judgements, and the rows that were ignored.

    Without a score the grade is 1. ``corpus-id`` may be a list.

    Args:
        allowed: share of the rows that may name an id that is not in ``queries`` or ``corpus``; these rows are ignored.

    Raises:
        UserError: too many unknown ids, a grade that is not a number or is above 1,000, two grades for one pair.
    """
    allowed = UNKNOWN_IDS if allowed is None else allowed
    qrels: Qrels = {}
    unknown, first = UnknownIds(), ""
    for where, row in rows:
        query = read_id(where, row, "query-id")
        score = 1.0 if row.get("score") is None else _grade(where, row["score"])
        for each in row["corpus-id"] if isinstance(row["corpus-id"], list) else [row["corpus-id"]]:
            document = read_id(where, {"corpus-id": each}, "corpus-id")
            unknown.rows += 1
            missing = [f"query {query!r}"] if query not in queries else []
            missing += [f"document {document!r}"] if document not in corpus else []
            if missing:
                first = first or f"{where} names the {missing[0]}, which is not in the {'corpus' if query in queries else 'queries'}"
                unknown.ids |= dict.fromkeys(missing)
                unknown.ignored += 1
            elif qrels.setdefault(query, {}).setdefault(document, score) != score:
                raise UserError(f"{where} gives a second grade to ({query}, {document}); keep one of them")
    if unknown.ignored > allowed * unknown.rows:
        raise UserError(
            f"{first}; {unknown}, more than {allowed:.0%}; add what is missing, delete the rows, or set unknown_ids of the set to the "
            "share of rows to ignore"
        )
    return qrels, unknown


def row_id(where: str, row: dict[str, Any]) -> str:
    """The id of a query or document, in its field ``_id`` or else ``id``."""
    return read_id(where, row, "id" if "id" in row and "_id" not in row else "_id")


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ("file: line N", text without the line end) for the lines of a UTF-8 file that are not blank; there must be one."""
    empty = True
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise UserError(f"{path}: line {number} is not valid UTF-8; save the file as UTF-8") from error
                if text.strip():
                    empty = False
                    yield f"{path}: line {number}", text
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; add it or correct the path") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a folder, not a file; correct the path") from error
    if empty:
        raise UserError(f"{path}: is empty; add at least one row")


def _grade(where: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number > MAX_GRADE:
        raise UserError(f"{where} has the grade {value!r}; write a number of at most {MAX_GRADE:g}")
    return number


def read_text(where: str, row: Mapping[str, Any], field: str, required: bool = True) -> str:
    """A text, unchanged; of one that is not ``required``, null or missing is empty."""
    value = row.get(field)
    if value is None:
        if required:
            raise UserError(f'{where} has no field "{field}"; add it')
        return ""
    if not isinstance(value, str):
        raise UserError(f'{where} has a field "{field}" that is not a string; write it in quotes')
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:  # JSON can contain half a surrogate pair, on which tokenizers fail
        raise UserError(f'{where} has a field "{field}" with half a surrogate pair; fix the text') from error
    return value


def read_id(where: str, row: Mapping[str, Any], field: str) -> str:
    """An id, stripped; an integer is taken as its digits."""
    value = row.get(field)
    identifier = str(value) if isinstance(value, int) and not isinstance(value, bool) else read_text(where, row, field).strip()
    if not identifier:
        raise UserError(f'{where} has an empty "{field}"; give it an id')
    return identifier
