"""Postings and bytes, by brute force."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from stages.evaluate.search_cost import search_cost
from stages.retrieval.vectors import Encoded


def test_postings_are_the_documents_with_each_of_a_querys_dimensions() -> None:
    generator = np.random.default_rng(0)
    queries = csr_array((generator.random((20, 50)) * (generator.random((20, 50)) < 0.1)).astype(np.float32))
    documents = csr_array((generator.random((30, 50)) * (generator.random((30, 50)) < 0.3)).astype(np.float32))
    holds = documents.toarray() != 0
    touched = [sum(int(holds[:, dimension].sum()) for dimension in np.flatnonzero(query)) for query in queries.toarray()]
    found = search_cost(Encoded.whole(queries, documents))
    assert found["query_postings_mean"] == pytest.approx(np.mean(touched))
    assert found["query_postings_p95"] == pytest.approx(np.percentile(touched, 95))


def test_bytes_are_those_of_ids_and_weights() -> None:
    documents = csr_array(np.array([[1, 2, 0], [0, 0, 3]], dtype=np.float32))
    found = search_cost(Encoded.whole(csr_array(np.array([[1, 0, 0]], dtype=np.float32)), documents))
    assert (found["index_bytes_float32"], found["index_bytes_uint8"]) == (1.5 * 8, 1.5 * 5)


def test_windows_of_a_document_count_as_entries() -> None:
    documents = csr_array(np.array([[1, 2], [0, 4], [5, 0]], dtype=np.float32))
    found = search_cost(Encoded(csr_array(np.array([[0, 1]], dtype=np.float32)), documents, np.array([0, 2, 3])))
    assert found["query_postings_mean"] == 2  # two windows of one document
    assert found["index_bytes_float32"] == 4 / 2 * 8


def test_empty_queries_and_documents_cost_nothing() -> None:
    empty = csr_array((2, 5), dtype=np.float32)
    assert set(search_cost(Encoded.whole(empty, empty)).values()) == {0.0}
