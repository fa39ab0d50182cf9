"""Forms batches of one source: the same number of negatives in every row, and no text twice, not even across columns.

A text that occurs twice in a batch would be a negative of its own query, unless negatives count for their own row only.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from stages.mix.selection import carried_hashes, has_scores

TRIES = 8
"""Waiting rows tried for each place of a new batch; limits the time that a very frequent text can cost."""


def form_batches(hashes: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Group rows, in the order given, into batches without a repeated text.

    Consecutive rows form a batch, which nearly always works. The rows of batches that repeat a text are regrouped one by one: a row that
    repeats a text of the current batch waits for a later one. If that leaves more rows than a tail, all rows are regrouped.

    Args:
        hashes: of the rows' texts, uint64, shape (rows, texts).

    Returns:
        Row numbers, shape (batches, batch_size), and the numbers of the rows left over.
    """
    batches = len(hashes) // batch_size
    rows = np.arange(batches * batch_size).reshape(batches, batch_size)
    texts = np.sort(hashes[: rows.size].reshape(batches, batch_size * hashes.shape[1]), axis=1)
    sound = ~(texts[:, 1:] == texts[:, :-1]).any(axis=1)
    doubtful = np.concatenate([rows[~sound].ravel(), np.arange(rows.size, len(hashes))])
    regrouped, left_over = _one_by_one(hashes[doubtful], batch_size)
    if len(left_over) == len(hashes) % batch_size:
        return np.concatenate([rows[sound], doubtful[regrouped]]), doubtful[left_over]
    return _one_by_one(hashes, batch_size)


def _one_by_one(hashes: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    texts = list(zip(*hashes.T.tolist(), strict=True))
    batched: list[int] = []
    waiting: deque[int] = deque()
    incoming = iter(range(len(texts)))
    while True:
        batch: list[int] = []
        seen: set[int] = set()
        for _ in range(min(len(waiting), TRIES * batch_size)):
            row = waiting.popleft()
            if len(batch) < batch_size and seen.isdisjoint(texts[row]):
                seen.update(texts[row])
                batch.append(row)
            else:
                waiting.append(row)
        while len(batch) < batch_size and (row := next(incoming, -1)) >= 0:
            if seen.isdisjoint(texts[row]):
                seen.update(texts[row])
                batch.append(row)
            else:
                waiting.append(row)
        if len(batch) < batch_size:
            left_over = np.array([*batch, *waiting], dtype=np.int64)
            return np.array(batched, dtype=np.int64).reshape(-1, batch_size), left_over
        batched += batch


class BatchStream:
    """The batches of one source, in a random order, from its `shuffle.scatter` buckets.

    Args:
        scored: rows with a teacher's scores and rows without are in different batches.
        own_negatives: a batch may hold a row's negative again, as other rows' anchors are not contrasted with it.

    Attributes:
        used: batches returned so far.
        exhausted: whether all rows that fill a batch have been used.
    """

    def __init__(
        self,
        buckets: Iterator[pa.Table],
        batch_size: int,
        generator: np.random.Generator,
        max_batches: int | None = None,
        scored: bool = False,
        own_negatives: bool = False,
    ) -> None:
        self.used, self._scored, self._distinct = 0, scored, 2 if own_negatives else None
        self.exhausted = False
        self._batches = self._formed(buckets, batch_size, generator, max_batches)

    def next(self) -> pa.Table | None:
        """The next batch; None at the end."""
        return next(self._batches, None)

    def _formed(
        self, buckets: Iterator[pa.Table], batch_size: int, generator: np.random.Generator, max_batches: int | None
    ) -> Iterator[pa.Table]:
        left_over: list[pa.Table] = []
        for bucket in buckets:
            rows = pa.concat_tables([*left_over, bucket]).combine_chunks()
            hashes = carried_hashes(rows)
            kinds = has_scores(rows, hashes) & self._scored
            batches, rest = _group(hashes, kinds, generator.permutation(len(rows)), batch_size, self._distinct)
            left_over = [rows.take(pa.array(rest))]
            rows = rows.take(pa.array(generator.permutation(batches).ravel()))
            for start in range(0, len(rows), batch_size):
                if self.used == max_batches:
                    return
                self.used += 1
                yield rows.slice(start, batch_size)
        self.exhausted = self.used != max_batches


def _group(
    hashes: np.ndarray, kinds: np.ndarray, order: np.ndarray, batch_size: int, distinct: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """`form_batches` of the rows in ``order``, separately for each combination of kind and negatives present.

    The first ``distinct`` columns of texts have no text twice in a batch; None: all.
    """
    present = np.column_stack([hashes[:, 2:] != 0, kinds])
    shape = present @ (1 << np.arange(present.shape[1]))  # as bits
    batched, left_over = [], []
    for one in np.unique(shape):
        mine = order[shape[order] == one]
        texts = hashes[mine, :distinct]
        some, rest = form_batches(texts[:, texts.any(axis=0)], batch_size)
        batched.append(mine[some])
        left_over.append(mine[rest])
    return np.concatenate(batched), np.concatenate(left_over)
