"""BEIR folders (https://github.com/beir-cellar/beir): corpus.jsonl, queries.jsonl, qrels/<split>.tsv.

Read alike for training and for evaluation. Whatever is wrong with a file raises `UserError` with the file and the line.
"""

import json
import math
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.runtime.errors import UserError

MAX_GRADE = 1000.0  # trec_eval allocates one counter a grade level
UNKNOWN_IDS = 0.1
"""Share of a qrels file's rows that may name unknown ids, unless the set has `unknown_ids`."""
NAMED = 5  # unknown ids that a message names


@dataclass
class UnknownIds:
    """The rows of a set's qrels that name a query or document which does not exist. They are ignored, up to a share of all rows.

    Attributes:
        allowed: that share.
        files: where the ids of queries and documents stand.
        read: rows read so far.
        ignored: of these, rows that name an unknown id.
    """

    allowed: float = UNKNOWN_IDS
    files: tuple[str, str] = ("queries.jsonl", "corpus.jsonl")
    read: int = 0
    ignored: int = 0
    first: str = ""
    named: dict[str, None] = field(default_factory=dict)

    def in_row(self, where: str, query: str, document: str, queries: Container[str] | None, corpus: Container[str] | None) -> bool:
        """Count the row ``where``, and say whether it names an unknown id; None instead of the known ids: any id is known."""
        self.read += 1
        unknown = {}
        if queries is not None and query not in queries:
            unknown[f"query {query!r}"] = self.files[0]
        if corpus is not None and document not in corpus:
            unknown[f"document {document!r}"] = self.files[1]
        for name, file in unknown.items():
            self.first = self.first or f"{where} names the {name}, which is not in {file}"
            if len(self.named) < NAMED:
                self.named[name] = None
        self.ignored += bool(unknown)
        return bool(unknown)

    def check(self) -> None:
        """Raise `UserError` if more than the allowed share of the rows names an unknown id."""
        if self.ignored > self.allowed * self.read:
            raise UserError(
                f"{self.first}; {self}, more than {self.allowed:.0%}; add what is missing, delete the rows, or set unknown_ids of the set "
                "to the share of rows to ignore"
            )

    def __str__(self) -> str:
        names = ", ".join([*self.named, *(["…"] if len(self.named) == NAMED else [])])
        return f"{self.ignored} of {self.read} rows of the qrels name unknown ids ({names})"


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text without the line end) of a UTF-8 file, blank lines left out.

    Raises `UserError` for a missing file, an empty file and invalid UTF-8 (with its line).
    """
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
                    yield number, text
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; put it there or correct the path") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a folder, not a file; correct the path") from error
    if empty:
        raise UserError(f"{path}: is empty; put at least one row in it")


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) of a JSON-lines file; `UserError` as `read_lines` and for broken JSON."""
    for number, line in read_lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: line {number} is not valid JSON; mend or delete the line") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}: line {number} is not a JSON object; write {{...}} with the fields by name")
        yield number, row


def read_corpus(path: Path) -> dict[str, str]:
    """Document id → text of a corpus.jsonl, as `read_documents` gives it."""
    return {identifier: whole for identifier, whole, _ in read_documents(path)}


def read_documents(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (id, the title before the text with one space between, the text alone) of a corpus.jsonl (`_id`, `title`, `text`).

    Raises `UserError` for a missing field and for an id that occurs twice. `title` may be missing, null or empty.
    """
    seen: set[str] = set()
    for where, row in _rows_with_id(path, seen):
        text, title = text_field(row, "text", where), text_field(row, "title", where, required=False)
        yield id_field(row, "_id", where), f"{title} {text}".strip(), text


def read_queries(path: Path) -> dict[str, str]:
    """Query id → text of a queries.jsonl (`_id`, `text`); errors as `read_corpus`."""
    return {id_field(row, "_id", where): text_field(row, "text", where) for where, row in _rows_with_id(path, set())}


def qrels_file(folder: Path, split: str) -> Path:
    """``folder``/qrels/<split>.tsv; `UserError` that lists the splits if it is not there."""
    path = folder / "qrels" / f"{split}.tsv"
    if not path.exists() and (others := sorted(file.stem for file in path.parent.glob("*.tsv"))):
        raise UserError(f"{path}: no such file; choose one of the splits that are there: {', '.join(others)}")
    return path


def read_qrels(
    path: Path, queries: Container[str] | None = None, corpus: Container[str] | None = None, unknown: UnknownIds | None = None
) -> dict[str, dict[str, float]]:
    """Query id → document id → grade of a tab-separated file with the header ``query-id corpus-id score``.

    Grades of 0 and below mean "judged, not relevant" and are left out, but their query is kept (with an empty dict).
    If ``queries`` or ``corpus`` is given, a row with an id that is not in it is ignored and counted in ``unknown``. Raises `UserError`
    for too many of these, a missing or unknown header, a row that is not three fields, a grade that is not a number or above 1,000,
    and two grades for one pair.
    """
    lines, unknown = read_lines(path), unknown or UnknownIds()
    number, header = next(lines)
    if [field.strip() for field in header.split("\t")] != ["query-id", "corpus-id", "score"]:
        raise UserError(f"{path}: line {number} is not the header; begin with query-id<TAB>corpus-id<TAB>score")
    qrels: dict[str, dict[str, float]] = {}
    seen: dict[tuple[str, str], float] = {}
    for number, line in lines:
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 3:
            raise UserError(f"{path}: line {number} has {len(fields)} fields; write query-id<TAB>corpus-id<TAB>score")
        query, document, score = fields
        where = f"{path}: line {number}"
        value = grade(score, where)
        if unknown.in_row(where, query, document, queries, corpus):
            continue
        if seen.setdefault((query, document), value) != value:
            raise UserError(f"{where} gives a second grade to ({query}, {document}); keep one of them")
        relevant = qrels.setdefault(query, {})
        if value > 0:
            relevant[document] = value
    unknown.check()
    if not qrels:
        raise UserError(f"{path}: has a header and no rows; add query-id<TAB>corpus-id<TAB>score rows")
    return qrels


def grade(value: Any, where: str) -> float:
    """A relevance grade as a float; `UserError` for what is no finite number or lies above 1,000."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number > MAX_GRADE:
        raise UserError(f"{where} has the grade {value!r}; write a number of at most {MAX_GRADE:g}")
    return number


def text_field(row: dict[str, Any], field: str, where: str, required: bool = True) -> str:
    """The string in ``row[field]``, stripped; `UserError` where it is missing (if required) or no valid text."""
    value = row.get(field)
    if value is None:
        if required:
            raise UserError(f'{where} has no field "{field}"; add it')
        return ""
    if not isinstance(value, str):
        raise UserError(f'{where} has a field "{field}" that is no string; write it in quotes')
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair, on which tokenizers stop
        raise UserError(f'{where} has a field "{field}" with half a surrogate pair; mend the text') from error
    return value.strip()


def id_field(row: dict[str, Any], field: str, where: str) -> str:
    """The id in ``row[field]``, an integer written as a string; `UserError` where it is missing or empty."""
    value = row.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    identifier = text_field(row, field, where)
    if not identifier:
        raise UserError(f'{where} has an empty "{field}"; give it an id')
    return identifier


def _rows_with_id(path: Path, seen: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("file: line N", row); `UserError` for an id that was there before."""
    for number, row in read_jsonl(path):
        where = f"{path}: line {number}"
        identifier = id_field(row, "_id", where)
        if identifier in seen:
            raise UserError(f"{where} has the id {identifier!r} a second time; give every row its own _id")
        seen.add(identifier)
        yield where, row
