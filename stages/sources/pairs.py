"""query and pos, as in Supervised-DA (jealk/supervised-da): pos is a text or a list of texts, each of which makes a row."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.rows.parquet import one_array
from stages.sources.chunk import Chunk, Options, Split, chunk
from stages.sources.reading import read_split


def read(raw: Path, split: Split, options: Options) -> Iterator[Chunk]:
    """(query, positive) pairs; a query with an empty or null list gives no row."""
    for _, table in read_split(raw, split, ["query", "pos"], lists=["pos"]):
        query, positive = one_array(table["query"]), one_array(table["pos"])
        dropped = 0
        if pa.types.is_list(positive.type) or pa.types.is_large_list(positive.type):
            dropped = pc.sum(pc.equal(pc.fill_null(pc.list_value_length(positive), 0), 0)).as_py() or 0
            query, positive = query.take(pc.list_parent_indices(positive)), pc.list_flatten(positive)
        yield chunk(query, positive, language=options.language, dropped={"no positive": dropped})
