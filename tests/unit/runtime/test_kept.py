"""A set is made again only if its settings, inputs or code have changed."""

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from stages.runtime.files import remove
from stages.runtime.kept import digest, make_sets


class Stage:
    """A stage that writes a set's name into a file, as DVC runs it: what it made before is removed first."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.made = folder / "out", folder / "store", list[str]()

    def __call__(self, **made_from: str) -> str:
        self.made.clear()
        remove(self.folder)
        return make_sets(self.folder, made_from, self.make, self.store)

    def make(self, name: str, folder: Path) -> None:
        self.made.append(name)
        if name == "broken":
            raise ValueError
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "rows.txt").write_text(name)

    def content(self) -> dict[str, str]:
        return {str(path.relative_to(self.folder)): path.read_text() for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_only_a_set_that_changed_is_made_again(stage: Stage) -> None:
    assert stage(a="1", b="1") == "2 sets"
    assert stage(a="1", b="2", c="1") == "3 sets, 1 of them unchanged"
    assert stage.made == ["b", "c"]
    assert stage.content() == {f"{name}/deep/rows.txt": name for name in "abc"}


def test_a_set_that_is_left_out_goes_and_comes_back(stage: Stage) -> None:
    stage(a="1", b="1")
    make_sets(stage.folder, {"b": "1"}, stage.make, stage.store)  # as by hand, without DVC
    assert stage.content() == {"b/deep/rows.txt": "b"}
    stage(a="1", b="1")
    assert stage.made == []


def test_a_stage_that_fails_keeps_the_sets_before(stage: Stage) -> None:
    with pytest.raises(ValueError):
        stage(a="1", broken="1", c="1")
    stage(a="1", c="1")
    assert stage.made == ["c"]


def test_a_file_that_somebody_wrote_to_is_not_used_again(stage: Stage) -> None:
    stage(a="1")
    with (stage.folder / "a" / "deep" / "rows.txt").open("a") as file:
        file.write("edited")
    stage(a="1")
    assert stage.made == ["a"] and stage.content() == {"a/deep/rows.txt": "a"}


def test_without_hard_links_files_are_copied(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    stage(a="1")
    stage(a="1")
    assert stage.made == [] and stage.content() == {"a/deep/rows.txt": "a"}


@pytest.mark.parametrize("note", ["", '{"made_from": "1"', "[]", "\0"])
def test_a_note_that_cannot_be_read_costs_only_time(stage: Stage, note: str) -> None:
    stage(a="1")
    (stage.store / "a.json").write_text(note)
    stage(a="1")
    assert stage.made == ["a"]
    stage(a="1")
    assert stage.made == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_store_that_cannot_be_written_costs_only_time(stage: Stage, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    stage(a="1")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    for name in ("write_json", "_copy"):
        with monkeypatch.context() as patch:
            patch.setattr(f"stages.runtime.kept.{name}", refuse if name == "write_json" else lambda *_: False)
            stage(a="2", b="1")
            assert stage.made == ["a", "b"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        stage(a="3")
        assert stage.content() == {"a/deep/rows.txt": "a"}
    stage(a="1")
    assert stage.made == ["a"]


def test_two_runs_of_a_stage_wait_for_each_other(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage(a="1")
    (stage.store / ".a.1234.tmp").mkdir()  # of a process that was killed
    with (stage.store / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=stage, kwargs={"a": "2"})
        second.start()
        second.join(0.3)
        assert second.is_alive() and stage.made == []
        assert (stage.store / ".a.1234.tmp").exists()
    second.join(10)
    assert stage.made == ["a"] and not (stage.store / ".a.1234.tmp").exists()
    assert "waiting for another run" in capsys.readouterr().out


def test_a_file_in_another_folder_is_another_input(tmp_path: Path) -> None:
    (tmp_path / "nb").mkdir()
    (tmp_path / "nb" / "rows.txt").write_text("a")
    before = digest({}, [tmp_path])
    (tmp_path / "nb").rename(tmp_path / "nn")
    assert digest({}, [tmp_path]) != before


def test_no_set_leaves_a_folder_that_says_so(stage: Stage) -> None:
    assert stage() == "no set"
    assert set(stage.content()) == {"unused.txt"}


def test_settings_files_and_code_decide(tmp_path: Path) -> None:
    file = tmp_path / "in" / "rows.txt"
    file.parent.mkdir()
    file.write_text("a")
    first = digest({"x": 1, "y": 2}, [file.parent], ["rows"])
    assert digest({"y": 2, "x": 1}, [file.parent], ["rows"]) == first
    assert (
        len(
            {
                first,
                digest({"x": 1}, [file.parent], ["rows"]),
                digest({"x": 1, "y": 2}, [], ["rows"]),
                digest({"x": 1, "y": 2}, [file.parent]),
            }
        )
        == 4
    )
    file.write_text("b")
    assert digest({"x": 1, "y": 2}, [file.parent], ["rows"]) != first
