"""Rows with a teacher's scores, as data for distillation is published: usually ids, whose texts are in files of their own.

A folder has files of rows, of queries and of documents (`scored_files`), such as those of lightonai/ms-marco-en-bge, of
sentence-transformers/msmarco, and of Hofstätter et al. 2020, arXiv 2010.02666. Rows are streamed, and the texts stay on disk
(`texts_by_id`). Rows that hold their texts need no other file. What this gives up: rows of the same query stay rows of their own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.format.sources.chunk import Chunk, Options, chunk
from stages.format.sources.folder import RawFolder
from stages.format.sources.scored_files import TABLES, ScoredFiles, texts_of
from stages.format.sources.scored_rows import COLUMNS, IDS, LISTS, Names, ScoredRow, scored_rows
from stages.hub.splits import Split
from stages.retrieval.beir import NAMED, UnknownIds
from stages.rows.dropping import as_mask
from stages.runtime.errors import UserError

Join: TypeAlias = Callable[[pa.StringArray], pa.StringArray]
SLICE = 1_024  # rows whose texts are in memory at a time
MISFIT = "numbers of ids and of scores differ"
NO_QUERY, NO_POSITIVE = "query id without a text", "positive id without a text"
NO_NEGATIVE = "negative ids without a text, left out"


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """Yield a row with its negatives and their scores for each row of ids.

    A negative without a text is left out. A row whose query or positive has none is dropped.

    Raises:
        UserError: files are missing, a score is not a number, or a share above ``options.unknown_ids`` of the rows is dropped as an
            id has no text.
    """
    files = ScoredFiles.find(raw)
    tables = raw.read_split(split, [], COLUMNS, lists=LISTS, among=files.rows, read=TABLES.read)
    queries = cache(lambda: texts_of(raw, "queries", files.queries))  # read when the first row needs them: a split may have no rows
    documents = cache(lambda: texts_of(raw, "documents", files.documents))
    width = cache(lambda: _width(files.rows, options.max_negatives))
    unknown = UnknownIds()
    for path, table in tables:
        for start in range(0, len(table), SLICE):
            rows = [*scored_rows(table.slice(start, SLICE), path, files.rows[path])]
            if files.rows[path] is IDS:
                yield _joined(rows, queries().take, documents().take, width(), options.language, unknown)
            else:
                yield _joined(rows, _as_is, _as_is, width(), options.language, UnknownIds())
    if unknown.ignored > options.unknown_ids * unknown.rows:
        raise UserError(
            f"{raw.path}: {unknown.ignored} of {unknown.rows} rows name a query or a positive without a text "
            f"({', '.join([*unknown.ids, '…'])}), more than {options.unknown_ids:.0%}; add the texts, or set "
            f"datasets.{raw.path.name}.unknown_ids to the share of rows to leave out"
        )


def _as_is(texts: pa.StringArray) -> pa.StringArray:
    return texts


def _width(files: Mapping[Path, Names], limit: int | None) -> int:
    """The largest number of negatives of a row, at most ``limit``: all rows get as many columns."""
    rows = (
        row for path, names in files.items() for table in TABLES.read(path, [], COLUMNS, LISTS) for row in scored_rows(table, path, names)
    )
    most = max((len(row.scores or [None]) - 1 for row in rows), default=0)
    return most if limit is None else min(most, limit)


def _joined(
    rows: Sequence[ScoredRow],
    queries: Join,
    documents: Join,
    width: int,
    language: str | None,
    unknown: UnknownIds,
) -> Chunk:
    ids = pa.array([row.query for row in rows], pa.string())
    anchor = queries(ids)
    padded = [[*(row.documents or ()), *[None] * (1 + width)][: 1 + width] for row in rows]
    named = [pa.array(column, pa.string()) for column in zip(*padded, strict=True)]
    positive, *negatives = [documents(column) for column in named]
    misfit = np.array([row.documents is None for row in rows], dtype=bool)
    no_query, no_positive = ~misfit & as_mask(pc.is_null(anchor)), ~misfit & as_mask(pc.is_null(positive))
    unknown.rows += len(rows)
    unknown.ignored += int((no_query | no_positive).sum())
    for name, column, mask in (("query", ids, no_query), ("document", named[0], no_positive)):
        for value in column.filter(pa.array(mask)).to_pylist()[: NAMED - len(unknown.ids)]:
            unknown.ids.setdefault(f"{name} {value!r}")
    lost = [as_mask(pc.is_valid(column)) & as_mask(pc.is_null(texts)) for column, texts in zip(named[1:], negatives, strict=True)]
    scores = pa.array([row.scores and row.scores[: 1 + width] for row in rows], pa.list_(pa.float64()))
    found = chunk(
        anchor,
        positive,
        negatives,
        language,
        reasons={MISFIT: misfit, NO_QUERY: no_query, NO_POSITIVE: no_positive},
        scores=scores,
    )
    if missing := int(sum(mask.sum() for mask in lost)):
        found.notes[NO_NEGATIVE] = missing
    return found
