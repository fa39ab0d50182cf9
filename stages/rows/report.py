"""Where each row of a data set went: counts by reason and language, and how long the kept texts are."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.rows.dropping import UNKNOWN, Dropped, count_languages
from stages.rows.parquet import text_columns


class SplitReport:
    """Counts of one split, as a whole and by language.

    Lengths are kept as histograms, so that median and 95th percentile are exact and memory does not grow.
    """

    def __init__(self) -> None:
        self._languages: dict[str, _Tally] = {}
        self._notes: Counter[str] = Counter()
        self.added = 0
        """Rows beyond the first that one row of the files gave."""

    def drop(self, dropped: Dropped) -> None:
        """Count dropped rows."""
        for (reason, language), rows in dropped.items():
            self._tally(language).dropped[reason] += rows

    def note(self, notes: Mapping[str, int]) -> None:
        """Count kept rows that the reader should know of, by what is noted."""
        self._notes.update(notes)

    def lose_negatives(self, languages: pa.Array) -> None:
        """Count negatives that were set to null because they say the same as their anchor or positive."""
        for language, rows in count_languages(languages):
            self._tally(language).negatives_removed += rows

    def keep(self, rows: pa.Table) -> None:
        """Count kept rows, with the columns anchor, positive, negative…, language."""
        columns = text_columns(rows.column_names)
        lengths = {name: pc.utf8_length(rows[name]) for name in columns}
        for language, _ in count_languages(rows["language"]):
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
        return total.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """The counts as a whole, and in ``languages`` the same by language.

        Keys: ``read``, ``kept``, ``dropped`` (by reason), ``with_negative``, ``without_negative``, ``negatives_removed`` (they said the
        same as their anchor or positive), ``characters`` (median and p95 of each column of texts); as a whole also ``added`` (rows beyond
        the first that one row of the files gave) and ``notes``, each left out where there is nothing to say.
        """
        languages = {language: self._languages[language].as_dict() for language in sorted(self._languages)}
        extra: dict[str, Any] = {"added": self.added} if self.added else {}
        extra |= {"notes": dict(sorted(self._notes.items()))} if self._notes else {}
        return {**self.whole(), **extra, "languages": languages}

    def _tally(self, language: str) -> "_Tally":
        return self._languages.setdefault(language, _Tally())


def check_sums(split: str, report: Mapping[str, Any], rows: int, written: int) -> None:
    """Check a split's report before it is published.

    Args:
        report: what `SplitReport.as_dict` gives.
        rows: of the split in the raw files, as they were read.
        written: rows in the formatted file.

    Raises:
        RuntimeError: a row is missing or counted twice: a fault of ours.
    """
    parts = [report, *report["languages"].values()]
    faults = [f"read {part['read']}, kept {part['kept']}, dropped {part['dropped']}" for part in parts if not _adds_up(part)]
    for key in ("read", "kept"):
        if (total := sum(part[key] for part in parts[1:])) != report[key]:
            faults.append(f"{key} {report[key]}, by language {total}")
    if report["kept"] != written:
        faults.append(f"kept {report['kept']}, written {written}")
    if report["read"] != rows + report.get("added", 0):
        faults.append(f"read {report['read']}, in the files {rows} and {report.get('added', 0)} more from their lists")
    if faults:
        raise RuntimeError(f"the report of {split} does not add up: {'; '.join(faults)}")


def _adds_up(part: Mapping[str, Any]) -> bool:
    return bool(part["read"] == part["kept"] + sum(part["dropped"].values()))


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
