"""Checkpoints that survive anything: one folder a training, named by all that decides its result, and used by one process at a time.

They lie outside DVC's outputs, which DVC deletes before a stage runs.
"""

import errno
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
from stages.runtime.errors import UserError
from stages.runtime.files import remove
from stages.runtime.root import place

CHECKPOINTS = Path("checkpoints")
LIBRARIES = ("torch", "transformers", "sentence-transformers", "accelerate", "tokenizers")
OWNER = "fingerprint.txt"  # in a checkpoint: whose it is
WRITTEN = "written"  # in a training's folder: its model is written, but dvc may not have recorded it yet; the next training clears it away
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ROOM_SAID = (  # by safetensors and torch, whose errors are no OSError
    "os error 28", "os error 122", "os error 27", "No space left on device", "PytorchStreamWriter failed writing", "unexpected pos",
)  # fmt: skip


def fingerprint(settings: Mapping[str, Any], inputs: Sequence[Path]) -> str:
    """16 hexadecimal digits of all that decides a training: its settings, the bytes of its inputs (files or folders), the libraries."""
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
    """Hold the lock that only one training of a workspace can hold; it goes with the process, however that ends.

    Raises:
        UserError: another training is alive, as after a kill of dvc alone.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise UserError(
                f"{lock_file.parent}: another training is still running here as process {lock.read().strip() or 'unknown'}; "
                "wait for it to end, or end it with kill, then run `dvc repro` again"
            ) from error
        os.register_at_fork(after_in_child=lock.close)  # or workers that outlive a killed trainer would hold it
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def last_complete(folder: Path) -> Path | None:
    """The newest checkpoint-N in ``folder`` that was written to its end, or None."""
    return max((path for path in folder.glob("checkpoint-*") if not incomplete(path)), key=step_of, default=None)


def find_step(step: int, folders: Sequence[Path]) -> Path:
    """checkpoint-``step`` in the first of ``folders`` that has it; `UserError` where none does."""
    for folder in folders:
        if not incomplete(folder / f"checkpoint-{step}"):
            return folder / f"checkpoint-{step}"
    raise UserError(f"{folders[0]}: checkpoint-{step}, the best one so far, is gone; set training.resume: false to start afresh")


def remove_incomplete(folder: Path) -> None:
    """Clear away what an interrupted save left: it takes room, and the trainer counts it where it keeps only the newest."""
    for path in folder.glob("checkpoint-*"):
        if incomplete(path):
            remove(path)


def starting_point(folder: Path, resume: bool | str, key: str) -> Path | None:
    """The checkpoint to go on from: of ``resume`` true the last complete one in ``folder``, of a path that one; None to start afresh.

    Args:
        key: the fingerprint that the checkpoint must carry.

    Raises:
        UserError: the named checkpoint is incomplete, or of another training.
    """
    if not isinstance(resume, str):
        return last_complete(folder) if resume else None
    named = place(resume)
    if wrong := incomplete(named):
        raise UserError(f"training.resume: {resume} {wrong}; name a complete checkpoint-N, or use true or false")
    if not (named / OWNER).is_file() or (named / OWNER).read_text(encoding="utf-8").strip() != key:
        raise UserError(
            f"training.resume: {resume} was made with other settings, data or code, so its outcome would be neither's; "
            "restore those, or set training.resume to true or false"
        )
    return named


def written(root: Path) -> set[str]:
    """The fingerprints of the trainings that came to their end, but whose checkpoints are still here."""
    return {marker.parent.name for marker in root.glob(f"*/{WRITTEN}")}


def unfinished(root: Path, key: str) -> dict[Path, int]:
    """The folders of other trainings that were never finished, with their bytes: no one but the user knows whether they are wanted."""
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name != key and any(path.glob("checkpoint-*"))]
    return {folder: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) for folder in folders}


@contextmanager
def full_disk_in_one_line(folder: Path) -> Iterator[None]:
    """Turn the many ways in which libraries say that nothing more can be written into one `UserError`.

    What the failed save left is removed; the checkpoint before it is still there, since the trainer removes old ones last.
    """
    try:
        yield
    except Exception as error:
        reason = _unwritable(error)
        if reason is None:
            raise
        remove_incomplete(folder)
        last = last_complete(folder)
        then = f"goes on from {last.name}" if last else "starts afresh"
        raise UserError(f"{folder}: cannot be written ({reason}); make room, then `dvc repro` {then}") from error


def _unwritable(error: BaseException) -> str | None:
    """The reason why a write failed, where it was for want of room; None for any other error."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, OSError) and chain.errno in NO_ROOM:
            return os.strerror(chain.errno)
        if any(mark in str(chain) for mark in NO_ROOM_SAID):
            return "No space left on device" if "No space" in str(chain) else "the disk is full, or a file too large for it"
        chain = chain.__cause__ or chain.__context__
    return None
