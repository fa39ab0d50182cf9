"""Texts as Arrow arrays: NFC, the normal form that decides whether two texts are equal, and 64-bit hashes of texts.

Python's own Unicode tables define the results. They are too slow for every row, so a scan finds the rows in which they can matter
(0.2 ns a byte for NFC, 1.4 for the normal form), and Arrow's kernels do the others.
"""

import unicodedata
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_64_intdigest

_MAY_CHANGE_IN_NFC = 0xCC  # the first byte of U+0300: NFC leaves what is below as it is
_PUNCTUATION = r"\x{2010}-\x{2027}"  # dashes, quotes and dots: neither NFC nor casefold changes them
_MAY_FOLD_UNLIKE_LOWER = rf"[^ -\x7F\x{{C0}}-\x{{DE}}\x{{E0}}-\x{{FF}}{_PUNCTUATION}]|  "  # or white space that is not one blank
_COMBINE = np.array([0x9E3779B97F4A7C15 * (2 * k + 1) & (2**64 - 1) | 1 for k in range(64)], dtype=np.uint64)


def nfc(texts: pa.StringArray) -> pa.StringArray:
    """``texts`` in Unicode normalisation form C; nulls stay null."""
    mask = _holds_byte_from(texts, _MAY_CHANGE_IN_NFC)
    return replace_where(mask, lambda text: unicodedata.normalize("NFC", text), texts, texts)


def normal_form(texts: pa.StringArray) -> pa.StringArray:
    """NFC, then ``str.casefold``, then white space collapsed to single blanks and stripped; nulls stay null."""
    mask = pc.match_substring_regex(texts, _MAY_FOLD_UNLIKE_LOWER)
    return pc.utf8_trim(replace_where(mask, fold, texts, pc.utf8_lower(texts)), characters=" ")


def fold(text: str) -> str:
    """The normal form of one text."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def hash_texts(texts: pa.StringArray) -> np.ndarray:
    """XXH3 of each text's UTF-8 bytes, uint64, shape (rows,); 0 for null only."""
    values = texts.cast(pa.binary()).to_pylist()
    return np.fromiter((0 if value is None else xxh3_64_intdigest(value) or 1 for value in values), np.uint64, len(values))


def combine_hashes(hashes: np.ndarray) -> np.ndarray:
    """One hash per row, shape (rows,), from the hashes of its texts, shape (rows, texts)."""
    return (hashes * _COMBINE[: hashes.shape[1]]).sum(axis=1, dtype=np.uint64)


class HashSet:
    """A growing set of 64-bit hashes in 8 bytes each: sorted runs, merged as they grow."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def contains(self, hashes: np.ndarray) -> np.ndarray:
        """Which of ``hashes`` are in the set: booleans of the same shape."""
        values, places = np.unique(hashes, return_inverse=True)
        return self._has(values)[places].reshape(hashes.shape)

    def add(self, hashes: np.ndarray) -> np.ndarray:
        """Add ``hashes``, shape (rows,); return which of them were new; of equal ones, the first."""
        values, first = np.unique(hashes, return_index=True)
        unknown = ~self._has(values)
        new = np.zeros(len(hashes), dtype=bool)
        new[first[unknown]] = True
        run = values[unknown]
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort()
        if len(run):
            self._runs.append(run)
        return new

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def _has(self, values: np.ndarray) -> np.ndarray:
        """`contains` for sorted ``values``: their search in a long run is several times faster."""
        found = np.zeros(len(values), dtype=bool)
        for run in self._runs:
            found |= run[np.minimum(np.searchsorted(run, values), len(run) - 1)] == values
        return found


def _holds_byte_from(texts: pa.StringArray, least: int) -> pa.BooleanArray:
    """Which texts hold a UTF-8 byte that is at least ``least``; a null holds none."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    places = np.flatnonzero(np.frombuffer(data or b"", np.uint8)[bounds[0] : bounds[-1]] >= least) + bounds[0]
    found = np.zeros(len(texts), dtype=bool)
    found[np.searchsorted(bounds, places, side="right") - 1] = True
    return pc.and_(pa.array(found), texts.is_valid())


def replace_where(
    mask: pa.BooleanArray, function: Callable[[str], str | None], texts: pa.StringArray, others: pa.StringArray
) -> pa.StringArray:
    """``others`` with ``function`` of the row's text wherever ``mask`` is true; a null in it is false."""
    changed = pa.array(map(function, texts.filter(mask).to_pylist()), pa.string())
    return pc.replace_with_mask(others, mask, changed) if len(changed) else others
