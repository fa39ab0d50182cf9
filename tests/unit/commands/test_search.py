"""`nordic-sparse search`: what it prints, and a one-line error for every mistake."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.commands.__main__ import run
from stages.retrieval.treatment import Treatment
from tests import ROOT, tiny_models
from tests.refused import refused
from tests.unit.engines.conftest import TEXTS


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index of every architecture's model, in indexes/<architecture>."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "docs.jsonl").write_text("".join(json.dumps({"id": f"d{number}", "text": text}) + "\n" for number, text in enumerate(TEXTS)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for architecture in ("splade", "inference-free-splade", "csr"):
            tiny_models.save(folder / architecture, architecture)
            with pytest.raises(SystemExit):
                run(["index", "docs.jsonl", "--model", architecture, "--out", f"indexes/{architecture}", "--engine", "parquet"])
    return folder


@pytest.fixture
def here(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(checkout)
    return checkout


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(["search", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("architecture", ["splade", "inference-free-splade", "csr"])
def test_results_have_a_score_a_text_and_the_terms_that_matched(architecture: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "øl er en drikk", "--index", f"indexes/{architecture}", "--top", "3", "--terms", "4")
    heads = [line.split() for line in lines if re.match(r" \d  ", line)]
    assert [head[0] for head in heads] == ["1", "2", "3"] and len({head[2] for head in heads}) == 3
    scores = [float(head[1]) for head in heads]
    assert scores == sorted(scores, reverse=True) and scores[-1] > 0
    first = lines.index(next(line for line in lines if line.startswith(" 1")))
    assert lines[first + 1].strip() in TEXTS
    matched = " ".join(line.strip() for line in lines[first + 2 : lines.index("", first)])
    assert sum(map(int, re.findall(r"(\d+)%", matched))) == pytest.approx(100, abs=3)
    assert ("latent" in matched) == (architecture == "csr")
    assert "of 10 documents" in lines[-1] and "ms (parquet)" in lines[-1]


@pytest.mark.usefixtures("here")
def test_inference_free_queries_load_no_torch_and_print_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["index", "docs.jsonl", "--model", "inference-free-splade", "--out", "quick"])
    asked = ["Øl er en drikk?", "--index", "quick", "--top", "4"]
    code = "import sys; from stages.commands.__main__ import run\ntry: run(sys.argv[1:])\nfinally: assert 'torch' not in sys.modules"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    quick = subprocess.run([sys.executable, "-c", code, "search", *asked], capture_output=True, text=True, check=True, env=environment)
    [table] = Path("quick").glob("*/query-encoder")
    shutil.rmtree(table)  # an index of before
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "100")
        slow = printed(capsys, *asked)
    assert quick.stdout.splitlines()[:-1] == slow[:-1] and len(slow) > 8
    shutil.rmtree("quick")


@pytest.mark.usefixtures("here")
def test_a_query_that_finds_nothing_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.engines.index.Index.search", lambda *_: [])
    assert "No document shares a term" in "\n".join(printed(capsys, "øl", "--index", "indexes/splade"))


@pytest.mark.usefixtures("here")
def test_a_terminal_of_any_width_shows_results(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "2")
    assert "of 10 documents" in printed(capsys, "øl", "--index", "indexes/splade", "--top", "1")[-1]


def test_a_mistake_is_a_one_line_error(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with refused("query … empty"):
        run(["search", " "])
    with refused("query … UTF-8"):
        run(["search", "bl\udce5b\udce6r"])  # "blåbær" in Latin-1
    with refused("indexes … several … indexes/csr … --index"):
        run(["search", "øl"])
    with refused("indexes/nowhere … no finished index"):
        run(["search", "øl", "--index", "indexes/nowhere"])
    with refused("indexes/splade … model … splade … csr", "--model"):
        run(["search", "øl", "--index", "indexes/splade", "--model", "csr"])
    shutil.copytree(here / "splade", tmp_path / "moved")
    Treatment("max_score").write(tmp_path / "moved")  # the index's own counts
    with pytest.raises(SystemExit):
        run(["search", "øl", "--index", "indexes/splade", "--model", str(tmp_path / "moved")])
    monkeypatch.chdir(tmp_path)
    with refused("indexes: … no index"):
        run(["search", "øl"])
