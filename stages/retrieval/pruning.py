"""Prune sparse vectors: keep a number of the largest weights, or those that make up a share of the vector's sum.

The second is the "α-mass subvector" of Bruch, Nardini, Rulli and Venturini (Seismic, SIGIR 2024, https://arxiv.org/abs/2404.18812): the
fewest of the largest weights whose sum is at least α of the whole.
"""

import numpy as np
from scipy.sparse import csr_array


class Ranked:
    """Vectors whose weights are ranked once, by absolute value, ties by dimension; each pruning of them then costs one pass.

    Args:
        matrix: shape (vectors, dimensions), with sorted indices. Ranking needs about 50 bytes a weight.
    """

    def __init__(self, matrix: csr_array) -> None:
        self.matrix = matrix
        lengths = np.diff(matrix.indptr)
        rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), lengths)
        weights = np.abs(matrix.data)
        order = np.lexsort((-weights, rows))  # stable: equal weights stay in the order of dimensions
        first = np.repeat(matrix.indptr[:-1], lengths)  # place of the first weight of the same vector
        self._rank = np.empty(matrix.nnz, np.int32)
        self._rank[order] = np.arange(matrix.nnz) - first
        sums = np.concatenate([[0.0], np.cumsum(weights[order], dtype=np.float64)])
        self._before = np.empty(matrix.nnz)  # share of the vector's sum in its larger weights
        of_vector = np.repeat(sums[matrix.indptr[1:]] - sums[matrix.indptr[:-1]], lengths)
        self._before[order] = (sums[:-1] - sums[first]) / of_vector

    def top(self, dims: int) -> csr_array:
        """The ``dims`` largest weights of each vector."""
        return self._kept(self._rank < dims)

    def mass(self, share: float) -> csr_array:
        """The fewest of each vector's largest weights that make up ``share`` of its sum; 1 keeps all."""
        return self._kept((self._before < share) | (share >= 1))

    def _kept(self, keep: np.ndarray) -> csr_array:
        kept = np.concatenate([[0], np.cumsum(keep)])
        parts = (self.matrix.data[keep], self.matrix.indices[keep], kept[self.matrix.indptr])
        return csr_array(parts, shape=self.matrix.shape)
