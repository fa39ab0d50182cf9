"""query and pos: pos is a text or a list of texts, each of which makes a row. A column ``label`` tells positives (1) from others (0)."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.format.sources.chunk import Chunk, Options, Split, Texts, chunk, repeated
from stages.format.sources.folder import RawFolder
from stages.format.sources.labels import LABEL, label_reasons
from stages.rows.dropping import marked
from stages.rows.parquet import one_array


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """(query, positive) pairs; a query with an empty or null list gives no row."""
    for path, table in raw.read_split(split, ["query", "pos"], [LABEL], lists=["pos"]):
        yield pairs(path, table, repeated(options.language, len(table)), {})


def pairs(path: Path, table: pa.Table, languages: Texts, reasons: Mapping[str, np.ndarray]) -> Chunk:
    """The pairs of some rows, but for those that a mask of ``reasons`` marks; ``languages`` and masks have one value a row."""
    query, positive = one_array(table["query"]), one_array(table["pos"])
    lists = pa.types.is_list(positive.type)
    texts = pc.fill_null(pc.list_value_length(positive), 0).to_numpy() if lists else np.ones(len(table), dtype=np.int64)
    not_positive, unlabelled = label_reasons(table[LABEL], path)
    left_out, dropped = marked(languages, {**reasons, **not_positive, "no positive": texts == 0})
    kept = pa.array(~left_out)
    query, positive, languages = query.filter(kept), positive.filter(kept), languages.filter(kept)
    rows = len(query)
    if lists:
        parents = pc.list_parent_indices(positive)
        query, positive, languages = query.take(parents), pc.list_flatten(positive), languages.take(parents)
    notes = {"no label, taken as positive": int((unlabelled & ~left_out).sum())}
    return chunk(query, positive, language=languages, dropped=dropped, added=len(query) - rows, notes=notes)
