"""Encoded documents as parquet files: what every engine is built from, and where the texts of results are read.

A row is an entry of the index: a document, or a window of one. The columns are ``id``, ``text``, ``language``, ``token_ids``, ``terms`` and
``weights``; the windows of a document follow each other and have its id. Any other engine can be built from these files.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write, read_json, write_json

TERMS = "terms.json"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("token_ids", pa.list_(pa.int32())),
        ("terms", pa.list_(pa.string())),
        ("weights", pa.list_(pa.float32())),
    ]
)
READ = [name for name in SCHEMA.names if name != "terms"]  # those follow from the token ids


@dataclass(frozen=True)
class Part:
    """Consecutive rows.

    Attributes:
        number: of the file, from 0. first: the first row's number.
        table: columns id, text and language.
        vectors: shape (rows, dimensions).
    """

    number: int
    first: int
    table: pa.Table
    vectors: csr_array


class Texts(NamedTuple):
    """What BM25 wants to know of the rows' texts: the languages they are in (None: not known), and their mean length in words."""

    languages: frozenset[str | None]
    words: float


@dataclass(frozen=True)
class Entry:
    """One row: its document's id, its text and language, its dimensions and weights."""

    row: int
    id: str
    text: str
    language: str | None
    dimensions: np.ndarray
    weights: np.ndarray


class Documents:
    """The files of a folder.

    Args:
        rows: of each file; None: of the complete files that are there, up to the first that is missing.
        dimensions: size of a vector.
    """

    def __init__(self, folder: Path, dimensions: int, rows: Sequence[int] | None = None) -> None:
        self.folder, self.dimensions = folder, dimensions
        self.rows = list(_complete(folder)) if rows is None else list(rows)
        self._ends = np.cumsum([0, *self.rows])

    def __len__(self) -> int:
        return int(self._ends[-1])

    @cached_property
    def terms(self) -> list[str]:
        """The name of each dimension."""
        found: list[str] = json.loads((self.folder / TERMS).read_text(encoding="utf-8"))
        return found

    def write_terms(self, terms: Sequence[str]) -> None:
        """Store the names of the dimensions, before the first `append`."""
        write_json(self.folder / TERMS, list(terms))

    def append(self, ids: Sequence[str], texts: Sequence[str], languages: Sequence[str | None], vectors: csr_array) -> None:
        """Write rows as the next file, which is there whole or not at all."""
        columns = [pa.array(ids, pa.string()), pa.array(texts, pa.string()), pa.array(languages, pa.string())]
        used, places = np.unique(vectors.indices, return_inverse=True)
        offsets = pa.array(vectors.indptr, pa.int32())
        names = pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), pa.array([self.terms[each] for each in used], pa.string()))
        columns += [
            pa.ListArray.from_arrays(offsets, values)
            for values in (pa.array(vectors.indices, pa.int32()), names.dictionary_decode(), pa.array(vectors.data, pa.float32()))
        ]
        with atomic_write(self._path(len(self.rows))) as temporary:
            pq.write_table(pa.table(columns, schema=SCHEMA), temporary, compression="zstd")
        self.rows.append(len(ids))
        self._ends = np.cumsum([0, *self.rows])

    def parts(self) -> Iterator[Part]:
        """All rows, one file at a time."""
        for number, first in enumerate(self._ends[:-1].tolist()):
            table = self._read(number)
            yield Part(number, first, table.select(["id", "text", "language"]), self._vectors(table))

    def texts(self) -> Texts:
        """Of all rows, read anew."""
        languages: set[str | None] = set()
        words = 0
        for number in range(len(self.rows)):
            table = pq.read_table(self._path(number), columns=["text", "language"])
            languages.update(table["language"].unique().to_pylist())
            words += sum(len(text.split()) for text in table["text"].to_pylist())
        return Texts(frozenset(languages), words / max(len(self), 1))

    def take(self, rows: Sequence[int]) -> list[Entry]:
        """The entries with these numbers, in their order."""
        found: dict[int, Entry] = {}
        files = np.searchsorted(self._ends, rows, side="right") - 1
        for number in np.unique(files).tolist():
            wanted = [row for row, file in zip(rows, files, strict=True) if file == number]
            table = self._read(number).take([row - int(self._ends[number]) for row in wanted])
            found |= {row: _entry(row, values) for row, values in zip(wanted, table.to_pylist(), strict=True)}
        return [found[row] for row in rows]

    def _vectors(self, table: pa.Table) -> csr_array:
        tokens, weights = (table[name].combine_chunks() for name in ("token_ids", "weights"))
        ends = tokens.offsets.to_numpy()
        values = weights.flatten().to_numpy(zero_copy_only=False), tokens.flatten().to_numpy(zero_copy_only=False)
        return csr_array((*values, ends - ends[0]), shape=(len(table), self.dimensions))

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.parquet"

    def _read(self, number: int) -> pa.Table:
        path = self._path(number)
        try:
            return pq.read_table(path, columns=READ, partitioning=None)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: is missing or incomplete; delete its folder and index the documents again") from error


def names_of(dimensions: int, tokens: Iterable[str | None] | None) -> list[str]:
    """A unique name for each dimension: its token, or its number if it has none.

    >>> names_of(3, ["[PAD]", "hus"]), names_of(2, None)
    (['[PAD]', 'hus', 'token 2'], ['latent 0', 'latent 1'])
    """
    if tokens is None:
        return [f"latent {number}" for number in range(dimensions)]
    known = [*tokens][:dimensions]
    known += [None] * (dimensions - len(known))
    return [f"token {number}" if name is None else name for number, name in enumerate(known)]


def read_note(path: Path) -> Any:
    """A JSON file of ours; an empty object if there is none or it is damaged, so that what it notes is done again."""
    try:
        return read_json(path)
    except ValueError:
        return {}


def _complete(folder: Path) -> Iterator[int]:
    """The rows of each complete file; one that was cut short by a full disk or a power failure is written again."""
    number = 0
    while (path := folder / f"part-{number:06d}.parquet").is_file():
        try:
            yield pq.read_metadata(path).num_rows
        except (pa.ArrowException, OSError):
            return
        number += 1


def _entry(row: int, values: dict[str, Any]) -> Entry:
    dimensions, weights = np.array(values["token_ids"], np.int64), np.array(values["weights"], np.float32)
    return Entry(row, values["id"], values["text"], values["language"], dimensions, weights)
