"""`nordic-sparse index`: what it prints, and a one-line error for every mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.commands.__main__ import run
from stages.engines.index import open_index
from tests import ROOT, tiny_models
from tests.refused import refused
from tests.unit.engines.conftest import TEXTS


@pytest.fixture(scope="module")
def splade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save(tmp_path_factory.mktemp("index") / "splade", "splade")


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of documents in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "docs.jsonl"
    path.write_text("".join(json.dumps({"id": number, "text": text}) + "\n" for number, text in enumerate(TEXTS)))
    return path


def test_documents_become_an_index_named_after_them(documents: Path, splade: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["index", "docs.jsonl", "--model", str(splade)])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "indexes/docs holds 10 documents of docs (qdrant)" in said and 'search "…" --index indexes/docs' in said
    assert open_index(Path("indexes/docs")).meta.model == str(splade)


def test_documents_without_a_text_are_counted(documents: Path, splade: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with documents.open("a") as file:
        file.write('{"id": "empty", "text": ""}\n')
    with pytest.raises(SystemExit):
        run(["index", "docs.jsonl", "--model", str(splade), "--engine", "parquet"])
    said = capsys.readouterr().out
    assert "1 without text left out" in said and "10 documents of docs" in said


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl … correct the name"),
        (["docs.jsonl", "--engine", "lucy"], "--engine … qdrant … lucy"),
        (["docs.jsonl", "--url", "http://localhost"], "--url … qdrant"),
        (["docs.jsonl", "--text", "body"], 'line 1 … "body" … --text'),
        (["docs.jsonl", "--model", "models/nowhere"], "models/nowhere … no model"),
        (["docs.jsonl", "--out", "/proc/nowhere"], "--out … /proc/nowhere … name another"),
    ],
)
@pytest.mark.usefixtures("documents")
def test_a_mistake_is_a_one_line_error(splade: Path, arguments: list[str], fault: str) -> None:
    with refused(fault):
        run(["index", "--model", str(splade), *arguments])


@pytest.mark.usefixtures("documents")
def test_without_the_engines_package_the_error_says_what_to_install(splade: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seismic", None)
    monkeypatch.delitem(sys.modules, "stages.engines.seismic", raising=False)
    with refused("pyseismic-lsr … nordic-sparse[seismic]"):
        run(["index", "docs.jsonl", "--model", str(splade), "--engine", "seismic"])


@pytest.mark.slow
def test_ctrl_c_says_how_far_it_came_and_the_same_command_resumes(documents: Path, splade: Path) -> None:
    documents.write_text("".join(json.dumps({"id": number, "text": "øl " * 50}) + "\n" for number in range(40_000)))
    command = [sys.executable, "-m", "stages.commands", "index", str(documents), "--model", str(splade), "--engine", "parquet"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    while len(list(Path("indexes").glob("docs/*/documents/part-*.parquet"))) < 3:
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said.startswith("interrupted; encoding: ") and said.count("\n") == 1 and "resumes" in said
