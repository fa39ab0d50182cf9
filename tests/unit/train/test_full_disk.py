"""A disk that fills up while a checkpoint is saved costs that checkpoint, and says so in one line."""

import errno
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from stages.train.checkpoints import full_disk_in_one_line
from tests.refused import refused
from tests.unit.train.conftest import Run


@pytest.fixture
def file_limit() -> Iterator[Any]:
    """Call it with a number of bytes: no file of this process can grow beyond them until the test ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class LittleRoom(TrainerCallback):
    """From a step on, nothing larger than ``share`` of the last checkpoint's file ``name`` can be written."""

    def __init__(self, step: int, folder: Path, name: str, file_limit: Any) -> None:
        self.step, self.folder, self.name, self.file_limit = step, folder, name, file_limit

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            self.file_limit((self.folder / self.name).stat().st_size // 2)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "tokenizer.json"])
def test_a_full_disk_ends_the_run_in_one_line_and_costs_the_last_checkpoint_at_most(
    run: Run, tmp_path: Path, name: str, file_limit: Any
) -> None:
    undisturbed, whole = run()
    for path in (folder := tmp_path / "checkpoints").iterdir():
        path.rename(tmp_path / f"old-{path.name}")
    room = LittleRoom(7, folder / "checkpoint-6", name, file_limit)
    with refused("cannot be written", "checkpoint-6") as caught, \
            full_disk_in_one_line(folder):  # fmt: skip
        run(callbacks=[room])
    assert "\n" not in str(caught.value)
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
def test_a_full_disk_is_known_however_a_library_says_it(tmp_path: Path, error: Exception) -> None:
    with refused("cannot be written", "afresh"), full_disk_in_one_line(tmp_path):
        raise error


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), full_disk_in_one_line(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "No such file")
