"""`make bench-search` measures every engine over a collection of its own making, which it keeps, and writes what lsr-benchmark reads."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import ir_measures
import pytest
from ir_measures import nDCG
from scipy.sparse import load_npz

from tests import ROOT
from tests.tiny_models import save

WORDS = ["sykkel", "havna", "bibliotek", "klokken", "fjell", "isbre", "torsk", "brygge", "kirke", "skole", "vinter", "lyng"]
DOCUMENTS = 300


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A BEIR folder of documents of two sentences, the first of which are relevant to a query."""
    folder = tmp_path / "fjord"
    (folder / "qrels").mkdir(parents=True)
    pairs = [(first, second) for first in WORDS for second in WORDS if first < second]
    documents = [{"_id": f"d{n}", "text": f"Et {a} ligger her. Ved {b} er det stengt {n}."} for n, (a, b) in enumerate(pairs)]
    queries = [{"_id": f"q{n}", "text": f"{a} {b}"} for n, (a, b) in enumerate(pairs[:20])]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(f"q{n}\td{n}\t1\n" for n in range(20)))
    return folder


def bench(folder: Path, data: Path, model: Path) -> list[list[str]]:
    """The cells of the tables' rows."""
    script = [sys.executable, str(ROOT / "benchmarks/search_engines.py"), "--documents", str(DOCUMENTS), "--rounds", "1"]
    paths = ["--data", str(data), "--model", str(model), "--work", str(folder / "work"), "--out", str(folder / "out")]
    done = subprocess.run([*script, *paths], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in done.stdout.splitlines() if row.startswith("|")]


@pytest.mark.slow
def test_exact_engines_find_all_and_a_second_call_only_measures(tmp_path: Path, data: Path) -> None:
    model = save(tmp_path / "model", "inference-free-splade")
    first = {row[0]: row for row in bench(tmp_path, data, model)}
    assert first["exact (scipy)"][6] == "1" and first["exact (scipy)"][7] == "1.000; 1.000"
    assert first["Qdrant, embedded"][7] == "1.000; 1.000" and "BM25s" in first
    assert any(name.startswith("Seismic") and "99%" in name for name in first)
    assert "its export, Qdrant, embedded" in first and "sentence-transformers, Qdrant, embedded" in first
    [kept] = (tmp_path / "work").iterdir()
    assert load_npz(kept / "doc/doc-embeddings.npz").shape[0] == DOCUMENTS == len((kept / "doc/doc-ids.txt").read_text().split())
    with gzip.open(kept / "corpus.jsonl.gz", "rt") as file:
        assert sum(bool(json.loads(row)["default_text"]) for row in file) == DOCUMENTS

    written = {path: path.stat().st_mtime_ns for path in kept.rglob("*") if path.is_file() and "qdrant" not in path.parts}
    second = {row[0]: row for row in bench(tmp_path, data, model)}
    assert written == {path: path.stat().st_mtime_ns for path in written}
    assert second["Qdrant, embedded"][2:4] == first["Qdrant, embedded"][2:4]

    for name, folder in (("exact (scipy)", "exact-scipy"), ("BM25s", "bm25s")):
        with gzip.open(tmp_path / "out" / folder / "run.txt.gz", "rt") as file:
            run = [row._replace(score=-place) for place, row in enumerate(ir_measures.read_trec_run(file.read()))]  # ties as they are
        qrels = list(ir_measures.read_trec_qrels((tmp_path / "out/qrels.txt").read_text()))
        assert f"{ir_measures.calc_aggregate([nDCG @ 10], qrels, run)[nDCG @ 10]:.3f}" == second[name][8]
    metadata = json.loads((tmp_path / "out/bm25s/retrieval-metadata.yml").read_text())
    assert metadata["resources"]["runtime"]["wallclock"].endswith(" ms")
    assert metadata["data"]["test collection"]["name"] == str(tmp_path / "out")
