"""Finds the files of a set of scored ids, told apart by their columns: rows, texts of queries, texts of documents.

Names of columns as in lightonai/ms-marco-en-bge, sentence-transformers/msmarco, BEIR, MS MARCO's TSV files, and the TSV file of
Hofstätter et al. (https://zenodo.org/records/4068216).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from stages.format.sources.folder import RawFolder
from stages.format.sources.scored_rows import COLUMNS, IDS, NEGATIVE_SCORES, SCORE, TEXTS, Names
from stages.format.sources.tab_separated import Tables, is_tab_separated
from stages.format.sources.texts_by_id import TextsById
from stages.hub.splits import split_of
from stages.runtime.errors import UserError

ANY_ID, TITLE = ("_id", "id"), "title"
TEXT_IDS = {
    "queries": (*IDS.query, *ANY_ID),
    "documents": ("document_id", "doc_id", "docid", "passage_id", "pid", "corpus_id", "corpus-id", *ANY_ID),
}
BODIES = {"queries": ("query", "text"), "documents": ("passage", "document", "contents", "text")}
KNOWN = (*COLUMNS, *TEXT_IDS["queries"], *TEXT_IDS["documents"], *BODIES["documents"], TITLE)
TABLES = Tables(KNOWN, {2: ("id", "text"), 5: ("positive_score", "negative_score", "query_id", "positive_id", "negative_id")})


@dataclass(frozen=True)
class ScoredFiles:
    """The files of a set, in order; each file of rows with the names of its columns: `IDS`, or `TEXTS`, which need no other files."""

    rows: dict[Path, Names]
    queries: list[Path]
    documents: list[Path]

    @classmethod
    def find(cls, raw: RawFolder) -> "ScoredFiles":
        """The files of a folder; those of test splits hold no rows to train on, but texts that rows may name.

        Raises:
            UserError: there is none of rows to train on, of queries, or of documents.
        """
        rows: dict[Path, Names] = {}
        texts: dict[str, list[Path]] = {"queries": [], "documents": []}
        for path in raw.files_and(is_tab_separated):
            names = TABLES.names(path)
            if form := _form(names):
                if split_of(path.relative_to(raw.path)) != "test":
                    rows[path] = form
            elif role := _role(raw.name(path), names):
                texts[role].append(path)
            else:
                raw.leave_out(raw.name(path), f"it has neither scored ids nor texts with ids (it has {', '.join(names) or 'no names'})")
        for what, needed, files, columns in (
            ("rows", True, rows, "query_id, document_ids, scores (or query_id, positive_id, negative_id, score)"),
            ("queries", IDS in rows.values(), texts["queries"], "query_id, text"),
            ("documents", IDS in rows.values(), texts["documents"], "document_id, text"),
        ):
            if needed and not files:
                raise UserError(f"{raw.path}: holds no file of {what}; put one with the columns {columns} there")
        return cls(rows, **texts)


def texts_of(raw: RawFolder, role: str, files: Sequence[Path]) -> TextsById:
    """The texts of all ``files``; a document's title stands before its text."""
    texts = TextsById(raw.scratch)
    for path in files:
        names, rows = TABLES.names(path), 0
        identifier, body = _first(names, TEXT_IDS[role]), _first(names, BODIES[role])
        for table in TABLES.read(path, [identifier, body], [TITLE]):
            rows += len(table)
            title, text = (pc.fill_null(table[name], "").combine_chunks() for name in (TITLE, body))
            texts.add(table[identifier].combine_chunks(), pc.utf8_trim_whitespace(pc.binary_join_element_wise(title, text, " ")))
        raw.leave_out(raw.name(path), f"{rows} texts, which the rows name by id")
    return texts


def _form(columns: Collection[str]) -> Names | None:
    """The form of a file of rows with scores; None for other files."""
    scored = not {*SCORE, *NEGATIVE_SCORES}.isdisjoint(columns)
    return next((form for form in (TEXTS, IDS) if scored and form.fit(columns)), None)


def _role(name: str, columns: Collection[str]) -> str | None:
    """Whose texts a file holds; if its columns fit both, it holds queries if its path says so."""

    def has(names: Collection[str]) -> bool:
        return not set(names).isdisjoint(columns)

    fits = [role for role in TEXT_IDS if has(TEXT_IDS[role]) and has(BODIES[role])]
    if len(fits) == 2 and not has(TEXT_IDS["documents"][: -len(ANY_ID)]):
        return "queries" if has(IDS.query) or "quer" in name.lower() else "documents"
    return fits[-1] if fits else None


def _first(columns: Collection[str], names: Sequence[str]) -> str:
    return next(name for name in names if name in columns)
