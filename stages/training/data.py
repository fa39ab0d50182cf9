"""The mixed rows as training reads them: memory-mapped, in the batches and the order that `mix` decided."""

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

from stages.errors import UserError
from stages.rows.parquet import SCORES, read_tables, text_columns


@dataclass(frozen=True)
class TrainingRows:
    """The mixed rows.

    Attributes:
        texts: columns anchor, positive, negative…, and scores where they are trained on; memory-mapped.
        starts: first row of each batch, shape (batches + 1,): the last is the number of rows.
        sources: source of each batch, shape (batches,).
    """

    texts: Dataset
    starts: np.ndarray
    sources: np.ndarray


def open_rows(mixed: Path, arrow_file: Path, scored: bool = False) -> TrainingRows:
    """Map ``mixed`` (train.parquet) into memory through an Arrow copy at ``arrow_file``, which must outlive the rows.

    Args:
        scored: with the column ``scores``, the labels of a distillation loss; each row has one for its positive and each negative.

    Raises:
        UserError: scores are wanted and a row has none.
    """
    with pq.ParquetFile(mixed) as file:
        schema = file.schema_arrow
    columns = text_columns(schema.names)
    if scored:
        if SCORES not in schema.names or pq.read_table(mixed, columns=[SCORES])[SCORES].null_count:
            raise UserError(f"{mixed}: has rows without scores, which loss.distillation needs; run `dvc repro mix`")
        columns = [*columns, SCORES]
    with (
        pa.OSFile(str(arrow_file), "wb") as sink,
        pa.ipc.new_stream(sink, pa.schema([schema.field(c) for c in columns])) as writer,
    ):
        for rows in read_tables(mixed, columns):
            writer.write_table(rows.select(columns))
    batch_of_row = pq.read_table(mixed, columns=["batch"])["batch"].to_numpy()
    starts = np.flatnonzero(np.diff(batch_of_row, prepend=-1))
    source = pq.read_table(mixed, columns=["source"])["source"].combine_chunks().dictionary_encode()
    return TrainingRows(
        texts=Dataset.from_file(str(arrow_file)),
        starts=np.append(starts, len(batch_of_row)),
        sources=source.indices.to_numpy()[starts],
    )


class MixedBatchSampler(DefaultBatchSampler):
    """The batches of `mix`, in its order in the first epoch.

    In later epochs each source's batches are permuted among themselves, by seed and epoch.
    """

    def __init__(self, rows: TrainingRows, seed: int) -> None:
        super().__init__(rows.texts, batch_size=int(rows.starts[1] - rows.starts[0]), drop_last=True, seed=seed)
        self._rows = rows

    def order(self, epoch: int) -> np.ndarray:
        """Batch numbers in the order of one epoch, shape (batches,)."""
        order = np.arange(len(self))
        if epoch == 0:
            return order
        generator = np.random.default_rng([self.seed, epoch])
        for source in np.unique(self._rows.sources):
            places = np.flatnonzero(self._rows.sources == source)
            order[places] = generator.permutation(places)
        return order

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.order(self.epoch):
            yield list(range(int(self._rows.starts[batch]), int(self._rows.starts[batch + 1])))

    def __len__(self) -> int:
        return len(self._rows.sources)


class MixedCollator(SparseEncoderDataCollator):
    """Leaves out the negatives that a batch does not have: every row of a batch has the same number of them."""

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        present = [name for name, text in features[0].items() if text is not None]
        return super().__call__([{name: row[name] for name in present} for row in features])
