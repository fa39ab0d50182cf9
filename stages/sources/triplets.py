"""anchor, positive[, negative, negative_2 …, scores]: all-nli-norwegian, ETI, and one's own triplets.jsonl, whose field ``split`` may tell
train from dev.

``scores`` is a teacher's list of numbers: one for the positive, then one for each column of negatives.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from stages.errors import UserError
from stages.rows.parquet import SCORES
from stages.sources.chunk import Chunk, Options, Split, chunk
from stages.sources.reading import column_names, read_split

NEGATIVE = re.compile(r"negative(_[0-9]+)?")


def read(raw: Path, split: Split, options: Options) -> Iterator[Chunk]:
    """The rows as they stand; a null negative leaves a pair."""
    names = column_names(raw)
    negative_columns = sorted(filter(NEGATIVE.fullmatch, names), key=lambda name: (len(name), name)) or ["negative"]
    optional = [*negative_columns, *([SCORES] if SCORES in names else [])]
    for path, table in read_split(raw, split, ["anchor", "positive"], optional, lists=[SCORES]):
        scores = None
        if SCORES in names:
            given = table[SCORES]
            scores = given if pa.types.is_list(given.type) else pa.nulls(len(table), pa.list_(pa.float64()))
        negatives = [table[name] for name in negative_columns]
        try:
            yield chunk(table["anchor"], table["positive"], negatives, options.language, scores=scores)
        except pa.ArrowInvalid as error:
            raise UserError(f'{path}: its column "{SCORES}" holds something else than numbers ({error}); mend it') from error
