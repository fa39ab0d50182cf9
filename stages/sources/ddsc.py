"""DDSC's nordic embedding data (DDSC/nordic-embedding-training-data): query, positive and, in about 40% of the rows, a negative.

Its instruction, task, prompt and response are not for training. All its tasks are used; ``languages`` chooses among
Norwegian, Danish and Swedish.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.sources.chunk import Chunk, Options, Split, chunk, language_codes, text
from stages.sources.reading import read_split


def read(raw: Path, split: Split, options: Options) -> Iterator[Chunk]:
    """The rows of the chosen languages; a row without a negative stays, as a pair."""
    for _, table in read_split(raw, split, ["query", "positive", "language"], ["negative"]):
        languages = language_codes(text(table["language"]))
        wanted = pc.is_valid(languages)
        if options.languages is not None:
            wanted = pc.is_in(languages, pa.array(options.languages))
        rows, languages = table.filter(wanted), languages.filter(wanted)
        dropped = {"language not chosen": len(table) - len(rows)}
        yield chunk(rows["query"], rows["positive"], [rows["negative"]], languages, dropped)
