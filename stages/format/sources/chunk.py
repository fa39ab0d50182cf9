"""What every source hands on: chunks of rows with the columns anchor, positive, negative… and language, and nothing else.

A column that is left over would be taken for one more negative by the loss, so `chunk` takes its columns by name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.hub.splits import Split
from stages.retrieval.beir import UNKNOWN_IDS
from stages.rows.dropping import Dropped, as_mask
from stages.rows.parquet import SCORES, one_array, text

if TYPE_CHECKING:
    from stages.format.sources.folder import RawFolder

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
        dataset_languages: supervised_da: language of each ``dataset_name`` whose words do not tell it; "*" for all others.
        locale: esci: the shop (us, es, jp).
        split: beir: the qrels that are the training rows.
        unknown_ids: beir: share of the qrels' rows that may name unknown ids and is dropped.
        passage_words: beir: cut documents into passages of so many words; None trains on whole documents.
        unanswerable: squad: whether questions without an answer in their passage are positives of it: drop or keep.
        max_tokens: esci: longest product text, in tokens as `stages.format.sources.product` counts them; None is its own limit.
    """

    language: str | None = None
    languages: tuple[str, ...] | None = None
    dataset_languages: Mapping[str, str] | None = None
    locale: str | None = None
    split: str | None = None
    unknown_ids: float = UNKNOWN_IDS
    passage_words: int | None = None
    unanswerable: str = "drop"
    max_tokens: int | None = None

    def unwanted(self, languages: Texts) -> np.ndarray:
        """Which rows have a language that is not chosen, shape (rows,)."""
        if self.languages is None:
            return np.zeros(len(languages), dtype=bool)
        return ~as_mask(pc.is_in(languages, pa.array(self.languages)))


@dataclass(frozen=True)
class Chunk:
    """Some rows of a split, and how many rows of the raw files gave none, by reason and language.

    ``rows`` has string columns anchor, positive, negative (null where there is none), further negatives as negative_2
    …, language, and scores (lists of float64, see `stages.rows.parquet.SCORES`) where the set brings a teacher's.

    Attributes:
        added: rows beyond the first that one row of the raw files gave: so many more are in ``rows`` and ``dropped``.
        notes: rows, or documents, that the reader of the report should know of, by what is noted.
    """

    rows: pa.Table
    dropped: Dropped = field(default_factory=Dropped)
    added: int = 0
    notes: Mapping[str, int] = field(default_factory=dict)


Read = Callable[["RawFolder", Split, Options], Iterator[Chunk]]


def chunk(
    anchor: Texts,
    positive: Texts,
    negatives: list[Texts] | None = None,
    language: Texts | str | None = None,
    dropped: Dropped | None = None,
    scores: pa.Array | pa.ChunkedArray | None = None,
    added: int = 0,
    notes: Mapping[str, int] | None = None,
) -> Chunk:
    """A `Chunk` of equally long columns; ``language`` may be one code for all rows. A language that is unknown is
    null. ``scores`` are lists of numbers, or of their texts."""
    columns = {"anchor": text(anchor), "positive": text(positive)}
    for number, negative in enumerate(negatives or [pa.nulls(len(anchor), pa.string())], start=1):
        columns["negative" if number == 1 else f"negative_{number}"] = text(negative)
    if language is None or isinstance(language, str):
        language = repeated(language, len(anchor))
    columns["language"] = text(language)
    if scores is not None:
        columns[SCORES] = (one_array(scores) if isinstance(scores, pa.ChunkedArray) else scores).cast(pa.list_(pa.float64()))
    noted = {note: rows for note, rows in (notes or {}).items() if rows}
    return Chunk(pa.table(columns), Dropped() if dropped is None else dropped, added, noted)


def repeated(word: str | None, rows: int) -> Texts:
    """A column that holds one word, or null, in each of ``rows`` rows."""
    return pa.array([word], pa.string()).take(pa.array(np.zeros(rows, dtype=np.int64)))


def language_codes(words: Texts) -> Texts:
    """Codes (nb, nn, da, sv, en) of languages given as words or codes; null where the word is unknown."""
    encoded = pc.utf8_trim_whitespace(pc.utf8_lower(words)).dictionary_encode()
    codes = pa.array([LANGUAGES.get(word) for word in encoded.dictionary.to_pylist()], pa.string())
    return codes.take(encoded.indices)


def language_of(path: Path, raw: Path) -> str | None:
    """The language that a folder between ``raw`` and the file names, such as ``nn`` in nn/train.parquet; else None."""
    folders = path.relative_to(raw).parts[:-1]
    return next((LANGUAGES[folder.lower()] for folder in folders if folder.lower() in LANGUAGES), None)
