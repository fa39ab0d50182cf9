"""Texts as Arrow arrays: NFC, the normal form that decides whether two texts are the same, and 64-bit hashes of texts.

Python's own Unicode tables define the results. They are too slow for every row (about 17 ns a byte), so a scan over the bytes finds the
rows where they can matter, and the others go through Arrow's kernels (about 2 ns a byte).
"""

import unicodedata
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_64_intdigest

BLOCK = 2**17
"""Bytes scanned at once: what a scan makes then stays in the processor's cache."""
_COMBINE = np.array([0x9E3779B97F4A7C15 * (2 * k + 1) & (2**64 - 1) | 1 for k in range(64)], dtype=np.uint64)


def nfc(texts: pa.StringArray) -> pa.StringArray:
    """``texts`` in Unicode normalisation form C; nulls stay null."""
    first, data = utf8_bytes(texts)
    rows = _rows_marked(first, data, _may_change_in_nfc)
    return _by_python(texts, rows, lambda text: unicodedata.normalize("NFC", text))


def normal_form(texts: pa.StringArray) -> pa.StringArray:
    """NFC, then ``str.casefold``, then white space collapsed to single blanks and stripped; nulls stay null."""
    first, data = utf8_bytes(texts)
    rows = _rows_marked(first, data, _may_fold_unlike_lower)
    lower = pc.utf8_lower(texts)
    return pc.utf8_trim(_by_python(lower, rows, fold, origin=texts), characters=" ")


def fold(text: str) -> str:
    """The normal form of one text."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def hash_texts(texts: pa.StringArray) -> np.ndarray:
    """XXH3 of each text's UTF-8 bytes, uint64, shape (rows,); 0 for null and for nothing else."""
    if texts.null_count == len(texts):
        return np.zeros(len(texts), dtype=np.uint64)
    present = texts.drop_null() if texts.null_count else texts
    hashes = np.fromiter(map(xxh3_64_intdigest, present.cast(pa.binary()).to_pylist()), np.uint64, len(present))
    hashes[hashes == 0] = 1
    if not texts.null_count:
        return hashes
    every = np.zeros(len(texts), dtype=np.uint64)
    every[pc.is_valid(texts).to_numpy(zero_copy_only=False)] = hashes
    return every


def combine_hashes(hashes: np.ndarray) -> np.ndarray:
    """One hash a row, shape (rows,), from the hashes of its texts, shape (rows, texts)."""
    return (hashes * _COMBINE[: hashes.shape[1]]).sum(axis=1, dtype=np.uint64)


class HashSet:
    """A growing set of 64-bit hashes in 8 bytes each: sorted runs, merged as they grow."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def contains(self, hashes: np.ndarray) -> np.ndarray:
        """Which of ``hashes`` are in the set: booleans of the same shape."""
        flat = np.sort(hashes, axis=None)
        found = np.zeros(len(flat), dtype=bool)
        for run in self._runs:
            places = np.searchsorted(run, flat)
            places[places == len(run)] = 0
            found |= run[places] == flat
        if not found.any():
            return np.zeros(hashes.shape, dtype=bool)
        return np.isin(hashes, flat[found])

    def add(self, hashes: np.ndarray) -> np.ndarray:
        """Add ``hashes``, shape (rows,); return which of them were new, of equal ones the first only."""
        unique, first = np.unique(hashes, return_index=True)
        old = self.contains(unique)
        new = np.zeros(len(hashes), dtype=bool)
        new[first[~old]] = True
        run = unique[~old]
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort()
        if len(run):
            self._runs.append(run)
        return new

    def __len__(self) -> int:
        return sum(map(len, self._runs))


def utf8_bytes(texts: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Where each row begins in the buffer, shape (rows + 1,), and the UTF-8 bytes of all rows."""
    _, offsets, buffer = texts.buffers()
    if buffer is None or offsets is None:
        return np.zeros(len(texts) + 1, dtype=np.int32), np.zeros(0, dtype=np.uint8)
    first = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return first, np.frombuffer(buffer, dtype=np.uint8)[first[0] : first[-1]]


def _may_change_in_nfc(data: np.ndarray) -> np.ndarray:
    """Marks the bytes that begin a character from U+0300 up: every character below is its own NFC."""
    return data >= 0xCC


def _may_fold_unlike_lower(data: np.ndarray) -> np.ndarray:
    """Marks bytes where casefold may not be what Arrow's lower-casing is, or where white space may not be a single
    blank.

    These are control characters, lead bytes of U+0080–U+00BF (no-break space, micro sign) and of U+0100 up, the second
    byte of "ß", and the first of two blanks.
    """
    marks = data >= 0xC4
    marks |= data < 0x20
    marks |= data == 0xC2
    marks |= data == 0x9F
    blank = data == 0x20
    marks[:-1] |= blank[1:] & blank[:-1]
    return marks


def _rows_marked(first: np.ndarray, data: np.ndarray, marks: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Which rows hold a marked byte, those of dashes, quotes and dots apart (U+2010–U+2027), which neither NFC nor
    casefold changes."""
    found = np.zeros(len(first) - 1, dtype=bool)
    blocks = [_true_places(marks(data[start : start + BLOCK + 1])) + start for start in range(0, len(data), BLOCK)]
    places = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int64)
    if len(places):
        near = np.minimum(places[:, None] + np.arange(3), len(data) - 1)
        lead, second, third = data[near].T
        punctuation = places[(lead == 0xE2) & (second == 0x80) & (third >= 0x90) & (third <= 0xA7)]
        if len(punctuation):
            places = places[~np.isin(places, punctuation[:, None] + np.arange(3))]
        found[np.searchsorted(first, places + first[0], side="right") - 1] = True
    return found


def _true_places(marks: np.ndarray) -> np.ndarray:
    """Where ``marks`` is true; eight at a step, since it is false nearly everywhere."""
    whole = len(marks) // 8 * 8
    words = np.flatnonzero(marks[:whole].view(np.uint64))
    near = np.concatenate([(words[:, None] * 8 + np.arange(8)).ravel(), np.arange(whole, len(marks))])
    return near[marks[near]]


def _by_python(
    texts: pa.StringArray, rows: np.ndarray, function: Callable[[str], str], origin: pa.StringArray | None = None
) -> pa.StringArray:
    """``texts`` with ``function`` of the same row of ``origin`` (``texts`` itself by default) in the given rows."""
    if not rows.any():
        return texts
    mask = pa.array(rows)
    values = (texts if origin is None else origin).filter(mask).to_pylist()
    changed = pa.array([None if value is None else function(value) for value in values], pa.string())
    return pc.replace_with_mask(texts, mask, changed)
