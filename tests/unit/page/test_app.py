import json
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import SentenceTransformer, SparseEncoder
from starlette.testclient import TestClient

from stages.page.app import LONGEST, application
from stages.page.systems import dense_vectors
from stages.runtime.errors import UserError
from tests.made_index import HTML, PAIRS, made_systems
from tests.unit.conftest import WORDS


@pytest.fixture(scope="module")
def client(splade: SparseEncoder, dense: SentenceTransformer, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    systems = made_systems(tmp_path_factory.mktemp("page"), splade, dense)
    return TestClient(application(systems, [("en bok", "nb")]), base_url="http://127.0.0.1")


def ask(client: TestClient, **asked: Any) -> dict[str, list[dict[str, Any]]]:
    """What each system found."""
    answer = client.post("/search", json=asked).json()
    return {each["system"]: each["found"] for each in answer["answers"]}


def test_each_system_finds_the_document_of_the_query_s_words(client: TestClient) -> None:
    found = ask(client, query=PAIRS[14], n=5)
    assert [*found] == ["sparse", "BM25", "dense", "hybrid"]
    first = {name: results[0]["id"] for name, results in found.items()}
    assert first["BM25"] == first["dense"] == first["hybrid"] == "d14"  # the sparse model is not trained
    assert all(len(results) == 5 and results == sorted(results, key=lambda each: -each["score"]) for results in found.values())


def test_a_document_comes_with_the_terms_that_the_sparse_model_matches_in_it(client: TestClient) -> None:
    [best] = ask(client, query=WORDS[12], n=1)["BM25"]
    assert best["id"] == "html" and "".join(part for part, _ in best["parts"]) == f"{HTML} {WORDS[12]}"
    shown = {part: best["matches"][number]["name"] for part, number in best["parts"] if number is not None}
    assert shown.get(WORDS[12]) == WORDS[12]
    assert sum(match["share"] for match in best["matches"]) == pytest.approx(1)


def test_the_language_and_the_number_of_terms_decide_what_is_found(client: TestClient) -> None:
    spoken = ask(client, query=WORDS[0], language="sv", n=50)
    assert all({each["language"] for each in results} == {"sv"} for results in spoken.values())
    fewer = ask(client, query=PAIRS[14], terms=1, n=1)["sparse"]
    assert len(fewer[0]["matches"]) == 1 < len(ask(client, query=PAIRS[14], n=1)["sparse"][0]["matches"])


def test_a_document_in_windows_is_one_result(client: TestClient) -> None:
    ids = [each["id"] for each in ask(client, query=WORDS[15], n=100)["sparse"]]
    assert len(ids) == len({*ids}) and "long" in ids


def test_what_is_pasted_is_explained(client: TestClient) -> None:
    answer = client.post("/explain", json={"query": WORDS[3], "document": f"{WORDS[3]} {WORDS[4]}"}).json()
    assert answer["found"]["score"] == pytest.approx(sum(each["query"] * each["document"] for each in answer["found"]["matches"]))
    assert WORDS[3] in {term["name"] for term in answer["document"]}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"query": " "}', "Type a query"),
        (json.dumps({"query": "å" * (LONGEST + 1)}), f"query: must have at most {LONGEST:,}"),
        ('{"query": "x", "n": 0}', "n:"),
        ('{"query": "x", "more": 1}', "more:"),
        ("{", "request:"),
    ],
)
def test_a_bad_request_is_one_line(client: TestClient, body: str, says: str) -> None:
    answer = client.post("/search", content=body)
    assert answer.status_code == 400 and answer.json()["error"].startswith(says)


def test_an_engine_that_fails_is_named_to_the_page(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any) -> None:
        raise UserError("indexes/x: is missing")

    monkeypatch.setattr("stages.engines.exact.Exact.search", gone)
    answer = client.post("/search", json={"query": WORDS[0]})
    assert answer.status_code == 503 and answer.json() == {"error": "indexes/x: is missing"}


def test_only_this_machine_s_names_are_served(client: TestClient) -> None:
    assert "nordic-sparse" in client.get("/").text and client.get("/about").json()["examples"] == [{"query": "en bok", "language": "nb"}]
    assert client.get("/about", headers={"host": "example.org"}).status_code == 400
    assert client.get("/../app.py").status_code == 404


def test_dense_vectors_are_made_once(client: TestClient, dense: SentenceTransformer, tmp_path: Path) -> None:
    dense.save_pretrained(str(tmp_path / "dense"))
    told: list[str] = []
    first = dense_vectors(dense, tmp_path / "dense", WORDS[:3], tmp_path, told.append)
    assert (first == dense_vectors(dense, tmp_path / "dense", WORDS[:3], tmp_path, told.append)).all() and len(told) == 1
