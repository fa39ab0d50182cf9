"""A training run is resumed only from its own complete checkpoint, by one process at a time; a full disk costs one checkpoint."""

import errno
import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from transformers import TrainerCallback

from stages.runtime.checkpoint import incomplete
from stages.train.checkpoints import (
    OWNER,
    WRITTEN,
    find_step,
    fingerprint,
    full_disk_errors,
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
    """What these functions read of a checkpoint-N; ``state`` replaces its trainer_state.json."""
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
    assert "incomplete" in str(incomplete(tmp_path / "checkpoint-300"))
    remove_incomplete(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-5"]


def test_a_named_checkpoint_of_this_run_is_resumed(tmp_path: Path) -> None:
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
    (lambda folder: make_checkpoint(folder, 6, state=""), "checkpoint-6 … incomplete"),
    (lambda folder: folder / "checkpoint-7", "checkpoint-7 … exist"),
    (lambda folder: folder, "checkpoint-N"),
])  # fmt: skip
def test_any_other_named_checkpoint_is_refused(tmp_path: Path, make: Any, line: str) -> None:
    with refused("training.resume", line):
        starting_point(tmp_path, str(make(tmp_path)), "key")


def test_unfinished_runs_are_listed_with_their_size(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "mine", 1)
    other = make_checkpoint(tmp_path / "other", 1)
    (other / "optimizer.pt").write_bytes(bytes(1000))
    (tmp_path / "empty").mkdir()
    (tmp_path / "lock").touch()
    found = unfinished(tmp_path, "mine")
    assert list(found) == [tmp_path / "other"] and found[tmp_path / "other"] > 1000


def test_finished_runs_are_found(tmp_path: Path) -> None:
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
        if os.fork() == 0:  # like a data loader's worker
            held.set()
            time.sleep(60)
            os._exit(0)
        time.sleep(60)


def test_workers_that_outlive_a_killed_run_do_not_hold_its_lock(tmp_path: Path) -> None:
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


def test_a_second_run_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(str(tmp_path / "lock"), held, release))
    first.start()
    try:
        assert held.wait(120)
        with refused("another training run is alive", f"process {first.pid}"), sole_training(tmp_path / "lock"):
            pass
    finally:
        first.kill()
        first.join()
    with sole_training(tmp_path / "lock"):
        pass


def test_a_checkpoint_is_incomplete_while_it_is_saved_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "checkpoints"
    run(save_total_limit=5)
    assert incomplete(folder / "checkpoint-6") is None

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_save_optimizer_and_scheduler", killed)
    with pytest.raises(KeyboardInterrupt):
        run(save_total_limit=5, resume_from=folder / "checkpoint-3")
    assert incomplete(folder / "checkpoint-6") == "is incomplete (no complete trainer_state.json)"


@pytest.fixture
def file_limit() -> Iterator[Any]:
    """Call it with a number of bytes to limit the size of files that this process writes until the test ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class LittleRoom(TrainerCallback):
    """From ``step`` on, no file larger than half of ``name`` in the checkpoint ``folder`` can be written."""

    def __init__(self, step: int, folder: Path, name: str, file_limit: Any) -> None:
        self.step, self.folder, self.name, self.file_limit = step, folder, name, file_limit

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            self.file_limit((self.folder / self.name).stat().st_size // 2)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "tokenizer.json"])
def test_a_full_disk_is_a_one_line_error_and_costs_at_most_the_last_checkpoint(
    run: Run, tmp_path: Path, name: str, file_limit: Any
) -> None:
    undisturbed, whole = run()
    for path in (folder := tmp_path / "checkpoints").iterdir():
        path.rename(tmp_path / f"old-{path.name}")
    room = LittleRoom(7, folder / "checkpoint-6", name, file_limit)
    with refused(str(folder), "cannot be written", "checkpoint-6"), full_disk_errors(folder):
        run(callbacks=[room])
    file_limit(resource.RLIM_INFINITY)
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-6"]
    model, trained = run(resume_from=folder / "checkpoint-6")
    assert trained == whole
    assert all((value == undisturbed.state_dict()[key]).all() for key, value in model.state_dict().items())


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
    RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
])  # fmt: skip
def test_every_librarys_error_for_a_full_disk_is_recognised(tmp_path: Path, error: Exception) -> None:
    with refused(str(tmp_path), "cannot be written", "afresh"), full_disk_errors(tmp_path):
        raise error


def test_other_errors_are_raised_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), full_disk_errors(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "No such file")
