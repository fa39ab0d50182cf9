"""anchor, positive[, negative]: all-nli-norwegian, ETI, and one's own triplets.jsonl, whose field ``split`` may tell train from dev."""

from collections.abc import Iterator
from pathlib import Path

from stages.sources.chunk import Chunk, Options, Split, chunk
from stages.sources.reading import read_split


def read(raw: Path, split: Split, options: Options) -> Iterator[Chunk]:
    """The rows as they stand; a null negative leaves a pair."""
    for _, table in read_split(raw, split, ["anchor", "positive"], ["negative"]):
        yield chunk(table["anchor"], table["positive"], [table["negative"]], options.language)
