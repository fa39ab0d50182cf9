import numpy as np
import pytest

from stages.mix.batches import form_batches


def check(hashes, batch_size):
    """Form batches; assert that each row is in one place and no batch repeats a text; return (batches, left over)."""
    batches, left_over = form_batches(hashes, batch_size)
    assert sorted([*batches.ravel().tolist(), *left_over.tolist()]) == list(range(len(hashes)))
    for batch in batches:
        assert len(set(hashes[batch].ravel().tolist())) == hashes[batch].size
    return batches, left_over


def rows(*columns):
    return np.column_stack([np.array(column, dtype=np.uint64) for column in columns])


def test_different_rows_keep_their_order():
    batches, left_over = check(rows(range(1, 11), range(11, 21)), 4)
    assert (batches.tolist(), left_over.tolist()) == ([[0, 1, 2, 3], [4, 5, 6, 7]], [8, 9])


def test_a_repeated_text_goes_to_another_batch_and_fills_it():
    batches, left_over = check(rows([1, 1, 2, 3], [11, 12, 13, 14]), 2)
    assert (len(batches), len(left_over)) == (2, 0)


def test_a_text_may_not_stand_in_two_columns_of_a_batch():
    check(rows([1, 2, 3, 4], [2, 9, 4, 8]), 2)


def test_passages_with_many_questions_lose_almost_nothing():
    generator = np.random.default_rng(3)
    passages = generator.permutation(np.repeat(np.arange(10_000, 10_400), 6))
    _, left_over = check(rows(range(1, 2_401), passages), 16)
    assert len(left_over) <= 16


def test_a_text_in_most_rows_bounds_the_batches_not_the_time():
    batches, left_over = check(rows(range(1, 20_001), [7] * 15_000 + list(range(30_000, 35_000))), 16)
    assert len(batches) >= 300
    assert len(left_over) == 20_000 - 16 * len(batches)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_rows_than_a_batch_are_left_over(count):
    batches, left_over = check(np.arange(1, 1 + 2 * count, dtype=np.uint64).reshape(count, 2), 4)
    assert (batches.shape, len(left_over)) == ((0, 4), count)
