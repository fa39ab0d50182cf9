"""Texts by id, on disk: joins the ids of a large collection to its texts in 24 bytes of memory a text.

The 8.8 million passages of MS MARCO take 3 GB as texts and 210 MB here. The price: a temporary file of that size. It has no name, so
that a killed process leaves nothing behind.
"""

import mmap
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.rows.normalisation import hash_texts


class TextsById:
    """Texts by id; ids are compared without the white space around them.

    >>> texts = TextsById()
    >>> texts.add(pa.array(["7", "8"]), pa.array(["blåbær", None]))
    >>> texts.take(pa.array(["8", "9", " 7", None])).to_pylist()
    ['', None, 'blåbær', None]

    Args:
        folder: where the temporary file is; None: the system's folder for such files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the object
        self._hashes: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._read: tuple[mmap.mmap, np.ndarray, np.ndarray, np.ndarray] | None = None

    def add(self, ids: pa.StringArray, texts: pa.StringArray) -> None:
        """Add texts; a null text is empty, and a null id is left out. An id that comes again keeps its first text."""
        known = pc.is_valid(ids)
        values = pc.fill_null(texts, "").filter(known).cast(pa.binary())
        self._hashes.append(_hashes(ids.filter(known)))
        self._lengths.append(pc.binary_length(values).to_numpy(zero_copy_only=False).astype(np.int64))
        self._file.write(b"".join(values.to_pylist()))

    def __len__(self) -> int:
        """The number of distinct ids."""
        return len(self._index()[1])

    def take(self, ids: pa.StringArray) -> pa.StringArray:
        """The text of each id; null for an id that is null or unknown. No text can be added after this, or after `len`."""
        data, hashes, starts, ends = self._index()
        if not len(hashes):
            return pa.nulls(len(ids), pa.string())
        wanted = _hashes(ids)
        places = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
        known = hashes[places] == wanted
        spans = zip(known.tolist(), starts[places].tolist(), ends[places].tolist(), strict=True)
        return pa.array([data[start:end] if found else None for found, start, end in spans], pa.binary()).cast(pa.string())

    def _index(self) -> tuple[mmap.mmap, np.ndarray, np.ndarray, np.ndarray]:
        """The file, the sorted hashes of the ids, and where the text of each begins and ends in the file."""
        if self._read is None:
            self._file.write(b"\n")  # an empty file cannot be mapped
            self._file.flush()
            lengths = np.concatenate([np.zeros(0, np.int64), *self._lengths])
            hashes, first = np.unique(np.concatenate([np.zeros(0, np.uint64), *self._hashes]), return_index=True)
            ends = np.cumsum(lengths)
            self._hashes, self._lengths = [], []
            self._read = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ), hashes, (ends - lengths)[first], ends[first]
        return self._read


def _hashes(ids: pa.StringArray) -> np.ndarray:
    return hash_texts(pc.utf8_trim_whitespace(ids))
