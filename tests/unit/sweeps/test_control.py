"""A whole sweep over a toy pipeline: real git, real dvc, processes that are really killed."""

import json
import os
import re
import signal
import time
from collections.abc import Callable

import psutil

from tests import ROOT
from tests.refused import names
from tests.toy import Toy


def wait_for(condition: Callable[[], object], seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def results(toy: Toy, name: str = "s") -> dict[int, dict[str, object]]:
    paths = (toy.folder / "sweeps" / name / "trials").glob("*/result.json")
    return {int(path.parent.name): json.loads(path.read_text()) for path in sorted(paths)}


def started_from(toy: Toy, number: int) -> int:
    """The step that the last attempt of a trial resumed from."""
    return int(results(toy)[number]["metrics"]["mean.tokens_lost"])  # type: ignore[index]


def test_trials_are_experiments_of_the_checkout_that_share_the_data_stages(toy: Toy) -> None:
    (toy.folder / "train.py").write_text("# mine\n" + (toy.folder / "train.py").read_text())
    path = toy.write(
        "method: grid\nparameters: {training.learning_rate: [0.1, 0.9]}\nseeds: [1, 2]\n"
        "objectives: [maximize mean.ndcg@10, minimize mean.flops]\n"
    )
    output = toy.sweep(path)
    assert names(output, "Uncommitted changes go along: … train.py", "4 of 4 trials, 2 failed", "1 ± 7.1e-05")
    assert names(output, "trial 2 failed: training: the model collapsed")
    assert toy.ran() == ["mix", "validation", "make-base", "download-model"]
    assert [result["state"] for result in results(toy).values()] == ["done", "done", "failed", "failed"]
    assert {*toy.run("dvc", "exp", "list", "--name-only").split()} == {"s-000", "s-001"}
    assert re.search(r"s-000.*1\.0001", toy.run("dvc", "exp", "show", "--csv"))

    again = toy.sweep(path)
    assert names(again, "4 of 4 trials have a result") and "starts" not in again

    mine = (toy.folder / "train.py").read_text()
    (toy.folder / "train.py").write_text("# younger\n" + mine)
    assert names(toy.sweep(path, "--apply-best", status=2), "has changed … error: --apply-best: train.py: … git stash")
    (toy.folder / "train.py").write_text(mine)
    assert "Applied s-000" in toy.sweep(path, "--apply-best")
    assert "seed: 1 " in (toy.folder / "params.yaml").read_text()
    assert "Running stage 'train'" not in toy.run("dvc", "repro")


def test_a_killed_sweep_goes_on_and_a_half_trained_trial_resumes(toy: Toy) -> None:
    path = toy.write("method: grid\nparameters: {training.learning_rate: [0.1, 0.2]}\nfixed: {training.max_steps: 40}\n")
    state = toy.folder / "sweeps/s/trials/000/checkpoints/step.txt"
    slow = {"TOY_STEP": "0.2"}

    def trained(steps: int) -> bool:
        return state.exists() and int(state.read_text() or 0) >= steps

    first = toy.start("python", "stages.commands", "sweep", path, **slow)
    wait_for(lambda: trained(3))
    first.kill()
    first.wait()
    second = toy.start("python", "stages.commands", "sweep", path, **slow)
    wait_for(lambda: trained(8))
    [train] = [each for each in psutil.process_iter(["cmdline"]) if _is_training(each, toy)]
    train.send_signal(signal.SIGKILL)
    wait_for(lambda: trained(12))
    os.killpg(second.pid, signal.SIGINT)
    said, _ = second.communicate(timeout=600)
    assert second.returncode == 130 and names(said, f"0 of 2 trials have a result; `nordic-sparse sweep {path}` goes on"), said
    assert not [each for each in psutil.process_iter(["cmdline"]) if _is_training(each, toy)]

    toy.sweep(path)
    assert started_from(toy, 0) >= 12 and started_from(toy, 1) == 0
    assert not state.exists()


def _is_training(process: psutil.Process, toy: Toy) -> bool:
    try:
        return (process.info["cmdline"] or [""])[-1] == "train.py" and str(toy.folder) in process.cwd()
    except psutil.Error:
        return False


def test_what_cannot_start_says_so_in_one_line_and_leaves_nothing(toy: Toy) -> None:
    (toy.folder / "elsewhere.yaml").write_text("method: grid\nseeds: [1]\nparameters: {}\n")
    assert names(toy.sweep("elsewhere.yaml", status=2), "error: elsewhere.yaml … sweeps/")
    path = toy.write("method: grid\nparameters: {training.learning_rate: [0.1, -1.0]}\n")
    assert names(toy.sweep(path, status=2), "error: sweeps/s.yaml: training.learning_rate … -1.0")
    assert not (toy.folder / "sweeps/s").exists() and "refs/sweeps" not in toy.run("git", "for-each-ref")


def test_a_sweep_whose_engine_was_missing_begins_with_the_files_of_the_start_that_works(toy: Toy) -> None:
    path = toy.write("method: grid\nparameters: {training.learning_rate: [0.1]}\nray: {address: '127.0.0.1:1'}\n")
    (toy.folder / "ray.py").write_text("raise ImportError\n")  # stands before any installed one
    missing = toy.sweep(path, "--launcher", "ray", status=2, PYTHONPATH=f"{toy.folder}{os.pathsep}{ROOT}")
    assert names(missing, "error: launcher: ray is not installed … nordic-sparse[ray]")
    (toy.folder / "ray.py").unlink()
    toy.commit()
    toy.run("git", "update-ref", f"refs/exps/00/{'0' * 38}/s-1b-000", "HEAD")  # of another sweep
    assert "has changed" not in toy.sweep(path)
    assert toy.run("git", "rev-parse", "refs/sweeps/s^") == toy.run("git", "rev-parse", "HEAD")
    (toy.folder / "train.py").write_text("# mine\n" + (toy.folder / "train.py").read_text())
    assert "has changed since this sweep began (train.py)" in toy.sweep(path)


def test_a_trial_whose_scores_fall_behind_stops_and_leaves_no_experiment(toy: Toy) -> None:
    path = toy.write(
        "method: grid\nparameters: {training.learning_rate: [0.1, 0.11, 0.5]}\nprune: {after_trials: 2}\n"
        "fixed: {training.max_steps: 40, training.eval_steps: 1, training.logging_steps: 1, training.save_steps: 1}\n"
        "objectives: [maximize validation.mean_ndcg@10]\n"
    )
    output = toy.sweep(path, TOY_STEP="0.25")
    assert [result["state"] for result in results(toy).values()] == ["done", "done", "pruned"]
    assert names(output, "trial 2 pruned: its best score … the median of 2 other trials")
    assert {*toy.run("dvc", "exp", "list", "--name-only").split()} == {"s-000", "s-001"}


def test_a_sweep_that_cannot_work_stops_and_starts_over_with_the_corrected_code(toy: Toy) -> None:
    path = toy.write("method: random\ntrials: 4\nparameters: {training.learning_rate: {low: 0.6, high: 0.9}}\n")
    output = toy.sweep(path, status=2)
    assert names(output, "error: all of the first 3 trials failed: training: the model collapsed … --retry-failed")
    train = toy.folder / "train.py"
    train.write_text(train.read_text().replace("> .5", "> 2"))
    assert names(toy.sweep(path, "--retry-failed", status=2), "The checkout has changed … --restart", "collapsed")
    assert "4 of 4 trials, best mean.ndcg@10" in toy.sweep(path, "--restart")
    toy.write("method: random\ntrials: 4\nparameters: {training.learning_rate: [0.1, 0.2]}\n")
    fewer = toy.sweep(path, "--restart")
    assert "trials: 4 is more than there are: the parameters have 2 configurations" in fewer and "2 of 2 trials" in fewer
    assert {*toy.run("dvc", "exp", "list", "--name-only").split()} == {"s-000", "s-001"}
