"""Recorded runs are those that git has of the same evaluation sets."""

import json
import subprocess
from pathlib import Path

import pytest

from stages.report.runs import recorded

SUMMARY = Path("metrics/summary.json")


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def record(ndcg: float, dims: float, bm25: float = 0.5) -> str:
    SUMMARY.parent.mkdir(exist_ok=True)
    SUMMARY.write_text(json.dumps({"ndcg@10": ndcg, "bm25": bm25, "query_dims": 9, "corpus_dims": dims}), encoding="utf-8")
    git("add", "-A")
    git("commit", "--quiet", "-m", "run")
    return git("rev-parse", "HEAD")


def test_experiments_and_commits_with_the_same_bm25(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert recorded(SUMMARY, 0.5) == []
    git("init", "--quiet")
    assert recorded(SUMMARY, 0.5) == []
    record(0.4, 30, bm25=0.6)  # on other sets
    first = record(0.6, 20)
    git("update-ref", f"refs/exps/{first[:2]}/{first[2:]}/weak", record(0.55, 10))
    git("update-ref", "refs/exps/exec/EXEC_HEAD", first)  # dvc's own
    git("reset", "--quiet", "--hard", first)
    found = recorded(SUMMARY, 0.5)
    assert [(run.name, run.experiment, run.ndcg, run.dims) for run in found] == [("weak", True, 0.55, 10), (first[:7], False, 0.6, 20)]


def test_a_summary_that_cannot_be_read_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    record(0.6, 20)
    SUMMARY.write_text("[]", encoding="utf-8")
    git("commit", "--quiet", "-am", "broken")
    SUMMARY.write_text('{"bm25": 0.5}', encoding="utf-8")
    git("commit", "--quiet", "-am", "of another version")
    assert [run.ndcg for run in recorded(SUMMARY, 0.5)] == [0.6]
