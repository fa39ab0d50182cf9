"""Checkpoints that survive anything: one folder a training, named by all that decides its result, and used by one process at a time.

They lie outside DVC's outputs, which DVC deletes before a stage runs.
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

from stages.errors import UserError

LIBRARIES = ("torch", "transformers", "sentence-transformers")


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
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def last_complete(folder: Path) -> Path | None:
    """The newest checkpoint-N in ``folder`` that was written to its end (trainer_state.json comes last), or None."""
    complete = [p for p in folder.glob("checkpoint-*") if (p / "trainer_state.json").exists() and p.name.split("-")[1].isdigit()]
    return max(complete, key=lambda path: int(path.name.split("-")[1]), default=None)
