"""The mixed rows as training reads them: memory-mapped, in the batches and order of `mix`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sparse_encoder.data_collator import SparseEncoderDataCollator

from stages.retrieval.windows import Windows
from stages.rows.parquet import ANSWER, SCORES, read_tables, text_columns
from stages.runtime.errors import UserError
from stages.train.passages import with_best_windows


@dataclass(frozen=True)
class TrainingRows:
    """The mixed rows.

    Attributes:
        texts: columns anchor, positive, negative…, and scores if the loss uses them; memory-mapped.
        starts: first row of each batch, shape (batches + 1,): the last is the number of rows.
        sources: source of each batch, shape (batches,).
    """

    texts: Dataset
    starts: np.ndarray
    sources: np.ndarray


@dataclass(frozen=True)
class Share:
    """The rows that one of several processes trains on.

    Attributes:
        index: rank of the process.
        count: number of processes.
        of_each_batch: an equal part of every batch, for losses that gather all processes' texts; else every ``count``-th batch.
    """

    index: int = 0
    count: int = 1
    of_each_batch: bool = False


WHOLE = Share()


def open_rows(mixed: Path, arrow_file: Path, scored: bool = False, write: bool = True, windows: Windows | None = None) -> TrainingRows:
    """Map ``mixed`` (train.parquet) into memory through an Arrow copy at ``arrow_file``, which must outlive the rows.

    Args:
        scored: include the column ``scores``, the labels of a distillation loss: one for a row's positive and one for each negative, or
            null in all rows of a batch.
        write: write the copy; if false, another process has written it.
        windows: of long positives and negatives, keep the window that fits the row's anchor best (`passages`); None: keep them whole.

    Raises:
        UserError: ``scored``, and no row has scores.
    """
    with pq.ParquetFile(mixed) as file:
        schema = file.schema_arrow
    columns = text_columns(schema.names)
    if scored:
        if SCORES not in schema.names:
            raise UserError(f"{mixed}: has no scores, which loss.distillation needs; run `dvc repro mix`")
        columns = [*columns, SCORES]
    if write:
        written = pa.schema([schema.field(column) for column in columns])
        with pa.OSFile(str(arrow_file), "wb") as sink, pa.ipc.new_stream(sink, written) as writer:
            for rows in read_tables(mixed, [*columns, *([ANSWER] if windows and ANSWER in schema.names else [])]):
                writer.write_table((with_best_windows(rows, windows) if windows else rows).select(columns))
    table = pq.read_table(mixed, columns=["batch", "source"])
    starts = np.flatnonzero(np.diff(table["batch"].to_numpy(), prepend=-1))
    sources = table["source"].combine_chunks().dictionary_encode().indices.to_numpy()[starts]
    return TrainingRows(Dataset.from_file(str(arrow_file)), np.append(starts, len(table)), sources)


class MixedBatchSampler(DefaultBatchSampler):
    """The batches of `mix`, or one process's share of them, in the order of `mix` in the first epoch.

    In later epochs each source's batches are permuted among themselves, by seed and epoch. If processes take whole batches,
    the last ``len(batches) % count`` of an epoch are not used, because all processes must make the same number of steps.
    If they take parts of a batch, each takes every ``count``-th row.
    """

    def __init__(self, rows: TrainingRows, seed: int, share: Share = WHOLE) -> None:
        self._rows = rows
        self._share = share
        size = int(rows.starts[1] - rows.starts[0])
        super().__init__(rows.texts, batch_size=size // share.count if share.of_each_batch else size, drop_last=True, seed=seed)

    def order(self, epoch: int) -> np.ndarray:
        """Batch numbers in the order of one epoch, shape (batches,)."""
        order = np.arange(len(self._rows.sources))
        if epoch == 0:
            return order
        generator = np.random.default_rng([self.seed, epoch])
        for source in np.unique(self._rows.sources):
            places = np.flatnonzero(self._rows.sources == source)
            order[places] = generator.permutation(places)
        return order

    def __iter__(self) -> Iterator[list[int]]:
        share, starts = self._share, self._rows.starts
        order = self.order(self.epoch)
        if not share.of_each_batch:
            order = order[share.index : len(self) * share.count : share.count]
        first, step = (share.index, share.count) if share.of_each_batch else (0, 1)
        for batch in order:
            yield list(range(int(starts[batch]) + first, int(starts[batch + 1]), step))

    def __len__(self) -> int:
        batches = len(self._rows.sources)
        return batches if self._share.of_each_batch else batches // self._share.count


class MixedCollator(SparseEncoderDataCollator):
    """Drops the columns that are empty in a batch: its rows have the same number of negatives, and all have scores or none has."""

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        present = [name for name, text in features[0].items() if text is not None]
        return super().__call__([{name: row[name] for name in present} for row in features])
