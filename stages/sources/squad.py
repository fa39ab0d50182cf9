"""Questions and the passages that answer them, as in SQuAD: NorQuAD, and ScandiQA with its folder per language."""

from collections.abc import Iterator
from pathlib import Path

from stages.sources.chunk import Chunk, Options, Split, chunk
from stages.sources.reading import language_of, read_split


def read(raw: Path, split: Split, options: Options) -> Iterator[Chunk]:
    """(question, context) pairs. Rows share contexts: what keeps two of them out of one batch is the mix stage."""
    for path, table in read_split(raw, split, ["question", "context"]):
        language = language_of(path, raw) or options.language
        rows = table if options.wants(language) else table[:0]
        dropped = {"language not chosen": len(table) - len(rows)}
        yield chunk(rows["question"], rows["context"], language=language, dropped=dropped)
