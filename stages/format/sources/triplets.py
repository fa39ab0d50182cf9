"""anchor, positive[, negative, negative_2 …, scores, label]: all-nli-norwegian, ETI, and one's own triplets.jsonl, whose field ``split``
may tell train from dev.

``scores`` is a teacher's list of numbers: one for the positive, then one for each column of negatives. ``label`` 0 says that the pair is
no positive.
"""

import re
from collections.abc import Iterator

import pyarrow as pa

from stages.format.sources.chunk import Chunk, Options, Split, chunk, repeated
from stages.format.sources.folder import RawFolder
from stages.format.sources.labels import LABEL, label_reasons
from stages.rows.dropping import drop
from stages.rows.parquet import SCORES
from stages.runtime.errors import UserError

NEGATIVE = re.compile(r"negative(_[0-9]+)?")


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """The rows as they stand; a null negative leaves a pair."""
    names = raw.column_names()
    negative_columns = sorted(filter(NEGATIVE.fullmatch, names), key=lambda name: (len(name), name)) or ["negative"]
    optional = [*negative_columns, LABEL, *([SCORES] if SCORES in names else [])]
    for path, table in raw.read_split(split, ["anchor", "positive"], optional, lists=[SCORES]):
        if SCORES in names and not pa.types.is_list(table[SCORES].type):
            if table[SCORES].null_count < len(table):
                raw.warn(f'column "{SCORES}" ({raw.name(path)}) is not read: it holds one value a row, not a list of numbers')
            table = table.set_column(table.column_names.index(SCORES), SCORES, pa.nulls(len(table), pa.list_(pa.float64())))
        reasons, unlabelled = label_reasons(table[LABEL], path)
        rows, dropped = drop(table.append_column("language", repeated(options.language, len(table))), reasons)
        negatives = [rows[name] for name in negative_columns]
        scores = rows[SCORES] if SCORES in names else None
        notes = {"no label, taken as positive": int(unlabelled.sum())}
        try:
            yield chunk(rows["anchor"], rows["positive"], negatives, rows["language"], dropped, scores, notes=notes)
        except pa.ArrowInvalid as error:
            raise UserError(f'{path}: its column "{SCORES}" holds something else than numbers ({error}); correct it') from error
