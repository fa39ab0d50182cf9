"""Checkpoints that survive any interruption: one folder per training run, named by a fingerprint of all that decides its result.

The folders are not DVC outputs, which DVC deletes before a stage runs. One process at a time uses them.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stages.runtime.checkpoint import incomplete, step_of
from stages.runtime.errors import NO_ROOM, UserError
from stages.runtime.files import remove
from stages.runtime.root import place

CHECKPOINTS = Path("checkpoints")
LIBRARIES = ("torch", "transformers", "sentence-transformers", "accelerate", "tokenizers")
OWNER = "fingerprint.txt"  # in a checkpoint: the fingerprint of its training run
WRITTEN = "written"  # in a run's folder: its model is written, but dvc may not have recorded it yet; the next run removes the folder
NO_ROOM_MESSAGES = (  # of safetensors and torch, which do not raise OSError
    "os error 28", "os error 122", "os error 27", "No space left on device", "PytorchStreamWriter failed writing", "unexpected pos",
)  # fmt: skip


def fingerprint(settings: Mapping[str, Any], inputs: Sequence[Path]) -> str:
    """16 hexadecimal digits of all that decides a result: settings, the bytes of the inputs (files or folders), library versions."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(json.dumps({name: version(name) for name in LIBRARIES}).encode())
    for path in inputs:
        files = sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts) if path.is_dir() else [path]
        for file in files:
            digest.update(file.relative_to(path).as_posix().encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


@contextmanager
def sole_training(lock_file: Path) -> Iterator[None]:
    """Hold the workspace's training lock; it is released when the process ends, however it ends.

    Raises:
        UserError: another training run is alive, for example because only dvc was killed.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise UserError(
                f"{lock_file.parent}: another training run is alive here as process {lock.read().strip() or 'unknown'}; "
                "wait for it to end or kill it, then run `dvc repro` again"
            ) from error
        os.register_at_fork(after_in_child=lock.close)  # data loader workers can outlive a killed trainer
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def last_complete(folder: Path) -> Path | None:
    """The newest complete checkpoint-N in ``folder``, or None."""
    return max((path for path in folder.glob("checkpoint-*") if not incomplete(path)), key=step_of, default=None)


def find_step(step: int, folders: Sequence[Path]) -> Path:
    """checkpoint-``step`` in the first of ``folders`` that has it; `UserError` if none does."""
    for folder in folders:
        if not incomplete(folder / f"checkpoint-{step}"):
            return folder / f"checkpoint-{step}"
    raise UserError(f"{folders[0]}: checkpoint-{step}, the best so far, is missing; set training.resume to false to start afresh")


def next_run(folder: Path) -> str:
    """How `dvc repro` continues with the checkpoints in ``folder``, for a message."""
    last = last_complete(folder)
    return f"`dvc repro` resumes from {last.name}" if last else "`dvc repro` starts afresh"


def remove_incomplete(folder: Path) -> None:
    """Remove what an interrupted save left; the trainer would count it towards save_total_limit."""
    for path in folder.glob("checkpoint-*"):
        if incomplete(path):
            remove(path)


def starting_point(folder: Path, resume: bool | str, key: str) -> Path | None:
    """The checkpoint to resume from, or None to start afresh.

    Args:
        resume: true for the last complete checkpoint in ``folder``, or the path of one.
        key: the fingerprint that a named checkpoint must have.

    Raises:
        UserError: the named checkpoint is incomplete, or belongs to another training run.
    """
    if not isinstance(resume, str):
        return last_complete(folder) if resume else None
    named = place(resume)
    if wrong := incomplete(named):
        raise UserError(f"training.resume: {resume} {wrong}; name a complete checkpoint-N, or use true or false")
    if not (named / OWNER).is_file() or (named / OWNER).read_text(encoding="utf-8").strip() != key:
        raise UserError(
            f"training.resume: {resume} was made with other settings, data or code; restore those, or set training.resume to true or false"
        )
    return named


def written(root: Path) -> set[str]:
    """The fingerprints of the finished training runs whose checkpoints are still here."""
    return {marker.parent.name for marker in root.glob(f"*/{WRITTEN}")}


def unfinished(root: Path, key: str) -> dict[Path, int]:
    """The folders of other, unfinished training runs and their size in bytes. Only the user knows whether they are still wanted."""
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name != key and any(path.glob("checkpoint-*"))]
    return {folder: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) for folder in folders}


@contextmanager
def full_disk_errors(folder: Path) -> Iterator[None]:
    """Turn the libraries' errors about a full disk into a `UserError`.

    The incomplete checkpoint is removed. The one before it still exists: the trainer removes old checkpoints after it has saved.
    """
    try:
        yield
    except Exception as error:
        reason = _unwritable(error)
        if reason is None:
            raise
        remove_incomplete(folder)
        raise UserError(f"{folder}: cannot be written ({reason}); make room, then {next_run(folder)}") from error


def _unwritable(error: BaseException) -> str | None:
    """Why a write failed if the disk or a quota is full; None for any other error."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, OSError) and chain.errno in NO_ROOM:
            return os.strerror(chain.errno)
        if any(mark in str(chain) for mark in NO_ROOM_MESSAGES):
            return "No space left on device" if "No space" in str(chain) else "the disk is full, or the file is too large for it"
        chain = chain.__cause__ or chain.__context__
    return None
