"""DDSC's nordic embedding data (DDSC/nordic-embedding-training-data): query, positive and, in about 40% of the rows, a negative.

Its instruction, task, prompt and response are not for training. All its tasks are used; ``languages`` chooses among
Norwegian, Danish and Swedish.
"""

from collections.abc import Iterator

import pyarrow.compute as pc

from stages.format.sources.chunk import Chunk, Options, Split, chunk, language_codes
from stages.format.sources.folder import RawFolder
from stages.rows.dropping import as_mask, drop
from stages.rows.parquet import one_array


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """The rows of the chosen languages; a row without a negative stays, as a pair."""
    for _, table in raw.read_split(split, ["query", "positive", "language"], ["negative"]):
        languages = language_codes(one_array(table["language"]))
        table = table.set_column(table.column_names.index("language"), "language", languages)
        rows, dropped = drop(table, {"language not chosen": as_mask(pc.is_null(languages)) | options.unwanted(languages)})
        yield chunk(rows["query"], rows["positive"], [rows["negative"]], rows["language"], dropped)
