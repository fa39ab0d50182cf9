"""Trials as tasks of Ray, on a cluster of this machine."""

import sys
from pathlib import Path

import pytest

from stages.config.sweep import Ray
from stages.launchers.ray import RayLauncher
from tests.refused import refused
from tests.toy import Toy


@pytest.mark.slow
def test_trials_run_as_tasks_and_share_the_data_stages(toy: Toy) -> None:
    path = toy.write(
        "method: grid\nparameters: {training.learning_rate: [0.1, 0.2, 0.9]}\nlauncher: ray\nray: {num_cpus: 1, parallel: 2}\n"
    )
    output = toy.sweep(path)
    assert "3 of 3 trials, 1 failed" in output
    assert sorted(toy.ran()) == ["download-model", "make-base", "mix", "validation"]
    assert {*toy.run("dvc", "exp", "list", "--name-only").split()} == {"s-000", "s-001"}


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_or_is_too_small_is_refused(tmp_path: Path) -> None:
    with refused("ray.address: … 127.0.0.1:1"):
        RayLauncher(tmp_path, Ray(address="127.0.0.1:1"), tmp_path)
    with refused("num_gpus 9 … ask for less"):
        RayLauncher(tmp_path, Ray(num_gpus=9), tmp_path)


def test_without_ray_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with refused("ray … nordic-sparse[ray]"):
        RayLauncher(tmp_path, Ray(), tmp_path)
