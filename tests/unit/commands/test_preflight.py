"""What DVC does not say: which file is empty or broken, what it should hold, and how to undo a refused value."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from stages.commands import preflight
from stages.config.params import read_resolved
from stages.resolve import __main__ as resolve
from stages.runtime.errors import UserError
from tests import ROOT
from tests.refused import names, refused


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository of the files that dvc reads first."""
    for name in ("params.yaml", "dvc.yaml", "dvc.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def test_files_as_shipped_and_a_missing_lock_pass(checkout: Path) -> None:
    preflight.main()
    (checkout / "dvc.lock").unlink()
    preflight.main()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("params.yaml", "x: [1"),
        *((name, text) for name in ("dvc.yaml", "dvc.lock") for text in ("", "null\n", "[]\n", "x: [1", "# no\n", "a: 1\n")),
    ],
)
def test_an_empty_or_broken_file_of_dvc_is_named(checkout: Path, name: str, content: str) -> None:
    (checkout / name).write_text(content)
    with refused(name, f"git checkout {name}"):
        preflight.main()


@pytest.mark.parametrize("content", ["", "null\n", "[1]\n", "x: [1"])
def test_an_empty_resolved_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "train.yaml").write_text(content)
    with refused("train.yaml", "`python -m stages.resolve`"):
        read_resolved("train", tmp_path)


def mistakes(checkout: Path, *changes: tuple[str, str]) -> list[str]:
    text = (checkout / "params.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (checkout / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        resolve.main()
    assert not (checkout / "resolved").exists()
    return str(error.value).splitlines()


WRONG = ("  learning_rate:", "  learning_rate: -1")


def test_a_refused_value_says_what_was_there_and_how_to_undo_it(checkout: Path) -> None:
    mistake, undo = mistakes(checkout, WRONG)
    assert names(mistake, "params.yaml … training.learning_rate … -1")
    assert names(undo, "training.learning_rate is -1 … null … last commit … `git checkout params.yaml`")


def test_a_mistyped_key_that_was_added_is_named_with_the_right_one(checkout: Path) -> None:
    mistake, undo = mistakes(checkout, ("  warmup_ratio:", "  max_step: 5\n  warmup_ratio:"))  # -S +training.max_step=5
    assert names(mistake, "training.max_step: … training.max_steps?")
    assert names(undo, "training.max_step … `git checkout params.yaml` undoes")


def test_git_notices_a_value_of_the_same_length_written_within_the_second_of_its_index(checkout: Path) -> None:
    then = time.time() - 10
    os.utime("params.yaml", (then, then))
    subprocess.run(["git", "add", "params.yaml"], check=True)
    path = checkout / "params.yaml"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace("profile: sample ", "profile: nordic "), encoding="utf-8")
    os.utime(path, (then, then))  # as dvc leaves it
    with pytest.raises(UserError, match=r"`git checkout params\.yaml`"):
        resolve.main()
    subprocess.run(["git", "checkout", "params.yaml"], check=True)
    assert path.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("mine", [("seed: 42", "seed: 43"), ("# for initial", "# my remark"), ("# All settings", "# mine\n# All settings")])
def test_the_advice_keeps_other_edits(checkout: Path, mine: tuple[str, str]) -> None:
    _, undo = mistakes(checkout, WRONG, mine)
    assert "git checkout" not in undo and "`-S training.learning_rate=null`" in undo and "seed" not in undo


def test_the_changed_key_is_named_even_if_the_mistake_names_another(checkout: Path) -> None:
    *_, undo = mistakes(checkout, ("profile: sample", "profile: nordic"))
    assert names(undo, "profile is nordic … sample … last commit")


@pytest.mark.parametrize("change", [("presets:", "presets: [1]\nx:"), ("hub:", "hub: 5\nx:")])
def test_no_value_is_suggested_in_place_of_a_mapping(checkout: Path, change: tuple[str, str]) -> None:
    *_, undo = mistakes(checkout, change)
    assert "-S" not in undo.partition("; `git diff")[2] and "null" not in undo and "`git checkout params.yaml`" in undo


@pytest.mark.parametrize("content", ["", "[1]", "text"])
def test_a_file_without_a_mapping_is_restored_as_a_whole(checkout: Path, content: str) -> None:
    (checkout / "params.yaml").write_text(content)
    with refused("params.yaml"):
        resolve.main()


def test_no_advice_without_a_commit_or_in_dvcs_temporary_copy(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = checkout / ".dvc" / "tmp" / "exps" / "x"
    shutil.copytree(checkout / ".git", copy / ".git")
    shutil.copy(checkout / "params.yaml", copy)
    monkeypatch.chdir(copy)
    assert len(mistakes(copy, WRONG)) == 1
    monkeypatch.chdir(checkout)
    shutil.rmtree(checkout / ".git")
    assert len(mistakes(checkout, WRONG)) == 1
