"""Code and experiments reach a repository that cannot reach the other one."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from stages.launchers.bundles import bundle_code, bundle_experiments, fetch_outputs, place, unbundle_code, unbundle_experiments
from stages.sweeps.clone import run_git
from tests.refused import refused

WHO = {f"GIT_{role}_{what}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def commit(repository: Path, **files: str) -> str:
    for name, content in files.items():
        (repository / name.replace("_", ".")).write_text(content, encoding="utf-8")
    subprocess.run(["git", "add", "-A"], cwd=repository, check=True)
    subprocess.run(["git", "commit", "--quiet", "-m", "made"], cwd=repository, check=True, env=os.environ | WHO)
    return run_git(repository, "rev-parse", "HEAD").strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return folder


def test_code_goes_there_and_an_experiment_comes_back(checkout: Path, tmp_path: Path) -> None:
    head = commit(checkout, params_yaml="seed: 1\n")
    run_git(checkout, "update-ref", "refs/sweeps/s", head)
    bundle_code(checkout, ["refs/sweeps/s"], tmp_path / "code.bundle")
    origin = unbundle_code(tmp_path / "code.bundle", tmp_path / "origin.git")
    assert unbundle_code(tmp_path / "code.bundle", origin) == origin  # a warm container
    assert run_git(origin, "rev-parse", "refs/sweeps/s").strip() == head

    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(checkout), str(clone)], check=True)
    experiment = commit(clone, params_yaml="seed: 2\n")
    ref = f"refs/exps/{head[:2]}/{head[2:]}/s-000"
    run_git(clone, "push", "--quiet", str(origin), f"HEAD:{ref}")
    bundle_experiments(origin, "s-000", tmp_path / "experiment.bundle")
    assert unbundle_experiments(tmp_path / "experiment.bundle", checkout) == {ref: experiment}
    assert run_git(checkout, "show", f"{ref}:params.yaml") == "seed: 2\n"
    with refused("origin.git", "no experiment s-001"):
        bundle_experiments(origin, "s-001", tmp_path / "none.bundle")


def test_an_experiment_of_an_unknown_commit_is_refused(checkout: Path, tmp_path: Path) -> None:
    head = commit(checkout, params_yaml="seed: 1\n")
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "--quiet", str(checkout), str(other)], check=True)
    base = commit(other, params_yaml="seed: 3\n")
    commit(other, params_yaml="seed: 4\n")
    run_git(other, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/s-000", "HEAD")
    bundle_experiments(other, "s-000", tmp_path / "experiment.bundle")
    with refused("checkout", "lacks the commit"):
        unbundle_experiments(tmp_path / "experiment.bundle", checkout)
    assert head


def test_the_files_of_an_experiment_come_once_and_whole(checkout: Path, tmp_path: Path) -> None:
    def stored(content: bytes, suffix: str = "") -> str:
        digest = hashlib.md5(content).hexdigest() + suffix
        target = place(there, digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return digest

    there, here = tmp_path / "there", tmp_path / "here"
    weights, score = stored(b"weights"), stored(b"0.5")
    folder = stored(json.dumps([{"md5": weights, "relpath": "model.safetensors"}]).encode(), ".dir")
    in_git = hashlib.md5(b"not cached").hexdigest()
    lock = {
        "stages": {"train": {"outs": [{"path": "models/final", "md5": folder}]}, "evaluate": {"outs": [{"md5": score}, {"md5": in_git}]}}
    }
    experiment = commit(checkout, dvc_lock=json.dumps(lock))

    def read(path: str) -> list[bytes]:
        return [(there / path).read_bytes()]

    assert fetch_outputs(experiment, checkout, here, read) == 3
    assert fetch_outputs(experiment, checkout, here, read) == 0
    assert place(here, weights).read_bytes() == b"weights" and not place(here, in_git).exists()
    place(here, weights).unlink()
    place(there, weights).write_bytes(b"weight")
    with refused(weights, "other content"):
        fetch_outputs(experiment, checkout, here, read)
    assert not place(here, weights).exists()
