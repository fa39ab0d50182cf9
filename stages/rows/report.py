"""Where each row of a data set went: counts by reason and language, and how long the kept texts are."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.rows.parquet import text_columns


class SplitReport:
    """Counts of one split, as a whole and by language.

    Lengths are kept as histograms, so that median and 95th percentile are exact and memory does not grow.
    """

    def __init__(self) -> None:
        self._dropped_unread: Counter[str] = Counter()
        self._languages: dict[str, _Tally] = {}

    def drop(self, dropped: Mapping[str, int]) -> None:
        """Count rows of the raw files that gave no row here, by reason."""
        self._dropped_unread.update(dropped)

    def refuse(self, reason: str, languages: pa.Array) -> None:
        """Count dropped rows, of which ``languages`` are the languages."""
        for language, rows in _counts(languages):
            tally = self._tally(language)
            tally.dropped[reason] += rows

    def lose_negatives(self, languages: pa.Array) -> None:
        """Count negatives that were set to null because they say the same as their anchor or positive."""
        for language, rows in _counts(languages):
            self._tally(language).negatives_removed += rows

    def keep(self, rows: pa.Table) -> None:
        """Count kept rows, with the columns anchor, positive, negative…, language."""
        columns = text_columns(rows.column_names)
        lengths = {name: pc.utf8_length(rows[name]) for name in columns}
        for language, _ in _counts(rows["language"]):
            mine = pc.fill_null(pc.equal(rows["language"], language), language == UNKNOWN) if len(rows) else None
            tally = self._tally(language)
            tally.kept += pc.sum(mine).as_py()
            for name in columns:
                some = lengths[name].filter(mine).drop_null().to_numpy()
                tally.lengths.setdefault(name, _Histogram()).add(some)

    @property
    def kept(self) -> int:
        """Rows kept."""
        return sum(tally.kept for tally in self._languages.values())

    def whole(self) -> dict[str, Any]:
        """The counts over all languages; see `as_dict`."""
        total = _Tally()
        for tally in self._languages.values():
            total.add(tally)
        total.dropped.update(self._dropped_unread)
        return total.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """The counts as a whole, and in ``languages`` the same by language.

        Keys: ``read``, ``kept``, ``dropped`` (by reason), ``with_negative``, ``without_negative``, ``negatives_removed`` (they said the
        same as their anchor or positive), ``characters`` (median and p95 of each column of texts).
        """
        languages = {language: self._languages[language].as_dict() for language in sorted(self._languages)}
        return {**self.whole(), "languages": languages}

    def _tally(self, language: str) -> "_Tally":
        return self._languages.setdefault(language, _Tally())


UNKNOWN = "unknown"


class _Histogram:
    """How many texts have which length."""

    def __init__(self) -> None:
        self.counts = np.zeros(0, dtype=np.int64)

    def add(self, lengths: np.ndarray) -> None:
        self.merge(np.bincount(lengths) if len(lengths) else self.counts[:0])

    def merge(self, counts: np.ndarray) -> None:
        longer, shorter = (counts, self.counts) if len(counts) > len(self.counts) else (self.counts, counts)
        self.counts = longer.copy() if longer is counts else longer
        self.counts[: len(shorter)] += shorter

    @property
    def texts(self) -> int:
        return int(self.counts.sum())

    def quantile(self, share: float) -> int:
        """The smallest length that at least ``share`` of the texts do not exceed."""
        return int(np.searchsorted(np.cumsum(self.counts), share * self.texts))


class _Tally:
    def __init__(self) -> None:
        self.kept = 0
        self.negatives_removed = 0
        self.dropped: Counter[str] = Counter()
        self.lengths: dict[str, _Histogram] = {}

    def add(self, other: "_Tally") -> None:
        self.kept += other.kept
        self.negatives_removed += other.negatives_removed
        self.dropped.update(other.dropped)
        for name, histogram in other.lengths.items():
            self.lengths.setdefault(name, _Histogram()).merge(histogram.counts)

    def as_dict(self) -> dict[str, Any]:
        with_negative = self.lengths["negative"].texts if "negative" in self.lengths else 0
        return {
            "read": self.kept + self.dropped.total(),
            "kept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "with_negative": with_negative,
            "without_negative": self.kept - with_negative,
            "negatives_removed": self.negatives_removed,
            "characters": {
                name: {"median": histogram.quantile(0.5), "p95": histogram.quantile(0.95)}
                for name, histogram in self.lengths.items()
                if histogram.texts
            },
        }


def _counts(languages: pa.Array | pa.ChunkedArray) -> list[tuple[str, int]]:
    """(language, rows) pairs; a null language is `UNKNOWN`."""
    return [(pair["values"] or UNKNOWN, pair["counts"]) for pair in pc.value_counts(languages).to_pylist()]
