"""The real client of Qdrant with a loopback server."""

from pathlib import Path

import pytest
from sentence_transformers import SparseEncoder

from stages.engines.build import Model, build
from stages.engines.documents import Texts
from stages.engines.index import open_index
from tests.fakes.search_server import SearchServer
from tests.unit.engines.agreement import agrees_with_exact
from tests.unit.engines.conftest import TEXTS, Write


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
def test_it_finds_what_exact_search_finds(tmp_path: Path, write_source: Write, model: Model, encoder: SparseEncoder) -> None:
    with SearchServer() as server:
        index = agrees_with_exact(tmp_path, write_source(), model, encoder, "qdrant-server", server.url, "docs")
        name = f"docs-{index.meta.build}"
        assert server.aliases == {"docs": name}
        assert server.collections[name].body["sparse_vectors"] == {"text": {}, "bm25": {"modifier": "idf"}}
        [sent, *_] = [body["points"] for _, path, body in server.log if path.endswith("/points")]
        assert sent[0]["vector"]["bm25"]["options"]["language"] == "norwegian"
        assert server.collections[name].fields["0"] == {"id": "d0", "text": TEXTS[0], "language": "nb"}
        build(tmp_path / "index", write_source(TEXTS[:6]), model, "qdrant-server", server.url, "docs")
        assert [*server.collections] == [f"docs-{open_index(tmp_path / 'index').meta.build}"] == [*server.aliases.values()]


@pytest.mark.slow
def test_texts_of_several_languages_are_not_taken_for_english() -> None:
    from qdrant_client import models as q  # not there in `make test`, which reads this file too

    from stages.engines.qdrant_server import bm25

    for languages in ({"nb", "sv"}, {"nb", None}, {None}):
        settings = bm25(Texts(frozenset(languages), 12.0))
        assert settings.language is None and settings.stemmer == q.DisabledStemmerParams(type=q.NoStemmer.NONE)
        assert settings.stopwords == q.StopwordsSet() and settings.avg_len == 12.0
    assert bm25(Texts(frozenset({"nb", "nn"}), 0.0)).language == "norwegian"
