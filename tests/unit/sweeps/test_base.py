"""The commit that trials run: the files as they are, none silently left out."""

from pathlib import Path

import pytest

from stages.sweeps import base
from stages.sweeps.clone import run_git
from tests.refused import refused


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{name}_NAME", raising=False)
        monkeypatch.delenv(f"GIT_{name}_EMAIL", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "checkout"
    folder.mkdir()
    run_git(folder, "init", "--quiet")
    return folder


def commit(folder: Path) -> None:
    run_git(folder, "config", "user.name", "Åse")
    run_git(folder, "config", "user.email", "a@b.no")
    (folder / "code.py").write_text("1\n")
    (folder / ".gitignore").write_text("ignored\n")
    run_git(folder, "add", "--all")
    run_git(folder, "commit", "--quiet", "-m", "first")


def test_uncommitted_changes_go_along_and_the_index_stays_as_it_is(checkout: Path) -> None:
    commit(checkout)
    (checkout / "code.py").write_text("2\n")
    (checkout / "nytt æøå.py").write_text("3\n")
    (checkout / "ignored").write_text("4\n")
    before = run_git(checkout, "status", "--porcelain")
    made = base.snapshot("s", checkout)
    assert run_git(checkout, "show", f"{made}:code.py") == "2\n" and run_git(checkout, "show", f"{made}:nytt æøå.py") == "3\n"
    assert run_git(checkout, "ls-tree", "--name-only", "-z", made).split("\0")[:-1] == [".gitignore", "code.py", "nytt æøå.py"]
    assert base.changes(checkout) == ["code.py", "nytt æøå.py"] and run_git(checkout, "status", "--porcelain") == before
    assert run_git(checkout, "rev-parse", f"{made}^") == run_git(checkout, "rev-parse", "HEAD")
    assert base.snapshot("s", checkout) == made and base.differing(made, checkout) == []
    (checkout / "dvc.lock").write_text("the pipeline's own\n")
    assert base.differing(made, checkout) == []
    (checkout / "new.py").write_text("5\n")
    assert base.differing(made, checkout) == ["new.py"]
    (checkout / "new.py").unlink()
    (checkout / "dvc.lock").unlink()
    (checkout / "code.py").unlink()
    assert base.snapshot("s", checkout) != made and "code.py" in base.changes(checkout)


def test_no_identity_no_commit_or_a_large_file_is_refused(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with refused("user.name … git config"):
        base.snapshot("s", checkout)
    run_git(checkout, "config", "user.name", "Åse")
    run_git(checkout, "config", "user.email", "a@b.no")
    with refused("no commit"):
        base.snapshot("s", checkout)
    commit(checkout)
    monkeypatch.setattr(base, "LARGEST", 3)
    (checkout / "data.bin").write_text("12345")
    with refused("data.bin … .gitignore"):
        base.snapshot("s", checkout)
    assert base.differing("HEAD", checkout) == []  # a sweep that began before it was there goes on


@pytest.mark.parametrize("tracked", [True, False])
def test_a_repository_in_the_checkout_is_refused_by_name(checkout: Path, tracked: bool) -> None:
    commit(checkout)
    (checkout / "inner").mkdir()
    run_git(checkout / "inner", "init", "--quiet")
    commit(checkout / "inner")
    if tracked:
        run_git(checkout, "add", "inner")
        run_git(checkout, "commit", "--quiet", "-m", "inner")
    with refused("inner: is a git repository … move it"):
        base.snapshot("s", checkout)
    with (checkout / ".gitignore").open("a") as file:
        file.write("inner/\n")
    if not tracked:
        assert "inner" not in run_git(checkout, "ls-tree", "--name-only", base.snapshot("s", checkout))
