"""Trials as jobs of submitit: by its local executor, the same jobs as processes of this machine."""

import sys
from pathlib import Path

import pytest

from stages.config.sweep import Slurm
from stages.launchers.slurm import SlurmLauncher
from tests.refused import refused
from tests.toy import Toy


@pytest.mark.slow
def test_trials_run_as_jobs_two_at_a_time_and_share_the_data_stages(toy: Toy) -> None:
    path = toy.write(
        "method: grid\nparameters: {training.learning_rate: [0.1, 0.2, 0.9]}\nlauncher: slurm\nslurm: {cluster: local, parallel: 2}\n"
    )
    output = toy.sweep(path)
    assert "3 of 3 trials, 1 failed" in output
    assert sorted(toy.ran()) == ["download-model", "make-base", "mix", "validation"]
    assert {*toy.run("dvc", "exp", "list", "--name-only").split()} == {"s-000", "s-001"}
    assert (toy.folder / "sweeps/s/clones/slurm-1").is_dir()


def test_without_submitit_or_slurm_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with refused("slurm … nordic-sparse[slurm]"):
        SlurmLauncher(tmp_path, Slurm(), tmp_path)
