"""Qdrant inside this process."""

import shutil
from pathlib import Path

import pytest
from sentence_transformers import SparseEncoder

from stages.engines.build import Model, build
from stages.engines.index import open_index
from stages.engines.qdrant import Qdrant
from tests.refused import refused
from tests.unit.engines.agreement import agrees_with_exact
from tests.unit.engines.conftest import Write


@pytest.mark.usefixtures("small_parts")
def test_it_finds_what_exact_search_finds(tmp_path: Path, write_source: Write, model: Model, encoder: SparseEncoder) -> None:
    index = agrees_with_exact(tmp_path, write_source(), model, encoder, "qdrant")
    second = open_index(tmp_path / "index")  # while the first is open
    query = index.query({40: 1.0})
    assert [hit.entry.id for hit in second.search(query, 3)] == [hit.entry.id for hit in index.search(query, 3)]


def test_a_disk_that_is_almost_full_is_refused_before_qdrant_ends_the_process(
    tmp_path: Path, write_source: Write, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "index", write_source(), model, "parquet")
    monkeypatch.setattr(Qdrant, "spare", 2**60)
    with refused("MB are free … make room"):
        build(tmp_path / "index", write_source(), model, "qdrant")
    assert open_index(tmp_path / "index").meta.engine == "parquet"


def test_files_that_are_gone_are_an_error_and_written_again(tmp_path: Path, write_source: Write, model: Model, not_loading: Model) -> None:
    build(tmp_path / "index", write_source(), model, "qdrant")
    index = open_index(tmp_path / "index")
    [files] = index.documents.folder.parent.glob("qdrant-*")
    shutil.rmtree(files)
    with refused(f"{files}: Qdrant cannot read … delete this folder … index"):
        index.search(index.query({40: 1.0}), 3)
    build(tmp_path / "index", write_source(), not_loading, "qdrant")
    assert open_index(tmp_path / "index").search(index.query({40: 1.0}), 3)
