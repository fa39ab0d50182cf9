"""`nordic-sparse compare`: what it prints of two folders, commits and experiments, and a one-line error for every mistake."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from stages.commands import compare
from stages.commands.__main__ import run
from stages.evaluate.query_files import write_queries
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.vectors import Encoded
from tests.refused import refused


def write(folder: Path, found: str, name: str = "NanoSampleNb", first: int = 0, more: int = 0) -> Path:
    """A table with one letter a query: + where the relevant document came first, - where it came second; ``more`` documents."""
    queries = {f"q{number}": f"Hva er øl nummer {number}?" for number in range(first, first + len(found))}
    corpus = {"right": "øl", "wrong": "vin"} | {f"d{number}": "vann" for number in range(more)}
    retrieval_set = RetrievalSet(name, "nb", queries, corpus, {query: {"right": 1.0} for query in queries})
    orders = {query: {"right": 2.0 if letter == "+" else 0.5, "wrong": 1.0} for query, letter in zip(queries, found, strict=True)}
    weights = np.array([[2.0 if letter == "+" else 0.5, 1.0] for letter in found], dtype=np.float32)
    encoded = Encoded.whole(csr_array(weights), csr_array(np.eye(2 + more, 2, dtype=np.float32)))
    folder.mkdir(parents=True, exist_ok=True)
    write_queries(folder, retrieval_set, {"model": orders}, encoded, lambda dimensions: [["øl", "vin"][each] for each in dimensions])
    return folder


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(["compare", *arguments])
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.chdir(tmp_path)
    for name in ("NanoSampleNb", "my-search"):
        write(tmp_path / "a" / "queries", "-" * 12 + "+" * 3, name)
        write(tmp_path / "b" / "metrics" / "queries", "+" * 12 + "++-", name)
    return "a", "b"


@pytest.mark.parametrize("columns", [80, 120])
def test_each_set_and_the_mean_have_the_difference_and_its_test(
    columns: int, folders: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = shown(capsys, *folders).splitlines()
    assert max(map(len, lines)) <= columns
    table = {
        line.split()[0]: line.split() for line in lines if line.split()[:1] and line.split()[0] in ("NanoSampleNb", "my-search", "mean")
    }
    for name, count, p in (("NanoSampleNb", "15", ".007"), ("my-search", "15", ".007"), ("mean", "30", "<.001")):
        _, n, before, after, difference, mark, low, _, high, value, changed = table[name]
        assert (n, before, after, difference, mark, value) == (count, ".705", ".975", "+.271", "▲", p)
        assert float(low) < 0.271 < float(high)
        assert changed == {"15": "12/2/1", "30": "24/4/2"}[count]


def test_the_queries_that_changed_most_have_both_ranks_and_the_terms_that_did_it(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(capsys, *folders, "--set", "my-search", "--top", "2")
    gained, lost = out[out.index("Gained most") :].split("Lost most")
    assert gained.startswith("Gained most from A to B (12 in all)") and gained.count("rank 2 → 1") == 2 and "nummer 0?" in gained
    assert "A  + øl .50   − vin 1.00" in gained and "B  + øl 2.00" in gained
    assert lost.startswith(" from A to B (1 in all)") and lost.count("rank 1 → 2") == 1 and "nummer 14?" in lost
    assert "mean" not in out and "NanoSampleNb" not in out
    assert "Gained" not in shown(capsys, *folders, "--top", "0")


def test_equal_runs_are_a_tie(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "a", "a")
    assert "0/15/0" in out and "1.000" in out and "No query changed." in out


def test_what_only_one_run_has_is_named(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("a/queries"), "++", "old-set")
    write(Path("b/metrics/queries"), "++", "new-set")
    write(Path("b/metrics/queries"), "+" * 10, "my-search", first=8, more=5)
    out = " ".join(shown(capsys, *folders).split())
    assert "Only in A, not compared: old-set." in out and "Only in B, not compared: new-set." in out
    assert "my-search is not the same set in both: by id and text, 8 queries are only in A and 3 only in B. The 7 that both" in out
    assert "my-search has 2 documents in A and 7 in B: its scores cannot be compared." in out
    with refused("--set", "old-set", "NanoSampleNb"):
        run(["compare", *folders, "--set", "old-set"])
    write(Path("c"), "++", "old-set", first=5)
    with refused("compare", "no query in common in old-set"):
        run(["compare", "a", "c"])
    write(Path("d"), "++", "elsewhere")
    with refused("compare", "no evaluation set in common", "elsewhere"):
        run(["compare", "a", "d"])


def test_a_table_that_cannot_be_read_is_named(folders: tuple[str, str]) -> None:
    (Path(folders[1]) / "lost.parquet").mkdir()
    with refused("lost.parquet", "cannot be read", "`dvc repro`"):
        compare.tables_of(folders[1])


def test_a_run_without_terms_can_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    retrieval_set = RetrievalSet("s", None, {"q": "?"}, {"a": "t"}, {"q": {"a": 1.0}})
    for name, model in (("a", {}), ("b", {"q": {"a": 1.0}})):
        (tmp_path / name).mkdir()
        write_queries(tmp_path / name, retrieval_set, {"model": model}, None, lambda _: [])
    out = shown(capsys, str(tmp_path / "a"), str(tmp_path / "b"))
    assert "rank >100 → 1" in out and "terms are not known" in out and "+1.000" in out


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose commit `old` has worse scores than the experiment `strong`, and whose first commit, `bare`, has none."""
    folder = tmp_path_factory.mktemp("repository")
    bin_folder = str(Path(sys.executable).parent)
    names = {f"GIT_{role}_{field}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}

    def execute(*command: str) -> None:
        environment = os.environ | names | {"PATH": os.pathsep.join([bin_folder, os.environ["PATH"]])}
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)

    execute("git", "init", "--quiet")
    execute("dvc", "init", "--quiet")
    write(folder / "weak", "-" * 12)
    write(folder / "strong", "+" * 12)
    stage = {"cmd": "cp -r $(cat which) metrics/queries", "deps": ["which"], "outs": ["metrics/queries"]}
    (folder / "dvc.yaml").write_text(f"stages: {{evaluate: {stage}}}\n")
    (folder / "metrics").mkdir()
    (folder / "metrics" / ".gitignore").write_text("/queries\n")
    (folder / "which").write_text("weak")
    execute("git", "add", "-A")
    execute("git", "commit", "-qm", "bare")
    execute("git", "tag", "bare")
    execute("dvc", "repro", "--quiet")
    execute("git", "add", "-A")
    execute("git", "commit", "-qm", "old")
    execute("git", "branch", "old")
    (folder / "which").write_text("strong")
    execute("dvc", "exp", "run", "--quiet", "-n", "best-yet")
    shutil.rmtree(folder / "metrics" / "queries")
    return folder


def test_experiments_and_commits_come_from_the_cache(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    for before in ("old", commit, "HEAD"):
        assert "12/0/0" in shown(capsys, before, "best-yet")
    assert "0/0/12" in shown(capsys, "best-yet", "weak")


def test_a_wrong_name_is_a_one_line_error(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    with refused("compare", "'nope'", "`dvc exp list`"):
        run(["compare", "nope", "best-yet"])
    with refused("compare", "folder metrics", "`dvc exp list`"):
        run(["compare", "metrics", "best-yet"])
    with refused("compare", "bare", "metrics/queries", "`dvc repro`"):
        run(["compare", "bare", "best-yet"])
    with refused("metrics/queries", "missing", "`dvc repro`"):
        run(["compare", "best-yet"])
    shutil.copytree(repository, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    files = [path for path in Path(".dvc/cache/files/md5").rglob("*") if path.is_file()]
    for lost in ([path for path in files if path.suffix != ".dir"], [path for path in files if path.suffix == ".dir"]):
        for path in lost:
            path.unlink()
        with refused("compare", "old", "cache", "`dvc fetch`"):
            run(["compare", "old", "best-yet"])
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with refused("compare", "old", "checkout"):
        run(["compare", "old", "best-yet"])
