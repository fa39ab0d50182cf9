"""A killed training run resumes from its last checkpoint and gives the same model as an uninterrupted one."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

from stages.runtime.files import remove
from tests.pipeline.conftest import Workspace


def digests(workspace: Workspace) -> dict[str, str]:
    """sha256 of the trained model's files, the curve and the scores."""
    folder = workspace.folder
    files = [*(folder / "models" / "final").rglob("*"), *(folder / "models").glob("*.*"), folder / "metrics" / "evaluation.json"]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files if p.is_file()}


def kill_at_checkpoint(workspace: Workspace, step: int) -> None:
    """Start `dvc repro` and SIGKILL its whole process group as soon as checkpoint ``step`` is complete."""
    process = subprocess.Popen(
        ["dvc", "repro"],
        cwd=workspace.folder,
        env=workspace.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not list((workspace.folder / "checkpoints").glob(f"*/checkpoint-{step}/trainer_state.json")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def train_again_with_a_kill(workspace: Workspace) -> str:
    """Train once more, killed at checkpoint 4 and resumed; return what the resumed `dvc repro` prints."""
    workspace.run("git", "checkout", "--quiet", "HEAD", "dvc.lock")  # so that dvc trains again
    remove(workspace.folder / ".dvc" / "cache" / "runs")
    remove(workspace.folder / "checkpoints")
    kill_at_checkpoint(workspace, 4)
    return workspace.run("dvc", "repro")


@pytest.mark.slow
def test_a_killed_run_gives_the_model_of_an_uninterrupted_one(workspace: Workspace) -> None:
    workspace.edit_params({"training": {"weight_decay": 0.02}})
    workspace.run("dvc", "repro")
    undisturbed = digests(workspace)
    output = train_again_with_a_kill(workspace)
    assert "resuming from" in output
    assert digests(workspace) == undisturbed


@pytest.mark.slow
def test_a_model_that_dvc_has_not_recorded_is_not_trained_again(workspace: Workspace) -> None:
    workspace.edit_params({"training": {"weight_decay": 0.03}})
    workspace.run("dvc", "repro", "resolve")
    workspace.run(sys.executable, "-m", "stages.train")  # as one that outlives dvc
    trained = digests(workspace)
    output = workspace.run("dvc", "repro")
    assert "resuming from" in output and "checkpoint-8" in output
    assert {name: digest for name, digest in digests(workspace).items() if name != "metrics/evaluation.json"} == {
        name: digest for name, digest in trained.items() if name != "metrics/evaluation.json"
    }
    workspace.edit_params({"training": {"weight_decay": 0.04}})
    workspace.run("dvc", "repro", "train")
    assert len(list((workspace.folder / "checkpoints").glob("*/written"))) == 1  # those of the run before have been removed


def test_a_trainer_that_outlives_dvc_keeps_a_second_one_out(workspace: Workspace) -> None:
    lock = workspace.folder / "checkpoints" / "lock"
    holder = subprocess.Popen(
        ["flock", "--exclusive", "--no-fork", str(lock), "sleep", "600"], cwd=workspace.folder, env=workspace.environment
    )
    try:
        time.sleep(0.5)
        workspace.edit_params({"seed": 7})
        output = workspace.run("dvc", "repro", status=255)
    finally:
        holder.kill()
        holder.wait()
    assert "another training run is alive here" in output
