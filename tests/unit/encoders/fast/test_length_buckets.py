"""A bucket is split if that saves enough padding."""

import random

import pytest

from stages.encoders.fast.length_buckets import split


def test_a_bucket_is_split_where_that_saves_most_padding_if_it_saves_enough() -> None:
    lengths = [10, 100, 90, 12, 11, 95]
    assert split(lengths, 265) == [([1, 5, 2, 3, 4, 0], 100)]  # 3 x (100 - 12) = 264 would be saved
    assert split(lengths, 20) == [([1, 5, 2], 100), ([3, 4, 0], 12)]
    assert split(lengths, 10) == [([1, 5], 100), ([2], 90), ([3, 4, 0], 12)]
    assert split([7, 7, 7], 1) == [([0, 1, 2], 7)]
    assert split([0, 0], 1) == [([0, 1], 1)]


@pytest.mark.parametrize("seed", range(20))
def test_buckets_have_every_row_once_and_each_split_saves_enough(seed: int) -> None:
    source = random.Random(seed)
    lengths, saving = [source.randint(1, 512) for _ in range(source.randint(1, 300))], source.randint(1, 2000)
    groups = split(lengths, saving)
    assert sorted(row for rows, _ in groups for row in rows) == list(range(len(lengths)))
    assert all(width == max(lengths[row] for row in rows) for rows, width in groups)
    padded = sum(width * len(rows) for rows, width in groups)
    assert padded <= max(lengths) * len(lengths) - saving * (len(groups) - 1)
    assert [width for _, width in groups] == sorted((width for _, width in groups), reverse=True)
