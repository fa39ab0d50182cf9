"""The Python of docs/engines: each page runs from top to bottom, with the real clients, against a loopback server."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import SparseEncoder

from stages.engines.build import Model, build
from stages.engines.identity import model_digest
from stages.engines.index import Index, open_index
from stages.engines.sources import Source
from stages.export.query_encoder import write
from stages.retrieval.treatment import Treatment
from stages.retrieval.vectors import encode
from tests import ROOT, tiny_models
from tests.fakes.search_server import Refused, SearchServer
from tests.unit.engines.conftest import TEXTS, Write, write_source

pytestmark = pytest.mark.slow
__all__ = ["write_source"]  # a fixture
ASKED = "Hva koster en billett til museet?"


@pytest.fixture
def source(write_source: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Documents, one of them long, and in the working directory an inference-free model and its export."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "encode", raising=False)
    folder = tiny_models.save(tmp_path / "models" / "final", "inference-free-splade")
    (tmp_path / "query-encoder").mkdir()
    write(SparseEncoder(str(folder), device="cpu"), tmp_path / "query-encoder", "final", None)
    monkeypatch.syspath_prepend(tmp_path / "query-encoder")
    return write_source([*TEXTS, "museet har en billett til tjue kroner, og " * 9])


def indexed(source: Source, engine: str, server: SearchServer) -> Index:
    """What the command at the top of the page makes, with documents in windows."""
    folder, treatment = Path("models/final"), Treatment("max_score", window=24, overlap=4)
    model = Model(folder, model_digest(folder), treatment, lambda: SparseEncoder(str(folder), device="cpu"))
    build(Path("indexes/sample"), source, model, engine, server.url, "sample")
    return open_index(Path("indexes/sample"))


def blocks(page: str, server: SearchServer) -> list[str]:
    text = (ROOT / "docs" / "engines" / page).read_text(encoding="utf-8")
    return [re.sub(r"http://localhost:\d+", server.url, block) for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)]


def answers(page: str, server: SearchServer) -> tuple[dict[str, Any], list[Any]]:
    """The names that a page leaves behind, and each ``found`` of its queries."""
    names: dict[str, Any] = {}
    found: list[Any] = []
    for block in blocks(page, server):
        exec(compile(block, page, "exec"), names)
        found += [names["found"]] if "found = " in block else []
    return names, found


def rows(index: Index, source: Source) -> list[int]:
    """What the index's own search finds for the page's query."""
    query = encode(SparseEncoder("models/final", device="cpu"), [ASKED], "query")
    return index.engine.search(query, 10)[0].tolist()


def test_qdrant(source: Source) -> None:
    with SearchServer() as server:
        index = indexed(source, "qdrant-server", server)
        names, found = answers("qdrant.md", server)
        assert [[point.id for point in points] for points in found] == [rows(index, source)] * 2
        alone = [
            [point.id for point in names["client"].query_points("sample", query=query, using=using, limit=100).points]
            for query, using in ((names["query"], "text"), (names["words"], "bm25"))
        ]
        expected = fused(alone)
        assert alone[1] and [point.score for point in names["hybrid"]] == pytest.approx(sorted(expected.values(), reverse=True)[:10])
        assert len({identifier for identifier, *_ in names["documents"]}) == len(names["documents"]) == 10
        assert names["documents"][0][0] == "d10" and "billett" in names["documents"][0][2]
        words = names["models"].Document(text="billett", model="qdrant/bm25", options=names["norwegian"])
        [hit] = names["client"].query_points("mine", query=words, using="bm25").points
        assert hit.payload["id"] == "a"  # "Billetter"


def fused(lists: list[list[int]]) -> dict[int, float]:
    return {each: sum(1 / (61 + one.index(each)) for one in lists if each in one) for each in {each for one in lists for each in one}}


@pytest.mark.parametrize(("engine", "page"), [("opensearch", "opensearch.md"), ("elasticsearch", "elasticsearch.md")])
def test_opensearch_and_elasticsearch(source: Source, engine: str, page: str) -> None:
    with SearchServer() as server:
        index = indexed(source, engine, server)
        names, found = answers(page, server)
        assert [[int(hit["_id"]) for hit in hits] for hits in found] == [rows(index, source)] * 2
        client = names["client"]
        alone = [
            [int(hit["_id"]) for hit in client.search(index="sample", body={"query": query, "size": 100})["hits"]["hits"]]
            for query in (names["query"], {"match": {"text": ASKED}})
        ]
        expected = fused(alone)
        assert alone[1] and names["hybrid"][0]["_score"] == pytest.approx(max(expected.values()))
        found_ids = [hit["_source"]["id"] for hit in names["hybrid"]]
        assert len(set(found_ids)) == len(found_ids) == 10 and found_ids[0] == "d10"
        if engine == "elasticsearch":
            assert names["best"][0] == "d10" and set(names["best"]) <= set(names["scores"])
        [hit] = client.search(index="mine", body={"query": {"match": {"text": "billett"}}})["hits"]["hits"]
        assert hit["_source"]["id"] == "a"  # "Billetter"


def test_elasticsearch_without_the_licence_fuses_in_the_program(source: Source) -> None:
    with SearchServer() as server:
        indexed(source, "elasticsearch", server)
        server.lucene.enterprise = False
        names: dict[str, Any] = {}
        for block in blocks("elasticsearch.md", server):
            if "rrf" in block:
                with pytest.raises(Exception, match="403"):
                    exec(compile(block, "elasticsearch.md", "exec"), names)
            else:
                exec(compile(block, "elasticsearch.md", "exec"), names)
        assert names["best"][0] == "d10" and len(names["best"]) == 10


def test_the_server_refuses_requests_of_another_form(source: Source) -> None:
    with SearchServer() as server:
        index = indexed(source, "elasticsearch", server)
        collection = server.collections[f"sample-{index.meta.build}"]
        both = [{"standard": {"query": {"match": {"text": ASKED}}}}] * 2
        for body in (
            {"query": {"neural_sparse": {"vector": {"query_tokens": {"a": 1.0}}}}},
            {"query": {"match": {"text": ASKED}}, "collapse": {"field": "text"}},
            {"retriever": {"rrf": {"retrievers": both}}, "size": 11},
            {"querry": {}},
        ):
            with pytest.raises(Refused):
                server.lucene.search(collection, body, None)
