"""A set is made again only if its settings, inputs or code have changed."""

import errno
import os
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
