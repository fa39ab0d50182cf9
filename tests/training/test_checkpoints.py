"""A training is resumed only by itself, from a complete checkpoint, and by one process at a time."""

import multiprocessing
from pathlib import Path

import pytest

from stages.errors import UserError
from stages.training.checkpoints import fingerprint, last_complete, sole_training


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
    for step, complete in ((5, True), (10, True), (100, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if complete:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert last_complete(tmp_path) == tmp_path / "checkpoint-10"


def _hold(lock: str, held: "multiprocessing.synchronize.Event", release: "multiprocessing.synchronize.Event") -> None:
    with sole_training(Path(lock)):
        held.set()
        release.wait(30)


def test_a_second_training_is_refused_while_the_first_lives_and_admitted_after_its_death(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(str(tmp_path / "lock"), held, release))
    first.start()
    try:
        assert held.wait(30)
        with pytest.raises(UserError, match=f"as process {first.pid}; "), sole_training(tmp_path / "lock"):
            pass
    finally:
        first.kill()
        first.join()
    with sole_training(tmp_path / "lock"):
        pass
