"""The forms of a row with a teacher's scores, as one: the query, the positive and the negatives, as ids or as texts, with their scores."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from stages.format.sources.answers import parsed
from stages.rows.parquet import SCORES
from stages.runtime.errors import UserError


class Names(NamedTuple):
    """The columns that a query, a list of documents, a positive and a negative may be in."""

    query: tuple[str, ...]
    documents: tuple[str, ...]
    positive: tuple[str, ...]
    negatives: tuple[str, ...]

    def fit(self, columns: Collection[str]) -> bool:
        """Whether a file with these columns has rows of this form."""
        query, documents, positive, negatives = (not set(names).isdisjoint(columns) for names in self)
        return query and (documents or (positive and negatives))


IDS = Names(
    ("query_id", "query-id", "qid"),
    ("document_ids", "doc_ids", "docids", "passage_ids", "pids"),
    ("positive_id", "pos_id"),
    ("negative_ids", "neg_ids", "negative_id", "neg_id", *(f"negative_id_{number}" for number in range(1, 65))),
)
TEXTS = Names(
    ("query", "anchor", "question"),
    ("documents", "passages", "docs"),
    ("positive", "pos"),
    ("negatives", "negative", "neg", *(f"negative_{number}" for number in range(1, 65))),
)
SCORE = (SCORES, "score", "margin")
POSITIVE_SCORE, NEGATIVE_SCORES = (
    ("positive_score", "pos_score", "pos_scores"),
    ("negative_scores", "negative_score", "neg_score", "neg_scores"),
)
LISTS = (*IDS.documents, *IDS.negatives, *TEXTS.documents, *TEXTS.positive, *TEXTS.negatives, *SCORE, *POSITIVE_SCORE, *NEGATIVE_SCORES)
"""Columns whose values may be lists, or lists written as text."""
COLUMNS = (*IDS.query, *IDS.positive, *TEXTS.query, *LISTS)


class ScoredRow(NamedTuple):
    """One row: ids or texts of documents, the positive first, and a score for each, NaN if unknown; None if their numbers differ."""

    query: str | None
    documents: list[str] | None
    scores: list[float] | None


def scored_rows(table: pa.Table, path: Path, names: Names) -> Iterator[ScoredRow]:
    """The rows of a table with some of `COLUMNS`; ``names`` says whether they have `IDS` or `TEXTS`.

    - Lists of documents and of scores: the document with the highest score is the positive, and the first of equal ones.
    - A positive (of several the first) and negatives: with a score each, or with margins, the positive's score minus each negative's.

    Raises:
        UserError: a score is not a number.
    """
    columns = {name: table[name].to_pylist() for name in table.column_names if table[name].null_count < len(table)}
    for number in range(len(table)):
        row = {name: values[number] for name, values in columns.items() if values[number] is not None}
        query = _first(row, names.query)
        documents = _list(_first(row, names.documents))
        scores = [_number(value, path) for value in _list(_first(row, SCORE))]
        if documents:
            known = [-math.inf if math.isnan(score) else score for score in scores]
            best = known.index(max(known)) if known else 0
            order = [best, *(place for place in range(len(documents)) if place != best)]
        else:
            negatives = [each for name in names.negatives if name in row for each in _list(row[name])]
            documents = [*_list(_first(row, names.positive))[:1], *negatives]
            order = [*range(len(documents))]
            own = [*_list(_first(row, POSITIVE_SCORE))[:1], *_list(_first(row, NEGATIVE_SCORES))]
            if own:
                scores = [_number(value, path) for value in own]
            elif len(scores) == len(negatives):
                scores = [0.0, *(-margin for margin in scores)]
        if len(scores) != len(documents) or not documents:
            yield ScoredRow(query, None, None)
        else:
            scored: dict[str, float] = {}
            for place in order:
                scored.setdefault(str(documents[place]), scores[place])
            yield ScoredRow(query, [*scored], [*scored.values()])


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of the columns ``names`` that the row has; None if it has none."""
    return next((row[name] for name in names if name in row), None)


def _list(value: Any) -> list[Any]:
    """A list, or the list that a text holds; one value becomes a list of it, None an empty one."""
    value = parsed(value)
    return value if isinstance(value, list) else [] if value is None else [value]


def _number(value: Any, path: Path) -> float:
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: a teacher's score must be a number, got {value!r}; correct it") from error
