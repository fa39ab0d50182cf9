"""`benchmarks/recipes.py` trains what is missing and nothing else, scores only the split that is asked for, and names a wrong part."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

WORDS = ["sykkel", "havna", "bibliotek", "klokken", "fjell", "isbre", "torsk", "brygge", "kirke", "skole", "vinter", "lyng"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A BEIR folder whose queries are two words of their document."""
    folder = tmp_path / "fjord"
    (folder / "qrels").mkdir(parents=True)
    pairs = [(first, second) for first in WORDS for second in WORDS if first < second]
    documents = [{"_id": f"d{n}", "title": "", "text": f"{a} ligger ved {b} nummer {n}"} for n, (a, b) in enumerate(pairs)]
    queries = [{"_id": f"q{n}", "text": f"{a} {b}"} for n, (a, b) in enumerate(pairs)]
    for name, lines in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for split, numbers in (("train", range(50)), ("dev", range(50, 58)), ("test", range(58, 66))):
        rows = "".join(f"q{n}\td{n}\t1\n" for n in numbers)
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return folder


def recipes(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(ROOT / "benchmarks/recipes.py"), f"{folder}:nb", "--work", str(folder.parent / "work"), *arguments]
    return subprocess.run(script, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_recipe_is_trained_once_and_each_split_is_scored_when_it_is_asked_for(folder: Path) -> None:
    asked = ("--recipes", "splade+cut+model.made.vocab_size=500", "--rows", "64")
    first = recipes(folder, *asked)
    assert first.returncode == 0, first.stderr
    assert "| BM25 |" in first.stdout and "fjord, dev: 8 queries" in first.stdout
    [run] = (folder.parent / "work" / "fjord").glob("splade*")
    assert (run / "dev.json").exists() and not (run / "test.json").exists()
    trained = (run / "models/final/model.safetensors").stat().st_mtime_ns
    second = recipes(folder, *asked, "--split", "test")
    assert second.returncode == 0 and (run / "test.json").exists()
    assert (run / "models/final/model.safetensors").stat().st_mtime_ns == trained
    assert recipes(folder, *asked, "--table").stdout == first.stdout


@pytest.mark.parametrize(("recipe", "fault"), [("splade+mnied", "mnied must be one of"), ("splade+kl+mined-both", "needs a dense model")])
def test_a_part_that_does_not_exist_or_lacks_its_model_is_named_and_nothing_is_trained(folder: Path, recipe: str, fault: str) -> None:
    refused = recipes(folder, "--recipes", "splade", recipe)
    assert refused.returncode == 1 and fault in refused.stderr.splitlines()[-1]
    assert not (folder.parent / "work").exists()
