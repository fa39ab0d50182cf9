"""The encoded documents: what other programs read, and what results are read from."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_array

from stages.engines.documents import Documents
from tests.refused import refused

VECTORS = csr_array(np.array([[0, 1.5, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0]], np.float32))


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    """Six rows in two files."""
    made = Documents(tmp_path, 4)
    made.write_terms(["øl", "##a", ".", "hus"])
    made.append(["a", "b", "c"], ["en", "to", "tre"], ["nb", None, "sv"], VECTORS)
    made.append(["d", "e", "f"], ["fire", "fem", "seks"], [None] * 3, VECTORS)
    return made


def test_a_row_has_token_ids_terms_and_weights(documents: Documents) -> None:
    rows = pq.read_table(documents.folder / "part-000000.parquet").to_pylist()
    assert rows[0] == {"id": "a", "text": "en", "language": "nb", "token_ids": [1, 3], "terms": ["##a", "hus"], "weights": [1.5, 2.0]}
    assert rows[1]["terms"] == [] and rows[2]["terms"] == ["øl"]


def test_languages_and_length_of_all_texts(documents: Documents) -> None:
    documents.append(["g"], ["to ord til"], ["nb"], VECTORS[[0]])
    assert documents.texts() == ({"nb", "sv", None}, pytest.approx(9 / 7))


def test_rows_are_read_in_the_order_asked_for(documents: Documents) -> None:
    again = Documents(documents.folder, 4)
    assert len(again) == 6 and again.rows == [3, 3]
    assert [(each.row, each.id, each.text) for each in again.take([5, 0, 4])] == [(5, "f", "seks"), (0, "a", "en"), (4, "e", "fem")]
    assert again.take([]) == []
    parts = [*again.parts()]
    assert [part.first for part in parts] == [0, 3] and all((part.vectors != VECTORS).nnz == 0 for part in parts)


def test_a_file_that_was_cut_short_is_written_again_and_named_if_it_is_read(documents: Documents) -> None:
    path = documents.folder / "part-000001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    assert Documents(documents.folder, 4).rows == [3]
    with refused("part-000001.parquet … incomplete"):
        documents.take([4])
