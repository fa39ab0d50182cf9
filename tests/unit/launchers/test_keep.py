"""A sweep on a machine that is taken away goes on, on another, with what the first has kept."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.launchers import keep
from stages.runtime.files import write_json
from stages.sweeps.clone import run_git

WHO = {f"GIT_{role}_{what}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
TRIAL = """
import json, pathlib, subprocess
place = pathlib.Path("sweeps/s/trials/000")
head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
subprocess.run(["git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/s-000", head], check=True)
(place / "queries").mkdir()
(place / "queries" / "sample.parquet").write_text("x")
(place / "result.json").write_text(json.dumps({"state": "done"}))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    (folder / "params.yaml").write_text("seed: 1\n", encoding="utf-8")
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    subprocess.run(["git", "commit", "--quiet", "-m", "made"], cwd=folder, check=True, env=os.environ | WHO)
    return folder


def begin(checkout: Path) -> Path:
    """A sweep of two trials, the second half trained."""
    run_git(checkout, "update-ref", "refs/sweeps/s", "HEAD")
    folder = checkout / "sweeps" / "s"
    write_json(folder / "sweep.json", {"commit": "c"})
    for number in range(2):
        write_json(folder / f"trials/00{number}/trial.json", {"number": number})
    for step, state in ((10, '{"global_step": 10}'), (20, "")):
        path = folder / f"trials/001/checkpoints/1f/checkpoint-{step}"
        path.mkdir(parents=True)
        (path / "trainer_state.json").write_text(state, encoding="utf-8")
    return folder


def test_another_machine_has_the_results_experiments_and_complete_checkpoints(checkout: Path, tmp_path: Path) -> None:
    later, store = tmp_path / "later", tmp_path / "store"
    subprocess.run(["git", "clone", "--quiet", str(checkout), str(later)], check=True)
    folder = begin(checkout)
    assert keep.run(folder, store, [sys.executable, "-c", TRIAL], checkout) == 0

    again = later / "sweeps" / "s"
    assert keep.run(again, store, [sys.executable, "-c", "raise SystemExit(3)"], later) == 3
    assert json.loads((again / "trials/000/result.json").read_text(encoding="utf-8")) == {"state": "done"}
    assert (again / "trials/000/queries/sample.parquet").read_text(encoding="utf-8") == "x"
    assert [path.name for path in again.glob("trials/001/checkpoints/*/*")] == ["checkpoint-10"]
    refs = run_git(later, "for-each-ref", "--format=%(refname:lstrip=-1)", "refs/exps", "refs/sweeps").split()
    assert refs == ["s-000", "s"]


def test_a_machine_that_has_the_sweep_keeps_its_own(checkout: Path, tmp_path: Path) -> None:
    folder = begin(checkout)
    keep.keep(folder, tmp_path, checkout)
    write_json(folder / "trials/000/trial.json", {"number": 0, "settings": {}})
    keep.bring(folder, tmp_path, checkout)
    assert "settings" in (folder / "trials/000/trial.json").read_text(encoding="utf-8")
