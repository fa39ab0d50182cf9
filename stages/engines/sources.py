"""The documents to index, from what a user names: an evaluation set, a BEIR folder, files of JSON lines, CSV or parquet.

Everything is streamed, twice: `check` counts the documents and finds every fault before the first is encoded, `documents` yields them.
"""

import csv
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash

from stages.config.params import RESOLVED, read_resolved
from stages.config.settings import ScoredSet
from stages.format.sources.columns import JSON, is_json, opened
from stages.format.sources.json_rows import json_rows
from stages.retrieval.beir import Row, read_id, read_text
from stages.retrieval.sets import distinct, load_sets
from stages.retrieval.tables import table_rows
from stages.runtime.errors import UserError

csv.field_size_limit(2**31 - 1)  # a field is a document's text; the default is 131,072 characters
CORPUS = "corpus.jsonl"
TABLES = (".csv", ".parquet")
SUFFIXES = (*TABLES, *JSON, *(f"{suffix}.gz" for suffix in JSON))
ID, TITLE, TEXT, LANGUAGE = ("_id", "id"), ("title",), ("text", "body", "content", "contents"), ("language", "lang")


class Document(NamedTuple):
    """A document, and where it stands in its file."""

    where: str
    id: str
    text: str
    language: str | None


@dataclass(frozen=True)
class Columns:
    """The columns to read; empty: those with the usual names. ``texts`` are joined with a space."""

    id: str = ""
    texts: tuple[str, ...] = ()
    language: str = ""

    @cached_property
    def accepted(self) -> dict[str, tuple[str, ...]]:
        """Our name of each column → the names that it may have in a file, in lower case."""
        texts: dict[str, tuple[str, ...]] = {name: (name.lower(),) for name in self.texts} or {"title": TITLE, "text": TEXT}
        return {"id": (self.id.lower(),) if self.id else ID, **texts, "language": (self.language.lower(),) if self.language else LANGUAGE}

    @property
    def required(self) -> list[str]:
        """Those that a file must have."""
        return ["id", *(self.texts or ["text"]), *(["language"] if self.language else [])]


class Checked(NamedTuple):
    """The number of documents with a text, and of those without, which are left out."""

    documents: int
    empty: int


class Source:
    """The documents of files, or of an evaluation set.

    Attributes:
        name: what an index of them is called.
        files: everything that is read; a change in them is another index.
    """

    def __init__(self, name: str, files: Sequence[Path], columns: Columns) -> None:
        self.name, self.files, self.columns = name, files, columns

    def documents(self) -> Iterator[Document]:
        """Every document with a text, in order.

        Raises:
            UserError: a row is broken or has no id or no text column; the message has its number.
        """
        return (document for document in self._all() if document.text)

    def settings(self) -> dict[str, Any]:
        """What decides, next to the files, which documents there are."""
        return {"columns": asdict(self.columns)}

    def check(self) -> Checked:
        """Read everything once.

        Raises:
            UserError: as `documents`; or an id occurs twice, or there is no document.
        """
        hashes, empty = array("Q"), 0
        for document in self._all():
            if document.text:
                hashes.append(xxhash.xxh3_64_intdigest(document.id.encode()))
            else:
                empty += 1
        ordered = np.sort(np.frombuffer(hashes, np.uint64)) if hashes else np.empty(0, np.uint64)
        if len(twice := ordered[1:][ordered[1:] == ordered[:-1]]):
            self._refuse_second({int(each) for each in twice})
        if not hashes:
            raise UserError(f"{self.name}: has no document with a text; name its columns with --text, or choose another source")
        return Checked(len(hashes), empty)

    def _refuse_second(self, hashes: set[int]) -> None:
        """8 bytes a document find candidates; here their ids are compared."""
        seen: set[str] = set()
        for document in self.documents():
            if xxhash.xxh3_64_intdigest(document.id.encode()) in hashes:
                if document.id in seen:
                    raise UserError(f"{document.where} has the id {document.id!r} a second time; give every document a unique id")
                seen.add(document.id)

    def _all(self) -> Iterator[Document]:
        for path in self.files:
            yield from _read(path, self.columns)


class EvaluationSet(Source):
    """The corpora of an entry of params.yaml's evaluation sets. If it has several sets, ids begin with their names."""

    def __init__(self, name: str, form: ScoredSet, folder: Path) -> None:
        entry, _, self._only = name.partition("/")
        super().__init__(name, sorted(path for path in (folder / entry).rglob("*") if path.is_file()), Columns())
        self._entry, self._form, self._folder = entry, form, folder / entry

    def settings(self) -> dict[str, Any]:
        return {"set": self.name, **self._form.model_dump()}

    def _all(self) -> Iterator[Document]:
        sets = distinct(load_sets(self._folder, self._entry, **self._form.model_dump(exclude_none=True)), taken=())
        chosen = [each for each in sets if self._only in ("", each.name)]
        if not chosen:
            raise UserError(f"{self.name}: no such set; choose {self._entry} or {', '.join(f'{self._entry}/{each.name}' for each in sets)}")
        for each in chosen:
            prefix = f"{each.name}/" if len(chosen) > 1 else ""
            for identifier, text in each.corpus.items():
                yield Document(f"{self._folder}: {each.name}", prefix + identifier, text.strip(), each.language)


def find(name: str, columns: Columns, sets: Path) -> Source:
    """What a user calls ``name``: an evaluation set of params.yaml, else a folder or file.

    Args:
        sets: the folder of the evaluation sets' files.

    Raises:
        UserError: there is no such thing, or it holds no documents.
    """
    path = Path(name).expanduser()
    known = read_resolved("evaluate").get("sets", {}) if (RESOLVED / "evaluate.yaml").is_file() else {}
    if form := known.get(name.partition("/")[0]):
        if columns != Columns():
            raise UserError(f"{name}: is an evaluation set, whose columns params.yaml names; leave out --id, --text and --language")
        return EvaluationSet(name, ScoredSet.model_validate(form), sets)
    if path.is_file():
        if not path.name.lower().endswith(SUFFIXES):
            raise UserError(f"{path}: must be one of {', '.join(SUFFIXES)}; write it in one of these forms")
        return Source(path.name.partition(".")[0], [path], columns)
    if (path / CORPUS).is_file():
        return Source(path.resolve().name, [path / CORPUS], columns)
    if path.is_dir():
        found = sorted(each for each in path.rglob("*") if each.is_file() and each.name.lower().endswith(SUFFIXES))
        files = [each for each in found if not any(part.startswith(".") for part in each.relative_to(path).parts)]
        if not files:
            raise UserError(f"{path}: holds no documents; put {CORPUS} there, or files with one of {', '.join(SUFFIXES)}")
        return Source(path.resolve().name, files, columns)
    raise UserError(f"{name}: is no evaluation set of params.yaml, folder or file; correct the name")


def _read(path: Path, columns: Columns) -> Iterator[Document]:
    """The documents of one file, those without text too."""
    rows = _json(path, columns) if is_json(path) else _table(path, columns)
    parts = columns.texts or ("title", "text")
    for where, row in rows:
        text = " ".join(filter(None, (read_text(where, row, name, required=False).strip() for name in parts)))
        identifier = read_id(where, {"id": row["id"]}, "id")
        yield Document(where, identifier, text, read_text(where, row, "language", required=False).strip() or None)


def _table(path: Path, columns: Columns) -> Iterator[Row]:
    """The rows of a CSV or parquet file."""
    try:
        yield from table_rows(path, columns.accepted, columns.required)
    except UserError as error:
        missing = (name for name in columns.required if f'has no column "{columns.accepted[name][0]}"' in str(error))
        if name := next(missing, None):
            raise UserError(f"{error}, or name another with --{_option(name)}") from error
        raise


def _option(column: str) -> str:
    """The option of `nordic-sparse index` that names this column of ours."""
    return column if column in ("id", "language") else "text"


def _json(path: Path, columns: Columns) -> Iterator[Row]:
    """JSON's rows by our names of the columns; of several names that one may have, the first that the row has."""
    for where, row in _any_json(path):
        names = {name.lower(): name for name in row}
        found: dict[str, object] = {}
        for ours, accepted in columns.accepted.items():
            if given := next((names[name] for name in accepted if name in names), None):
                found[ours] = row[given]
            elif ours in columns.required:
                has = ", ".join(row) or "none"
                raise UserError(f'{where} has no field "{accepted[0]}" (it has {has}); add it, or name another with --{_option(ours)}')
        yield where, found


def _any_json(path: Path) -> Iterator[Row]:
    with opened(path) as file:
        rows = json_rows(file, str(path))
        if not (first := next(rows, None)):
            raise UserError(f"{path}: is empty; put at least one row in it")
        for number, row in chain([first], rows):
            yield f"{path}: line {number}", row
