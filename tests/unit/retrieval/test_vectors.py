"""Search over sparse vectors, against a loop over all documents."""

from mmap import mmap
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from stages.retrieval import vectors
from stages.retrieval.vectors import Encoded, dimension_counts, search, stacked
from stages.runtime.errors import UserError


def drawn(rows: int, seed: int, sign: int = 1) -> csr_array:
    """Rows with weights of one decimal, so that scores tie, and some of them empty."""
    generator = np.random.default_rng(seed)
    dense = generator.integers(1, 4, (rows, 30)) * (generator.random((rows, 30)) < 0.1)
    return csr_array((sign * dense).astype(np.float32))


def by_hand(encoded: Encoded, ids: list[str], depth: int) -> list[list[tuple[str, float]]]:
    scores = encoded.queries.toarray() @ encoded.documents.toarray().T
    starts = encoded.starts.tolist()
    found = []
    for row in scores:
        best = [(-row[low:high].max(), name) for name, low, high in zip(ids, starts[:-1], starts[1:], strict=True)]
        found.append([(name, -score) for score, name in sorted(best)[:depth]])
    return found


@pytest.mark.parametrize("depth", [1, 5, 200])
@pytest.mark.parametrize("entries", [7, 1000])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("windows", [False, True])
def test_search_finds_the_best_documents_with_ties_by_id(
    monkeypatch: pytest.MonkeyPatch, depth: int, entries: int, sign: int, windows: bool
) -> None:
    monkeypatch.setattr(vectors, "ENTRIES", entries)
    documents = drawn(100, 1, sign)
    starts = np.array([0, 1, 4, 5, 30, 31, 60, 99, 100]) if windows else np.arange(101)
    encoded = Encoded(drawn(20, 2), documents, starts)
    ids = [f"d{number}" for number in np.random.default_rng(3).permutation(len(starts) - 1)]
    assert [list(found.items()) for found in search(encoded, ids, depth)] == by_hand(encoded, ids, depth)


@pytest.mark.parametrize("side", ["queries", "documents"])
def test_a_weight_that_is_not_a_number_is_the_users_error(side: str) -> None:
    matrices = {"queries": drawn(3, 1), "documents": drawn(50, 2)}
    matrices[side].data[-1] = np.nan
    with pytest.raises(UserError, match=r"NaN.*training\.learning_rate"):
        list(search(Encoded.whole(**matrices), [str(number) for number in range(50)], 10))


def test_dimension_counts_are_the_lengths_of_the_posting_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "POSTINGS", 10)
    matrix = drawn(50, 4)
    assert np.array_equal(dimension_counts(matrix), (matrix.toarray() != 0).sum(axis=0))


def test_pruned_vectors_lose_the_small_weights_of_each_entry_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "CHUNK", 7)
    encoded = Encoded.whole(drawn(20, 5), drawn(40, 6))
    pruned = encoded.pruned(document_dims=2, query_dims=None)
    assert pruned.queries is encoded.queries and pruned.documents.shape == encoded.documents.shape
    for few, all_ in zip(pruned.documents.toarray(), encoded.documents.toarray(), strict=True):
        assert sorted(few[few > 0]) == sorted(all_[all_ > 0])[-2:]


@pytest.mark.parametrize("most", [2**31 - 1, 3])
def test_stacked_matrices_are_the_rows_in_order_and_lie_in_files(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(vectors, "MAX_INT32", most)
    monkeypatch.setattr(vectors, "POSTINGS", 5)
    parts = [drawn(3, 7), csr_array((2, 30), dtype=np.float32), drawn(4, 8)]
    found = stacked(parts)
    assert np.array_equal(found.toarray(), np.vstack([part.toarray() for part in parts]))
    assert not found.data.flags.owndata and not found.indices.flags.owndata and found.indptr.dtype == found.indices.dtype
    assert isinstance(_root(found.data), mmap) and isinstance(_root(found.indices), mmap)


def _root(array: Any) -> Any:
    """What an array's memory belongs to in the end."""
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return array
