"""The passage of a long document that answers its row's query: what a model that sees documents in windows trains on.

A row of a data set says which document answers its anchor, not where, unless it names the answer (`stages.rows.parquet.ANSWER`): then the
window with it is taken. Else it is the one that shares the most with the anchor: the sum of the inverse document frequencies of the tokens
that occur in both. On the training rows of NorQuAD, Danish SQuAD and SweQUAD-MC (windows of 128 tokens) that one holds the answer in 77, 91
and 89% of the rows whose document is longer, and the first window, which truncation leaves, in 31, 79 and 29%.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from stages.retrieval.windows import Windows
from stages.rows.normalisation import fold
from stages.rows.parquet import ANSWER


def with_best_windows(rows: pa.Table, windows: Windows) -> pa.Table:
    """``rows`` with one window in place of each positive and negative that is too long.

    Inverse document frequencies come from the windows of these rows.

    Args:
        rows: columns anchor, positive, negative …; other columns stay.
    """
    columns = [name for name in rows.column_names if name == "positive" or name.startswith("negative")]
    given = {name: rows[name].to_pylist() for name in columns}
    texts = list(dict.fromkeys(text for column in given.values() for text in column if text))
    parts = {text: found for text, found in zip(texts, windows.split(texts), strict=True) if len(found) > 1}
    if not parts:
        return rows
    choice = _Choice(parts, windows)
    anchors = rows["anchor"].to_pylist()
    answers = rows[ANSWER].to_pylist() if ANSWER in rows.column_names else [None] * len(rows)
    for name in columns:
        known = answers if name == "positive" else [None] * len(rows)
        best = choice.best([row for row in zip(anchors, given[name], known, strict=True) if row[1] in parts])
        chosen = [next(best) if text in parts else text for text in given[name]]
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(chosen, pa.string()))
    return rows


class _Choice:
    """Chooses among the windows of each text."""

    def __init__(self, parts: dict[str, list[str]], windows: Windows) -> None:
        self._parts, self._windows = parts, windows
        found = [np.unique(ids) for ids, _ in windows.tokens([window for each in parts.values() for window in each])]
        ends = np.cumsum([len(each) for each in parts.values()]).tolist()
        self._ids = {text: found[end - len(each) : end] for (text, each), end in zip(parts.items(), ends, strict=True)}
        frequencies = np.bincount(np.concatenate(found))
        self._weights = np.log1p((len(found) - frequencies + 0.5) / (frequencies + 0.5)) * (frequencies > 0)

    def best(self, rows: Sequence[tuple[str, str, str | None]]) -> Iterator[str]:
        """For each (anchor, text, answer) the window of the text with the answer or, if several or none have it, the one of them that
        shares tokens with the anchor with the highest sum of weights; the first of equals.
        """
        wanted = np.zeros_like(self._weights)
        for (ids, _), (_, text, answer) in zip(self._windows.tokens([anchor for anchor, _, _ in rows]), rows, strict=True):
            known = ids[ids < len(wanted)]
            wanted[known] = self._weights[known]
            shared = np.array([wanted[each].sum() for each in self._ids[text]])
            wanted[known] = 0
            held = [bool(answer) and _holds(window, answer or "") for window in self._parts[text]]
            yield self._parts[text][int(np.argmax(np.where(held, shared, -1.0) if any(held) else shared))]


def _holds(window: str, answer: str) -> bool:
    """Whether ``answer`` stands in ``window`` as whole words, in any case."""
    return re.search(rf"(?<!\w){re.escape(fold(answer))}(?!\w)", fold(window)) is not None
