"""A training is resumed only by itself, from a complete checkpoint, and by one process at a time."""

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from stages.runtime.checkpoint import incomplete
from stages.train.checkpoints import (
    OWNER,
    WRITTEN,
    find_step,
    fingerprint,
    last_complete,
    remove_incomplete,
    sole_training,
    starting_point,
    unfinished,
    written,
)
from stages.train.trainer import Trainer
from tests.refused import refused
from tests.unit.train.conftest import Run


def make_checkpoint(folder: Path, step: int, state: str | None = None, key: str = "key") -> Path:
    """A checkpoint-N as far as these functions look at it; ``state`` overrules its trainer_state.json."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text(f'{{"global_step": {step}}}' if state is None else state)
    (checkpoint / OWNER).write_text(f"{key}\n")
    return checkpoint


def test_the_fingerprint_changes_with_settings_and_with_the_bytes_of_inputs(tmp_path: Path) -> None:
    data, folder = tmp_path / "data", tmp_path / "folder"
    data.write_text("rows")
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("weights")
    first = fingerprint({"learning_rate": 1e-3}, [data, folder])
    assert first == fingerprint({"learning_rate": 1e-3}, [data, folder])
    assert first != fingerprint({"learning_rate": 2e-3}, [data, folder])
    (folder / "sub" / "file").write_text("other weights")
    assert first != fingerprint({"learning_rate": 1e-3}, [data, folder])


def test_only_a_complete_checkpoint_counts_and_the_latest_wins(tmp_path: Path) -> None:
    assert last_complete(tmp_path) is None
    make_checkpoint(tmp_path, 5)
    make_checkpoint(tmp_path, 10)
    (tmp_path / "checkpoint-100").mkdir()
    for step, cut_off in ((200, ""), (300, '{"global_step": 3'), (400, '{"global_step": 40}'), (500, "[]")):
        make_checkpoint(tmp_path, step, cut_off)
    assert last_complete(tmp_path) == tmp_path / "checkpoint-10"
    assert "was not written to its end" in str(incomplete(tmp_path / "checkpoint-300"))
    remove_incomplete(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-5"]


def test_a_named_checkpoint_is_gone_on_from_if_it_is_of_this_training(tmp_path: Path) -> None:
    folder, copy = tmp_path / "key", tmp_path / "copy"
    make_checkpoint(folder, 10)
    assert starting_point(folder, True, "key") == folder / "checkpoint-10"
    assert starting_point(folder, False, "key") is None
    earlier = make_checkpoint(folder, 5)
    assert starting_point(folder, str(earlier), "key") == earlier
    assert starting_point(folder, str(make_checkpoint(copy, 7)), "key") == copy / "checkpoint-7"
    assert find_step(7, [folder, copy]) == copy / "checkpoint-7"


@pytest.mark.parametrize(("make", "line"), [
    (lambda folder: make_checkpoint(folder, 5, key="other"), "checkpoint-5 … other settings, data or code"),
    (lambda folder: make_checkpoint(folder, 6, state=""), "checkpoint-6 … written"),
    (lambda folder: folder / "checkpoint-7", "checkpoint-7 … exist"),
    (lambda folder: folder, "checkpoint-N"),
])  # fmt: skip
def test_any_other_named_checkpoint_is_refused_in_one_line(tmp_path: Path, make: Any, line: str) -> None:
    with refused("training.resume", line):
        starting_point(tmp_path, str(make(tmp_path)), "key")


def test_unfinished_trainings_are_listed_with_their_size(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "mine", 1)
    other = make_checkpoint(tmp_path / "other", 1)
    (other / "optimizer.pt").write_bytes(bytes(1000))
    (tmp_path / "empty").mkdir()
    (tmp_path / "lock").touch()
    found = unfinished(tmp_path, "mine")
    assert list(found) == [tmp_path / "other"] and found[tmp_path / "other"] > 1000


def test_written_are_the_trainings_that_came_to_their_end(tmp_path: Path) -> None:
    for name in ("done", "interrupted"):
        make_checkpoint(tmp_path / name, 1)
    (tmp_path / "done" / WRITTEN).touch()
    (tmp_path / "lock").touch()
    assert written(tmp_path) == {"done"}
    assert written(tmp_path / "none") == set()


def _hold(lock: str, held: "multiprocessing.synchronize.Event", release: "multiprocessing.synchronize.Event") -> None:
    with sole_training(Path(lock)):
        held.set()
        release.wait(120)


def _hold_with_worker(lock: str, held: "multiprocessing.synchronize.Event") -> None:
    with sole_training(Path(lock)):
        if os.fork() == 0:  # as a data loader's worker
            held.set()
            time.sleep(60)
            os._exit(0)
        time.sleep(60)


def test_workers_that_outlive_a_killed_training_do_not_hold_its_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    first = context.Process(target=_hold_with_worker, args=(str(tmp_path / "lock"), held))
    first.start()
    try:
        assert held.wait(120)
        [worker] = psutil.Process(first.pid).children()
        first.kill()
        first.join()
        with sole_training(tmp_path / "lock"):
            assert worker.is_running()
    finally:
        worker.kill()


def test_a_second_training_is_refused_while_the_first_lives_and_admitted_after_its_death(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(str(tmp_path / "lock"), held, release))
    first.start()
    try:
        assert held.wait(120)
        with refused(f"process {first.pid}"), sole_training(tmp_path / "lock"):
            pass
    finally:
        first.kill()
        first.join()
    with sole_training(tmp_path / "lock"):
        pass


def test_a_checkpoint_that_is_saved_once_more_is_incomplete_until_that_is_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoints"
    run(save_total_limit=5)
    assert incomplete(folder / "checkpoint-6") is None

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_save_optimizer_and_scheduler", killed)
    with pytest.raises(KeyboardInterrupt):
        run(save_total_limit=5, resume_from=folder / "checkpoint-3")
    assert incomplete(folder / "checkpoint-6") == "was not written to its end (no complete trainer_state.json)"
