"""Top-k and mass pruning, against a loop over each vector's weights."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from stages.retrieval.pruning import Ranked


@pytest.fixture
def matrix() -> csr_array:
    """30 vectors with equal weights among them, and two empty ones."""
    generator = np.random.default_rng(0)
    dense = np.round(generator.gamma(1.0, 1.0, (30, 40)) * (generator.random((30, 40)) < 0.4), 1).astype(np.float32)
    dense[[3, 29]] = 0
    return csr_array(dense)


def kept(vector: np.ndarray, count: int) -> np.ndarray:
    """``vector`` with its ``count`` largest weights, the lower dimension first among equals."""
    best = sorted(np.flatnonzero(vector), key=lambda dimension: (-vector[dimension], dimension))[:count]
    return np.where(np.isin(np.arange(len(vector)), best), vector, 0)


@pytest.mark.parametrize("dims", [1, 3, 12, 100])
def test_top_keeps_the_largest_weights(matrix: csr_array, dims: int) -> None:
    expected = [kept(vector, dims) for vector in matrix.toarray()]
    assert np.array_equal(Ranked(matrix).top(dims).toarray(), expected)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_mass_keeps_the_fewest_largest_weights_with_the_share(matrix: csr_array, share: float) -> None:
    for pruned, vector in zip(Ranked(matrix).mass(share).toarray(), matrix.toarray(), strict=True):
        wanted, whole = np.count_nonzero(pruned), vector.sum(dtype=np.float64)
        assert np.array_equal(pruned, kept(vector, wanted))
        assert pruned.sum(dtype=np.float64) >= share * whole - 1e-9
        if wanted:
            assert kept(vector, wanted - 1).sum(dtype=np.float64) < share * whole


def test_a_share_of_one_keeps_weights_too_small_to_be_seen_in_the_sum() -> None:
    matrix = csr_array(np.array([[1e8, 1e-20, 0.0]], dtype=np.float32))
    assert Ranked(matrix).mass(1.0).nnz == 2


def test_negative_weights_count_by_their_size() -> None:
    assert Ranked(csr_array(np.array([[-3.0, 1.0, 2.0]]))).top(2).toarray().tolist() == [[-3.0, 0.0, 2.0]]


def test_a_matrix_of_empty_vectors_stays_empty() -> None:
    empty = Ranked(csr_array((3, 7), dtype=np.float32))
    assert empty.top(2).nnz == empty.mass(0.5).nnz == 0 and empty.top(2).shape == (3, 7)
