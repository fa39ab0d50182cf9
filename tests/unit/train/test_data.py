"""The mixed rows reach the loss in the batches and the order that `mix` wrote."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.rows.parquet import text_columns
from stages.train.data import MixedBatchSampler, MixedCollator, Share, TrainingRows, open_rows

SOURCES = ["a", "b", "a", "b", "a"]  # of five batches of three rows


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    rows = [
        (f"q{b}.{r}", f"d{b}.{r}", f"n{b}.{r}" if source == "b" else None, source, b) for b, source in enumerate(SOURCES) for r in range(3)
    ]
    columns = dict(zip(["anchor", "positive", "negative", "source", "batch"], zip(*rows, strict=True), strict=True))
    table = (
        pa.table(columns).set_column(4, "batch", pa.array(columns["batch"], pa.int32())).append_column("language", pa.array(["nb"] * 15))
    )
    pq.write_table(table, tmp_path / "train.parquet", row_group_size=4)
    return tmp_path / "train.parquet"


@pytest.fixture
def rows(mixed: Path, tmp_path: Path) -> TrainingRows:
    return open_rows(mixed, tmp_path / "rows.arrow")


def test_only_text_columns_reach_the_loss_and_in_its_order(rows: TrainingRows) -> None:
    assert rows.texts.column_names == ["anchor", "positive", "negative"]
    assert text_columns(["batch", "negative_2", "language", "scores", "negative", "source", "anchor", "positive"]) == [
        "anchor", "positive", "negative_2", "negative"]  # fmt: skip


def test_the_first_epoch_has_the_batches_as_mixed(rows: TrainingRows) -> None:
    batches = list(MixedBatchSampler(rows, seed=0))
    assert batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [12, 13, 14]]


def test_a_later_epoch_permutes_the_batches_of_a_source_among_themselves(rows: TrainingRows) -> None:
    sampler = MixedBatchSampler(rows, seed=0)
    orders = [sampler.order(epoch) for epoch in range(8)]
    for order in orders:
        assert sorted(order) == list(range(5))
        assert [SOURCES[batch] for batch in order] == SOURCES
    assert len({tuple(order) for order in orders}) > 3
    assert np.array_equal(orders[3], MixedBatchSampler(rows, seed=0).order(3))


def test_the_trainer_announces_the_epoch_by_set_epoch(rows: TrainingRows) -> None:
    sampler = MixedBatchSampler(rows, seed=0)
    sampler.set_epoch(3)
    assert [batch[0] // 3 for batch in sampler] == list(sampler.order(3))


def test_a_batch_without_negatives_has_no_negative_column(rows: TrainingRows) -> None:
    collate = MixedCollator(lambda texts, prompt=None, task=None: {"input_ids": texts})
    pairs, triplets = (collate([rows.texts[i] for i in batch]) for batch in ([0, 1, 2], [3, 4, 5]))
    assert set(pairs) == {"anchor_input_ids", "positive_input_ids"}
    assert triplets["negative_input_ids"] == ["n1.0", "n1.1", "n1.2"]


def test_processes_that_gather_share_every_batch(rows: TrainingRows) -> None:
    parts = [list(MixedBatchSampler(rows, 0, Share(index, 3, of_each_batch=True))) for index in range(3)]
    assert [len(part) for part in parts] == [5, 5, 5]
    for batch, shares in enumerate(zip(*parts, strict=True)):
        assert sorted(row for share in shares for row in share) == [3 * batch, 3 * batch + 1, 3 * batch + 2]
        assert [len(share) for share in shares] == [1, 1, 1]


def test_processes_that_do_not_gather_take_the_same_number_of_whole_batches(rows: TrainingRows) -> None:
    samplers = [MixedBatchSampler(rows, 0, Share(index, 2)) for index in range(2)]
    assert [len(sampler) for sampler in samplers] == [2, 2]
    assert [list(sampler) for sampler in samplers] == [[[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10, 11]]]
    for sampler in samplers:
        sampler.set_epoch(3)
    later = [batch[0] // 3 for pair in zip(*samplers, strict=True) for batch in pair]
    assert later == list(MixedBatchSampler(rows, 0).order(3))[:4]
