"""A clone is as the sweep's commit says, whatever was there before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.sweeps.base import snapshot
from stages.sweeps.clone import CLONE, Clone, end_processes, run_git, with_settings
from tests import ROOT


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "t")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "t@e.org")
    origin = tmp_path / "origin"
    origin.mkdir()
    run_git(origin, "init", "--quiet")
    (origin / "params.yaml").write_text("a: 1  # why\n")
    (origin / ".gitignore").write_text("kept\n/.dvc/\n")
    run_git(origin, "add", "--all")
    run_git(origin, "commit", "--quiet", "-m", "first")
    (origin / "new.py").write_text("new\n")
    made = snapshot("s", origin)
    return Clone(tmp_path / "clones" / "0", origin, tmp_path / "cache", origin, "refs/sweeps/s", made, ("t", "t@e.org"))


def test_what_a_killed_trial_left_is_gone_and_what_git_ignores_stays(clone: Clone, tmp_path: Path) -> None:
    clone.clean()
    clone.set_up({"a": 2}, tmp_path / "checkpoints")
    folder = clone.folder
    assert (folder / "params.yaml").read_text() == "a: 2  # why\n"
    assert clone.git("status", "--porcelain").splitlines() == ["A  new.py", " M params.yaml"]
    assert (folder / "checkpoints").resolve() == tmp_path / "checkpoints"
    (folder / "stray.py").write_text("x")
    (folder / "new.py").unlink()
    (folder / "kept").write_text("x")
    (folder / ".git" / "index.lock").write_text("")
    (folder / ".dvc" / "tmp").mkdir()
    clone.git("update-ref", "refs/exps/ab/cd/s-000", "HEAD")
    clone.clean()
    assert clone.git("status", "--porcelain").splitlines() == ["A  new.py"]
    assert (folder / "kept").exists() and not (folder / ".dvc" / "tmp").exists() and not clone.git("for-each-ref", "refs/exps")


def test_half_a_clone_or_one_of_another_sweep_is_made_anew(clone: Clone) -> None:
    (clone.folder / ".git").mkdir(parents=True)
    clone.clean()
    assert (clone.folder / "new.py").exists()


def test_an_experiment_is_pushed_and_replaces_one_of_its_name(clone: Clone) -> None:
    clone.clean()
    for message in ("first", "second"):
        made = clone.git("commit-tree", "HEAD^{tree}", "-m", message).strip()
        clone.git("update-ref", "refs/exps/ab/cd/s-000", made)
        clone.push("s-000")
        assert run_git(clone.origin, "rev-parse", "refs/exps/ab/cd/s-000").strip() == made


def test_settings_go_into_params_yaml_and_its_comments_stay() -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    changed = with_settings(text, {"seed": 7, "training.learning_rate": 1e-05, "loss.nested_k": [8, 16]}).splitlines()
    new = [line for line in changed if line not in text.splitlines()]
    assert [line.split("#")[0].strip() for line in new] == ["seed: 7", "- 8", "- 16", "learning_rate: 1e-05"]
    assert new[0].endswith("# for initial weights, dropout and the order of batches")
    assert with_settings(text, {}) == text


def test_processes_of_a_killed_trial_are_ended_and_no_others() -> None:
    sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
    processes = [subprocess.Popen(sleep, env={**os.environ, CLONE: value}, stdout=subprocess.PIPE) for value in ("mine", "another")]
    for process in processes:
        assert process.stdout and process.stdout.readline()
    end_processes(CLONE, "mine")
    processes[0].wait(10)  # psutil has taken its exit status already
    assert processes[1].poll() is None
    processes[1].kill()
    processes[1].wait()
