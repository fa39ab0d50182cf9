"""A folder of products or texts, without queries: titles and key phrases stand in for them, so that a shop without clicks can start.

Each is paired with the whole document, its own words included: without them the pairs taught less than nothing (docs/log.md). So the model
learns which words of a document matter. What this gives up: real customers use words that the documents do not have.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from stages.format.sources.chunk import Chunk, Options, chunk
from stages.format.sources.columns import first_names, read_columns
from stages.format.sources.folder import RawFolder
from stages.format.sources.key_phrases import KeyPhrases
from stages.hub.splits import Split, split_of
from stages.retrieval.products import FIELDS, PRODUCT
from stages.retrieval.tables import table_rows
from stages.rows.dropping import UNKNOWN, Dropped
from stages.rows.normalisation import fold
from stages.rows.product import PRODUCT_TOKENS, plain, product_text
from stages.runtime.errors import UserError

TITLE = (*PRODUCT["title"], "heading")
TEXT = ("text", "body", "content", "contents")
COLUMNS = {**{field: PRODUCT[field] for field in FIELDS}, "title": TITLE, "text": TEXT}
NAMES = [name for names in COLUMNS.values() for name in names]
TEXT_FILES, TABLES = (".txt", ".md"), (".csv",)
ASIDE = re.compile(r"(readme|licen[cs]e|queries|judgements|qrels)", re.IGNORECASE)
"""Beginnings of names of files that hold no documents, such as those of a BEIR folder or a shop's judgements."""
BLOCK = 1_024  # documents in memory at a time
EMPTY, NO_QUERY = "empty document", "no title and no key phrase"
ONLY_QUERY = "no text beside its title or key phrase"


class Document(NamedTuple):
    """A document's title, and the whole text as evaluation has it."""

    title: str
    whole: str


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """Yield pairs of a document's title and of its key phrases, at most ``options.key_phrases``, with its text.

    Documents are products (title, brand, description, bullets: in the form of evaluation sets of kind products), rows with a title and a
    text, or text files whose first line is the title. The folder is read twice, and streamed both times. There are no dev rows.

    Raises:
        UserError: the folder holds no documents, or a file cannot be read.
    """
    if split == "dev":
        return
    files = _files(raw)
    phrases = KeyPhrases()
    for path in files:
        for block in _blocks(path, options):
            phrases.count(document.whole for document in block)
    for path in files:
        raw.count(raw.name(path), split, 0)
        for block in _blocks(path, options):
            raw.count(raw.name(path), split, len(block))
            yield _paired(block, phrases, options)


def _paired(documents: Sequence[Document], phrases: KeyPhrases, options: Options) -> Chunk:
    queries, reasons = zip(*[_queries(document, phrases, options.key_phrases) for document in documents], strict=True)
    anchors = [query for of_document in queries for query in of_document]
    positives = [document.whole for document, of_document in zip(documents, queries, strict=True) for _ in of_document]
    rows = chunk(pa.array(anchors, pa.string()), pa.array(positives, pa.string()), language=options.language)
    dropped = Dropped({(reason, options.language or UNKNOWN): number for reason, number in Counter(filter(None, reasons)).items()})
    return replace(rows, dropped=dropped, added=len(anchors) + dropped.total() - len(documents))


def _queries(document: Document, phrases: KeyPhrases, number: int) -> tuple[list[str], str | None]:
    """The queries of a document, none of them the whole of it, and why there are none."""
    found = [*filter(None, [document.title]), *phrases.of(document.whole, number)]
    queries = [query for query in found if len(document.whole) > 2 * len(query) or fold(query) != fold(document.whole)]
    return queries, None if queries else ONLY_QUERY if found else NO_QUERY if document.whole else EMPTY


def _files(raw: RawFolder) -> list[Path]:
    """The files that hold documents, in order."""
    found = []
    for path in raw.files_and(lambda path: path.name.lower().endswith((*TEXT_FILES, *TABLES))):
        if ASIDE.match(path.name):
            raw.leave_out(raw.name(path), "its name is not one of documents")
        elif split_of(path.relative_to(raw.path)) == "test":
            raw.leave_out(raw.name(path), "a test split is never trained on")
        elif fault := _fault(path):
            raw.leave_out(raw.name(path), fault)
        else:
            found.append(path)
    if not found:
        raise UserError(f"{raw.path}: holds no documents; put products.csv, JSON lines with title and text, or .txt files there")
    return found


def _fault(path: Path) -> str | None:
    """Why a file holds no documents; None if it may hold some."""
    if path.name.lower().endswith(TEXT_FILES):
        return None
    table = path.name.lower().endswith(TABLES)
    names = next(_rows(path), None) if table else first_names(path) or None
    if names is None:
        return "it has no rows"
    known = {"title", "text"} if table else {*TITLE, *TEXT}
    return f"it has no column {' or '.join((*TITLE, *TEXT))}" if known.isdisjoint(names) else None


def _blocks(path: Path, options: Options) -> Iterator[list[Document]]:
    rows = _rows(path)
    while block := list(islice(rows, BLOCK)):
        yield _documents(block, options.max_tokens or PRODUCT_TOKENS)


def _documents(rows: Sequence[Mapping[str, Any]], tokens: int) -> list[Document]:
    title, brand, description, bullets = (pa.array([row.get(field) for row in rows], pa.string()) for field in FIELDS)
    products = zip(plain(title).to_pylist(), product_text(title, brand, description, bullets, tokens).to_pylist(), strict=True)
    made = []
    for row, product in zip(rows, products, strict=True):
        head, text = ((row.get(name) or "").strip() for name in ("title", "text"))
        made.append(Document(head, f"{head} {text}".strip()) if text else Document(*(each or "" for each in product)))
    return made


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The documents of a file as texts by `COLUMNS`; of columns that mean the same, the first that a row has."""
    if path.name.lower().endswith(TEXT_FILES):
        yield _text_file(path)
    elif path.name.lower().endswith(TABLES):
        yield from (row for _, row in table_rows(path, COLUMNS, []))
    else:
        present = [name for name in first_names(path) if name in NAMES]
        for table in read_columns(path, [], present, lists=PRODUCT["bullets"]):
            for row in table.to_pylist():
                values = {ours: next((row[name] for name in names if row.get(name)), None) for ours, names in COLUMNS.items()}
                yield {ours: "\n".join(value) if isinstance(value, list) else value for ours, value in values.items() if value is not None}


def _text_file(path: Path) -> dict[str, str]:
    """A text file: its first line is the title if more lines follow, else its name is."""
    try:
        lines = path.read_text(encoding="utf-8-sig").strip().splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not valid UTF-8; save the file as UTF-8") from error
    title, *rest = lines or [""]
    if not title:
        return {}
    return {"title": title.lstrip("# "), "text": "\n".join(rest)} if rest else {"title": path.stem, "text": title}
