"""Questions and the passages that answer them, as in SQuAD: NorQuAD, and ScandiQA with its folder per language."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from stages.format.sources.answers import is_answered
from stages.format.sources.chunk import Chunk, Options, Split, chunk, language_of, repeated
from stages.format.sources.columns import python_values
from stages.format.sources.folder import RawFolder
from stages.rows.dropping import drop

ANSWERS = ("answers", "answer")
START, IMPOSSIBLE = "answer_start", "is_impossible"
TRUE = ("true", "1", "1.0")


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """(question, context) pairs. Rows share contexts: what keeps two of them out of one batch is the mix stage.

    A passage that does not answer its question is no positive: such rows are dropped, or kept and noted, as
    ``options.unanswerable`` says.
    """
    for path, table in raw.read_split(split, ["question", "context"], objects=[*ANSWERS, START, IMPOSSIBLE]):
        languages = repeated(language_of(path, raw.path) or options.language, len(table))
        reasons = {"language not chosen": options.unwanted(languages)}
        empty = unanswerable(table)
        notes = {}
        if options.unanswerable == "drop":
            reasons["unanswerable"] = empty
        else:
            notes["unanswerable, kept"] = int((empty & ~reasons["language not chosen"]).sum())
        rows, dropped = drop(table.select(["question", "context"]).append_column("language", languages), reasons)
        yield chunk(rows["question"], rows["context"], language=rows["language"], dropped=dropped, notes=notes)


def unanswerable(table: pa.Table) -> np.ndarray:
    """Which questions have no answer, shape (rows,); none where the set has no column of answers."""
    known = [name for name in ANSWERS if not pa.types.is_null(table[name].type)]
    answered = np.full(len(table), not known)
    starts = python_values(table[START])
    for name in known:
        answered |= np.fromiter(map(is_answered, python_values(table[name]), starts), bool, len(table))
    impossible = np.fromiter((str(value).lower() in TRUE for value in python_values(table[IMPOSSIBLE])), bool, len(table))
    return ~answered | impossible
