"""What the mix stage keeps out of training: the texts of every evaluation set and of every MTEB task."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.mix.__main__ import MTEB, evaluation_texts
from stages.mix.assembly import Source, mix
from stages.retrieval.sets import retrieval_set
from stages.retrieval.texts import write_texts


def test_rows_that_a_set_or_an_mteb_task_asks_or_seeks_are_removed_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    MTEB.mkdir(parents=True)
    write_texts(MTEB / "texts.parquet", {"Task": [("queries", "A1"), ("documents", "p 2"), ("distractors", "p3")]})
    set_of_ours = retrieval_set("ours", "nb", {"q": "a4"}, {"d": "p5", "e": "p6"}, {"q": {"d": 1.0}}, "")
    rows = {"anchor": [f"a{i}" for i in range(10)], "positive": ["p0", "p1", "P  2", *(f"p{i}" for i in range(3, 10))]}
    constant = {"source": ["x"] * 10, "language": ["nb"] * 10}
    pq.write_table(pa.table(rows | {"negative": pa.nulls(10, pa.string())} | constant), "x.parquet")
    evaluation = evaluation_texts([set_of_ours], mteb=True)
    report = mix([Source("x", Path("x.parquet"))], tmp_path / "mixed", batch_size=1, seed=1, evaluation=evaluation)
    assert sorted(pq.read_table("mixed/train.parquet")["anchor"].to_pylist()) == ["a0", "a3", "a6", "a7", "a8", "a9"]
    assert report["sources"]["x"]["removed_evaluation_overlap"] == 4
    assert report["sources"]["x"]["shared_distractors"] == 2
    assert report["evaluation"] == {"queries": 2, "documents": 2, "in_training": 0}


def test_mixing_imports_neither_mteb_nor_torch() -> None:
    code = "import sys, stages.mix; print([name for name in ('mteb', 'datasets', 'torch') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
