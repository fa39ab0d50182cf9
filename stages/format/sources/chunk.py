"""What every source hands on: chunks of rows with the columns anchor, positive, negative… and language, and nothing else.

A column that is left over would be taken for one more negative by the loss, so `chunk` takes its columns by name.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.hub.splits import Split
from stages.retrieval.beir import UNKNOWN_IDS
from stages.rows.dropping import Dropped, as_mask, marked
from stages.rows.parquet import SCORES, one_array

if TYPE_CHECKING:
    from stages.format.sources.folder import RawFolder

Texts: TypeAlias = pa.StringArray

NAMES = {
    "nb": ("no", "nb", "nob", "norwegian", "bokmål", "norwegian bokmål", "norwegian bokmal"),
    "nn": ("nn", "nno", "nynorsk", "norwegian nynorsk"),
    "da": ("da", "dan", "danish"),
    "sv": ("sv", "swe", "swedish"),
    "en": ("en", "eng", "us", "english"),
}
LANGUAGES = {name: code for code, names in NAMES.items() for name in names}
"""The code of each name of a language or locale, in lower case. Norwegian that does not say which is bokmål."""


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
    notes: dict[str, int] = field(default_factory=dict)


Read = Callable[["RawFolder", Split, Options], Iterator[Chunk]]


def chunk(
    anchor: Any,
    positive: Any,
    negatives: Sequence[Any] = (),
    language: Texts | str | None = None,
    *,
    reasons: Mapping[str, Any] | None = None,
    notes: Mapping[str, np.ndarray] | None = None,
    scores: Any = None,
) -> Chunk:
    """A `Chunk` of equally long columns, without the rows that a mask of ``reasons`` marks.

    Args:
        positive: texts, or lists of texts, each of which makes a row; a row whose list is null or empty is dropped.
        language: a code for each row or for all of them; null is unknown.
        notes: masks of rows to count among those that are kept.
        scores: lists of numbers, or of their texts.
    """
    if language is None or isinstance(language, str):
        language = repeated(language, len(anchor))
    columns = {"anchor": anchor, "positive": positive}
    for number, negative in enumerate(negatives or [pa.nulls(len(anchor), pa.string())], start=1):
        columns["negative" if number == 1 else f"negative_{number}"] = negative
    columns["language"] = language
    if scores is not None:
        columns[SCORES] = scores.cast(pa.list_(pa.float64()))
    reasons = dict(reasons or {})
    if pa.types.is_list(positive.type):
        reasons["no positive"] = pc.equal(pc.fill_null(pc.list_value_length(positive), 0), 0)
    left_out, dropped = marked(language, reasons)
    noted = {note: int((mask & ~left_out).sum()) for note, mask in (notes or {}).items()}
    rows = pa.table(columns)
    if left_out.any():
        rows = rows.filter(pa.array(~left_out))
    files_rows = len(rows)
    if pa.types.is_list(positive.type):
        lists = one_array(rows["positive"])
        rows = rows.drop_columns("positive").take(pc.list_parent_indices(lists)).append_column("positive", pc.list_flatten(lists))
    return Chunk(rows.select(list(columns)), dropped, len(rows) - files_rows, {note: count for note, count in noted.items() if count})


def repeated(word: str | None, rows: int) -> Texts:
    """A column that holds one word, or null, in each of ``rows`` rows."""
    return pa.repeat(pa.scalar(word, pa.string()), rows)


def language_codes(words: Texts) -> Texts:
    """Codes (nb, nn, da, sv, en) of languages given as words or codes; null where the word is unknown."""
    encoded = pc.utf8_trim_whitespace(pc.utf8_lower(words)).dictionary_encode()
    codes = pa.array([LANGUAGES.get(word) for word in encoded.dictionary.to_pylist()], pa.string())
    return codes.take(encoded.indices)


def language_of(path: Path, raw: Path) -> str | None:
    """The language that a folder between ``raw`` and the file names, such as ``nn`` in nn/train.parquet; else None."""
    folders = path.relative_to(raw).parts[:-1]
    return next((LANGUAGES[folder.lower()] for folder in folders if folder.lower() in LANGUAGES), None)
