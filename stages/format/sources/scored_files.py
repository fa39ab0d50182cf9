"""Finds the files of a set of scored ids, told apart by their columns: rows, texts of queries, texts of documents.

Names of columns as in lightonai/ms-marco-en-bge, sentence-transformers/msmarco, BEIR, MS MARCO's TSV files, and the TSV file of
Hofstätter et al. (https://zenodo.org/records/4068216).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from stages.format.sources.columns import first_names
from stages.format.sources.folder import RawFolder
from stages.format.sources.scored_rows import COLUMNS, DOCUMENTS, NEGATIVE_SCORES, NEGATIVES, POSITIVE, QUERY, SCORE
from stages.format.sources.tab_separated import header, is_tab_separated, reading
from stages.format.sources.texts_by_id import TextsById
from stages.hub.splits import split_of
from stages.runtime.errors import UserError

ANY_ID, TITLE = ("_id", "id"), "title"
IDS = {
    "queries": (*QUERY, *ANY_ID),
    "documents": ("document_id", "doc_id", "docid", "passage_id", "pid", "corpus_id", "corpus-id", *ANY_ID),
}
TEXTS = {"queries": ("query", "text"), "documents": ("passage", "document", "contents", "text")}
KNOWN = (*COLUMNS, *IDS["queries"], *IDS["documents"], *TEXTS["documents"], TITLE)
WITHOUT_HEADER = {2: ("id", "text"), 5: ("positive_score", "negative_score", "query_id", "positive_id", "negative_id")}

read_rows = reading(KNOWN, WITHOUT_HEADER)


@dataclass(frozen=True)
class ScoredFiles:
    """The files of a set, in order."""

    rows: list[Path]
    queries: list[Path]
    documents: list[Path]

    @classmethod
    def find(cls, raw: RawFolder) -> "ScoredFiles":
        """The files of a folder; those of test splits hold no rows to train on, but texts that rows may name.

        Raises:
            UserError: there is none of rows to train on, of queries, or of documents.
        """
        found: dict[str, list[Path]] = {"rows": [], "queries": [], "documents": []}
        for path in raw.files_and(is_tab_separated):
            names = _names(path)
            role = _role(raw.name(path), names)
            if role == "rows" and split_of(path.relative_to(raw.path)) == "test":
                continue
            if role:
                found[role].append(path)
            else:
                raw.leave_out(raw.name(path), f"it has neither scored ids nor texts with ids (it has {', '.join(names) or 'no names'})")
        for role, columns in (
            ("rows", "query_id, document_ids, scores (or query_id, positive_id, negative_id, score)"),
            ("queries", "query_id, text"),
            ("documents", "document_id, text"),
        ):
            if not found[role]:
                raise UserError(f"{raw.path}: holds no file of {role}; put one with the columns {columns} there")
        return cls(**found)


def texts_of(raw: RawFolder, role: str, files: Sequence[Path]) -> TextsById:
    """The texts of all ``files``; a document's title stands before its text."""
    texts = TextsById(raw.scratch)
    for path in files:
        names, rows = _names(path), 0
        identifier, body = _first(names, IDS[role]), _first(names, TEXTS[role])
        for table in read_rows(path, [identifier, body], [TITLE]):
            rows += len(table)
            title, text = (pc.fill_null(table[name], "").combine_chunks() for name in (TITLE, body))
            texts.add(table[identifier].combine_chunks(), pc.utf8_trim_whitespace(pc.binary_join_element_wise(title, text, " ")))
        raw.leave_out(raw.name(path), f"{rows} texts, which the rows name by id")
    return texts


def _role(name: str, columns: Collection[str]) -> str | None:
    """What a file holds; one of ids and texts whose columns do not say it holds queries if its path says so."""

    def has(names: Collection[str]) -> bool:
        return not set(names).isdisjoint(columns)

    if has(QUERY) and has((*SCORE, *NEGATIVE_SCORES)) and (has(DOCUMENTS) or (has(POSITIVE) and has(NEGATIVES))):
        return "rows"
    fits = [role for role in IDS if has(IDS[role]) and has(TEXTS[role])]
    if len(fits) == 2 and not has(IDS["documents"][: -len(ANY_ID)]):
        return "queries" if has(QUERY) or "quer" in name.lower() else "documents"
    return fits[-1] if fits else None


def _first(columns: Collection[str], names: Sequence[str]) -> str:
    return next(name for name in names if name in columns)


def _names(path: Path) -> list[str]:
    return header(path, KNOWN, WITHOUT_HEADER)[0] if is_tab_separated(path) else first_names(path)
