"""What every source hands on: chunks of rows with the columns anchor, positive, negative… and language, and nothing else.

A column that is left over would be taken for one more negative by the loss, so `chunk` takes its columns by name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.rows.parquet import SCORES, one_array

Split = Literal["train", "dev"]
Texts: TypeAlias = pa.StringArray

LANGUAGES = {
    "no": "nb",
    "nb": "nb",
    "nob": "nb",
    "norwegian": "nb",
    "bokmål": "nb",
    "norwegian bokmål": "nb",
    "norwegian bokmal": "nb",
    "nn": "nn",
    "nno": "nn",
    "nynorsk": "nn",
    "norwegian nynorsk": "nn",
    "da": "da",
    "dan": "da",
    "danish": "da",
    "sv": "sv",
    "swe": "sv",
    "swedish": "sv",
    "en": "en",
    "eng": "en",
    "us": "en",
    "english": "en",
}
"""Names of languages and locales, in lower case, that data sets use, and the code of each. Norwegian unsaid is
bokmål."""


@dataclass(frozen=True)
class Options:
    """How to read a set; each kind uses what concerns it.

    Attributes:
        language: language of the rows where the set itself does not say.
        languages: languages to keep; None keeps all.
        locale: esci: the shop (us, es, jp).
        split: beir: the qrels that are the training rows.
        passage_words: beir: cut documents into passages of so many words; None trains on whole documents.
        max_tokens: esci: longest product text, in tokens as `stages.sources.product` counts them; None is its own limit.
    """

    language: str | None = None
    languages: tuple[str, ...] | None = None
    locale: str | None = None
    split: str | None = None
    passage_words: int | None = None
    max_tokens: int | None = None

    def wants(self, language: str | None) -> bool:
        """Whether rows of this language are kept."""
        return self.languages is None or language in self.languages


@dataclass(frozen=True)
class Chunk:
    """Some rows of a split, and how many rows of the raw files gave none, by reason.

    ``rows`` has string columns anchor, positive, negative (null where there is none), further negatives as negative_2
    …, language, and scores (lists of float64, see `stages.rows.parquet.SCORES`) where the set brings a teacher's.
    """

    rows: pa.Table
    dropped: Mapping[str, int] = field(default_factory=dict)


Read = Callable[[Path, Split, Options], Iterator[Chunk]]


def chunk(
    anchor: Texts,
    positive: Texts,
    negatives: list[Texts] | None = None,
    language: Texts | str | None = None,
    dropped: Mapping[str, int] | None = None,
    scores: pa.Array | pa.ChunkedArray | None = None,
) -> Chunk:
    """A `Chunk` of equally long columns; ``language`` may be one code for all rows. A language that is unknown is
    null. ``scores`` are lists of numbers, or of their texts."""
    columns = {"anchor": text(anchor), "positive": text(positive)}
    for number, negative in enumerate(negatives or [pa.nulls(len(anchor), pa.string())], start=1):
        columns["negative" if number == 1 else f"negative_{number}"] = text(negative)
    if language is None or isinstance(language, str):
        language = pa.array([language], pa.string()).take(pa.array(np.zeros(len(anchor), dtype=np.int64)))
    columns["language"] = text(language)
    if scores is not None:
        columns[SCORES] = (one_array(scores) if isinstance(scores, pa.ChunkedArray) else scores).cast(pa.list_(pa.float64()))
    return Chunk(pa.table(columns), {reason: count for reason, count in (dropped or {}).items() if count})


def text(column: pa.Array | pa.ChunkedArray) -> Texts:
    """A column of any string-like type as one string array; of a type that holds no strings, all its values as text."""
    if isinstance(column, pa.ChunkedArray):
        column = one_array(column)
    return column if column.type == pa.string() else column.cast(pa.string())


def language_codes(words: Texts) -> Texts:
    """Codes (nb, nn, da, sv, en) of languages given as words or codes; null where the word is unknown."""
    encoded = pc.utf8_trim_whitespace(pc.utf8_lower(words)).dictionary_encode()
    codes = pa.array([LANGUAGES.get(word) for word in encoded.dictionary.to_pylist()], pa.string())
    return codes.take(encoded.indices)
