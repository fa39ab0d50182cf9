"""The user's local paths: relative ones start at one root, and a digest follows their contents."""

import os
import time
from pathlib import Path

import pytest

from stages.config import own_paths
from stages.config.own_paths import MEMO, digests, local_files
from stages.runtime.root import ROOT, place
from tests.refused import refused


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of relative paths."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.delenv(ROOT, raising=False)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    return folder


def digest(path: Path) -> str:
    return digests({"key": path})["key"]


def write(path: Path, text: str, age: float = 60.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (time.time() - age,) * 2)


def test_a_relative_path_starts_at_our_variable_else_at_dvcs_root_else_here(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place("../my-search") == checkout / "../my-search"
    assert place("/data/x") == Path("/data/x")
    assert place("~/x") == Path.home() / "x"
    monkeypatch.setenv(ROOT, "/other")
    assert place("x") == Path("/other/x")
    monkeypatch.delenv(ROOT)
    monkeypatch.delenv("DVC_ROOT")
    assert place("x") == Path("x")


def test_a_digest_follows_names_and_contents_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write(folder / "corpus.jsonl", "{}")
    write(folder / "qrels" / "test.tsv", "rows")
    first = digest(folder)
    os.utime(folder / "corpus.jsonl")
    write(folder / ".git" / "index", "hidden")
    write(folder / "manifest.json", "ours")
    assert digest(folder) == first
    write(folder / "corpus.jsonl", "[]")
    second = digest(folder)
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "train.tsv")
    assert len({first, second, digest(folder)}) == 3
    write(folder / "corpus.jsonl", "{}")
    (folder / "qrels" / "train.tsv").rename(folder / "qrels" / "test.tsv")
    assert digest(folder) == first


def test_a_change_of_the_same_size_and_time_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_paths, "SETTLED", 0.0)
    file = tmp_path / "train.jsonl"
    write(file, "old")
    first, times = digest(file), file.stat()
    file.write_text("new")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digest(file) != first


def test_unchanged_files_are_not_read_again(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    real = own_paths.sha256
    monkeypatch.setattr(own_paths, "sha256", lambda path: read.append(path) or real(path))
    monkeypatch.setattr(own_paths, "SETTLED", 0.0)
    write(tmp_path / "mine" / "a.jsonl", "a")
    write(tmp_path / "mine" / "b.jsonl", "b")
    first = digest(tmp_path / "mine")
    assert digest(tmp_path / "mine") == first and len(read) == 2
    write(tmp_path / "mine" / "b.jsonl", "c")
    assert digest(tmp_path / "mine") != first and [path.name for path in read] == ["a.jsonl", "b.jsonl", "b.jsonl"]
    (checkout / MEMO).write_text("[broken")
    assert digest(tmp_path / "mine") != first and len(read) == 5


def test_a_file_that_changed_just_now_is_read_again(tmp_path: Path, checkout: Path) -> None:
    write(tmp_path / "a.jsonl", "a", age=0)
    digest(tmp_path / "a.jsonl")
    assert not (checkout / MEMO).exists()


def test_what_cannot_be_read_is_a_one_line_error_with_its_key(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write(folder / "a.jsonl", "a")
    (folder / "b.jsonl").symlink_to(tmp_path / "gone")
    with refused("datasets.x.path", "/mine/b.jsonl", "No such file"):
        digests({"datasets.x.path": folder})
    (folder / "b.jsonl").unlink()
    os.mkfifo(folder / "c.jsonl")
    with refused("datasets.x.path", "c.jsonl", "neither a file nor a folder"):
        digests({"datasets.x.path": folder})
    (folder / "c.jsonl").unlink()
    (folder / "loop").symlink_to(folder)
    with refused("datasets.x.path", "loop", "cannot be read"):
        digests({"datasets.x.path": folder})


def test_links_count_as_what_they_point_to(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a.jsonl", "a")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rows").symlink_to(tmp_path / "elsewhere")
    assert [*local_files(tmp_path / "mine")] == ["rows/a.jsonl"]
    first = digest(tmp_path / "mine")
    write(tmp_path / "elsewhere" / "a.jsonl", "b")
    assert digest(tmp_path / "mine") != first


def test_a_file_name_that_is_not_utf8_is_a_one_line_error(tmp_path: Path) -> None:
    write(tmp_path / "mine" / os.fsdecode(b"train-\xff.jsonl"), "a")
    with refused("datasets.x.path", "UTF-8"):
        digests({"datasets.x.path": tmp_path / "mine"})
