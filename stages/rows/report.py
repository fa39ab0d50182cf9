"""Reports what happened to each row of a data set: counts by reason and language, and the lengths of the kept texts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.rows.dropping import UNKNOWN, Dropped, as_mask, count_languages
from stages.rows.parquet import text_columns


@dataclass
class _Tally:
    """The counts of some rows. Lengths are histograms, so that their quantiles are exact and memory does not grow with the rows."""

    kept: int = 0
    negatives_removed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, np.ndarray] = field(default_factory=dict)

    def keep(self, rows: int, lengths: Mapping[str, np.ndarray]) -> None:
        self.kept += rows
        for name, some in lengths.items():
            before = self.lengths.get(name, np.zeros(0, dtype=np.int64))
            self.lengths[name] = np.bincount(some, minlength=len(before))
            self.lengths[name][: len(before)] += before

    @property
    def read(self) -> int:
        return self.kept + self.dropped.total()

    def as_dict(self) -> dict[str, Any]:
        texts = {name: counts.sum() for name, counts in self.lengths.items()}
        with_negative = int(texts.get("negative", 0))
        return {
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "with_negative": with_negative,
            "without_negative": self.kept - with_negative,
            "negatives_removed": self.negatives_removed,
            "characters": {
                name: {"median": _quantile(counts, 0.5), "p95": _quantile(counts, 0.95)}
                for name, counts in self.lengths.items()
                if texts[name]
            },
        }


class SplitReport:
    """Counts of one split, as a whole and by language.

    Attributes:
        added: rows beyond the first made from one raw row.
        notes: numbers of kept rows to mention, by what is mentioned.
    """

    def __init__(self) -> None:
        self.added = 0
        self.notes: Counter[str] = Counter()
        self._whole = _Tally()
        self._languages: dict[str, _Tally] = {}

    @property
    def kept(self) -> int:
        return self._whole.kept

    @property
    def read(self) -> int:
        return self._whole.read

    def drop(self, dropped: Dropped) -> None:
        """Count dropped rows."""
        for (reason, language), rows in dropped.items():
            for tally in self._tallies(language):
                tally.dropped[reason] += rows

    def lose_negatives(self, languages: pa.Array) -> None:
        """Count negatives that were set to null because they equal their anchor or positive."""
        for language, rows in count_languages(languages):
            for tally in self._tallies(language):
                tally.negatives_removed += rows

    def keep(self, rows: pa.Table) -> None:
        """Count kept rows, with the columns anchor, positive, negative…, language."""
        lengths = {name: pc.utf8_length(rows[name]) for name in text_columns(rows.column_names)}
        languages = pc.fill_null(rows["language"], UNKNOWN)
        for language, count in count_languages(languages):
            mine = pa.array(as_mask(pc.equal(languages, language)))
            some = {name: column.filter(mine).drop_null().to_numpy() for name, column in lengths.items()}
            for tally in self._tallies(language):
                tally.keep(count, some)

    def as_dict(self) -> dict[str, Any]:
        """The counts as a whole, and in ``languages`` the same by language.

        Keys: ``read``, ``kept``, ``dropped`` (by reason), ``with_negative``, ``without_negative``, ``negatives_removed`` (equal to
        their anchor or positive), ``characters`` (median and p95 of each column of texts); as a whole also ``added`` and ``notes``, if
        there are any.
        """
        extra: dict[str, Any] = {"added": self.added} if self.added else {}
        extra |= {"notes": dict(sorted(self.notes.items()))} if self.notes else {}
        languages = {language: tally.as_dict() for language, tally in sorted(self._languages.items())}
        return {**self._whole.as_dict(), **extra, "languages": languages}

    def _tallies(self, language: str) -> tuple[_Tally, _Tally]:
        return self._whole, self._languages.setdefault(language, _Tally())


def check_sums(split: str, report: SplitReport, rows: int, written: int) -> None:
    """Check a split's report before it is published.

    Args:
        rows: of the split, as read from the raw files.
        written: rows in the formatted file.

    Raises:
        RuntimeError: a row is missing or counted twice, which is a bug.
    """
    if report.kept != written or report.read != rows + report.added:
        raise RuntimeError(
            f"the report of {split} does not add up: read {report.read}, in the files {rows} and {report.added} more from their lists; "
            f"kept {report.kept}, written {written}"
        )


def _quantile(counts: np.ndarray, share: float) -> int:
    """The smallest length that at least a ``share`` of the texts do not exceed."""
    return int(np.searchsorted(np.cumsum(counts), share * counts.sum()))
