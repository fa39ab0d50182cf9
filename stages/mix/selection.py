"""Selects the formatted rows to train on: without evaluation's queries and relevant documents, without rows of earlier sets.

Texts are compared by their normal forms (NFC, casefold, white space collapsed; see `stages.rows.normalisation`). A row is removed if it
holds an evaluation query or a document that is relevant for one. Other documents of an evaluation corpus may be trained on: a BEIR folder
shares one corpus between train and test, and a document that answers no query leaks nothing. Rows with such a text are counted.

A row is also removed if a dev row of any set has its anchor or its positive: dev is held out from all training.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.mix.negatives import keep_negatives
from stages.rows.normalisation import HashSet, combine_hashes, hash_texts, normal_form
from stages.rows.parquet import SCORES, one_array, read_tables, text_columns

TEXTS_AT_ONCE = 10_000
HASH = "#"
"""Prefix of the columns that hold another column's hashes; they stay with the rows but are never written."""


@dataclass(frozen=True)
class EvaluationTexts:
    """Texts of the evaluation sets, as the model sees them; with and without the title, if it may see either.

    Attributes:
        queries: all queries.
        documents: those relevant for some query.
        distractors: all other documents.
    """

    queries: Iterable[str] = ()
    documents: Iterable[str] = ()
    distractors: Iterable[str] = ()


class Selection:
    """Selects the rows of one source after the other; remembers earlier rows in 8 bytes each.

    Args:
        dev: the dev.parquet of every source.
        max_negatives: per row; None keeps all.
        scored: only rows with a negative and a teacher's scores are usable.
    """

    def __init__(
        self, evaluation: EvaluationTexts, dev: Iterable[Path] = (), max_negatives: int | None = None, scored: bool = False
    ) -> None:
        self._max_negatives, self._scored = max_negatives, scored
        self._forbidden, self._distractors, self._earlier = HashSet(), HashSet(), HashSet()
        self._held_out = {"anchor": HashSet(), "positive": HashSet()}
        for path in dev:
            for table in read_tables(path, list(self._held_out)):
                for name, texts in self._held_out.items():
                    texts.add(hash_texts(normal_form(one_array(table[name]))))
        self.queries = _add(self._forbidden, evaluation.queries)
        self.documents = _add(self._forbidden, evaluation.documents)
        _add(self._distractors, evaluation.distractors)

    def rows(self, path: Path, counts: Counter[str], mined: bool = False) -> Iterator[pa.Table]:
        """Yield the usable rows of a formatted file, each column of texts with one of hashes; add to ``counts``.

        If the negatives were ``mined``, one that evaluation forbids is removed from its row, and the row stays.
        """
        own = []
        for table in read_tables(path):
            hashes = text_hashes(table)
            counts["rows"] += len(table)
            barred = self._forbidden.contains(hashes[:, 2:]) & mined
            counts["mined_negatives_barred"] += int(barred.sum())
            table, hashes = keep_negatives(table, hashes, self._max_negatives, barred)
            keys, scored = combine_hashes(hashes), has_scores(table, hashes)
            held_out = self._held_out["anchor"].contains(hashes[:, 0]) | self._held_out["positive"].contains(hashes[:, 1])
            reasons = {
                "removed_without_scores": ~scored if self._scored else np.zeros(len(table), dtype=bool),
                "removed_evaluation_overlap": self._forbidden.contains(hashes).any(axis=1),
                "removed_dev_overlap": held_out,
                "removed_duplicate_of_earlier_set": self._earlier.contains(keys),
                "removed_repeats_itself": _repeats(hashes),
            }
            kept = np.ones(len(table), dtype=bool)
            for reason, mask in reasons.items():
                counts[reason] += int((kept & mask).sum())
                kept &= ~mask
            counts["shared_distractors"] += int((kept & self._distractors.contains(hashes).any(axis=1)).sum())
            counts["kept"] += int(kept.sum())
            counts["without_scores"] += int((kept & ~scored).sum())
            own.append(keys[kept])
            for name, column in zip(text_columns(table.column_names), hashes.T, strict=True):
                table = table.append_column(HASH + name, pa.array(column))
            yield table if kept.all() else table.filter(pa.array(kept))
        self._earlier.add(np.concatenate([np.zeros(0, dtype=np.uint64), *own]))

    def overlaps(self, rows: pa.Table) -> int:
        """How many of the rows, which carry their hashes, hold a text that evaluation forbids."""
        return int(self._forbidden.contains(carried_hashes(rows)).any(axis=1).sum())


def text_hashes(rows: pa.Table) -> np.ndarray:
    """Hashes of the normal forms of the rows' texts, uint64, shape (rows, texts); 0 for null."""
    return np.column_stack([hash_texts(normal_form(one_array(rows[name]))) for name in text_columns(rows.column_names)])


def carried_hashes(rows: pa.Table) -> np.ndarray:
    """The hashes that the rows carry, uint64, shape (rows, texts); null, from joining sets with fewer negatives, is 0."""
    names = [name for name in rows.column_names if name.startswith(HASH)]
    return np.column_stack([pc.fill_null(rows[name], 0).to_numpy() for name in names])


def has_scores(rows: pa.Table, hashes: np.ndarray) -> np.ndarray:
    """Which rows have a negative and a teacher's scores; ``hashes``: of their texts, shape (rows, texts)."""
    if SCORES not in rows.column_names:
        return np.zeros(len(rows), dtype=bool)
    scores: np.ndarray = pc.is_valid(rows[SCORES]).to_numpy()
    return scores & (hashes[:, 2:] != 0).any(axis=1)


def _repeats(hashes: np.ndarray) -> np.ndarray:
    """Which rows hold one text twice."""
    ordered = np.sort(hashes, axis=1)
    return ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != 0)).any(axis=1)


def _add(hashes: HashSet, texts: Iterable[str]) -> int:
    texts, count = iter(texts), 0
    while some := list(islice(texts, TEXTS_AT_ONCE)):
        hashes.add(hash_texts(normal_form(pa.array(some, pa.string()))))
        count += len(some)
    return count
