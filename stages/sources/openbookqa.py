"""NorOpenBookQA (ltg/noropenbookqa): a question and the fact that it rests on; a folder per language, nb and nn."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc

from stages.sources.chunk import Chunk, Options, Split, chunk, text
from stages.sources.reading import language_of, read_split


def read(raw: Path, split: Split, options: Options) -> Iterator[Chunk]:
    """(question, fact) pairs. A question without a fact has no positive: as its own positive it would teach nothing."""
    for path, table in read_split(raw, split, ["question_stem", "fact"]):
        language = language_of(path, raw) or options.language
        wanted = table if options.wants(language) else table[:0]
        stripped = pc.utf8_trim_whitespace(text(wanted["fact"]))
        rows = wanted.filter(pc.fill_null(pc.not_equal(stripped, ""), False))
        dropped = {"language not chosen": len(table) - len(wanted), "no fact": len(wanted) - len(rows)}
        yield chunk(rows["question_stem"], rows["fact"], language=language, dropped=dropped)
