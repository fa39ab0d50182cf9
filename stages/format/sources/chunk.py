"""What every source yields: chunks of rows with the columns anchor, positive, negative … and language, and no others.

The loss would take any further column as one more negative, so `chunk` takes its columns by name.
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
from stages.rows.parquet import ANSWER, SCORES, one_array

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
"""Name of a language or locale, in lower case → its code. Norwegian without a written form is bokmål."""


@dataclass(frozen=True)
class Options:
    """How to read a set; an option that begins with a kind is for that kind only.

    Attributes:
        language: of the rows, if the set itself does not say.
        languages: to keep; None keeps all.
        dataset_languages: supervised_da: language of each ``dataset_name`` that does not name one itself; "*" for all others.
        locale: esci: the shop (us, es, jp).
        split: beir: the qrels that are the training rows.
        unknown_ids: beir: largest share of the qrels' rows that may name unknown ids; such rows are dropped. scored: the same of its rows.
        key_phrases: documents: key phrases of a document that stand in for queries, at most.
        max_negatives: scored: negatives of a row that are read, at most; None: all.
        unanswerable: squad: drop or keep questions without an answer in their passage.
        max_tokens: esci: longest product text, in tokens as `stages.rows.product` counts them; None is its default.
    """

    language: str | None = None
    languages: tuple[str, ...] | None = None
    dataset_languages: Mapping[str, str] | None = None
    locale: str | None = None
    split: str | None = None
    unknown_ids: float = UNKNOWN_IDS
    unanswerable: str = "drop"
    max_tokens: int | None = None
    max_negatives: int | None = None
    key_phrases: int = 3

    def unwanted(self, languages: Texts) -> np.ndarray:
        """Which rows have a language that is not chosen, shape (rows,)."""
        if self.languages is None:
            return np.zeros(len(languages), dtype=bool)
        return ~as_mask(pc.is_in(languages, pa.array(self.languages)))


@dataclass(frozen=True)
class Chunk:
    """Some rows of a split, and the number of raw rows that were dropped, by reason and language.

    ``rows`` has string columns anchor, positive, negative (null if there is none), further negatives as negative_2
    …, language, and, if the set has them, a teacher's scores (lists of float64) and answers (see `stages.rows.parquet`).

    Attributes:
        added: rows beyond the first made from one raw row; ``rows`` and ``dropped`` hold so many more than were read.
        notes: numbers of rows or documents to mention in the report, by what is mentioned.
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
    answer: Any = None,
) -> Chunk:
    """A `Chunk` of columns of equal length, without the rows that a mask in ``reasons`` marks.

    Args:
        positive: texts, or lists of texts, each of which makes a row; a row whose list is null or empty is dropped.
        language: a code for each row or for all of them; null is unknown.
        notes: masks of rows; counted are those that are kept.
        scores: lists of numbers, or of their texts.
        answer: texts in the positives that answer the anchors, null if unknown.
    """
    if language is None or isinstance(language, str):
        language = repeated(language, len(anchor))
    columns = {"anchor": anchor, "positive": positive}
    for number, negative in enumerate(negatives or [pa.nulls(len(anchor), pa.string())], start=1):
        columns["negative" if number == 1 else f"negative_{number}"] = negative
    columns["language"] = language
    if scores is not None:
        columns[SCORES] = scores.cast(pa.list_(pa.float64()))
    if answer is not None:
        columns[ANSWER] = answer
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
    """A column that repeats a word, or null, in ``rows`` rows."""
    return pa.repeat(pa.scalar(word, pa.string()), rows)


def language_codes(words: Texts) -> Texts:
    """Codes (nb, nn, da, sv, en) of languages given as words or codes; null for an unknown word."""
    encoded = pc.utf8_trim_whitespace(pc.utf8_lower(words)).dictionary_encode()
    codes = pa.array([LANGUAGES.get(word) for word in encoded.dictionary.to_pylist()], pa.string())
    return codes.take(encoded.indices)


def language_of(path: Path, raw: Path) -> str | None:
    """The language of the first folder below ``raw`` that names one, such as ``nn`` in nn/train.parquet; None if none does."""
    folders = path.relative_to(raw).parts[:-1]
    return next((LANGUAGES[folder.lower()] for folder in folders if folder.lower() in LANGUAGES), None)
