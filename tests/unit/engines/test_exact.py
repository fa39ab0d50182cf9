"""Exact search over the encoded documents."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from sentence_transformers import SparseEncoder

from stages.engines.build import Model, build
from stages.engines.documents import Part
from stages.engines.engine import Place
from stages.engines.exact import Exact
from stages.engines.index import open_index
from stages.retrieval.vectors import Encoded, encode, search
from tests.unit.engines.agreement import QUERIES
from tests.unit.engines.conftest import TEXTS, Write


def place(*parts: csr_array) -> Place:
    starts = np.cumsum([0, *(part.shape[0] for part in parts)])
    made = [Part(number, int(starts[number]), None, part) for number, part in enumerate(parts)]
    return Place(Path(), lambda: made, parts[0].shape[1])


def test_ties_come_in_the_order_of_rows_and_what_shares_nothing_is_not_found() -> None:
    engine = Exact(place(csr_array(np.array([[1.0, 0], [0, 5], [2, 0]], np.float32)), csr_array(np.array([[2.0, 0]], np.float32))))
    query = csr_array(np.array([[3.0, 0]], np.float32))
    rows, scores = engine.search(query, 10)
    assert rows.tolist() == [2, 3, 0] and scores.tolist() == [6, 6, 3]
    assert engine.search(query, 1)[0].tolist() == [2] and engine.search(query * 0, 5)[0].tolist() == []


@pytest.mark.usefixtures("small_parts")
def test_it_finds_what_the_evaluation_finds(tmp_path: Path, write_source: Write, model: Model, encoder: SparseEncoder) -> None:
    build(tmp_path / "index", write_source(), model, "parquet")
    index = open_index(tmp_path / "index")
    ids = [f"d{number}" for number in range(len(TEXTS))]
    vectors = encode(encoder, QUERIES, "query")
    expected = search(Encoded.whole(vectors, encode(encoder, TEXTS, "document")), ids, 5)
    for number, wanted in enumerate(expected):
        hits = index.search(vectors[number : number + 1], 5)
        assert {hit.entry.id: hit.score for hit in hits} == pytest.approx(
            {key: score for key, score in wanted.items() if score > 0}, rel=1e-5
        )
