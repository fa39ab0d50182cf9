"""Building an index: killed, resumed, refused, and what stands meanwhile."""

import hashlib
import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SparseEncoder

from stages.engines.build import Model, build
from stages.engines.index import FILE, Index, open_index
from stages.engines.sources import Columns, find
from stages.retrieval.treatment import Treatment
from stages.retrieval.vectors import encode
from stages.runtime.errors import UserError
from tests.fakes.search_server import SearchServer
from tests.refused import refused
from tests.unit.engines.conftest import TEXTS, Write

pytestmark = pytest.mark.usefixtures("small_parts")
FORKED = multiprocessing.get_context("fork")


def digests(index: Index) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in index.documents.folder.iterdir()}


def ids(folder: Path, encoder: SparseEncoder, query: str = "øl") -> list[str]:
    return [hit.entry.id for hit in open_index(folder).search(encode(encoder, [query], "query"), 100)]


class Ends:
    """A model that, at its ``call``-th encoding, does something else."""

    def __init__(self, encoder: SparseEncoder, call: int, what: Any) -> None:
        self._encoder, self._left, self._what = encoder, call, what

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def __getitem__(self, place: int) -> Any:
        return self._encoder[place]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._encoder)

    def __len__(self) -> int:
        return len(self._encoder)

    def encode_document(self, *arguments: Any, **options: Any) -> Any:
        self._left -= 1
        if not self._left:
            self._what()
        return self._encoder.encode_document(*arguments, **options)


def test_after_a_kill_only_the_rest_is_encoded_and_the_files_are_the_same(
    tmp_path: Path, write_source: Write, model: Model, encoder: SparseEncoder
) -> None:
    source = write_source()
    build(tmp_path / "whole", source, model, "parquet")

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def killed() -> None:
        torch.set_num_threads(1)
        build(tmp_path / "killed", source, replace(model, load=lambda: Ends(encoder, 3, kill)), "parquet")

    process = FORKED.Process(target=killed)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    with refused("no finished index"):
        open_index(tmp_path / "killed")

    def second() -> None:
        raise AssertionError("what was encoded is encoded again")

    build(tmp_path / "killed", source, replace(model, load=lambda: Ends(encoder, 2, second)), "parquet")
    assert digests(open_index(tmp_path / "killed")) == digests(open_index(tmp_path / "whole"))
    assert (tmp_path / "killed" / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()


def test_an_interrupt_says_how_far_it_came(tmp_path: Path, write_source: Write, model: Model, encoder: SparseEncoder) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        build(tmp_path / "index", write_source(), replace(model, load=lambda: Ends(encoder, 2, interrupt)), "parquet")
    [note] = caught.value.__notes__
    assert "4 of 10 documents" in note and "resumes" in note


def test_another_engine_or_the_same_index_again_encodes_nothing(
    tmp_path: Path, write_source: Write, model: Model, not_loading: Model, encoder: SparseEncoder
) -> None:
    build(tmp_path / "index", write_source(), model, "parquet")
    before = ids(tmp_path / "index", encoder)
    build(tmp_path / "index", write_source(), not_loading, "qdrant")
    assert sorted(ids(tmp_path / "index", encoder)) == sorted(before)
    assert open_index(tmp_path / "index").meta.engine == "qdrant"
    build(tmp_path / "index", write_source(), not_loading, "parquet")
    [build_folder] = [path for path in (tmp_path / "index").iterdir() if path.is_dir()]
    assert not list(build_folder.glob("qdrant-*"))


@pytest.mark.parametrize("engine", ["parquet", "qdrant"])
def test_the_old_index_stands_until_the_new_one_is_complete(
    tmp_path: Path, write_source: Write, model: Model, encoder: SparseEncoder, engine: str
) -> None:
    build(tmp_path / "index", write_source(), model, engine)
    before = ids(tmp_path / "index", encoder)

    def fail() -> None:
        raise MemoryError

    source = write_source([*TEXTS, "øl og brus"])
    with refused("--batch-size … memory … 32 … resumes"):
        build(tmp_path / "index", source, replace(model, load=lambda: Ends(encoder, 2, fail)), engine)
    assert ids(tmp_path / "index", encoder) == before
    build(tmp_path / "index", source, model, engine)
    assert "d10" in ids(tmp_path / "index", encoder)
    assert len([path for path in (tmp_path / "index").iterdir() if path.is_dir()]) == 1


def test_documents_without_the_names_of_their_dimensions_are_encoded_again(tmp_path: Path, write_source: Write, model: Model) -> None:
    meta = build(tmp_path / "index", write_source(), model, "parquet")
    before = digests(open_index(tmp_path / "index"))
    (open_index(tmp_path / "index").documents.folder / "terms.json").unlink()
    assert build(tmp_path / "index", write_source(), model, "parquet") == meta and meta.dimensions
    assert digests(open_index(tmp_path / "index")) == before


@pytest.mark.parametrize("name", ["checked.json", "documents/terms.json"])
def test_a_damaged_note_is_made_again(name: str, tmp_path: Path, write_source: Write, model: Model) -> None:
    meta = build(tmp_path / "index", write_source(), model, "parquet")
    before = digests(open_index(tmp_path / "index"))
    (tmp_path / "index" / meta.build / name).write_text("{")
    assert build(tmp_path / "index", write_source(), model, "parquet") == meta
    assert digests(open_index(tmp_path / "index")) == before


@pytest.mark.parametrize("engine", ["qdrant", pytest.param("seismic", marks=pytest.mark.slow)])
def test_damaged_files_of_an_engine_are_written_again(engine: str, tmp_path: Path, write_source: Write, model: Model) -> None:
    build(tmp_path / "index", write_source(), model, engine)
    query = open_index(tmp_path / "index").documents.take([0])[0]
    [folder] = tmp_path.glob(f"index/*/{engine}-*")
    for path in [path for path in folder.rglob("*") if path.is_file() and path.name != "written.json"]:
        path.write_bytes(b"")
    build(tmp_path / "index", write_source(), model, engine)
    index = open_index(tmp_path / "index")
    assert index.search(index.query(dict(zip(query.dimensions.tolist(), query.weights.tolist(), strict=True))), 3)


def test_an_index_of_other_documents_says_that_it_is_replaced(
    tmp_path: Path, write_source: Write, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    build(tmp_path / "index", write_source(TEXTS), model, "parquet")
    assert "replaces" not in capsys.readouterr().out
    build(tmp_path / "index", write_source(TEXTS[:6]), model, "parquet")
    assert f"holds an index of {len(TEXTS)} documents, which the new one replaces" in capsys.readouterr().out


@pytest.mark.slow
def test_patience_must_be_a_number(tmp_path: Path, write_source: Write, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_PATIENCE", "long")
    with refused("ENGINE_PATIENCE … 'long'"):
        build(tmp_path / "index", write_source(), model, "qdrant-server", "http://127.0.0.1:9", "docs")


def test_a_folder_of_something_else_is_refused_and_stays(tmp_path: Path, write_source: Write, not_loading: Model) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / FILE).write_text("{}")
    for folder in (tmp_path / "mine", tmp_path / "mine" / FILE):
        with refused(f"--out … {folder} … new folder … name another"):
            build(folder, write_source(), not_loading, "parquet")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [FILE]


def test_only_what_an_index_made_is_removed_from_its_folder(tmp_path: Path, write_source: Write, model: Model) -> None:
    folder = tmp_path / "index"
    old = build(folder, write_source(), model, "parquet").build
    kept = [folder / "notes.txt", folder / old / "dense-1.npy"]
    for path in kept:
        path.touch()
    build(folder, write_source(), model, "qdrant")
    assert all(path.is_file() for path in kept)
    build(folder, write_source([*TEXTS, "øl og brus"]), model, "qdrant")
    assert (folder / "notes.txt").is_file() and not (folder / old).exists()


def test_a_broken_line_is_found_before_anything_is_encoded(tmp_path: Path, write_source: Write, model: Model, not_loading: Model) -> None:
    build(tmp_path / "index", write_source(), model, "parquet")
    source = write_source()
    with source.files[0].open("a") as file:
        file.write('{"id": "d10", "text": "half a li\n')
    with refused("docs.jsonl: line 11 … not valid JSON"):
        build(tmp_path / "index", source, not_loading, "parquet")
    assert open_index(tmp_path / "index").meta.documents == 10


@pytest.fixture
def little_room() -> Iterator[Any]:
    """Limits the size of files that this process writes to a number of bytes, until the test ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("engine", "room"), [("parquet", 1_000), ("qdrant", 100_000)])
def test_a_full_disk_leaves_the_old_index(
    tmp_path: Path, write_source: Write, model: Model, encoder: SparseEncoder, little_room: Any, engine: str, room: int
) -> None:
    build(tmp_path / "index", write_source(), model, engine)
    before = ids(tmp_path / "index", encoder)
    source = write_source(TEXTS[:9])
    little_room(room)
    with pytest.raises((OSError, UserError)) as caught:
        build(tmp_path / "index", source, model, engine)
    little_room(resource.RLIM_INFINITY)
    assert isinstance(caught.value, OSError) or "room" in str(caught.value)
    assert ids(tmp_path / "index", encoder) == before
    build(tmp_path / "index", source, model, engine)
    assert sorted(ids(tmp_path / "index", encoder)) == sorted(set(before) - {"d9"})


def test_two_processes_cannot_build_one_index(tmp_path: Path, write_source: Write, model: Model, encoder: SparseEncoder) -> None:
    def other() -> None:
        with refused("another process is building … --out"):
            build(tmp_path / "index", write_source(), model, "parquet")

    build(tmp_path / "index", write_source(), replace(model, load=lambda: Ends(encoder, 1, other)), "parquet")


@pytest.mark.parametrize("long_documents", ["max_score", "max_vector"])
def test_a_long_document_is_found_by_what_stands_at_its_end(
    tmp_path: Path, write_source: Write, model: Model, encoder: SparseEncoder, long_documents: Any
) -> None:
    windowed = replace(model, treatment=Treatment(long_documents, window=16, overlap=2, max_document_dims=20, max_query_dims=5))
    texts = [*TEXTS, "b a " * 40 + "øl er en drikk"]
    build(tmp_path / "index", write_source(texts), windowed, "parquet")
    index = open_index(tmp_path / "index")
    query = index.query(dict(zip(*_terms(encoder, "øl er en drikk"), strict=True)))
    assert query.nnz == 5
    hits = index.search(query, 3)
    assert len({hit.entry.id for hit in hits}) == 3 and {"d0", "d10"} <= {hit.entry.id for hit in index.search(query, 11)}
    [long] = [hit.entry for hit in index.search(query, 11) if hit.entry.id == "d10"]
    assert (long.text == texts[-1]) == (long_documents == "max_vector") and len(long.dimensions) <= 20
    rows = {hit.entry.id for hit in index.search(query, 11)}
    assert len(rows) == len(index.search(query, 11)) <= 11


def _terms(encoder: SparseEncoder, text: str) -> tuple[list[int], list[float]]:
    vector = encode(encoder, [text], "query")
    return vector.indices.tolist(), vector.data.tolist()


@pytest.mark.slow
def test_a_server_that_goes_away_is_waited_for_and_then_resumed(
    tmp_path: Path, write_source: Write, model: Model, not_loading: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_PATIENCE", "0.2")
    with SearchServer() as server:
        server.fail(1)
        build(tmp_path / "first", write_source(TEXTS[:5]), model, "qdrant-server", server.url, "docs")
        standing = dict(server.aliases)
        server.log.clear()
        server.fail(100, after=5)  # does it exist, create it, its two payload indexes, the first points
        with refused(server.url, "does not answer", "resumes"):
            build(tmp_path / "first", write_source(), model, "qdrant-server", server.url, "docs")
        assert server.aliases == standing and open_index(tmp_path / "first").meta.documents == 5
        server.fail(0)
        server.log.clear()
        build(tmp_path / "first", write_source(), not_loading, "qdrant-server", server.url, "docs")
        sent = [len(body["points"]) for method, path, body in server.log if path.endswith("/points")]
        assert sum(sent) == 6 and server.aliases != standing
        assert len(server.collections[server.aliases["docs"]].vectors) == 10


@pytest.mark.parametrize("address", ["localhost:6333", "http://me:secret@localhost:6333"])
@pytest.mark.slow
def test_an_address_must_be_one_without_credentials(tmp_path: Path, write_source: Write, not_loading: Model, address: str) -> None:
    with refused("--url … ENGINE_API_KEY") as caught:
        build(tmp_path / "index", write_source(), not_loading, "qdrant-server", address, "docs")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"format": 2}, "format … 2 … index the documents again"),
        ({"unknown": 1}, "index.json … index the documents again"),
        ({"engine": "lucy"}, "engine … lucy"),
        ({"engine": "qdrant", "engine_version": "0.1"}, "qdrant-edge-py 0.1 … again"),
    ],
)
def test_an_index_of_another_version_is_refused_and_can_be_replaced(
    tmp_path: Path, write_source: Write, model: Model, not_loading: Model, change: dict[str, Any], fault: str
) -> None:
    build(tmp_path / "index", write_source(), model, "parquet")
    path = tmp_path / "index" / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change, indent=2))
    with refused(fault):
        open_index(tmp_path / "index")
    build(tmp_path / "index", write_source(), not_loading, "parquet")
    assert open_index(tmp_path / "index").meta.documents == 10


def test_a_query_of_another_model_is_refused(tmp_path: Path, write_source: Write, model: Model) -> None:
    build(tmp_path / "index", write_source(), model, "parquet")
    index = open_index(tmp_path / "index")
    index.require_model(model.digest, "models/final")
    with refused(str(model.folder), "models/other holds another", "--model"):
        index.require_model("0" * 32, "models/other")


def test_documents_of_a_language_are_found_among_others(tmp_path: Path, write_source: Write, model: Model, encoder: SparseEncoder) -> None:
    source = write_source()
    rows = [json.loads(line) for line in source.files[0].read_text(encoding="utf-8").splitlines()]
    rows[9]["language"] = "da"
    source.files[0].write_text("".join(json.dumps(row) + "\n" for row in rows))
    build(tmp_path / "index", find(str(source.files[0]), Columns(), tmp_path), model, "parquet")
    query = encode(encoder, ["hva er øl"], "query")
    [hit] = open_index(tmp_path / "index").search(query, 1, lambda entry: entry.language == "da")
    assert hit.entry.id == "d9"
