"""The real client of OpenSearch with a loopback server."""

from pathlib import Path

import pytest
from sentence_transformers import SparseEncoder

from stages.engines.build import Model, build
from tests.fakes.search_server import SearchServer
from tests.unit.engines.agreement import agrees_with_exact
from tests.unit.engines.conftest import TEXTS, Write


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
def test_it_finds_what_exact_search_finds(tmp_path: Path, write_source: Write, model: Model, encoder: SparseEncoder) -> None:
    with SearchServer() as server:
        index = agrees_with_exact(tmp_path, write_source(), model, encoder, "opensearch", server.url, "docs")
        name = f"docs-{index.meta.build}"
        assert server.aliases == {"docs": name}
        assert server.collections[name].body["mappings"]["properties"]["vector"] == {"type": "rank_features"}
        assert server.collections[name].body["mappings"]["properties"]["text"] == {"type": "text", "analyzer": "norwegian"}
        assert server.collections[name].fields["0"] == {"id": "d0", "text": TEXTS[0], "language": "nb"}
        meta = build(tmp_path / "index", write_source(TEXTS[:6]), model, "opensearch", server.url, "docs")
        assert [*server.collections] == [f"docs-{meta.build}"] == [*server.aliases.values()]
