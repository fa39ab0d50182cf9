"""BEIR folders (https://github.com/beir-cellar/beir): corpus.jsonl, queries.jsonl, qrels/<split>.tsv.

Read alike for training and for evaluation. Whatever is wrong with a file raises `UserError` with the file and the line.
"""

import json
import math
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from stages.errors import UserError

MAX_GRADE = 1000.0  # trec_eval allocates one counter a grade level


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
    """Document id → text of a corpus.jsonl (`_id`, `title`, `text`): the title before the text, one space between.

    Raises `UserError` for a missing field and for an id that occurs twice. `title` may be missing, null or empty.
    """
    return _by_id(path, with_title=True)


def read_queries(path: Path) -> dict[str, str]:
    """Query id → text of a queries.jsonl (`_id`, `text`); errors as `read_corpus`."""
    return _by_id(path, with_title=False)


def read_qrels(path: Path, queries: Container[str] | None = None, corpus: Container[str] | None = None) -> dict[str, dict[str, float]]:
    """Query id → document id → grade of a tab-separated file with the header ``query-id corpus-id score``.

    Grades of 0 and below mean "judged, not relevant" and are left out, but their query is kept (with an empty dict).
    Where ``queries`` or ``corpus`` is given, an id that is not in it raises `UserError`, as do a missing or unknown
    header, a row that is not three fields, a grade that is no number or above 1,000, and two grades for one pair.
    """
    lines = read_lines(path)
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
        check_id(query, queries, where, "query", "queries.jsonl")
        check_id(document, corpus, where, "document", "corpus.jsonl")
        value = grade(score, where)
        if seen.setdefault((query, document), value) != value:
            raise UserError(f"{where} gives a second grade to ({query}, {document}); keep one of them")
        relevant = qrels.setdefault(query, {})
        if value > 0:
            relevant[document] = value
    if not qrels:
        raise UserError(f"{path}: has a header and no rows; add query-id<TAB>corpus-id<TAB>score rows")
    return qrels


def check_id(value: str, known: Container[str] | None, where: str, what: str, file: str) -> None:
    """Raise `UserError` where ``known`` is given and ``value`` is not in it."""
    if known is not None and value not in known:
        raise UserError(f"{where} names the {what} {value!r}, which is not in {file}; add it there or delete the row")


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


def _by_id(path: Path, with_title: bool) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, row in read_jsonl(path):
        where = f"{path}: line {number}"
        identifier = id_field(row, "_id", where)
        if identifier in texts:
            raise UserError(f"{where} has the id {identifier!r} a second time; give every row its own _id")
        text = text_field(row, "text", where)
        title = text_field(row, "title", where, required=False) if with_title else ""
        texts[identifier] = f"{title} {text}".strip()
    return texts
